//! Kernel arguments of an installed system: words that no boot loader's configuration interprets, and none
//! that would lead the kernel somewhere else than the installation (`spec/security.md` T10, 3.5).

/// Longest kernel arguments, in bytes: what the layout needs comes beside them.
pub(super) const MAX_KERNEL_ARGS: usize = 1_024;

/// What words may have beside letters and digits. No quotes, no `$`, no `;`: GRUB reads the line as a script.
const PUNCTUATION: &str = "-_.,:=/@+%[]!~^*";
/// What the layout, the loader and our own media say. A dot at the end stands for all below.
const RESERVED: [&str; 11] = [
    "root",
    "rootflags",
    "rootfstype",
    "ro",
    "rw",
    "init",
    "rdinit",
    "initrd",
    "BOOT_IMAGE",
    "muster.",
    "rescue",
];

/// Why a text cannot be kernel arguments.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum KernelArgsError {
    /// Longer than [`MAX_KERNEL_ARGS`].
    #[error("{0} bytes are more than the {MAX_KERNEL_ARGS} that kernel arguments may have")]
    TooLong(usize),
    /// A character that somebody on the way would interpret.
    #[error("must not contain {0:?}; use letters, digits, blanks and {PUNCTUATION}")]
    Character(char),
    /// A word that is the installation's.
    #[error("{0} is set by the installation; leave it out")]
    Reserved(String),
}

/// The words, one blank between them.
pub(super) fn checked(text: &str) -> Result<String, KernelArgsError> {
    if text.len() > MAX_KERNEL_ARGS {
        return Err(KernelArgsError::TooLong(text.len()));
    }
    let odd = |c: &char| !(c.is_ascii_alphanumeric() || *c == ' ' || PUNCTUATION.contains(*c));
    if let Some(odd) = text.chars().find(odd) {
        return Err(KernelArgsError::Character(odd));
    }
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    for word in &words {
        let key = word.split('=').next().unwrap_or_default();
        let is = |reserved: &&str| key == *reserved || reserved.ends_with('.') && key.starts_with(*reserved);
        if RESERVED.iter().any(is) {
            return Err(KernelArgsError::Reserved(key.to_owned()));
        }
    }
    Ok(words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_taken_with_one_blank_between_them() {
        assert_eq!(
            checked(" console=ttyS0,115200n8  quiet intel_iommu=on ").as_deref(),
            Ok("console=ttyS0,115200n8 quiet intel_iommu=on")
        );
        assert_eq!(checked("").as_deref(), Ok(""));
    }

    #[test]
    fn what_a_loader_would_interpret_is_refused() {
        for text in
            ["a\nb", "a;b", "$(reboot)", "`x`", "a\"b", "a'b", "a\\b", "a\0", "grün", "a|b", "a&b", "{a}"]
        {
            assert!(matches!(checked(text), Err(KernelArgsError::Character(_))), "{text:?}");
        }
        assert_eq!(checked(&"a".repeat(1_025)), Err(KernelArgsError::TooLong(1_025)));
    }

    #[test]
    fn what_the_installation_says_is_refused() {
        for text in
            ["root=/dev/sda1", "quiet init=/bin/sh", "rdinit=/x", "muster.token=abc", "rw", "initrd=x"]
        {
            assert!(matches!(checked(text), Err(KernelArgsError::Reserved(_))), "{text}");
        }
        assert!(checked("rootwait rodata=on").is_ok());
    }
}
