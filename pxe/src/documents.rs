//! Menu entries for PXELINUX, GRUB and iPXE, rendered from `templates/`.
//!
//! Every value is split into tokens and every token is made of characters that none of the
//! three loaders interprets, so a value can never end a line, open a quotation, start a second
//! command or name a variable. What does not fit is refused, never cut: loaders and kernel
//! shorten an overlong line silently, and a shortened token registers nobody.

use std::fmt;

use thiserror::Error;

/// Longest command line that every loader hands on whole, in bytes, with what the loader adds.
///
/// The kernel's `COMMAND_LINE_SIZE` is 2,048 with its NUL; SYSLINUX's family loses one more.
pub const MAX_LINE: usize = 2_047;
/// Longest path or URL of a file, in bytes.
pub const MAX_PATH: usize = 255;
/// Bytes that SYSLINUX's family cannot use of [`MAX_LINE`]: at 2,047 it drops the last character.
const PXELINUX_SPARE: usize = 1;
/// How iPXE names the initrd, so that `initrd=` finds it under UEFI.
const IPXE_INITRD: &str = "initrd=muster.img ";

const PXELINUX: &str = include_str!("../templates/pxelinux.cfg");
const GRUB: &str = include_str!("../templates/grub.cfg");
const IPXE: &str = include_str!("../templates/boot.ipxe");

/// What one menu entry starts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct MenuEntry<'a> {
    /// Path or URL of the kernel, as the loader shall ask for it.
    pub kernel: &'a str,
    /// Path or URL of the initrd.
    pub initrd: &'a str,
    /// Kernel arguments, separated by spaces. Secret when a token is among them.
    pub kernel_args: &'a str,
}

impl fmt::Debug for MenuEntry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MenuEntry")
            .field("kernel", &self.kernel)
            .field("initrd", &self.initrd)
            .finish_non_exhaustive()
    }
}

/// Which value an error is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The kernel's path.
    Kernel,
    /// The initrd's path.
    Initrd,
    /// The kernel arguments.
    KernelArgs,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kernel => "kernel path",
            Self::Initrd => "initrd path",
            Self::KernelArgs => "kernel arguments",
        })
    }
}

/// Why an entry cannot be written. Nothing here repeats a value, for a token may be in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DocumentError {
    /// A path without characters.
    #[error("{0} is empty")]
    Empty(Part),
    /// A character that some loader would interpret.
    #[error("{part} cannot carry {character:?}; use letters, digits and ._-/:+%~=,[]")]
    Character {
        /// The value it is in.
        part: Part,
        /// The first such character.
        character: char,
    },
    /// A URL of a kind that GRUB does not load from.
    #[error("{0} is a URL, and GRUB loads by http:// and tftp:// only; give such a one or a path")]
    Scheme(Part),
    /// A path longer than [`MAX_PATH`].
    #[error("{part} has {len} bytes, at most {MAX_PATH} fit")]
    PathTooLong {
        /// The value.
        part: Part,
        /// Its length in bytes.
        len: usize,
    },
    /// A command line longer than [`MAX_LINE`] once the loader added what it adds.
    #[error(
        "the command line {loader} hands to the kernel has {len} bytes, at most {max} arrive whole; use a shorter token or fewer arguments"
    )]
    LineTooLong {
        /// The loader.
        loader: &'static str,
        /// Bytes with the loader's own additions.
        len: usize,
        /// Bytes that fit.
        max: usize,
    },
}

/// An entry for `pxelinux.cfg/default`.
///
/// # Errors
/// [`DocumentError`] when a value cannot be carried whole.
pub fn pxelinux(entry: &MenuEntry<'_>) -> Result<String, DocumentError> {
    // PXELINUX puts BOOT_IMAGE= before the arguments and initrd= behind them.
    let added = "BOOT_IMAGE= ".len() + entry.kernel.len() + " initrd=".len() + entry.initrd.len();
    render(PXELINUX, entry, "PXELINUX", added + PXELINUX_SPARE)
}

/// An entry for `grub.cfg`: a URL as `(http,HOST)/PATH`, any other path from the root of where GRUB came from.
/// GRUB before 2.12 knows no port in a device.
///
/// # Errors
/// [`DocumentError`] when a value cannot be carried whole, or is a URL of another scheme.
pub fn grub(entry: &MenuEntry<'_>) -> Result<String, DocumentError> {
    let (kernel, initrd) = (grub_file(Part::Kernel, entry.kernel)?, grub_file(Part::Initrd, entry.initrd)?);
    let entry = MenuEntry { kernel: &kernel, initrd: &initrd, kernel_args: entry.kernel_args };
    write(GRUB, &entry, "GRUB", "BOOT_IMAGE= ".len() + kernel.len())
}

/// A file as GRUB names it.
fn grub_file(part: Part, path: &str) -> Result<String, DocumentError> {
    check_path(part, path)?;
    match path.split_once("://") {
        Some((scheme @ ("http" | "tftp"), rest)) => {
            let (host, file) = rest.split_once('/').unwrap_or((rest, ""));
            Ok(format!("({scheme},{host})/{file}"))
        }
        Some(_) => Err(DocumentError::Scheme(part)),
        None if path.starts_with('/') => Ok(path.to_owned()),
        None => Ok(format!("/{path}")),
    }
}

/// An iPXE script.
///
/// # Errors
/// [`DocumentError`] when a value cannot be carried whole.
pub fn ipxe(entry: &MenuEntry<'_>) -> Result<String, DocumentError> {
    // Under UEFI the kernel's name stands first on the line.
    render(IPXE, entry, "iPXE", entry.kernel.len() + 1 + IPXE_INITRD.len())
}

fn render(
    template: &str,
    entry: &MenuEntry<'_>,
    loader: &'static str,
    added: usize,
) -> Result<String, DocumentError> {
    check_path(Part::Kernel, entry.kernel)?;
    check_path(Part::Initrd, entry.initrd)?;
    write(template, entry, loader, added)
}

/// Fills in paths that were checked, and arguments that are checked here.
fn write(
    template: &str,
    entry: &MenuEntry<'_>,
    loader: &'static str,
    added: usize,
) -> Result<String, DocumentError> {
    let args = tokens(entry.kernel_args)?.join(" ");
    let len = added.saturating_add(args.len());
    if len > MAX_LINE {
        let max = MAX_LINE;
        return Err(DocumentError::LineTooLong { loader, len, max });
    }
    // No value contains `@`, so the order of the replacements does not matter.
    let document =
        template.replace("@KERNEL@", entry.kernel).replace("@INITRD@", entry.initrd).replace("@ARGS@", &args);
    check_lines(&document, loader)?;
    Ok(document)
}

/// The document's own lines are read into buffers of the same size by some loaders.
fn check_lines(document: &str, loader: &'static str) -> Result<(), DocumentError> {
    match document.lines().map(str::len).find(|&len| len > MAX_LINE) {
        Some(len) => Err(DocumentError::LineTooLong { loader, len, max: MAX_LINE }),
        None => Ok(()),
    }
}

fn check_path(part: Part, path: &str) -> Result<(), DocumentError> {
    if path.is_empty() {
        return Err(DocumentError::Empty(part));
    }
    if path.len() > MAX_PATH {
        return Err(DocumentError::PathTooLong { part, len: path.len() });
    }
    check_token(part, path)
}

/// Splits at spaces; any other white space is refused with the rest.
fn tokens(args: &str) -> Result<Vec<&str>, DocumentError> {
    let tokens: Vec<&str> = args.split(' ').filter(|token| !token.is_empty()).collect();
    for token in &tokens {
        check_token(Part::KernelArgs, token)?;
    }
    Ok(tokens)
}

fn check_token(part: Part, token: &str) -> Result<(), DocumentError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/:+%~=,[]".contains(c);
    match token.chars().find(|&c| !plain(c)) {
        Some(character) => Err(DocumentError::Character { part, character }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARGS: &str = "quiet muster.server=https://10.0.0.5:8092 muster.server=https://[fd00::1]:8092 \
                        muster.ca-hash=sha256:AAAA,sha256:BBBB muster.token=eyJh..aaaa.bbbb.cccc";

    fn entry(kernel_args: &str) -> MenuEntry<'_> {
        MenuEntry { kernel: "muster/vmlinuz", initrd: "muster/initrd", kernel_args }
    }

    #[test]
    fn documents_are_what_the_loaders_read() {
        let entry = entry(ARGS);
        assert_eq!(pxelinux(&entry).unwrap(), include_str!("../tests/golden/pxelinux.cfg"));
        assert_eq!(grub(&entry).unwrap(), include_str!("../tests/golden/grub.cfg"));
        assert_eq!(ipxe(&entry).unwrap(), include_str!("../tests/golden/boot.ipxe"));
    }

    #[test]
    fn nothing_that_a_loader_interprets_enters_a_document() {
        for character in
            ['\n', '\r', '\0', '\t', '"', '\'', '$', '\\', ';', '{', '}', '`', '#', '&', '|', '@', 'é']
        {
            let args = format!("quiet a=b{character}c");
            let refused = Err(DocumentError::Character { part: Part::KernelArgs, character });
            for document in [pxelinux, grub, ipxe] {
                assert_eq!(document(&entry(&args)), refused, "{character:?}");
            }
            let path = format!("vm{character}linuz");
            let by_path = MenuEntry { kernel: &path, initrd: "i", kernel_args: "" };
            assert_eq!(grub(&by_path), Err(DocumentError::Character { part: Part::Kernel, character }));
        }
        let spaced = MenuEntry { kernel: "k", initrd: "a b", kernel_args: "" };
        assert_eq!(
            ipxe(&spaced).unwrap_err().to_string(),
            "initrd path cannot carry ' '; use letters, digits and ._-/:+%~=,[]"
        );
    }

    #[test]
    fn a_line_that_would_be_cut_is_refused_with_both_numbers() {
        // BOOT_IMAGE=/muster/vmlinuz and a space: 27 bytes before the arguments.
        let fits = "a".repeat(MAX_LINE - 27);
        assert!(grub(&entry(&fits)).is_ok());
        assert_eq!(
            grub(&entry(&format!("{fits}a"))).unwrap_err().to_string(),
            "the command line GRUB hands to the kernel has 2048 bytes, at most 2047 arrive whole; \
             use a shorter token or fewer arguments"
        );
        assert!(matches!(
            pxelinux(&entry(&fits)),
            Err(DocumentError::LineTooLong { loader: "PXELINUX", len: 2_068, max: 2_047 })
        ));
    }

    #[test]
    fn the_written_line_is_held_to_the_limit_too() {
        // Two spaces, the word APPEND and another space are no part of the command line.
        for document in [pxelinux, grub, ipxe] {
            for len in 1_900..2_048 {
                if let Ok(text) = document(&entry(&"a".repeat(len))) {
                    assert!(text.lines().all(|line| line.len() <= MAX_LINE), "{len}");
                }
            }
        }
    }

    #[test]
    fn grub_gets_urls_as_its_devices_and_paths_from_the_root() {
        fn files(kernel: &str, initrd: &str) -> Result<Vec<String>, DocumentError> {
            let text = grub(&MenuEntry { kernel, initrd, kernel_args: "quiet" })?;
            let file = |line: &str| line.split_whitespace().nth(1).map(str::to_owned);
            Ok(text.lines().skip(1).filter_map(file).collect())
        }
        assert_eq!(files("a/vmlinuz", "/b/initrd").unwrap(), ["/a/vmlinuz", "/b/initrd"]);
        assert_eq!(
            files("http://10.0.0.5/m/vmlinuz", "tftp://boot.example/initrd").unwrap(),
            ["(http,10.0.0.5)/m/vmlinuz", "(tftp,boot.example)/initrd"]
        );
        for scheme in ["https", "nfs", ""] {
            let url = format!("{scheme}://h/initrd");
            assert_eq!(files("k", &url), Err(DocumentError::Scheme(Part::Initrd)), "{scheme}");
        }
        // The device's parentheses are ours alone.
        assert!(matches!(files("(http,h)/k", "i"), Err(DocumentError::Character { character: '(', .. })));
    }

    #[test]
    fn paths_are_there_and_bounded() {
        let long = "a".repeat(MAX_PATH + 1);
        let told =
            |kernel| grub(&MenuEntry { kernel, initrd: "i", kernel_args: "" }).unwrap_err().to_string();
        assert_eq!(told(""), "kernel path is empty");
        assert_eq!(told(&long), "kernel path has 256 bytes, at most 255 fit");
    }

    #[test]
    fn a_token_stays_out_of_debug() {
        assert!(!format!("{:?}", entry("muster.token=s3cret")).contains("s3cret"));
    }
}
