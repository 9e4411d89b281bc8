//! Every `unsafe` block of the agent, each behind a safe function.
//!
//! What `nix` and `std` offer safely is used directly elsewhere. Here are the calls they lack:
//! `bpf(2)`, inode flags, the permanent hardware address, packet sockets and their multicast
//! groups, IPMI messages, a controlling terminal and its size, capabilities, memory given back, a `waitpid(2)` that
//! keeps every exit status, and `kexec_file_load(2)`.

use nix::errno::Errno;
use nix::libc;
use protocol::ids::MacAddr;
use std::ffi::CStr;
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
/// `PACKET_ADD_MEMBERSHIP` and `PACKET_MR_MULTICAST` of `include/uapi/linux/if_packet.h`.
const PACKET_ADD_MEMBERSHIP: libc::c_int = 1;
const PACKET_MR_MULTICAST: libc::c_ushort = 0;
/// `IPMI_SYSTEM_INTERFACE_ADDR_TYPE` and `IPMI_BMC_CHANNEL` of `include/uapi/linux/ipmi.h`.
const IPMI_SYSTEM_INTERFACE: libc::c_int = 0x0c;
const IPMI_BMC_CHANNEL: libc::c_short = 0xf;
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

/// Gives memory that the allocator keeps for later back to the kernel: unpacking drivers takes
/// megabytes, once.
#[expect(unsafe_code, reason = "malloc_trim(3) has no wrapper in nix")]
pub(crate) fn release_free_memory() {
    // SAFETY: it takes a number and touches the allocator's own free memory, under its locks.
    unsafe { libc::malloc_trim(0) };
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

/// Tells a terminal how large it is shown; its foreground programs hear of it.
///
/// # Errors
/// What the kernel says.
#[expect(unsafe_code, reason = "TIOCSWINSZ has no wrapper in nix without generated unsafe functions")]
pub(crate) fn set_terminal_size(terminal: BorrowedFd<'_>, cols: u16, rows: u16) -> io::Result<()> {
    let size = libc::winsize { ws_row: rows, ws_col: cols, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCSWINSZ reads one `winsize` (see `ioctl_tty(2)`), and `size` is one.
    Errno::result(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) })?;
    Ok(())
}

/// Gives the command a session of its own, and lets the kernel end it when we end: the thread that
/// starts it must be one that stays.
#[expect(unsafe_code, reason = "pre_exec runs between fork and exec")]
pub(crate) fn in_own_session(command: &mut Command) -> &mut Command {
    // SAFETY: the closure only makes two system calls that are safe after fork (no allocation, no
    // locks).
    unsafe {
        command.pre_exec(|| {
            nix::unistd::setsid()?;
            nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?;
            Ok(())
        })
    }
}

/// `_LINUX_CAPABILITY_VERSION_3` of `include/uapi/linux/capability.h`.
const CAPABILITY_VERSION: u32 = 0x2008_0522;

/// `struct __user_cap_header_struct` of the same file.
#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: libc::c_int,
}

/// `struct __user_cap_data_struct` of the same file: 32 capabilities, of which there are two.
#[derive(Clone, Copy, Default)]
#[repr(C)]
struct Capabilities {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Gives the command a `/proc` that shows the processes of its own PID namespace alone, and of the kernel's
/// capabilities no others than `kept`, a bit for each; neither it nor what it starts comes to more.
#[expect(unsafe_code, reason = "pre_exec runs between fork and exec")]
pub(crate) fn confined(command: &mut Command, kept: u64) -> &mut Command {
    // SAFETY: the closure only makes system calls that are safe after fork: no allocation (paths are C strings
    // already), no locks.
    unsafe {
        command.pre_exec(move || {
            use nix::mount::{MsFlags, mount};
            // Read-only, since root writes the kernel's settings there without any capability.
            let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC | MsFlags::MS_RDONLY;
            mount(Some(c"proc"), c"/proc", Some(c"proc"), flags, None::<&CStr>)?;
            keep_capabilities(kept)?;
            Ok(nix::sys::prctl::set_no_new_privs()?)
        })
    }
}

/// Lets go of every capability but these. Allocates nothing.
#[expect(unsafe_code, reason = "capget(2) and capset(2) have no wrapper in nix")]
fn keep_capabilities(kept: u64) -> io::Result<()> {
    for number in (0..u64::BITS).filter(|number| kept & (1 << number) == 0) {
        // SAFETY: this action of prctl takes a number and touches no memory of ours.
        match Errno::result(unsafe {
            libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(number), 0, 0, 0)
        }) {
            Ok(_) => {}
            // The kernel knows no more of them.
            Err(Errno::EINVAL) => break,
            Err(error) => return Err(error.into()),
        }
    }
    let mut header = CapabilityHeader { version: CAPABILITY_VERSION, pid: 0 };
    let mut held = [Capabilities::default(); 2];
    // SAFETY: header and data live through the call, and version 3 has two of the latter.
    Errno::result(unsafe { libc::syscall(libc::SYS_capget, &raw mut header, held.as_mut_ptr()) })?;
    for (held, kept) in held.iter_mut().zip([kept & u64::from(u32::MAX), kept >> 32]) {
        let kept = u32::try_from(kept).map_err(|_| Errno::EINVAL)?;
        let permitted = held.permitted & kept;
        *held = Capabilities { effective: permitted, permitted, inheritable: 0 };
    }
    // SAFETY: as the call before; the kernel only reads them.
    Errno::result(unsafe { libc::syscall(libc::SYS_capset, &raw mut header, held.as_ptr()) })?;
    Ok(())
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

/// `SYSLOG_ACTION_READ`, `_CLEAR` and `_SIZE_UNREAD` of `include/linux/syslog.h`.
const SYSLOG_READ: libc::c_int = 2;
const SYSLOG_CLEAR: libc::c_int = 5;
const SYSLOG_SIZE_UNREAD: libc::c_int = 9;

/// Reads whatever `syslog(2)` and `/proc/kmsg` have not handed out yet, keeps nothing of it, and
/// marks the kernel log as cleared, so that `dmesg` begins after it.
///
/// # Errors
/// What the kernel says.
#[expect(unsafe_code, reason = "klogctl(3) has no wrapper in nix")]
pub(crate) fn drain_kernel_log() -> io::Result<()> {
    let mut buffer = [0 as libc::c_char; 8_192];
    let room = libc::c_int::try_from(buffer.len()).map_err(io::Error::other)?;
    // Only as many as one reader can be behind: the log may grow meanwhile.
    for _ in 0..4_096 {
        // SAFETY: this action looks at no buffer.
        let unread = Errno::result(unsafe { libc::klogctl(SYSLOG_SIZE_UNREAD, std::ptr::null_mut(), 0) })?;
        if unread == 0 {
            break;
        }
        // SAFETY: `buffer` lives through the call and its size is passed.
        Errno::result(unsafe { libc::klogctl(SYSLOG_READ, buffer.as_mut_ptr(), room) })?;
    }
    // SAFETY: as the first call.
    Errno::result(unsafe { libc::klogctl(SYSLOG_CLEAR, std::ptr::null_mut(), 0) })?;
    Ok(())
}

/// Collects one exited child without waiting: its process id and how it ended. Only this one, or any
/// at all.
///
/// # Errors
/// Never for the lack of children, which is `None`.
#[expect(unsafe_code, reason = "nix's waitpid turns the exit by a realtime signal into an error")]
pub(crate) fn reap_one(only: Option<u32>) -> io::Result<Option<(u32, ExitStatus)>> {
    let mut status: libc::c_int = 0;
    let wanted = only.map_or(Ok(-1), libc::pid_t::try_from).map_err(io::Error::other)?;
    // SAFETY: `status` is a valid place for the one int that waitpid writes.
    match Errno::result(unsafe { libc::waitpid(wanted, &raw mut status, libc::WNOHANG) }) {
        Ok(0) | Err(Errno::ECHILD) => Ok(None),
        Ok(pid) => {
            let pid = u32::try_from(pid).map_err(io::Error::other)?;
            Ok(Some((pid, ExitStatus::from_raw(status))))
        }
        Err(errno) => Err(errno.into()),
    }
}

/// Loads a kernel that the next restart enters.
///
/// # Errors
/// What the kernel says.
#[expect(unsafe_code, reason = "kexec_file_load(2) has no wrapper in libc or nix")]
pub(crate) fn kexec_file_load(kernel: &File, initrd: &File, command_line: &CStr) -> io::Result<()> {
    let length = command_line.to_bytes_with_nul().len();
    // SAFETY: the descriptors are open and the command line lives through the call, with its length; the
    // kernel only reads them.
    Errno::result(unsafe {
        libc::syscall(
            libc::SYS_kexec_file_load,
            kernel.as_raw_fd(),
            initrd.as_raw_fd(),
            length,
            command_line.as_ptr(),
            0,
        )
    })?;
    Ok(())
}

/// A datagram socket to ask the kernel about links with.
///
/// # Errors
/// When the kernel gives no socket.
pub(crate) fn query_socket() -> io::Result<std::net::UdpSocket> {
    std::net::UdpSocket::bind((std::net::Ipv4Addr::LOCALHOST, 0))
}

/// A non-blocking socket that hears the frames of one Ethernet type, without their heads. Frames
/// to a multicast group come from links that [`join_group`] named.
///
/// # Errors
/// Without the right to it, or without the kernel's `af_packet`.
#[expect(unsafe_code, reason = "nix names two Ethernet types only")]
pub(crate) fn frame_socket(ethertype: u16) -> io::Result<OwnedFd> {
    let kind = libc::SOCK_DGRAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: socket(2) takes three numbers and touches no memory of ours.
    let fd = Errno::result(unsafe { libc::socket(libc::AF_PACKET, kind, ethertype.to_be().into()) })?;
    // SAFETY: the kernel just gave us this descriptor and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// `struct packet_mreq` of `include/uapi/linux/if_packet.h`.
#[repr(C)]
struct PacketGroup {
    link: libc::c_int,
    kind: libc::c_ushort,
    length: libc::c_ushort,
    address: [u8; 8],
}

/// Lets a link take frames to an Ethernet multicast group, until the socket is closed.
///
/// # Errors
/// When the link is gone.
#[expect(unsafe_code, reason = "nix has no packet socket options")]
pub(crate) fn join_group(socket: BorrowedFd<'_>, link: u32, group: [u8; 6]) -> io::Result<()> {
    let [a, b, c, d, e, f] = group;
    let request = PacketGroup {
        link: link.try_into().map_err(io::Error::other)?,
        kind: PACKET_MR_MULTICAST,
        length: 6,
        address: [a, b, c, d, e, f, 0, 0],
    };
    let length = libc::socklen_t::try_from(size_of_val(&request)).map_err(io::Error::other)?;
    // SAFETY: `request` outlives the call and its size is passed; the kernel only reads it.
    Errno::result(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            PACKET_ADD_MEMBERSHIP,
            (&raw const request).cast(),
            length,
        )
    })?;
    Ok(())
}

/// `struct ipmi_system_interface_addr`.
#[derive(Clone, Copy)]
#[repr(C)]
struct IpmiAddress {
    kind: libc::c_int,
    channel: libc::c_short,
    unit: libc::c_uchar,
}

/// `struct ipmi_msg`.
#[repr(C)]
struct IpmiMessage {
    function: libc::c_uchar,
    command: libc::c_uchar,
    length: libc::c_ushort,
    data: *mut libc::c_uchar,
}

/// `struct ipmi_req`.
#[repr(C)]
struct IpmiRequest {
    address: *mut IpmiAddress,
    address_length: libc::c_uint,
    id: libc::c_long,
    message: IpmiMessage,
}

/// `struct ipmi_recv`.
#[repr(C)]
struct IpmiReceived {
    kind: libc::c_int,
    address: *mut IpmiAddress,
    address_length: libc::c_uint,
    id: libc::c_long,
    message: IpmiMessage,
}

/// Hands a command for the machine's own management controller to the kernel; the answer comes
/// under the same `id`.
///
/// # Errors
/// What the kernel says, or more than 65,535 bytes of data.
#[expect(unsafe_code, reason = "IPMICTL_SEND_COMMAND has no wrapper in nix")]
pub(crate) fn ipmi_send(
    device: &File,
    id: libc::c_long,
    function: u8,
    command: u8,
    data: &[u8],
) -> io::Result<()> {
    let mut data = data.to_vec();
    let mut address = IpmiAddress { kind: IPMI_SYSTEM_INTERFACE, channel: IPMI_BMC_CHANNEL, unit: 0 };
    let mut request = IpmiRequest {
        address_length: u32::try_from(size_of_val(&address)).map_err(io::Error::other)?,
        address: &raw mut address,
        id,
        message: IpmiMessage {
            function,
            command,
            length: u16::try_from(data.len()).map_err(io::Error::other)?,
            data: data.as_mut_ptr(),
        },
    };
    let code = nix::request_code_read!(b'i', 13, size_of::<IpmiRequest>());
    // SAFETY: the request, its address and its data live through the call, each with its length;
    // the kernel copies them before it returns.
    Errno::result(unsafe { libc::ioctl(device.as_raw_fd(), code, &raw mut request) })?;
    Ok(())
}

/// Takes one answer from the kernel into `buffer`, cut to its size: the `id` it was asked under
/// and how long it is.
///
/// # Errors
/// What the kernel says; `EAGAIN` when there is none.
#[expect(unsafe_code, reason = "IPMICTL_RECEIVE_MSG_TRUNC has no wrapper in nix")]
pub(crate) fn ipmi_receive(device: &File, buffer: &mut [u8]) -> io::Result<(libc::c_long, usize)> {
    // Room for the longest address there is (`struct ipmi_addr`).
    let mut address = [IpmiAddress { kind: 0, channel: 0, unit: 0 }; 8];
    let mut received = IpmiReceived {
        kind: 0,
        address_length: u32::try_from(size_of_val(&address)).map_err(io::Error::other)?,
        address: address.as_mut_ptr(),
        id: 0,
        message: IpmiMessage {
            function: 0,
            command: 0,
            length: u16::try_from(buffer.len()).map_err(io::Error::other)?,
            data: buffer.as_mut_ptr(),
        },
    };
    let code = nix::request_code_readwrite!(b'i', 11, size_of::<IpmiReceived>());
    // SAFETY: the address room and `buffer` live through the call, each with its length, which
    // the kernel does not exceed.
    let outcome = Errno::result(unsafe { libc::ioctl(device.as_raw_fd(), code, &raw mut received) });
    match outcome {
        // EMSGSIZE: it was longer than the buffer, which holds what fits.
        Ok(_) | Err(Errno::EMSGSIZE) => {
            Ok((received.id, usize::from(received.message.length).min(buffer.len())))
        }
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn ipmi_structures_are_laid_out_as_the_kernels() {
        // From include/uapi/linux/ipmi.h on 64 bits: the size is part of the ioctl's number.
        assert_eq!((size_of::<IpmiRequest>(), size_of::<IpmiReceived>()), (40, 48));
        assert_eq!(size_of::<PacketGroup>(), 16);
        let no_controller = tempfile::tempfile().unwrap();
        assert!(ipmi_send(&no_controller, 1, 6, 1, &[]).is_err());
        assert!(ipmi_receive(&no_controller, &mut [0; 8]).is_err());
    }

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
