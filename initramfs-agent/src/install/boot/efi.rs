//! Starting the disk under UEFI: loaders on the ESP, the image's own ones as their makers signed them, so
//! that Secure Boot takes them.

use super::super::target::Tree;
use super::BootError;
use super::grub::Home;

/// Largest loader, in bytes: unified kernel images hold a kernel and its ramdisk.
const MAX_LOADER: u64 = 256 * 1_024 * 1_024;
/// Where images have the first loader, signed by Microsoft: Debian, Ubuntu, SUSE.
const SHIMS: &[&str] = &[
    "/usr/lib/shim/shimx64.efi.signed",
    "/usr/lib/shim/shimx64.efi.signed.latest",
    "/usr/share/efi/x86_64/shim.efi",
];
/// The second, signed by who made the image.
const GRUBS: &[&str] =
    &["/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed", "/usr/share/efi/x86_64/grub.efi"];
/// What enrolls keys, where the first one needs it.
const KEY_MANAGERS: &[&str] = &["/usr/lib/shim/mmx64.efi.signed", "/usr/lib/shim/mmx64.efi"];
const SYSTEMD_BOOTS: &[&str] = &[
    "/usr/lib/systemd/boot/efi/systemd-bootx64.efi.signed",
    "/usr/lib/systemd/boot/efi/systemd-bootx64.efi",
];
/// Folders of unified kernel images (UAPI group, "Boot Loader Specification").
const UNIFIED: &[&str] = &["/boot/efi/EFI/Linux", "/efi/EFI/Linux", "/boot/EFI/Linux", "/usr/lib/efi/Linux"];
/// Where firmware looks when no entry says otherwise.
const FALLBACK: &str = "EFI/BOOT";
const FALLBACK_LOADER: &str = "EFI/BOOT/BOOTX64.EFI";
/// GRUBs have the folder of their first menu built in.
const BUILT_IN: &[u8] = b"/EFI/";
const MAX_VENDOR: usize = 32;

/// Files for an ESP, and which of them firmware starts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Loaders {
    /// Paths on the ESP, with `/` between.
    pub(super) files: Vec<(String, Vec<u8>)>,
    /// The one that firmware starts.
    pub(super) first: String,
}

/// The image's loaders; `None` where it has none that starts by itself.
///
/// # Errors
/// [`BootError`].
pub(super) fn of_image(tree: &Tree, home: &Home) -> Result<Option<Loaders>, BootError> {
    if let (Some(shim), Some(grub)) = (first(tree, SHIMS)?, first(tree, GRUBS)?) {
        let vendor = vendor(&grub).ok_or(BootError::Vendor)?;
        let mut loaders = vec![("shimx64.efi", shim.clone()), ("grubx64.efi", grub)];
        loaders.extend(first(tree, KEY_MANAGERS)?.map(|manager| ("mmx64.efi", manager)));
        let mut files = Vec::new();
        for (name, bytes) in loaders {
            files.push((format!("EFI/{vendor}/{name}"), bytes.clone()));
            files.push((format!("{FALLBACK}/{name}"), bytes));
        }
        files.push((format!("EFI/{vendor}/grub.cfg"), home.early().into_bytes()));
        files.push((FALLBACK_LOADER.to_owned(), shim));
        return Ok(Some(Loaders { files, first: format!("EFI/{vendor}/shimx64.efi") }));
    }
    unified(tree)
}

/// A GRUB that nobody signed, as all there is.
pub(super) fn unsigned(grub: Vec<u8>) -> Loaders {
    Loaders { files: vec![(FALLBACK_LOADER.to_owned(), grub)], first: FALLBACK_LOADER.to_owned() }
}

/// systemd-boot with unified kernel images, or the newest such image alone.
fn unified(tree: &Tree) -> Result<Option<Loaders>, BootError> {
    let mut files = Vec::new();
    for folder in UNIFIED {
        for name in tree.names(folder)?.iter().filter(|name| name.ends_with(".efi") && is_plain(name)) {
            let bytes = tree.bytes(&format!("{folder}/{name}"), MAX_LOADER)?.unwrap_or_default();
            files.push((format!("EFI/Linux/{name}"), bytes));
        }
        if !files.is_empty() {
            break;
        }
    }
    let Some((_, newest)) = files.last() else { return Ok(None) };
    let loader = match first(tree, SYSTEMD_BOOTS)? {
        Some(boot) => boot,
        None => newest.clone(),
    };
    files.push((FALLBACK_LOADER.to_owned(), loader));
    Ok(Some(Loaders { files, first: FALLBACK_LOADER.to_owned() }))
}

/// The loader that firmware would start on an ESP that an image brought along.
///
/// # Errors
/// [`BootError`].
pub(super) fn on_esp(esp: &Tree) -> Result<Option<String>, BootError> {
    for vendor in esp.names("EFI")? {
        let shim = format!("EFI/{vendor}/shimx64.efi");
        if !vendor.eq_ignore_ascii_case("boot") && is_plain(&vendor) && esp.has(&shim)? {
            return Ok(Some(shim));
        }
    }
    // FAT knows no case.
    Ok(esp.has(FALLBACK_LOADER)?.then(|| FALLBACK_LOADER.to_owned()))
}

fn first(tree: &Tree, paths: &[&str]) -> Result<Option<Vec<u8>>, BootError> {
    for path in paths {
        if let Some(bytes) = tree.bytes(path, MAX_LOADER)? {
            return Ok(Some(bytes));
        }
    }
    Ok(None)
}

/// The folder that a signed GRUB reads its menu from: `/EFI/debian` in Debian's.
fn vendor(grub: &[u8]) -> Option<String> {
    let starts = grub.windows(BUILT_IN.len()).enumerate().filter(|(_, bytes)| *bytes == BUILT_IN);
    let names = starts.filter_map(|(at, _)| {
        let rest = grub.get(at + BUILT_IN.len()..)?;
        let name = rest.get(..=MAX_VENDOR).unwrap_or(rest).split(|byte| *byte == 0).next()?;
        std::str::from_utf8(name).ok().filter(|name| is_plain(name)).map(str::to_owned)
    });
    names.into_iter().find(|name| !name.eq_ignore_ascii_case("boot"))
}

/// A name that FAT takes, and GRUB in a path.
fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('.')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._+-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: &str = "0f0f0f0f-1111-2222-3333-444444444444";

    fn home() -> Home {
        Home { uuid: HOME.to_owned(), folder: "/boot/grub" }
    }

    fn image(files: &[(&str, &[u8])]) -> (tempfile::TempDir, Tree) {
        let folder = tempfile::tempdir().unwrap();
        let tree = Tree::open(folder.path()).unwrap();
        for (path, bytes) in files {
            tree.put(path, bytes, 0o644).unwrap();
        }
        (folder, tree)
    }

    #[test]
    fn a_signed_grub_finds_its_menu_where_its_maker_built_it_in_and_firmware_finds_it_without_an_entry() {
        let grub = b"MZ..\0/EFI/BOOT\0..\0/EFI/debian\0..";
        let (_folder, tree) = image(&[
            ("/usr/lib/shim/shimx64.efi.signed", b"shim"),
            ("/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed", grub),
            ("/usr/lib/shim/mmx64.efi.signed", b"keys"),
        ]);
        let loaders = of_image(&tree, &home()).unwrap().unwrap();
        assert_eq!(loaders.first, "EFI/debian/shimx64.efi");
        let file = |path: &str| loaders.files.iter().find(|(at, _)| at == path).unwrap().1.clone();
        assert_eq!(
            (file("EFI/BOOT/BOOTX64.EFI"), file("EFI/debian/shimx64.efi")),
            (b"shim".to_vec(), b"shim".to_vec())
        );
        assert_eq!(
            (file("EFI/BOOT/grubx64.efi"), file("EFI/BOOT/mmx64.efi")),
            (grub.to_vec(), b"keys".to_vec())
        );
        let menu = String::from_utf8(file("EFI/debian/grub.cfg")).unwrap();
        assert!(menu.starts_with(&format!("search.fs_uuid {HOME} root\n")), "{menu}");
    }

    #[test]
    fn unified_kernels_start_by_systemd_boot_or_by_themselves() {
        let kernels: [(&str, &[u8]); 2] =
            [("/efi/EFI/Linux/a-6.1.efi", b"old"), ("/efi/EFI/Linux/a-6.2.efi", b"new")];
        let (_folder, alone) = image(&kernels);
        let loaders = unified(&alone).unwrap().unwrap();
        assert_eq!(loaders.files.last().unwrap(), &("EFI/BOOT/BOOTX64.EFI".to_owned(), b"new".to_vec()));
        alone.put("/usr/lib/systemd/boot/efi/systemd-bootx64.efi", b"boot", 0o644).unwrap();
        let loaders = of_image(&alone, &home()).unwrap().unwrap();
        assert_eq!(loaders.files.last().unwrap().1, b"boot");
        assert_eq!(loaders.files.len(), 3);
        let (_folder, none) = image(&[]);
        assert_eq!(of_image(&none, &home()).unwrap(), None);
    }

    #[test]
    fn on_an_esp_of_a_disk_image_the_makers_loader_goes_before_the_fallback() {
        let (_folder, esp) = image(&[("EFI/BOOT/BOOTX64.EFI", b"x")]);
        assert_eq!(on_esp(&esp).unwrap().as_deref(), Some("EFI/BOOT/BOOTX64.EFI"));
        esp.put("EFI/fedora/shimx64.efi", b"x", 0o644).unwrap();
        assert_eq!(on_esp(&esp).unwrap().as_deref(), Some("EFI/fedora/shimx64.efi"));
        let (_folder, bare) = image(&[]);
        assert_eq!(on_esp(&bare).unwrap(), None);
    }
}
