//! What went over the machines' cables, all of it: messages of WireGuard, and nothing of what is in them.

use std::net::IpAddr;

use protocol::mesh::DEFAULT_PORT;
use tests::pcap::Frame;

use crate::member::{CLEAR, MARK, MARKED_LINE, Member};
use crate::site::Site;

/// Bytes in a row that make a mark: no ciphertext has them by accident.
const ROW: usize = 16;
/// Messages of WireGuard that carry something.
const DATA: u8 = 4;
/// Fewest of these on a cable: a ping to one other member over both families, and its answers.
const FEW: usize = 4;

/// What may not be there, in words; none where all is well.
fn plain_text(frame: &Frame) -> Option<String> {
    if frame.contains(&[MARK; ROW]) {
        return Some("the payload of a ping".to_owned());
    }
    if frame.contains(MARKED_LINE.as_bytes()) {
        return Some("a line that went over TCP".to_owned());
    }
    let known = frame.addresses().into_iter().find(|address| Site::is_of_mesh(*address));
    known.map(|address: IpAddr| format!("the address {address} in a header"))
}

/// Nothing of the mesh network is readable on this machine's cable from when it greets another member on: before that it
/// does not know yet that it is one. What was sent beside it in clear text is, so that something would have been found.
pub(crate) fn shows_no_plain_text(member: &Member) {
    let frames = member.vm.frames().unwrap();
    let greets = |frame: &Frame| {
        frame.wireguard(DEFAULT_PORT).is_some() && frame.addresses().first() == Some(&member.outside.into())
    };
    let since = frames.iter().position(greets).unwrap_or(0);
    looks(member, &frames, since);
}

/// The same from power-on, for a machine that was a member when its power was cut.
pub(crate) fn shows_no_plain_text_at_all(member: &Member) {
    looks(member, &member.vm.frames().unwrap(), 0);
}

fn looks(member: &Member, frames: &[Frame], since: usize) {
    let name = &member.name;
    assert!(
        frames.iter().any(|frame| frame.contains(&[CLEAR; ROW])),
        "the cable of {name} was not looked at"
    );
    let data = frames.iter().filter(|frame| frame.wireguard(DEFAULT_PORT) == Some(DATA)).count();
    assert!(data >= FEW, "{data} messages of WireGuard on the cable of {name}");
    let later = frames.iter().enumerate().skip(since);
    if let Some((at, found)) = later.into_iter().find_map(|(at, frame)| Some((at, plain_text(frame)?))) {
        panic!("frame {at} on the cable of {name} shows {found}: {:?}", frames.get(at));
    }
}
