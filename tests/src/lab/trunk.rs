//! A switch port that belongs to one tagged VLAN (IEEE 802.1Q), in a thread: few kernels that tests
//! run on have VLANs built in, and a switch that speaks LLDP is needed anyway.
//!
//! Frames travel over QEMU's stream sockets: four bytes of length, then the frame.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result, anyhow, bail};

/// Largest frame; QEMU's own limit is 68 KiB.
const MAX_FRAME: usize = 68 * 1_024;
/// Bytes of the two hardware addresses that stand before the tag.
const ADDRESSES: usize = 12;
/// EtherType of a tag.
const TAGGED: [u8; 2] = [0x81, 0x00];

/// A switch port of a lab. The machine's end of the cable is the `Port` it was made with.
#[derive(Debug)]
pub struct Trunk {
    /// The machine's side, once it is connected.
    guest: Arc<Mutex<Option<UnixStream>>>,
}

impl Trunk {
    pub(super) fn listen(guest: &Path, lab: &Path, vlan: u16) -> Result<Self> {
        let tag = [TAGGED, (vlan & 0x0fff).to_be_bytes()].concat();
        let bind = |path: &Path| {
            UnixListener::bind(path).with_context(|| format!("cannot listen on {}", path.display()))
        };
        let (machines, bridges) = (bind(guest)?, bind(lab)?);
        let (to_lab, lab_end) = channel();
        let (to_guest, guest_end) = channel();
        let speaker = Arc::new(Mutex::new(None));
        let machine = Arc::clone(&speaker);
        let strip = tag.clone();
        // Each thread ends with QEMU, which holds the other ends, or with the process.
        std::thread::spawn(move || {
            let end = connected(&machines, &to_guest, Some(&machine))?;
            forward(end, &lab_end, |frame| untag(frame, &strip))
        });
        std::thread::spawn(move || {
            let end = connected(&bridges, &to_lab, None)?;
            forward(end, &guest_end, |frame| Some(tagged(frame, &tag)))
        });
        Ok(Self { guest: speaker })
    }

    /// Says a frame to the machine as it is, on behalf of the switch.
    ///
    /// # Errors
    /// When the machine is not there.
    pub fn say(&self, frame: &[u8]) -> Result<()> {
        let guest = self.guest.lock().map_err(|_| anyhow!("a cable's thread panicked"))?;
        write_frame(guest.as_ref().context("nobody is plugged in")?, frame)
    }
}

impl Drop for Trunk {
    fn drop(&mut self) {
        if let Ok(guest) = self.guest.lock()
            && let Some(guest) = guest.as_ref()
        {
            // A machine that is gone has closed it already.
            drop(guest.shutdown(Shutdown::Both));
        }
    }
}

/// Waits for one side and hands its writing end to the other.
fn connected(
    listener: &UnixListener,
    writer: &Sender<UnixStream>,
    speaker: Option<&Mutex<Option<UnixStream>>>,
) -> Result<UnixStream> {
    let (end, _) = listener.accept().context("nobody connects")?;
    if let Some(speaker) = speaker {
        let handle = end.try_clone().context("no handle")?;
        *speaker.lock().map_err(|_| anyhow!("a cable's thread panicked"))? = Some(handle);
    }
    writer.send(end.try_clone().context("no handle")?).ok().context("the other side is gone")?;
    Ok(end)
}

/// Carries frames from one end to the other as long as both stand.
fn forward(
    mut from: UnixStream,
    to: &Receiver<UnixStream>,
    change: impl Fn(&[u8]) -> Option<Vec<u8>>,
) -> Result<()> {
    let to = to.recv().context("the other side is gone")?;
    loop {
        let mut length = [0; 4];
        from.read_exact(&mut length).context("the end of the cable")?;
        let length = u32::from_be_bytes(length) as usize;
        if length > MAX_FRAME {
            bail!("a frame of {length} bytes");
        }
        let mut frame = vec![0; length];
        from.read_exact(&mut frame).context("the end of the cable")?;
        if let Some(frame) = change(&frame) {
            write_frame(&to, &frame)?;
        }
    }
}

/// In one piece: two threads may write to the machine.
fn write_frame(mut to: &UnixStream, frame: &[u8]) -> Result<()> {
    let length = u32::try_from(frame.len()).context("a frame too long")?;
    let whole = [&length.to_be_bytes()[..], frame].concat();
    to.write_all(&whole).context("the end of the cable")
}

/// The frame without its tag, when it carries this one; priority bits do not count.
fn untag(frame: &[u8], tag: &[u8]) -> Option<Vec<u8>> {
    let (addresses, rest) = frame.split_at_checked(ADDRESSES)?;
    let (found, rest) = rest.split_at_checked(tag.len())?;
    let plain = [*found.first()?, *found.get(1)?, found.get(2)? & 0x0f, *found.get(3)?];
    (plain == tag).then(|| [addresses, rest].concat())
}

/// The frame with a tag.
fn tagged(frame: &[u8], tag: &[u8]) -> Vec<u8> {
    let (addresses, rest) = frame.split_at(ADDRESSES.min(frame.len()));
    [addresses, tag, rest].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_ports_own_vlan_passes() {
        let tag = [0x81, 0x00, 0x00, 0x07];
        let plain = [[1; 12].as_slice(), &[0x08, 0x00, 0x45]].concat();
        let marked = tagged(&plain, &tag);
        assert_eq!(untag(&marked, &tag), Some(plain.clone()));
        let mut urgent = marked.clone();
        urgent[14] |= 0xa0;
        assert_eq!(untag(&urgent, &tag), Some(plain.clone()));
        let mut other = marked;
        other[15] = 8;
        assert_eq!(untag(&other, &tag), None);
        assert_eq!(untag(&plain, &tag), None);
        assert_eq!(untag(&[1, 2], &tag), None);
    }
}
