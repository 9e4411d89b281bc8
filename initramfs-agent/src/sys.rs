//! Every `unsafe` block of the agent, each behind a safe function.
//!
//! What `nix` and `std` offer safely is used directly elsewhere. Here are the calls they lack:
//! `bpf(2)`, inode flags, the permanent hardware address, a controlling terminal, and a
//! `waitpid(2)` that keeps every exit status.

use nix::errno::Errno;
use nix::libc;
use protocol::ids::MacAddr;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus};
use tokio::io::unix::AsyncFd;

/// `BPF_MAP_CREATE` of `include/uapi/linux/bpf.h`.
const BPF_MAP_CREATE: libc::c_int = 0;
/// `BPF_MAP_TYPE_ARRAY` of the same file.
const BPF_MAP_TYPE_ARRAY: u32 = 2;
/// `ETHTOOL_GPERMADDR` of `include/uapi/linux/ethtool.h`.
const ETHTOOL_GPERMADDR: u32 = 0x20;
/// `FS_IMMUTABLE_FL` of `include/uapi/linux/fs.h`.
const IMMUTABLE: libc::c_int = 0x10;

/// The head of `union bpf_attr` for `BPF_MAP_CREATE`; the kernel takes what is missing as zero.
#[repr(C, align(8))]
struct BpfMapCreate {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
}

/// Whether the kernel lets us make a BPF map: the honest test of the bpf system call.
#[expect(unsafe_code, reason = "bpf(2) has no wrapper in libc or nix")]
pub(crate) fn bpf_works() -> bool {
    let attr = BpfMapCreate { map_type: BPF_MAP_TYPE_ARRAY, key_size: 4, value_size: 4, max_entries: 1 };
    // SAFETY: `attr` outlives the call and its size is passed; the kernel only reads it.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, BPF_MAP_CREATE, &raw const attr, size_of_val(&attr)) };
    let Ok(fd) = libc::c_int::try_from(fd) else { return false };
    if fd < 0 {
        return false;
    }
    // SAFETY: the kernel just gave us this descriptor and nobody else knows it.
    drop(unsafe { OwnedFd::from_raw_fd(fd) });
    true
}

/// Clears the immutable flag that efivarfs puts on variables it does not know.
///
/// # Errors
/// What the kernel says; a file system without flags says `ENOTTY`.
#[expect(unsafe_code, reason = "FS_IOC_SETFLAGS has no wrapper in nix without generated unsafe functions")]
pub(crate) fn clear_immutable(file: &File) -> io::Result<()> {
    let mut flags: libc::c_int = 0;
    // SAFETY: FS_IOC_GETFLAGS writes one int (see `ioctl_iflags(2)`), and `flags` is one.
    Errno::result(unsafe { libc::ioctl(file.as_raw_fd(), libc::FS_IOC_GETFLAGS, &raw mut flags) })?;
    if flags & IMMUTABLE == 0 {
        return Ok(());
    }
    flags &= !IMMUTABLE;
    // SAFETY: FS_IOC_SETFLAGS reads one int, and `flags` is one.
    Errno::result(unsafe { libc::ioctl(file.as_raw_fd(), libc::FS_IOC_SETFLAGS, &raw const flags) })?;
    Ok(())
}

/// `struct ethtool_perm_addr` with room for the longest address of `include/linux/netdevice.h`.
#[repr(C)]
struct PermanentAddress {
    command: u32,
    size: u32,
    data: [u8; 32],
}

/// The hardware address burnt into a link, whatever address it uses now.
///
/// # Errors
/// When the link is gone, its driver knows no such address, or it is not six octets long.
#[expect(unsafe_code, reason = "SIOCETHTOOL takes a pointer inside ifreq")]
pub(crate) fn permanent_mac(socket: BorrowedFd<'_>, link: &str) -> io::Result<MacAddr> {
    let invalid = || io::Error::from(io::ErrorKind::InvalidInput);
    let mut answer = PermanentAddress { command: ETHTOOL_GPERMADDR, size: 32, data: [0; 32] };
    // SAFETY: ifreq is a C struct of integers, arrays and a pointer; all zero is a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    let name = link.as_bytes();
    // The last byte stays NUL.
    let room = request.ifr_name.len() - 1;
    if name.is_empty() || name.len() > room {
        return Err(invalid());
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name) {
        *to = libc::c_char::from_ne_bytes([*from]);
    }
    request.ifr_ifru.ifru_data = (&raw mut answer).cast();
    // SAFETY: `request` and the buffer it points to live through the call; `size` tells the
    // kernel how much of the buffer it may fill.
    Errno::result(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL, &raw mut request) })?;
    let octets: [u8; 6] = answer
        .data
        .get(..6)
        .filter(|_| answer.size == 6)
        .and_then(|o| o.try_into().ok())
        .ok_or_else(invalid)?;
    if octets == [0; 6] { Err(invalid()) } else { Ok(MacAddr(octets)) }
}

/// Makes the command's standard input its controlling terminal in a session of its own, so that
/// job control and Ctrl-C work in a shell.
#[expect(unsafe_code, reason = "pre_exec runs between fork and exec")]
pub(crate) fn with_controlling_terminal(command: &mut Command) -> &mut Command {
    // SAFETY: the closure only makes two system calls that are safe after fork (no allocation,
    // no locks), on descriptor 0, which std has already put in place.
    unsafe {
        command.pre_exec(|| {
            nix::unistd::setsid()?;
            Errno::result(libc::ioctl(0, libc::TIOCSCTTY, 1))?;
            Ok(())
        })
    }
}

/// Watches a file that may have nothing to read yet. Needs a tokio runtime with I/O.
///
/// # Errors
/// When the runtime cannot watch it (regular files).
#[expect(unsafe_code, reason = "tokio cannot see for itself that a file keeps its descriptor")]
pub(crate) fn watch(file: File) -> io::Result<AsyncFd<File>> {
    // SAFETY: a `File` owns its descriptor and keeps it open and the same until it is dropped,
    // and `AsyncFd` gives nobody mutable access before it has let go of it.
    unsafe { AsyncFd::register(file) }.map_err(io::Error::from)
}

/// Collects one exited child without waiting: its process id and how it ended.
///
/// # Errors
/// Never for the lack of children, which is `None`.
#[expect(unsafe_code, reason = "nix's waitpid turns the exit by a realtime signal into an error")]
pub(crate) fn reap_one() -> io::Result<Option<(u32, ExitStatus)>> {
    let mut status: libc::c_int = 0;
    // SAFETY: `status` is a valid place for the one int that waitpid writes.
    match Errno::result(unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) }) {
        Ok(0) | Err(Errno::ECHILD) => Ok(None),
        Ok(pid) => {
            let pid = u32::try_from(pid).map_err(io::Error::other)?;
            Ok(Some((pid, ExitStatus::from_raw(status))))
        }
        Err(errno) => Err(errno.into()),
    }
}

/// A datagram socket to ask the kernel about links with.
///
/// # Errors
/// When the kernel gives no socket.
pub(crate) fn query_socket() -> io::Result<std::net::UdpSocket> {
    std::net::UdpSocket::bind((std::net::Ipv4Addr::LOCALHOST, 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn loopback_has_no_permanent_address() {
        let socket = query_socket().unwrap();
        assert!(permanent_mac(socket.as_fd(), "lo").is_err());
        assert!(permanent_mac(socket.as_fd(), "a-name-longer-than-the-kernel-takes").is_err());
    }

    #[test]
    fn file_without_the_immutable_flag_stays_as_it_is() {
        let file = tempfile::NamedTempFile::new().unwrap();
        // A file system without flags answers ENOTTY; both are fine, neither may change the file.
        let outcome = clear_immutable(file.as_file());
        assert!(outcome.is_ok() || outcome.unwrap_err().raw_os_error() == Some(libc::ENOTTY));
    }
}
