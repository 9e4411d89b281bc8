use super::*;
use crate::handover;
use crate::install::state::{Array, Cipher, Mount};
use protocol::install::{AgentOrder, Seed};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

const TOKEN: &str = "eyJhbGciOiJkaXIifQ..c2VjcmV0LXRva2Vu.dGFn";

fn tree() -> (tempfile::TempDir, Tree) {
    let folder = tempfile::tempdir().unwrap();
    let tree = Tree::open(folder.path()).unwrap();
    for (path, text) in [
        ("/usr/lib/systemd/systemd", "elf"),
        ("/etc/machine-id", "0123456789abcdef0123456789abcdef\n"),
        ("/var/lib/dbus/machine-id", "0123456789abcdef0123456789abcdef\n"),
        ("/etc/ssh/ssh_host_rsa_key", "key"),
        ("/etc/ssh/sshd_config", "config"),
        ("/etc/hosts", "127.0.0.1 localhost\n127.0.1.1 builder\n"),
        ("/etc/cloud/cloud-init.disabled", ""),
        ("/etc/mdadm/mdadm.conf", "image"),
    ] {
        tree.put(path, text.as_bytes(), 0o644).unwrap();
    }
    (folder, tree)
}

fn order() -> InstallOrder {
    InstallOrder {
        hostname: "db-07.example.org".to_owned(),
        seed: Seed {
            meta_data: "instance-id: 1\n".to_owned(),
            user_data: "#cloud-config\n".to_owned(),
            network_config: "version: 2\n".to_owned(),
            ..Seed::default()
        },
        ..InstallOrder::default()
    }
}

fn layout() -> Partitioned {
    let mount = |place: &str, filesystem: &str, uuid: &str| Mount {
        place: place.to_owned(),
        filesystem: filesystem.to_owned(),
        uuid: uuid.to_owned(),
        ..Mount::default()
    };
    Partitioned {
        mounts: vec![
            mount("/", "ext4", "aaaa"),
            mount("/boot/efi", "vfat", "1234-ABCD"),
            mount("/srv", "xfs", "bbbb"),
            mount("none", "swap", "cccc"),
        ],
        arrays: vec![Array { name: "/dev/md/root".to_owned(), uuid: "1:2:3:4".to_owned() }],
        ciphers: vec![Cipher { name: "root".to_owned(), uuid: "dddd".to_owned() }],
        ..Partitioned::default()
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn the_system_gets_its_name_its_tables_and_its_seed_and_loses_what_was_anothers() {
    let (folder, tree) = tree();
    adopt(&tree, &order(), Some(&layout())).unwrap();
    let text = |path: &str| tree.text(path, 10_000).unwrap();
    assert_eq!(text("/etc/hostname"), "db-07.example.org\n");
    assert_eq!(text("/etc/hosts"), "127.0.0.1 localhost\n127.0.1.1 db-07.example.org db-07\n");
    assert_eq!((text("/etc/machine-id").as_str(), mode(&folder.path().join("etc/machine-id"))), ("", 0o444));
    assert!(!tree.has("/var/lib/dbus/machine-id").unwrap());
    assert!(!tree.has("/etc/cloud/cloud-init.disabled").unwrap());
    let fstab = text("/etc/fstab");
    for line in [
        "UUID=aaaa / ext4 errors=remount-ro 0 1\n",
        "UUID=1234-ABCD /boot/efi vfat umask=0077,nofail,x-systemd.device-timeout=10s 0 0\n",
        "UUID=bbbb /srv xfs defaults 0 0\n",
        "UUID=cccc none swap sw,nofail 0 0\n",
    ] {
        assert!(fstab.contains(line), "{line} is missing in {fstab}");
    }
    assert!(text("/etc/crypttab").ends_with("root UUID=dddd none luks,discard\n"));
    assert!(text("/etc/mdadm/mdadm.conf").ends_with("ARRAY /dev/md/root UUID=1:2:3:4\n"));
    assert!(folder.path().join("srv").is_dir());

    let seed = folder.path().join("var/lib/cloud/seed/nocloud");
    assert_eq!(mode(&seed), 0o700);
    for name in ["meta-data", "user-data", "network-config"] {
        assert_eq!(mode(&seed.join(name)), 0o600, "{name}");
    }
    assert!(!seed.join("vendor-data").exists());
    assert!(text("/etc/cloud/cloud.cfg.d/zz-muster.cfg").contains("\ndatasource_list: [ NoCloud, None ]\n"));
    // Once more, as after a cut.
    adopt(&tree, &order(), Some(&layout())).unwrap();
}

#[test]
fn an_image_that_links_the_seed_elsewhere_moves_it_within_the_target_at_most() {
    let (folder, tree) = tree();
    let outside = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("var/lib")).unwrap();
    symlink("/", folder.path().join("var/lib/cloud")).unwrap();
    fs::remove_dir_all(folder.path().join("etc/cloud")).unwrap();
    symlink(outside.path(), folder.path().join("etc/cloud")).unwrap();
    // `/etc/cloud` leads to a folder that the target does not have.
    assert!(adopt(&tree, &order(), None).is_err());
    assert!(folder.path().join("seed/nocloud/user-data").is_file());
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[test]
fn names_that_no_system_takes_are_refused_before_anything_is_written() {
    let (_folder, tree) = tree();
    for name in ["", "a b", "-a", "a..b", "a/b", "x\ny", &"a".repeat(65)] {
        let order = InstallOrder { hostname: name.to_owned(), ..order() };
        assert!(matches!(adopt(&tree, &order, None), Err(ConfigureError::Hostname(_))), "{name:?}");
    }
    assert!(!tree.has("/etc/hostname").unwrap());
}

#[test]
fn the_agent_is_a_service_of_its_own_with_its_own_key() {
    let (folder, tree) = tree();
    let apart = folder.path().join("apart");
    fs::create_dir(&apart).unwrap();
    for name in ["machine.key", "succession"] {
        fs::write(apart.join(name), name).unwrap();
    }
    let agent_order = AgentOrder { config: "{}".to_owned() };
    agent::service(&tree, &agent_order, &mut b"program".as_slice()).unwrap();
    agent::key(&tree, &apart).unwrap();
    assert!(!apart.exists());
    let file = |path: &str| folder.path().join(path.trim_start_matches('/'));
    assert_eq!(mode(&file(handover::PROGRAM_FILE)), 0o755);
    for path in [handover::CONFIG_FILE, handover::KEY_FILE, handover::STATEMENT_FILE] {
        assert_eq!(mode(&file(path)), 0o600, "{path}");
    }
    assert_eq!(mode(&file("/etc/muster")), 0o700);
    for unit in [handover::UNIT_FILE, handover::MESH_UNIT_FILE] {
        let name = unit.rsplit('/').next().unwrap();
        let link = file(&format!("/etc/systemd/system/multi-user.target.wants/{name}"));
        assert_eq!(fs::read_link(link).unwrap(), Path::new(unit));
    }
    tree.remove("/usr/lib/systemd/systemd").unwrap();
    let refused = agent::service(&tree, &agent_order, &mut b"program".as_slice()).unwrap_err();
    assert!(refused.to_string().contains("muster/inject-agent"), "{refused}");
}

#[test]
fn labels_are_made_anew_where_somebody_looks_at_them() {
    let (_folder, tree) = tree();
    adopt(&tree, &order(), None).unwrap();
    assert!(!tree.has(AUTORELABEL).unwrap());
    tree.put(SELINUX, b"# SELINUX=disabled\nSELINUX=enforcing\nSELINUXTYPE=targeted\n", 0o644).unwrap();
    adopt(&tree, &order(), None).unwrap();
    assert!(tree.has(AUTORELABEL).unwrap());
}

#[test]
fn no_byte_of_the_target_knows_the_token_that_this_boot_came_by() {
    let (server, install) = crate::install::tests::install();
    let (folder, tree) = tree();
    let mut order = order();
    order.permit = TOKEN.to_owned();
    order.image.layers = vec![protocol::install::Layer {
        sources: vec![protocol::install::Source { authorization: TOKEN.to_owned(), ..Default::default() }],
        ..Default::default()
    }];
    adopt(&tree, &order, Some(&layout())).unwrap();
    agent::service(&tree, &AgentOrder { config: "{}".to_owned() }, &mut b"program".as_slice()).unwrap();
    let job = "mmt_job";
    let mut folders = vec![folder.path().to_owned()];
    let mut read = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.is_symlink() {
                folders.push(path);
            } else if path.is_file() {
                let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
                assert!(!text.contains(TOKEN) && !text.contains(job), "{path:?}");
                read += 1;
            }
        }
    }
    assert!(read > 10);
    drop((server, install));
}
