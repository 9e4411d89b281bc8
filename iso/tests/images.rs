//! Images as others see them: our reader, xorriso, and a hostile hand.

use std::io::{Cursor, Read as _, Write as _};
use std::process::Command;

use iso::layout::{self, Layout, LayoutError, Parts};
use iso::locate;
use iso::manifest::Identity;
use iso::menu::{Entry as MenuEntry, Marker, Menu};
use iso::patch::{Patch, PatchedImage};
use iso::reader::{Extent, Image, Kind, ReadError};
use iso::region::{CONFIG_REGION_LEN, KernelArgs};
use proptest::prelude::*;

const BUILD_TIME: u64 = 1_700_000_000;

fn identity() -> Identity {
    Identity {
        version: "0.1.0".into(),
        arch: "x86_64".into(),
        kernel: "6.1.0-56-amd64".into(),
        profile: "generic".into(),
        build_time: BUILD_TIME,
        marker: "MUSTER-0011aabb".into(),
    }
}

fn bounds(extent: Extent) -> (usize, usize) {
    let end = extent.offset + extent.length;
    (usize::try_from(extent.offset).unwrap(), usize::try_from(end).unwrap())
}

fn config_archive(fill: u8) -> Vec<u8> {
    let mut archive = b"070701".to_vec();
    archive.resize(CONFIG_REGION_LEN, fill);
    archive
}

/// Parts of the right shape: the boot code is not run here, only placed.
fn parts() -> Parts {
    let entry = MenuEntry { title: "Muster".into(), hotkey: 'm', args: "quiet".into() };
    Parts {
        identity: identity(),
        marker: Marker::new("0011aabb").unwrap(),
        menu: Menu::new(vec![entry]).unwrap(),
        kernel: vec![b'k'; 5_000],
        initrd: (0..20_000_u32).flat_map(u32::to_le_bytes).collect(),
        config: config_archive(0),
        eltorito: vec![0xe1; 30_000],
        esp: vec![0xef; 64 * 1_024],
        boot_sector: vec![0x90; 512],
        licenses: b"terms\n".to_vec(),
    }
}

fn built() -> Layout {
    layout::build(parts()).unwrap()
}

fn xorriso(image: &[u8], args: &[&str]) -> String {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(image).unwrap();
    let output = Command::new("xorriso")
        .arg("-indev")
        .arg(file.path())
        .args(args)
        .output()
        .expect("xorriso runs (Debian package `xorriso`)");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

#[test]
fn two_builds_are_the_same_bytes() {
    assert_eq!(built().image, built().image);
}

#[test]
fn every_file_is_read_back_as_it_went_in() {
    let Layout { image, .. } = built();
    let mut image = Image::open(Cursor::new(image)).unwrap();
    assert_eq!(image.volume_id(), "MUSTER");
    let parts = parts();
    for (path, bytes) in [
        ("/boot/vmlinuz", parts.kernel),
        ("/boot/initrd.img", parts.initrd),
        ("/boot/config.img", parts.config),
    ] {
        let entry = image.find(path).unwrap();
        assert_eq!(image.read(&entry, 1 << 20).unwrap(), bytes, "{path}");
    }
    assert_eq!(image.find(".disk/MUSTER-0011aabb").unwrap().kind, Kind::File);
    assert_eq!(locate::identity(&mut image).unwrap(), identity());
}

#[test]
fn our_reader_and_xorriso_list_the_same_files() {
    let Layout { image, .. } = built();
    let mut theirs: Vec<String> = xorriso(&image, &["-find", "/", "-exec", "echo"])
        .lines()
        .map(|line| line.trim_matches('\'').trim_start_matches('/').to_owned())
        .filter(|path| !path.is_empty())
        .collect();
    theirs.sort();
    let entries = Image::open(Cursor::new(image)).unwrap().entries().unwrap();
    let mut ours: Vec<String> = entries.into_iter().map(|entry| entry.path).collect();
    ours.sort();
    assert_eq!(ours, theirs);
}

#[test]
fn xorriso_sees_a_bios_and_a_uefi_way_to_boot() {
    let Layout { image, .. } = built();
    let report = xorriso(&image, &["-report_el_torito", "plain", "-report_system_area", "plain"]);
    for expected in [
        "El Torito boot img :   1  BIOS  y   none",
        "El Torito boot img :   2  UEFI  y   none",
        "El Torito img path :   1  /boot/grub/i386-pc/eltorito.img",
        "El Torito img opts :   1  boot-info-table grub2-boot-info",
        "System area summary: MBR protective-msdos-label grub2-mbr cyl-align-off GPT",
        "MBR partition      :   2   0x80  0x17",
        "GPT partname local :   2  EFI System Partition",
    ] {
        assert!(report.contains(expected), "{expected:?} is missing in:\n{report}");
    }
}

#[test]
fn the_boot_sector_points_at_grubs_code() {
    let Layout { image, .. } = built();
    let eltorito = Image::open(Cursor::new(&image)).unwrap().find("boot/grub/i386-pc/eltorito.img").unwrap();
    let sector = u64::from_le_bytes(image[0x1b0..0x1b8].try_into().unwrap());
    assert_eq!(sector, eltorito.extent.offset / 512 + 4);
}

#[test]
fn regions_are_found_without_a_manifest_where_the_builder_put_them() {
    let Layout { image, regions } = built();
    let mut image = Image::open(Cursor::new(image)).unwrap();
    assert_eq!(locate::locate(&mut image).unwrap(), regions);
    assert_eq!(locate::kernel_args(&mut image).unwrap(), "");
}

#[test]
fn a_patched_image_says_what_was_patched_in_and_differs_nowhere_else() {
    let Layout { image: base, regions } = built();
    let args = KernelArgs::parse("muster.server=https://10.0.0.1:8092").unwrap();
    let patches = regions.iter().map(|region| match region.name.as_str() {
        "config" => Patch::new(region, config_archive(7)).unwrap(),
        _ => Patch::new(region, args.to_region()).unwrap(),
    });
    let mut patched = Vec::new();
    PatchedImage::new(Cursor::new(&base), patches.collect()).unwrap().read_to_end(&mut patched).unwrap();
    assert_eq!(patched.len(), base.len());
    let mut image = Image::open(Cursor::new(&patched)).unwrap();
    assert_eq!(locate::kernel_args(&mut image).unwrap(), args.as_str());
    let config = image.find(layout::CONFIG_PATH).unwrap();
    assert_eq!(image.read(&config, CONFIG_REGION_LEN as u64).unwrap(), config_archive(7));
    let inside = |at: u64| regions.iter().any(|r| (r.offset..r.offset + r.length).contains(&at));
    let outside = (0_u64..).zip(base.iter().zip(&patched)).filter(|(_, (a, b))| a != b);
    assert_eq!(outside.filter(|(at, _)| !inside(*at)).count(), 0);
}

#[test]
fn parts_of_the_wrong_length_are_refused() {
    let short = Parts { config: vec![0; 100], ..parts() };
    assert!(matches!(layout::build(short), Err(LayoutError::ConfigLength { len: 100 })));
    let short = Parts { boot_sector: vec![0; 100], ..parts() };
    assert!(matches!(layout::build(short), Err(LayoutError::BootSector { len: 100 })));
}

#[test]
fn files_larger_than_the_caller_expects_are_not_read() {
    let Layout { image, .. } = built();
    let mut image = Image::open(Cursor::new(image)).unwrap();
    let entry = image.find("boot/vmlinuz").unwrap();
    let error = image.read(&entry, 4_999).unwrap_err().to_string();
    assert_eq!(error, "the file `boot/vmlinuz` has 5000 bytes, more than the 4999 expected");
}

#[test]
fn what_is_not_an_image_says_so() {
    for bytes in [vec![], vec![0; 100], vec![0; 1 << 20]] {
        assert!(matches!(Image::open(Cursor::new(bytes)), Err(ReadError::NotIso(_))));
    }
}

#[test]
fn a_directory_that_contains_itself_is_a_loop() {
    let Layout { mut image, .. } = built();
    let mut reader = Image::open(Cursor::new(&image)).unwrap();
    let boot = reader.find("boot").unwrap().extent;
    let grub = reader.find("boot/grub").unwrap().extent;
    // The record of `grub` in `boot` is made to point back at `boot`.
    let (start, end) = bounds(boot);
    let wanted = u32::try_from(grub.offset / 2_048).unwrap().to_le_bytes();
    let record = image[start..end].windows(4).position(|window| window == wanted).unwrap();
    let target = u32::try_from(boot.offset / 2_048).unwrap().to_le_bytes();
    image[start + record..start + record + 4].copy_from_slice(&target);
    let error = Image::open(Cursor::new(&image)).unwrap().entries().unwrap_err();
    assert!(matches!(error, ReadError::Loop(path) if path == "boot/grub"));
}

#[test]
fn an_extent_outside_the_image_is_refused() {
    let Layout { mut image, .. } = built();
    let mut reader = Image::open(Cursor::new(&image)).unwrap();
    let boot = reader.find("boot").unwrap().extent;
    let kernel = reader.find("boot/vmlinuz").unwrap().extent;
    let (start, end) = bounds(boot);
    let wanted = u32::try_from(kernel.offset / 2_048).unwrap().to_le_bytes();
    let record = image[start..end].windows(4).position(|window| window == wanted).unwrap();
    image[start + record..start + record + 4].copy_from_slice(&[0xff; 4]);
    let error = Image::open(Cursor::new(&image)).unwrap().find("boot/vmlinuz").unwrap_err();
    assert!(matches!(error, ReadError::Outside { .. }), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// The structures lie in the first hundred sectors; damage a few bytes there and read everything.
    #[test]
    fn a_damaged_image_never_panics_and_never_leaves_its_bounds(
        damage in proptest::collection::vec((32_768_usize..80_000, any::<u8>()), 1..12),
    ) {
        thread_local! {
            static BASE: Vec<u8> = built().image;
        }
        let mut bytes = BASE.with(Clone::clone);
        for (at, value) in damage {
            bytes[at] = value;
        }
        let len = bytes.len() as u64;
        if let Ok(mut image) = Image::open(Cursor::new(bytes)) {
            if let Ok(entries) = image.entries() {
                for entry in entries {
                    prop_assert!(entry.extent.offset + entry.extent.length <= len);
                    prop_assert!(!entry.path.split('/').any(|name| matches!(name, "" | "." | "..")));
                }
            }
            prop_assert!(locate::locate(&mut image).map_or(0, |regions| regions.len()) <= 2);
        }
    }
}
