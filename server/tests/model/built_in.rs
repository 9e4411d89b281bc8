//! The boot environments that are built in: what loaders read, to the letter.

use crate::site::Site;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const STRANGER: &str = "192.0.2.99";
const HOME: &str = "10.0.0.5";
/// What every kernel is told, but for what opens a door.
const SERVER: &str = "muster.server=https://10.0.0.1:8092";

/// Media as far as these files look at them.
pub(crate) fn build_media(directory: &Path) -> PathBuf {
    let media = directory.join("media");
    std::fs::create_dir(&media).unwrap();
    let mut files = BTreeMap::new();
    for (name, bytes) in
        [("muster.iso", "image"), ("vmlinuz", "kernel"), ("initrd", "ramdisk"), ("tools.cpio.zst", "tools")]
    {
        std::fs::write(media.join(name), bytes).unwrap();
        files.insert(name, json!({"size": bytes.len(), "sha256": "ab".repeat(32)}));
    }
    let manifest = json!({
        "schema": 1, "version": "0.1.0", "arch": "x86_64", "kernel": "6.1.0", "profile": "cloud", "build_time": 1,
        "marker": "MUSTER-0011aabb", "files": files, "regions": [], "packages": [],
    });
    std::fs::write(media.join("manifest.json"), manifest.to_string()).unwrap();
    media
}

/// A site with media, at an address that does not change.
async fn site() -> Site {
    Site::start_with(|directory, options| {
        options.media_dir = Some(build_media(directory));
        options.advertise = vec!["https://10.0.0.1:8092".parse().unwrap()];
        let loaders = directory.join("loaders");
        std::fs::create_dir(&loaders).unwrap();
        std::fs::write(loaders.join("undionly.kpxe"), "iPXE").unwrap();
        std::fs::write(loaders.join("notes.txt"), "none").unwrap();
        options.loader_dir = Some(loaders);
    })
    .await
}

async fn machine(site: &Site, boot_env: &str) -> Value {
    let fields = json!({
        "Name": "db-07", "Address": HOME, "BootEnv": boot_env, "HardwareAddrs": ["52:54:00:ab:cd:ef"],
    });
    let machine = site.machine(fields).await;
    assert_eq!(machine["Errors"], json!([]));
    machine
}

/// A file with what is different each time masked.
async fn file(site: &Site, from: &str, path: &str) -> String {
    let answer = site.boot_file(from, path).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    mask(&answer.text())
}

fn mask(text: &str) -> String {
    let word = |word: &str| match word.split_once('=') {
        Some((key @ ("muster.ca-hash" | "muster.token" | "muster.nonce"), value)) => {
            assert!(value.len() >= 22, "{word}");
            format!("{key}=*")
        }
        _ => match word
            .split_once("/muster/")
            .and_then(|(before, rest)| Some((before, rest.split_once("/local.cfg")?)))
        {
            // Where a disk of this server says how it is started.
            Some((before, (_, after))) => format!("{before}/muster/*/local.cfg{after}"),
            None => word.to_owned(),
        },
    };
    let line = |line: &str| line.split(' ').map(word).collect::<Vec<_>>().join(" ") + "\n";
    text.lines().map(line).collect()
}

fn ipxe_image(args: &str) -> String {
    format!(
        "\
imgfree
echo Muster: loading from tftp://10.0.0.1
kernel tftp://10.0.0.1/muster/vmlinuz initrd=muster.img {args} || goto failed
initrd --name muster.img tftp://10.0.0.1/muster/initrd || goto failed
boot || goto failed
:failed
echo Muster: nothing could be booted from tftp://10.0.0.1: ${{errno}}
echo The next boot device follows in 10 seconds.
sleep 10
exit 1
"
    )
}

fn pxelinux_image(args: &str) -> String {
    format!(
        "\
SERIAL 0 115200
DEFAULT muster
PROMPT 0
TIMEOUT 100
ONTIMEOUT local
LABEL muster
KERNEL muster/vmlinuz
INITRD muster/initrd
APPEND {args}
LABEL local
localboot 0
"
    )
}

const GRUB_HEAD: &str = "\
if serial --unit=0 --speed=115200; then
  terminal_input console serial
  terminal_output console serial
fi
";

const GRUB_KNOWN: &str = "\
for file in /grub/$net_default_mac.cfg /grub/$net_default_ip.cfg; do
  if test -s $file; then
    configfile $file
  fi
done
";

const GRUB_LOCAL: &str = "\
for marker in /muster/*/local.cfg /boot/muster/*/local.cfg; do
  if search --no-floppy --set=root --file $marker; then
    configfile $marker
  fi
done
if test \"$grub_platform\" = efi; then
  for vendor in debian ubuntu fedora redhat centos rocky almalinux opensuse sles BOOT; do
    for loader in shimx64.efi shimaa64.efi grubx64.efi grubaa64.efi BOOTX64.EFI BOOTAA64.EFI; do
      if search --no-floppy --set=root --file /EFI/$vendor/$loader; then
        if chainloader /EFI/$vendor/$loader; then
          boot
        fi
      fi
    done
  done
fi
exit
";

fn grub_image(args: &str) -> String {
    format!(
        "\
echo \"Muster: loading the image\"
if linux /muster/vmlinuz {args} ; then
  if initrd /muster/initrd; then
    boot
  fi
fi
echo \"Muster: the image could not be booted.\"
echo \"The next boot device follows in 10 seconds.\"
sleep 10
{GRUB_LOCAL}"
    )
}

const IPXE_KNOWN: &str = "\
#!ipxe
chain --autofree --replace tftp://10.0.0.1/${netX/mac}.ipxe ||
chain --autofree --replace tftp://10.0.0.1/${netX/ip}.ipxe ||
";

#[tokio::test]
async fn strangers_try_the_files_of_known_machines_and_boot_the_image_with_a_token() {
    let site = site().await;
    site.post("prefs", json!({"unknownBootEnv": "discovery"})).await.ok();
    let args = format!("quiet loglevel=3 {SERVER} muster.ca-hash=* muster.token=*");
    let file = |path: &'static str| file(&site, STRANGER, path);
    assert_eq!(file("default.ipxe").await, format!("{IPXE_KNOWN}{}", ipxe_image(&args)));
    assert_eq!(file("pxelinux.cfg/default").await, pxelinux_image(&args));
    assert_eq!(file("grub/grub.cfg").await, format!("{GRUB_HEAD}{GRUB_KNOWN}{}", grub_image(&args)));
}

#[tokio::test]
async fn strangers_who_are_ignored_go_on_to_their_disk() {
    let site = site().await;
    let file = |path: &'static str| file(&site, STRANGER, path);
    assert_eq!(file("default.ipxe").await, format!("{IPXE_KNOWN}exit 1\n"));
    assert_eq!(
        file("pxelinux.cfg/default").await,
        "DEFAULT local\nPROMPT 0\nTIMEOUT 10\nLABEL local\nlocalboot 0\n"
    );
    assert_eq!(file("grub/grub.cfg").await, format!("{GRUB_KNOWN}{GRUB_LOCAL}"));
}

#[tokio::test]
async fn known_machine_boots_the_image_as_soon_as_it_is_chosen_and_its_disk_before() {
    let site = site().await;
    let machine = machine(&site, "local").await;
    let paths = [
        ["52:54:00:ab:cd:ef.ipxe", "10.0.0.5.ipxe"],
        ["pxelinux.cfg/01-52-54-00-ab-cd-ef", "pxelinux.cfg/0A000005"],
        ["grub/52:54:00:ab:cd:ef.cfg", "grub/10.0.0.5.cfg"],
    ];
    let disk = "DEFAULT local\nPROMPT 0\nTIMEOUT 10\nLABEL local\nlocalboot 0\n";
    for (paths, text) in paths.iter().zip(["#!ipxe\nexit 1\n", disk, GRUB_LOCAL]) {
        for path in paths {
            assert_eq!(file(&site, HOME, path).await, text, "{path}");
        }
    }
    // Its workflow brings a bootenv: the next fetch is the image.
    site.make("stages", json!([{"Name": "prepare", "BootEnv": "muster"}])).await;
    site.make("workflows", json!([{"Name": "prepare", "Stages": ["prepare"]}])).await;
    site.set(&machine, json!({"Workflow": "prepare"})).await.ok();
    site.next_job(&machine).await;
    assert_eq!(site.again(&machine).await["BootEnv"], json!("muster"));
    // Its agent never registered, so nothing opens a door.
    let args = format!("quiet loglevel=3 {SERVER} muster.ca-hash=*");
    let texts = |args: &str| {
        let [ipxe, grub] = [ipxe_image(args), grub_image(args)];
        [format!("#!ipxe\n{ipxe}"), pxelinux_image(args), format!("{GRUB_HEAD}{grub}")]
    };
    for (paths, text) in paths.iter().zip(texts(&args)) {
        for path in paths {
            assert_eq!(file(&site, HOME, path).await, text, "{path}");
        }
    }
    // What an agent boots by itself.
    let kexec = file(&site, STRANGER, &format!("machines/{}/kexec", machine["Uuid"].as_str().unwrap())).await;
    let url = "http://10.0.0.1:8091/muster";
    assert_eq!(kexec, format!("kernel {url}/vmlinuz\ninitrd {url}/initrd\nparams {args}\n"));
}

#[tokio::test]
async fn param_of_the_kernels_line_shows_at_once_and_cannot_leave_it() {
    let site = site().await;
    let machine = machine(&site, "muster").await;
    let path = "52:54:00:ab:cd:ef.ipxe";
    let param = |name: &str, value: Value| {
        let path = format!("{}/params/{name}", site.path(&machine));
        let site = &site;
        async move { site.post(&path, value).await.ok() }
    };
    param("kernel-console", json!("console=ttyS1,115200")).await;
    param("kernel-options", json!("mitigations=auto  nosmt")).await;
    let line =
        format!("initrd=muster.img quiet loglevel=3 console=ttyS1,115200 mitigations=auto  nosmt {SERVER} ");
    assert!(file(&site, STRANGER, path).await.contains(&line));
    let long = "a".repeat(1_900);
    for (value, reason) in [
        (json!("x\nreboot"), "cannot carry '\\n'"),
        (json!("x; reboot"), "cannot carry ';'"),
        (json!("x || shell"), "cannot carry '|'"),
        (json!("x=${net0/mac}"), "cannot carry '$'"),
        (json!("x=\"y"), "cannot carry '\"'"),
        (json!(["x"]), "wants text"),
        (json!(long), "bytes, at most 2047"),
    ] {
        param("kernel-options", value.clone()).await;
        let errors = site.again(&machine).await["Errors"].clone();
        let answer = site.boot_file(STRANGER, path).await;
        assert_eq!(answer.status, 422, "{value}");
        let messages = answer.json()["Messages"].clone();
        for told in [&messages, &errors] {
            let is_told = |told: &Value| told.as_str().is_some_and(|told| told.contains(reason));
            assert!(told.as_array().unwrap().iter().any(is_told), "{value}: {told}");
        }
    }
    param("kernel-options", json!("")).await;
    assert_eq!(site.again(&machine).await["Errors"], json!([]));
}

#[tokio::test]
async fn media_that_are_gone_make_their_bootenvs_unavailable() {
    let site = site().await;
    let machine = machine(&site, "muster").await;
    std::fs::remove_file(site.data("../media/initrd")).unwrap();
    // Whatever changes, the disk is looked at again.
    site.post("prefs", json!({"unknownTokenTimeout": "60"})).await.ok();
    for name in ["muster", "discovery"] {
        let env = site.get(&format!("bootenvs/{name}")).await.ok();
        let told =
            "there is no file muster/initrd; run `muster media build` and start the server with --media-dir";
        assert_eq!((&env["Available"], &env["Errors"]), (&json!(false), &json!([told])), "{name}");
    }
    site.set(&machine, json!({"BootEnv": "local"})).await.ok();
    site.set(&machine, json!({"BootEnv": "muster"})).await.refused(422);
    assert_eq!(site.boot_file(STRANGER, "muster/initrd").await.status, 404);
    // The boot tree may have it as well.
    let own = site.data("boot/muster/initrd");
    std::fs::create_dir_all(own.parent().unwrap()).unwrap();
    std::fs::write(own, "another").unwrap();
    site.post("prefs", json!({"unknownTokenTimeout": "61"})).await.ok();
    assert_eq!(site.get("bootenvs/muster").await.ok()["Available"], json!(true));
    assert_eq!(site.boot_file(STRANGER, "muster/initrd").await.text(), "another");
}

#[tokio::test]
async fn media_and_loaders_lie_at_paths_of_their_own() {
    let site = site().await;
    for (path, text) in [
        ("muster/vmlinuz", "kernel"),
        ("/muster//initrd", "ramdisk"),
        ("muster/tools.cpio.zst", "tools"),
        ("undionly.kpxe", "iPXE"),
        ("//undionly.kpxe", "iPXE"),
    ] {
        let answer = site.boot_file(STRANGER, path).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, text), "{path}");
    }
    for path in [
        "muster/manifest.json",
        "vmlinuz",
        "muster/x/vmlinuz",
        "notes.txt",
        "loaders/undionly.kpxe",
        "muster/muster.iso",
    ] {
        assert_eq!(site.boot_file(STRANGER, path).await.status, 404, "{path}");
    }
}
