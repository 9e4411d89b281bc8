//! The loader against a machine made of files.

use super::loader::{LoadError, MAX_MODULE};
use super::{Loader, Modules, ModulesError};
use crate::report::chain;
use nix::errno::Errno;
use std::ffi::CStr;
use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::sync::mpsc as thread_mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const KERNEL: &str = "6.1.0-test";

/// An image and a machine: modules whose files hold their names, and devices.
struct Bench {
    folder: tempfile::TempDir,
    inserted: Arc<Mutex<Vec<String>>>,
}

impl Bench {
    fn new(index: &str, modules: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("modules");
        fs::create_dir_all(&directory).unwrap();
        fs::create_dir_all(folder.path().join("devices")).unwrap();
        fs::write(directory.join("muster.index"), format!("muster-modules 1 {KERNEL}\n{index}")).unwrap();
        for name in modules {
            let packed = zstd::encode_all(name.as_bytes(), 3).unwrap();
            fs::write(directory.join(format!("{name}.ko.zst")), packed).unwrap();
        }
        Self { folder, inserted: Arc::default() }
    }

    fn device(&self, path: &str, alias: &str) {
        let directory = self.folder.path().join("devices").join(path);
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("modalias"), format!("{alias}\n")).unwrap();
    }

    /// A kernel that takes every module but `broken`, and grows a device for `bus`.
    fn loader(&self) -> Loader {
        let (inserted, devices) = (Arc::clone(&self.inserted), self.folder.path().join("devices"));
        let insert = Box::new(move |image: &[u8], parameters: &CStr| {
            let name = String::from_utf8(image.to_vec()).unwrap();
            if name == "bus" {
                fs::create_dir_all(devices.join("bus/child")).unwrap();
                fs::write(devices.join("bus/child/modalias"), "usb:v1234\n").unwrap();
            }
            let told = parameters.to_str().unwrap();
            inserted.lock().unwrap().push(format!("{name} {told}").trim_end().to_owned());
            match name.as_str() {
                "broken" => Err(Errno::EKEYREJECTED),
                "present" => Err(Errno::EEXIST),
                "absent" => Err(Errno::ENODEV),
                _ => Ok(()),
            }
        });
        Loader::open(&self.folder.path().join("modules"), &self.folder.path().join("devices"), KERNEL, insert)
            .unwrap()
    }

    fn inserted(&self) -> Vec<String> {
        self.inserted.lock().unwrap().clone()
    }
}

#[test]
fn driver_comes_after_what_it_needs_and_only_once() {
    let bench = Bench::new(
        "m card card.ko.zst library crc -\nm crc crc.ko.zst - - -\nm library library.ko.zst - - -\n\
         a pci:v8086d* card\n",
        &["card", "crc", "library"],
    );
    bench.device("pci0/0000:00:03.0", "pci:v8086d100E");
    bench.device("pci0/0000:00:04.0", "pci:v8086d100E");
    let summary = bench.loader().coldplug();
    assert_eq!(bench.inserted(), ["crc", "library", "card"]);
    assert_eq!((summary.aliases, summary.loaded), (1, 3));
    assert!(summary.failures.is_empty());
}

#[test]
fn devices_behind_a_bus_are_found_in_the_next_round() {
    let bench = Bench::new(
        "m bus bus.ko.zst - - -\nm stick stick.ko.zst - - -\na pci:bus bus\na usb:v1234 stick\n",
        &["bus", "stick"],
    );
    bench.device("host", "pci:bus");
    assert_eq!(bench.loader().coldplug().loaded, 2);
    assert_eq!(bench.inserted(), ["bus", "stick"]);
}

#[test]
fn failure_of_one_driver_is_told_and_does_not_stop_the_others() {
    let bench = Bench::new(
        "m broken broken.ko.zst - - -\nm fine fine.ko.zst - broken -\nm needs needs.ko.zst broken - -\n\
         m present present.ko.zst - - -\nm torn torn.ko.zst - - -\na a:1 fine\na a:2 needs\na a:3 present\na a:4 torn\n",
        &["broken", "fine", "needs", "present"],
    );
    for (path, alias) in [("1", "a:1"), ("2", "a:2"), ("3", "a:3"), ("4", "a:4")] {
        bench.device(path, alias);
    }
    let summary = bench.loader().coldplug();
    assert_eq!(summary.loaded, 2);
    assert!(bench.inserted().contains(&"fine".to_owned()), "a soft dependency may fail");
    assert!(!bench.inserted().contains(&"needs".to_owned()), "a hard one may not");
    let told = summary.failures.join("\n");
    assert!(told.contains("module broken is refused: Secure Boot is on"), "{told}");
    assert!(told.contains("module torn cannot be read"), "{told}");
}

#[test]
fn driver_without_hardware_is_no_failure() {
    let bench = Bench::new("m absent absent.ko.zst - - -\na a:1 absent\n", &["absent"]);
    bench.device("1", "a:1");
    let summary = bench.loader().coldplug();
    assert_eq!((summary.loaded, summary.failures), (0, vec![]));
}

#[test]
fn network_cards_come_before_everything_else() {
    let bench = Bench::new(
        "m disk disk.ko.zst - - -\nm card card.ko.zst - - -\na acpi:DISK disk\na pci:v8086*bc02* card\n",
        &["disk", "card"],
    );
    bench.device("1", "acpi:DISK");
    bench.device("2", "pci:v8086d100Ebc02sc00i00");
    bench.loader().coldplug();
    assert_eq!(bench.inserted(), ["card", "disk"]);
}

#[test]
fn image_for_another_kernel_is_named() {
    let bench = Bench::new("", &[]);
    let error = Loader::open(
        &bench.folder.path().join("modules"),
        Path::new("/nonexistent"),
        "6.12.0",
        Box::new(|_, _| Ok(())),
    )
    .unwrap_err();
    assert_eq!(
        chain(&error),
        "no modules for kernel 6.12.0 in this image; boot it with the kernel it was built with: \
         its index is for kernel 6.1.0-test"
    );
}

#[test]
fn module_that_unpacks_without_end_is_refused() {
    let bench = Bench::new("m bomb bomb.ko.zst - - -\n", &[]);
    let packed = zstd::encode_all(io::repeat(0).take(MAX_MODULE + 1), 1).unwrap();
    fs::write(bench.folder.path().join("modules/bomb.ko.zst"), packed).unwrap();
    let error = bench.loader().load("bomb").unwrap_err();
    assert_eq!(error.to_string(), "module bomb has more than 67108864 bytes");
    assert!(bench.inserted().is_empty());
}

#[test]
fn built_in_is_loaded_and_unknown_is_not() {
    let bench = Bench::new("b af_packet\n", &[]);
    let mut loader = bench.loader();
    loader.load("af-packet").unwrap();
    assert!(matches!(loader.load("zfs"), Err(LoadError::Unknown(name)) if name == "zfs"));
}

#[test]
fn bonding_makes_no_bond_of_its_own() {
    let bench = Bench::new("m bonding bonding.ko.zst - - -\n", &["bonding"]);
    bench.loader().load("bonding").unwrap();
    assert_eq!(bench.inserted(), ["bonding max_bonds=0"]);
}

#[tokio::test]
async fn driver_that_never_returns_does_not_hold_the_boot() {
    let bench = Bench::new("m hang hang.ko.zst - - -\na a:1 hang\n", &["hang"]);
    bench.device("1", "a:1");
    let (release, held) = thread_mpsc::channel::<()>();
    let mut loader = bench.loader();
    loader.insert = Box::new(move |_, _| held.recv().map_err(|_| Errno::EIO));
    let modules = Modules::start(loader).unwrap();
    let error = modules.coldplug(Duration::ZERO).await.unwrap_err();
    assert!(matches!(error, ModulesError::Slow(_)), "{error}");
    release.send(()).unwrap();
    let summary = modules.coldplug(Duration::from_secs(10)).await.unwrap();
    assert!(summary.failures.is_empty());
    assert_eq!(modules.progress().borrow().loaded, 1);
}

#[test]
fn modules_are_unpacked_with_the_images_dictionary() {
    let bench = Bench::new("m card card.ko.zst - - -\na a:1 card\n", &[]);
    let modules = bench.folder.path().join("modules");
    let dictionary = b"what drivers have in common".as_slice();
    let mut packer = zstd::bulk::Compressor::with_dictionary(3, dictionary).unwrap();
    fs::write(modules.join("card.ko.zst"), packer.compress(b"card in common").unwrap()).unwrap();
    fs::write(modules.join("muster.dict"), dictionary).unwrap();
    bench.loader().load("card").unwrap();
    assert_eq!(*bench.inserted.lock().unwrap(), ["card in common"]);
}

#[test]
fn kernel_is_given_what_it_asks_for_by_name_and_by_alias() {
    let bench = Bench::new(
        "m fast fast.ko.zst - - -\nm broken broken.ko.zst - - -\nm dm_crypt dm_crypt.ko.zst - - -\n\
         a crypto-xts(aes) broken\na crypto-xts(aes) fast\n",
        &["fast", "broken", "dm_crypt"],
    );
    let mut loader = bench.loader();
    loader.load_named("dm-crypt").unwrap();
    loader.load_named("crypto-xts(aes)").unwrap();
    assert_eq!(bench.inserted(), ["dm_crypt", "broken", "fast"], "one that works is enough");
    let error = loader.load_named("fs-unheard-of").unwrap_err().to_string();
    assert!(error.starts_with("module fs-unheard-of is not in this image"), "{error}");
}
