//! Reads the capture files of QEMU's `filter-dump`: classic pcap of Ethernet frames
//! (`draft-ietf-opsawg-pcap`), as far as counting TCP connection attempts needs.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;

use anyhow::{Context as _, Result, bail};

/// Bytes of a pcap file's header and of each record's.
const FILE_HEADER: usize = 24;
const RECORD_HEADER: usize = 16;

/// What a capture holds that a test asks about.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Capture {
    /// Frames in all.
    pub frames: usize,
    /// Targets of TCP segments with SYN and without ACK, in order.
    pub connects: Vec<SocketAddrV4>,
    /// Targets of UDP datagrams, in order.
    pub datagrams: Vec<SocketAddrV4>,
}

/// Reads a capture file.
///
/// # Errors
/// When the file is missing or is no little-endian Ethernet pcap.
pub fn read(path: &Path) -> Result<Capture> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&bytes)
}

/// Reads a capture. A record cut off at the end (QEMU still writing) is left out.
///
/// # Errors
/// When it is no little-endian Ethernet pcap.
pub fn parse(bytes: &[u8]) -> Result<Capture> {
    if bytes.get(..4) != Some(&[0xd4, 0xc3, 0xb2, 0xa1]) || bytes.get(20..24) != Some(&[1, 0, 0, 0]) {
        bail!("not a little-endian Ethernet capture");
    }
    let mut capture = Capture::default();
    let mut rest = bytes.get(FILE_HEADER..).unwrap_or_default();
    while let Some(length) = rest.get(8..12).and_then(|raw| raw.first_chunk::<4>()) {
        let end = RECORD_HEADER.saturating_add(u32::from_le_bytes(*length) as usize);
        let Some(frame) = rest.get(RECORD_HEADER..end) else { break };
        capture.frames += 1;
        note(frame, &mut capture);
        rest = rest.get(end..).unwrap_or_default();
    }
    Ok(capture)
}

/// Notes one Ethernet frame: IPv4 without VLAN tags, as QEMU's user network makes them.
fn note(frame: &[u8], capture: &mut Capture) -> Option<()> {
    if frame.get(12..14)? != [0x08, 0x00] {
        return None;
    }
    let packet = frame.get(14..)?;
    let header = usize::from(packet.first()? & 0x0f) * 4;
    let address = packet.get(16..20)?.first_chunk::<4>()?;
    let payload = packet.get(header..)?;
    let port = u16::from_be_bytes(*payload.get(2..4)?.first_chunk::<2>()?);
    let target = SocketAddrV4::new(Ipv4Addr::from(*address), port);
    match packet.get(9)? {
        6 if payload.get(13)? & 0x12 == 0x02 => capture.connects.push(target),
        17 => capture.datagrams.push(target),
        _ => {}
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(protocol: u8, port: u16, flags: u8) -> Vec<u8> {
        let mut frame = vec![0; 14 + 20 + 20];
        frame[12] = 8;
        frame[14] = 0x45;
        frame[14 + 9] = protocol;
        frame[14 + 16..14 + 20].copy_from_slice(&[10, 0, 2, 2]);
        frame[34 + 2..34 + 4].copy_from_slice(&port.to_be_bytes());
        frame[34 + 13] = flags;
        frame
    }

    fn capture(frames: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes =
            vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0];
        for frame in frames {
            let length = u32::try_from(frame.len()).unwrap().to_le_bytes();
            bytes.extend([0; 8]);
            bytes.extend(length);
            bytes.extend(length);
            bytes.extend(frame);
        }
        bytes
    }

    #[test]
    fn connection_attempts_are_told_from_answers_and_datagrams() {
        let frames = [frame(6, 8092, 0x02), frame(6, 8092, 0x12), frame(17, 67, 0x02), vec![1, 2, 3]];
        let seen = parse(&capture(&frames)).unwrap();
        assert_eq!(seen.frames, 4);
        assert_eq!(seen.connects, ["10.0.2.2:8092".parse().unwrap()]);
        assert_eq!(seen.datagrams, ["10.0.2.2:67".parse().unwrap()]);
    }

    #[test]
    fn a_record_that_is_still_being_written_is_left_out() {
        let mut bytes = capture(&[frame(6, 1, 0x02), frame(6, 2, 0x02)]);
        bytes.truncate(bytes.len() - 1);
        assert_eq!(parse(&bytes).unwrap().frames, 1);
    }
}
