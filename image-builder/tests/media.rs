//! A whole build with Debian's real boot packages and a stand-in for the kernel, checked by other programs.

mod fixture;

use std::fs;
use std::path::Path;
use std::process::Command;

use fixture::Fixture;
use image_builder::{
    BuildError, BuildRequest, CustomizeRequest, FileState, Manifest, build, customize, inspect, verify,
};

fn run(dir: &Path, program: &str, args: &[&str]) -> String {
    let output = Command::new(program)
        .args(args)
        .current_dir(dir)
        .env("PATH", format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap()))
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{program} {args:?}: {text}{complaints}");
    text + &complaints
}

#[test]
fn a_build_is_whole_verifiable_and_the_same_every_time() {
    let fixture = Fixture::new();
    let (out, manifest) = fixture.build("media");
    run(&out, "sha256sum", &["--check", "--strict", "SHA256SUMS"]);
    let json = fs::read(out.join("manifest.json")).unwrap();
    assert_eq!(Manifest::parse(&json).unwrap(), manifest);
    let names: Vec<&str> = manifest.packages.iter().map(|package| package.name.as_str()).collect();
    let booted = ["busybox-static", "grub-efi-amd64-signed", "grub-pc-bin", "shim-helpers-amd64-signed"];
    let fetched = ["e2fsprogs", "libc6", "xfsprogs"];
    for name in booted.iter().chain(&fetched) {
        assert!(names.contains(name), "{name}: {names:?}");
    }
    assert!(names.is_sorted() && manifest.files.contains_key("tools.cpio.zst"));

    let (again, _) = fixture.build("again");
    let files = manifest.paths().map(|(path, _)| path).chain(["manifest.json".into(), "SHA256SUMS".into()]);
    for name in files {
        assert_eq!(fs::read(out.join(&name)).unwrap(), fs::read(again.join(&name)).unwrap(), "{name}");
    }
}

#[test]
fn loaders_for_network_boot_lie_beside_the_media_and_are_those_of_the_image() {
    let fixture = Fixture::new();
    let (out, manifest) = fixture.build("media");
    let loader = |name: &str| fs::read(out.join("loaders").join(name)).unwrap();
    for name in ["ipxe.efi", "snponly.efi", "shimx64.efi", "bootx64.efi", "mmx64.efi", "grubx64.efi"] {
        assert_eq!(loader(name).get(..2), Some(b"MZ".as_slice()), "{name}");
    }
    for name in ["undionly.kpxe", "ipxe.pxe", "pxelinux.0", "lpxelinux.0", "ldlinux.c32", "libcom32.c32"] {
        assert!(loader(name).len() > 10_000, "{name}");
    }
    assert_eq!(loader("bootx64.efi"), loader("shimx64.efi"));
    // GRUB for the network has other modules than GRUB on a medium; the signature is the same.
    for word in ["tftp", "Debian Secure Boot"] {
        let found = loader("grubx64.efi").windows(word.len()).any(|window| window == word.as_bytes());
        assert!(found, "GRUB has no {word}");
    }
    let packages = |name: &str| manifest.packages.iter().filter(|package| package.name == name).count();
    for name in ["ipxe", "pxelinux", "syslinux-common", "shim-signed", "grub-efi-amd64-signed"] {
        assert_eq!(packages(name), 1, "{name}");
    }
    let licenses = fs::read_to_string(out.join("licenses.txt")).unwrap();
    for line in [
        "In:      muster.iso, loaders/shimx64.efi, loaders/bootx64.efi\n",
        "In:      loaders/undionly.kpxe, loaders/ipxe.pxe, loaders/snponly.efi, loaders/ipxe.efi\n",
    ] {
        assert!(licenses.contains(line), "{line}");
    }
    let image = fs::read(out.join("muster.iso")).unwrap();
    let told = b"snapshot.debian.org/package/ipxe";
    assert!(!image.windows(told.len()).any(|window| window == told), "the image tells of what is not on it");
}

#[test]
fn loaders_of_ones_own_come_instead_of_debians() {
    let fixture = Fixture::new();
    let folder = tempfile::tempdir().unwrap();
    for name in ["shimaa64.efi", "ipxe.efi"] {
        fs::write(folder.path().join(name), name).unwrap();
    }
    let own = Some(folder.path().to_owned());
    let added = BuildRequest { own_loaders: own.clone(), ..fixture.request("added") };
    let manifest = build(&added, &mut |_| ()).unwrap();
    assert_eq!(fs::read(added.out.join("loaders/ipxe.efi")).unwrap(), b"ipxe.efi");
    assert!(manifest.loaders.contains_key("shimaa64.efi") && manifest.loaders.contains_key("undionly.kpxe"));
    let licenses = fs::read_to_string(added.out.join("licenses.txt")).unwrap();
    assert!(
        licenses.contains("loaders/snponly.efi") && !licenses.contains("loaders/ipxe.efi"),
        "not Debian's"
    );

    let alone = BuildRequest { loaders: false, own_loaders: own, ..fixture.request("alone") };
    let manifest = build(&alone, &mut |_| ()).unwrap();
    assert_eq!(manifest.loaders.keys().collect::<Vec<_>>(), ["ipxe.efi", "shimaa64.efi"]);
    assert!(manifest.packages.iter().all(|package| package.name != "ipxe" && package.name != "pxelinux"));

    let none = BuildRequest { loaders: false, ..fixture.request("none") };
    let manifest = build(&none, &mut |_| ()).unwrap();
    assert!(manifest.loaders.is_empty() && !none.out.join("loaders").exists());
    assert!(verify(&none.out).unwrap().files.iter().all(|file| file.state == FileState::Ok));
}

#[test]
fn modules_packed_in_any_way_and_firmware_of_ones_own_make_the_same_kind_of_medium() {
    let plain = Fixture::new();
    let (_, expected) = plain.build("media");
    for (suffix, packer) in [("xz", "xz"), ("gz", "gzip"), ("zst", "zstd")] {
        let fixture = Fixture::new();
        let module = fixture.dir.path().join("lib/modules/6.1-test/kernel/drivers/net/virtio_net.ko");
        run(module.parent().unwrap(), packer, &["-q", module.file_name().unwrap().to_str().unwrap()]);
        if packer == "zstd" {
            fs::remove_file(&module).unwrap();
        }
        assert!(!module.exists() && module.with_extension(format!("ko.{suffix}")).exists());
        let (_, manifest) = fixture.build("media");
        assert_eq!(manifest.files["initrd"], expected.files["initrd"], "{suffix}");
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("card.fw"), "firmware").unwrap();
    let request = BuildRequest { firmware: Some(folder.path().to_owned()), ..plain.request("with-firmware") };
    let manifest = build(&request, &mut |_| ()).unwrap();
    assert_eq!(manifest.firmware.keys().collect::<Vec<_>>(), ["card.fw"]);
    assert_ne!(manifest.files["initrd"], expected.files["initrd"]);
}

#[test]
fn other_programs_find_every_way_to_boot() {
    let fixture = Fixture::new();
    let (out, _) = fixture.build("media");
    let report = run(
        &out,
        "xorriso",
        &["-indev", "muster.iso", "-report_el_torito", "plain", "-report_system_area", "plain"],
    );
    for expected in [
        "El Torito boot img :   1  BIOS  y   none",
        "El Torito boot img :   2  UEFI  y   none",
        "El Torito img opts :   1  boot-info-table grub2-boot-info",
        "System area summary: MBR protective-msdos-label grub2-mbr cyl-align-off GPT",
        "GPT partname local :   2  EFI System Partition",
    ] {
        assert!(report.contains(expected), "{expected:?} is missing in:\n{report}");
    }
    // The EFI system partition is cut out by its place in the GPT and read by programs for FAT.
    let place = report.lines().find_map(|line| line.strip_prefix("GPT start and size :   2 ")).unwrap();
    let [start, size] = <[&str; 2]>::try_from(place.split_whitespace().collect::<Vec<_>>()).unwrap();
    let (skip, count) = (format!("skip={start}"), format!("count={size}"));
    run(&out, "dd", &["if=muster.iso", "of=esp.img", "bs=512", &skip, &count]);
    run(&out, "fsck.vfat", &["-n", "esp.img"]);
    let listing = run(&out, "mdir", &["-/", "-b", "-i", "esp.img", "::"]);
    for file in [
        "::/EFI/BOOT/BOOTX64.EFI",
        "::/EFI/BOOT/grubx64.efi",
        "::/EFI/BOOT/mmx64.efi",
        "::/boot/grub/grub.cfg",
    ] {
        assert!(listing.lines().any(|line| line.trim() == file), "{file} is missing in:\n{listing}");
    }
}

#[test]
fn an_image_says_what_it_is_and_a_customised_copy_differs_in_its_regions_only() {
    let fixture = Fixture::new();
    let (out, manifest) = fixture.build("media");
    let base = out.join("muster.iso");
    let before = inspect(&base).unwrap();
    assert_eq!(before.identity, manifest.identity);
    assert_eq!(before.regions, manifest.regions);
    assert!(!before.personalised);
    assert!(before.files.iter().any(|file| file.path == ".disk/info"));

    let copy = out.join("mine.iso");
    let length = customize(&CustomizeRequest {
        image: base.clone(),
        config: Some(br#"{"version":1,"server":["https://10.0.0.1:8092"],"token":"s3cret"}"#.to_vec()),
        kernel_args: Some("muster.console=ttyS1".to_owned()),
        out: copy.clone(),
    });
    let (base, copied) = (fs::read(&base).unwrap(), fs::read(&copy).unwrap());
    assert_eq!(length.unwrap(), base.len() as u64);
    assert_eq!(copied.len(), base.len());
    let inside = |at: u64| before.regions.iter().any(|r| (r.offset..r.offset + r.length).contains(&at));
    let differing = (0_u64..).zip(base.iter().zip(&copied)).filter(|(_, (a, b))| a != b);
    let (within, outside): (Vec<u64>, Vec<u64>) = differing.map(|(at, _)| at).partition(|at| inside(*at));
    assert!(!within.is_empty());
    assert_eq!(outside, Vec::<u64>::new());

    let after = inspect(&copy).unwrap();
    assert!(after.personalised);
    assert_eq!(after.kernel_args, "muster.console=ttyS1");
    assert!(!serde_json::to_string(&after).unwrap().contains("s3cret"));
}

#[test]
fn a_program_the_kernel_could_not_start_is_refused_and_nothing_is_published() {
    let fixture = Fixture::new();
    let request = fixture.request("media");
    // The agent is looked at first.
    for (program, flag) in [(&request.installer, "--installer"), (&request.agent, "--agent")] {
        fs::write(program, "#!/bin/sh\n").unwrap();
        let error = build(&request, &mut |_| ()).unwrap_err();
        assert!(matches!(error, BuildError::NotStatic { .. }), "{error}");
        fs::remove_file(program).unwrap();
        let error = build(&request, &mut |_| ()).unwrap_err().to_string();
        assert!(error.ends_with(&format!("build it first, or name it with {flag}")), "{error}");
    }
    assert!(!request.out.exists());
}
