//! Reads the capture files of QEMU's `filter-dump`: classic pcap of Ethernet frames
//! (`draft-ietf-opsawg-pcap`), as far as counting TCP connection attempts and looking for addresses and words needs.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV4};
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
    let mut capture = Capture::default();
    for frame in records(bytes)? {
        capture.frames += 1;
        note(frame, &mut capture);
    }
    Ok(capture)
}

/// Every frame of a capture file, in order.
///
/// # Errors
/// As [`read`].
pub fn frames(path: &Path) -> Result<Vec<Frame>> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(records(&bytes)?.map(|frame| Frame(frame.to_vec())).collect())
}

fn records(bytes: &[u8]) -> Result<impl Iterator<Item = &[u8]>> {
    if bytes.get(..4) != Some(&[0xd4, 0xc3, 0xb2, 0xa1]) || bytes.get(20..24) != Some(&[1, 0, 0, 0]) {
        bail!("not a little-endian Ethernet capture");
    }
    let mut rest = bytes.get(FILE_HEADER..).unwrap_or_default();
    Ok(std::iter::from_fn(move || {
        let length = rest.get(8..12)?.first_chunk::<4>()?;
        let end = RECORD_HEADER.saturating_add(u32::from_le_bytes(*length) as usize);
        let frame = rest.get(RECORD_HEADER..end)?;
        rest = rest.get(end..)?;
        Some(frame)
    }))
}

/// An Ethernet frame, as much of it as was captured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame(Vec<u8>);

impl Frame {
    /// Whether these bytes are anywhere in it.
    #[must_use]
    pub fn contains(&self, bytes: &[u8]) -> bool {
        self.0.windows(bytes.len().max(1)).any(|window| window == bytes)
    }

    /// Whom it is from, to or about, as its header says in clear text: both ends of IPv4 and IPv6 packets, and both
    /// addresses of an ARP request.
    #[must_use]
    pub fn addresses(&self) -> Vec<IpAddr> {
        let v4 = |from: usize| self.at::<4>(from).map(|octets| IpAddr::V4(Ipv4Addr::from(octets)));
        let v6 = |from: usize| self.at::<16>(from).map(|octets| IpAddr::V6(Ipv6Addr::from(octets)));
        let found = match self.at::<2>(12) {
            Some([0x08, 0x00]) => [v4(26), v4(30)],
            Some([0x08, 0x06]) => [v4(28), v4(38)],
            Some([0x86, 0xdd]) => [v6(22), v6(38)],
            _ => [None, None],
        };
        found.into_iter().flatten().collect()
    }

    /// Kind of the WireGuard message in it (1 begins a session, 4 carries data), where it is an IPv4 datagram to or from
    /// this port.
    #[must_use]
    pub fn wireguard(&self, port: u16) -> Option<u8> {
        if self.at::<2>(12)? != [0x08, 0x00] || self.at::<1>(23)? != [17] {
            return None;
        }
        let [first] = self.at::<1>(14)?;
        let udp = 14 + usize::from(first & 0x0f) * 4;
        let ports = [self.at::<2>(udp)?, self.at::<2>(udp + 2)?];
        // A message begins with its kind and three bytes of zero.
        let [kind, 0, 0, 0] = self.at::<4>(udp + 8)? else { return None };
        ports.contains(&port.to_be_bytes()).then_some(kind)
    }

    fn at<const COUNT: usize>(&self, from: usize) -> Option<[u8; COUNT]> {
        self.0.get(from..)?.first_chunk::<COUNT>().copied()
    }
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
    fn words_addresses_and_messages_of_a_frame_are_found() {
        let mut packet = frame(17, 51_820, 0);
        packet[14 + 12..14 + 16].copy_from_slice(&[10, 0, 2, 15]);
        packet.extend([0; 8]);
        packet[42..46].copy_from_slice(&[4, 0, 0, 0]);
        packet.extend(b"a word");
        let packet = Frame(packet);
        assert!(packet.contains(b"word") && !packet.contains(b"words"));
        assert_eq!(packet.addresses(), ["10.0.2.15", "10.0.2.2"].map(|text| text.parse::<IpAddr>().unwrap()));
        assert_eq!((packet.wireguard(51_820), packet.wireguard(51_821)), (Some(4), None));

        let mut ask = vec![0; 42];
        ask[12..14].copy_from_slice(&[8, 6]);
        ask[38..42].copy_from_slice(&[10, 0, 2, 9]);
        assert_eq!(Frame(ask).addresses()[1], "10.0.2.9".parse::<IpAddr>().unwrap());
        assert_eq!(Frame(vec![1, 2, 3]).addresses(), Vec::<IpAddr>::new());
    }

    #[test]
    fn a_record_that_is_still_being_written_is_left_out() {
        let mut bytes = capture(&[frame(6, 1, 0x02), frame(6, 2, 0x02)]);
        bytes.truncate(bytes.len() - 1);
        assert_eq!(parse(&bytes).unwrap().frames, 1);
    }
}
