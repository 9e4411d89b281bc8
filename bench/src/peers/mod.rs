//! The peers: how each is had, what it is asked to do, and how its result is checked.

pub(crate) mod coreos_installer;
pub(crate) mod dracut;
pub(crate) mod grub_mkrescue;
pub(crate) mod initramfs_tools;
pub(crate) mod nginx;
pub(crate) mod tftp_daemons;

/// What a peer's hook writes into the kernel's log. It lies in the ramdisks that are measured:
/// a hundred bytes of theirs are ours.
pub(crate) const HOOK: &str = "bench: first hook";

/// A shell line for hooks; level 1 is printed however quiet the kernel was told to be.
pub(crate) fn hook_line() -> String {
    format!("echo '<1>{HOOK}' > /dev/kmsg\n")
}
