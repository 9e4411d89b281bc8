//! Boot menus, rendered from `templates/`.
//!
//! GRUB reads up to three files. `early.cfg` is built into the BIOS image; `esp.cfg` lies in the EFI system
//! partition, where Debian's signed GRUB looks first when it comes from a disk; both find the medium and go on
//! with its `grub.cfg`, which the signed GRUB reads directly from a CD. They try the medium they were started
//! from before any other: a second medium of the same build, or a disk it was once written to, may hold another
//! configuration.
//!
//! The menu boots its first entry without waiting, but GRUB asks for a key once: an entry's letter pressed while
//! the machine starts chooses that entry, Esc opens the menu (many UEFI firmwares take Esc for themselves), and
//! so does holding Shift on a BIOS machine.
//!
//! A medium whose region names its server ([`local_argument`]) looks for a disk that this server installed a
//! system on and wants started: one with the file `/muster/<server id>/local.cfg`, or the same below `/boot`
//! where a disk has no EFI system partition. That file says how, with `root` set to where it lies; the entry
//! for it stands first and waits three seconds for a key. A medium that names no server looks nowhere.

use std::fmt;

use thiserror::Error;

use crate::region::{KERNEL_ARGS_REGION_LEN, KernelArgs, KernelArgsError, MAX_COMMAND_LINE};

/// What stands before the kernel-argument region, at the very start of `grub.cfg`.
pub(crate) const EXTRA_PREFIX: &str = "set extra=\"";
/// What stands right after it.
pub(crate) const EXTRA_SUFFIX: &str = "\"\n";
/// Name of the kernel argument that names the medium's server.
const LOCAL_ARGUMENT: &str = "muster.local";
/// What GRUB puts before the arguments of `/boot/vmlinuz`.
const GRUB_PREFIX: &str = "BOOT_IMAGE=/boot/vmlinuz ";
/// What an installed system is started by.
const LOCAL_HOTKEY: char = 'd';
/// Longest text of an entry; the menu is 80 columns wide.
const MAX_TITLE: usize = 60;
/// Longest unique part of a marker.
const MAX_UNIQUE: usize = 32;

const MENU: &str = include_str!("../templates/grub.cfg");
const LOCAL: &str = include_str!("../templates/local.cfg");
const ENTRY: &str = include_str!("../templates/entry.cfg");
const EARLY: &str = include_str!("../templates/early.cfg");
const ESP: &str = include_str!("../templates/esp.cfg");

/// Why a menu cannot be rendered.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MenuError {
    /// The marker's unique part is not 4 to 32 lower-case letters and digits.
    #[error("the marker `{0}` is not 4 to {MAX_UNIQUE} lower-case letters and digits")]
    Marker(String),
    /// A title with quotes or other syntax, or too long.
    #[error("the menu title `{0}` is not 1 to {MAX_TITLE} letters, digits, spaces and .,()-")]
    Title(String),
    /// A hotkey that is no lower-case letter, one that two entries share, or that of installed systems.
    #[error("the menu entry `{0}` needs a lower-case letter of its own as hotkey, and not {LOCAL_HOTKEY}")]
    Hotkey(String),
    /// Arguments the boot loader would not pass on.
    #[error("the arguments of the menu entry `{title}`")]
    Args {
        /// The entry's title.
        title: String,
        /// What is wrong with its arguments.
        #[source]
        source: KernelArgsError,
    },
    /// With a full kernel-argument region the kernel would cut the command line.
    #[error(
        "the arguments of the menu entry `{title}` have {len} bytes, at most {max} leave room for {KERNEL_ARGS_REGION_LEN} more"
    )]
    CommandLine {
        /// The entry's title.
        title: String,
        /// Bytes of its arguments.
        len: usize,
        /// Bytes they may have.
        max: usize,
    },
    /// No entry at all.
    #[error("a menu without entries boots nothing")]
    Empty,
}

/// The file that tells this medium from every other: `/.disk/MUSTER-<unique>`.
///
/// GRUB searches all devices for it, so it must not be on anything else, as `/.disk/info` is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marker(String);

impl Marker {
    /// A marker with this unique part, such as the first digits of a digest over what is in the image.
    ///
    /// # Errors
    /// [`MenuError::Marker`] unless it is 4 to 32 lower-case letters and digits.
    pub fn new(unique: &str) -> Result<Self, MenuError> {
        let plain = unique.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        if !plain || !(4..=MAX_UNIQUE).contains(&unique.len()) {
            return Err(MenuError::Marker(unique.to_owned()));
        }
        Ok(Self(format!("MUSTER-{unique}")))
    }

    /// The file's name in `/.disk`.
    #[must_use]
    pub fn file_name(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One line of the menu.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What the menu shows.
    pub title: String,
    /// The lower-case letter that starts it.
    pub hotkey: char,
    /// Kernel arguments; those of the region follow them.
    pub args: String,
}

/// The menu; its first entry boots unless a key is pressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Menu {
    entries: Vec<Entry>,
}

impl Menu {
    /// Checks entries.
    ///
    /// # Errors
    /// [`MenuError`] for text GRUB would read as something else, or arguments that would not fit the kernel's
    /// 2,047 bytes once the region is full.
    pub fn new(entries: Vec<Entry>) -> Result<Self, MenuError> {
        if entries.is_empty() {
            return Err(MenuError::Empty);
        }
        let mut hotkeys = Vec::new();
        for entry in &entries {
            check_title(&entry.title)?;
            let is_taken = entry.hotkey == LOCAL_HOTKEY || hotkeys.contains(&entry.hotkey);
            if !entry.hotkey.is_ascii_lowercase() || is_taken {
                return Err(MenuError::Hotkey(entry.title.clone()));
            }
            hotkeys.push(entry.hotkey);
            check_args(entry)?;
        }
        Ok(Self { entries })
    }

    /// `grub.cfg` with an empty kernel-argument region.
    pub(crate) fn render(&self) -> String {
        let entries: String = self
            .entries
            .iter()
            .map(|entry| {
                ENTRY
                    .replace("@TITLE@", &entry.title)
                    .replace("@HOTKEY@", &entry.hotkey.to_string())
                    .replace("@ARGS@", &entry.args)
            })
            .collect();
        let empty = " ".repeat(KERNEL_ARGS_REGION_LEN);
        MENU.replace("@EXTRA@", &empty).replace("@LOCAL@\n", &self.local()).replace("@ENTRIES@\n", &entries)
    }

    /// The search for an installed system, and its entry; what cannot be started leads to the first of ours.
    fn local(&self) -> String {
        let first = self.entries.first();
        let keys =
            first.map(|entry| format!("{}: {}, Esc: menu", entry.hotkey, entry.title)).unwrap_or_default();
        let args = first.map(|entry| entry.args.as_str()).unwrap_or_default();
        LOCAL.replace("@HOTKEY@", &LOCAL_HOTKEY.to_string()).replace("@ARGS@", args).replace("@KEYS@", &keys)
    }
}

/// The kernel argument by which the region names the medium's server. The boot loader looks for it; the
/// kernel passes it on, and the agent passes it over.
///
/// # Errors
/// [`KernelArgsError::Character`] unless the id is made of lower-case letters, digits and `-`.
pub fn local_argument(server_id: &str) -> Result<KernelArgs, KernelArgsError> {
    let plain = |c: &char| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '-';
    match server_id.chars().find(|c| !plain(c)) {
        Some(character) => Err(KernelArgsError::Character { character }),
        None => KernelArgs::parse(&format!("{LOCAL_ARGUMENT}={server_id}")),
    }
}

/// The configuration to build into GRUB's BIOS image (`grub-mkimage -c`).
#[must_use]
pub fn early_config(marker: &Marker) -> String {
    EARLY.replace("@MARKER@", marker.file_name())
}

/// The `/boot/grub/grub.cfg` of the EFI system partition.
#[must_use]
pub fn esp_config(marker: &Marker) -> String {
    ESP.replace("@MARKER@", marker.file_name())
}

fn check_title(title: &str) -> Result<(), MenuError> {
    let plain = title.chars().all(|c| c.is_ascii_alphanumeric() || " .,()-".contains(c));
    if !plain || title.trim().is_empty() || title.len() > MAX_TITLE {
        return Err(MenuError::Title(title.to_owned()));
    }
    Ok(())
}

fn check_args(entry: &Entry) -> Result<(), MenuError> {
    let title = || entry.title.clone();
    KernelArgs::parse(&entry.args).map_err(|source| MenuError::Args { title: title(), source })?;
    let reserved = GRUB_PREFIX.len() + 1 + KERNEL_ARGS_REGION_LEN;
    let max = MAX_COMMAND_LINE.saturating_sub(reserved);
    let len = entry.args.len();
    if len > max {
        return Err(MenuError::CommandLine { title: title(), len, max });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(title: &str, hotkey: char, args: &str) -> Entry {
        Entry { title: title.to_owned(), hotkey, args: args.to_owned() }
    }

    #[test]
    fn the_region_is_the_first_line_of_the_menu() {
        let menu = Menu::new(vec![entry("Muster", 'm', "quiet")]).unwrap().render();
        let after = menu.strip_prefix(EXTRA_PREFIX).unwrap();
        let (region, rest) = after.split_at(1_024);
        assert_eq!(region, " ".repeat(1_024));
        assert!(rest.starts_with(EXTRA_SUFFIX));
    }

    #[test]
    fn entries_keep_their_order_and_end_with_the_region() {
        let menu = Menu::new(vec![entry("Muster", 'm', "quiet"), entry("Rescue shell", 'r', "x=1")]);
        let menu = menu.unwrap().render();
        let tail = menu.rsplit_once("\nfi\n").map(|(_, tail)| tail).unwrap();
        assert_eq!(
            tail,
            "menuentry \"Muster\" --hotkey=m {\n    linux /boot/vmlinuz quiet ${extra}\n    initrd /boot/initrd.img /boot/config.img\n}\n\
             menuentry \"Rescue shell\" --hotkey=r {\n    linux /boot/vmlinuz x=1 ${extra}\n    initrd /boot/initrd.img /boot/config.img\n}\n"
        );
        assert!(!menu.contains('@'));
    }

    #[test]
    fn a_medium_that_names_its_server_says_so_in_a_word_that_the_menu_looks_for() {
        let menu = Menu::new(vec![entry("Muster", 'm', "quiet"), entry("Rescue", 'r', "")]).unwrap().render();
        assert!(menu.contains("regexp --set=1:server ' muster\\.local=([a-z0-9-]+) ' \" $extra \""));
        assert_eq!(local_argument("dc-1").unwrap().as_str(), "muster.local=dc-1");
        for bad in ["DC1", "a b", "a/b", "$x"] {
            assert!(local_argument(bad).is_err(), "{bad}");
        }
        assert!(menu.contains("m: Muster, Esc: menu\"\n"), "{menu}");
        let (_, local) = menu.split_once("configfile $local\n").unwrap();
        assert!(local.contains("linux /boot/vmlinuz quiet ${extra}\n"), "a system that fails leads to ours");
    }

    #[test]
    fn nothing_that_grub_would_read_as_syntax_enters_a_menu() {
        for (bad, why) in [
            (vec![], MenuError::Empty),
            (vec![entry("a\" {", 'm', "")], MenuError::Title("a\" {".to_owned())),
            (vec![entry("A", 'm', ""), entry("B", 'm', "")], MenuError::Hotkey("B".to_owned())),
            (vec![entry("A", 'd', "")], MenuError::Hotkey("A".to_owned())),
            (vec![entry("A", '1', "")], MenuError::Hotkey("A".to_owned())),
            (
                vec![entry("A", 'm', "a;b")],
                MenuError::Args {
                    title: "A".to_owned(),
                    source: KernelArgsError::Character { character: ';' },
                },
            ),
            (
                vec![entry("A", 'm', &"x".repeat(998))],
                MenuError::CommandLine { title: "A".to_owned(), len: 998, max: 997 },
            ),
        ] {
            assert_eq!(Menu::new(bad), Err(why));
        }
    }

    #[test]
    fn both_loaders_search_for_the_same_marker() {
        let marker = Marker::new("0f1e2d3c").unwrap();
        assert!(early_config(&marker).contains(" /.disk/MUSTER-0f1e2d3c\n"));
        assert!(esp_config(&marker).contains(" /.disk/MUSTER-0f1e2d3c ;"));
        assert!(Marker::new("../x").is_err());
        assert!(Marker::new("abc").is_err());
    }
}
