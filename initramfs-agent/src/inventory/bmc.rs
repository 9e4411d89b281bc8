//! The management controller's address on the network, asked of the controller itself
//! (IPMI 2.0: 22.24 "Get Channel Info", 23.2 "Get LAN Configuration Parameters").
//!
//! Only asked where firmware tells of a controller, and after the boot: one that hangs delays
//! nothing but its own answer.

use super::learnt::Learnt;
use crate::modules::{Modules, ModulesError};
use crate::sys;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use protocol::ids::MacAddr;
use protocol::inventory::Bmc;
use std::fs::{File, OpenOptions};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::sleep;

/// The kernel's way to the controller.
const DEVICE: &str = "/dev/ipmi0";
/// The driver of the interface, and the one that makes [`DEVICE`].
const DRIVERS: [&str; 2] = ["ipmi_si", "ipmi_devintf"];
/// Longest time one of them may take to load.
const LOAD_LIMIT: Duration = Duration::from_secs(30);
/// The driver looks for the controller in the background: how often we look, and how long.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
const LOOKS: usize = 60;
/// Longest wait for one answer, in milliseconds.
const ANSWER_LIMIT_MS: u16 = 3_000;
/// Longest answer of all commands used here, in bytes, and some room.
const MAX_ANSWER: usize = 64;

/// Network functions (5.1).
const APP: u8 = 0x06;
const TRANSPORT: u8 = 0x0c;
/// Commands (appendix G).
const GET_CHANNEL_INFO: u8 = 0x42;
const GET_LAN_PARAMETERS: u8 = 0x02;
/// Channels that can be anything (6.3).
const CHANNELS: std::ops::RangeInclusive<u8> = 1..=0x0b;
/// Medium type of a channel: 802.3 LAN (6.5).
const LAN: u8 = 4;
/// LAN parameters (23.2 table 23-4).
const IP_ADDRESS: u8 = 3;
const MAC_ADDRESS: u8 = 5;
const IPV6_STATIC: u8 = 56;
const IPV6_DYNAMIC: u8 = 59;
/// Most IPv6 addresses of each kind that are asked for.
const MAX_SETS: u8 = 4;

/// Why the controller's address is not known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BmcError {
    /// No driver for its interface.
    #[error("cannot load the driver of the management controller")]
    Driver(#[from] ModulesError),
    /// The driver found no controller.
    #[error("cannot open {DEVICE}; the management controller does not answer its driver")]
    Open(#[source] io::Error),
    /// The kernel does not pass a command or its answer on.
    #[error("cannot talk to the management controller")]
    Talk(#[source] io::Error),
    /// No answer in time.
    #[error("the management controller does not answer within {ANSWER_LIMIT_MS} ms")]
    Silent,
    /// An answer that says no (completion codes, 5.2).
    #[error("the management controller refuses a command with code {0:#04x}")]
    Refused(u8),
    /// The thread that asks is gone.
    #[error("the thread that asks the management controller is gone")]
    Thread(#[from] JoinError),
}

/// Loads the drivers where they are needed, asks, and tells what it learns. For a machine whose
/// firmware tells of a controller; takes up to half a minute.
///
/// # Errors
/// [`BmcError`]: then nothing but its presence is known.
pub(crate) async fn learn(modules: Option<Modules>, learnt: &watch::Sender<Learnt>) -> Result<(), BmcError> {
    if let Some(modules) = modules.filter(|_| !Path::new(DEVICE).exists()) {
        for name in DRIVERS {
            modules.load(name, LOAD_LIMIT).await?;
        }
    }
    for _ in 0..LOOKS {
        if Path::new(DEVICE).exists() {
            break;
        }
        sleep(LOOK_AGAIN).await;
    }
    let bmc = spawn_blocking(|| ask(&mut Device::open()?)).await??;
    learnt.send_modify(|learnt| learnt.bmc = Some(bmc));
    Ok(())
}

/// Whoever answers commands.
trait Controller {
    /// Asks one command; the answer's data without its completion code, which was zero.
    fn command(&mut self, function: u8, command: u8, data: &[u8]) -> Result<Vec<u8>, BmcError>;
}

/// The conversation: which channels are LANs, and which of them has an address. A controller with
/// a port of its own and one that it shares with the machine uses one of the two.
fn ask(controller: &mut impl Controller) -> Result<Bmc, BmcError> {
    let mut found = Bmc { present: true, ..Bmc::default() };
    for channel in CHANNELS {
        if !is_lan(controller, channel)? {
            continue;
        }
        let bmc = addresses(controller, channel)?;
        if !bmc.address.is_empty() || !bmc.address_v6.is_empty() {
            return Ok(bmc);
        }
        if found.mac.is_empty() {
            found = bmc;
        }
    }
    Ok(found)
}

fn is_lan(controller: &mut impl Controller, channel: u8) -> Result<bool, BmcError> {
    let info = allowed(controller.command(APP, GET_CHANNEL_INFO, &[channel]))?;
    let medium = info.as_deref().and_then(|info| info.get(1)).map(|medium| medium & 0x7f);
    Ok(medium == Some(LAN))
}

/// What one LAN channel is configured with.
fn addresses(controller: &mut impl Controller, channel: u8) -> Result<Bmc, BmcError> {
    let mut bmc = Bmc { present: true, ..Bmc::default() };
    let mut lan = |parameter: u8, set: u8| -> Result<Vec<u8>, BmcError> {
        let answer = controller.command(TRANSPORT, GET_LAN_PARAMETERS, &[channel, parameter, set, 0]);
        // The first byte is the revision of the parameter.
        allowed(answer).map(|data| data.and_then(|data| Some(data.get(1..)?.to_vec())).unwrap_or_default())
    };
    if let Some(octets) = lan(IP_ADDRESS, 0)?.first_chunk::<4>() {
        let address = Ipv4Addr::from(*octets);
        bmc.address = if address.is_unspecified() { String::new() } else { address.to_string() };
    }
    if let Some(octets) = lan(MAC_ADDRESS, 0)?.first_chunk::<6>().filter(|octets| **octets != [0; 6]) {
        bmc.mac = MacAddr(*octets).to_string();
    }
    for (parameter, set) in [IPV6_STATIC, IPV6_DYNAMIC]
        .into_iter()
        .flat_map(|parameter| (0..MAX_SETS).map(move |set| (parameter, set)))
    {
        if let Some(address) = active_v6(&lan(parameter, set)?) {
            bmc.address_v6 = address.to_string();
            break;
        }
    }
    Ok(bmc)
}

/// A refusal is an answer too: the controller has no such channel or parameter.
fn allowed(answer: Result<Vec<u8>, BmcError>) -> Result<Option<Vec<u8>>, BmcError> {
    match answer {
        Ok(data) => Ok(Some(data)),
        Err(BmcError::Refused(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Set, source, address, prefix length and status (parameters 56 and 59): an address in use that
/// is good beyond its own link.
fn active_v6(parameter: &[u8]) -> Option<Ipv6Addr> {
    const ACTIVE: u8 = 0;
    let address = Ipv6Addr::from(*parameter.get(2..)?.first_chunk::<16>()?);
    let usable = !address.is_unspecified() && !address.is_unicast_link_local();
    (usable && parameter.get(19) == Some(&ACTIVE)).then_some(address)
}

/// The controller behind [`DEVICE`].
struct Device {
    file: File,
    asked: nix::libc::c_long,
}

impl Device {
    fn open() -> Result<Self, BmcError> {
        let file = OpenOptions::new().read(true).write(true).open(DEVICE).map_err(BmcError::Open)?;
        Ok(Self { file, asked: 0 })
    }
}

impl Controller for Device {
    fn command(&mut self, function: u8, command: u8, data: &[u8]) -> Result<Vec<u8>, BmcError> {
        self.asked += 1;
        sys::ipmi_send(&self.file, self.asked, function, command, data).map_err(BmcError::Talk)?;
        loop {
            let mut wait = [PollFd::new(self.file.as_fd(), PollFlags::POLLIN)];
            match poll(&mut wait, PollTimeout::from(ANSWER_LIMIT_MS)) {
                Ok(0) => return Err(BmcError::Silent),
                Ok(_) => {}
                Err(Errno::EINTR) => continue,
                Err(errno) => return Err(BmcError::Talk(errno.into())),
            }
            let mut buffer = [0; MAX_ANSWER];
            let (id, length) = sys::ipmi_receive(&self.file, &mut buffer).map_err(BmcError::Talk)?;
            // A late answer to an earlier question is passed over.
            if id != self.asked {
                continue;
            }
            return match buffer.get(..length).and_then(<[u8]>::split_first) {
                Some((0, data)) => Ok(data.to_vec()),
                Some((code, _)) => Err(BmcError::Refused(*code)),
                None => Err(BmcError::Silent),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A controller that knows these answers, by function, command and data, and refuses others.
    struct Recorded(Vec<(Vec<u8>, Vec<u8>)>);

    impl Controller for Recorded {
        fn command(&mut self, function: u8, command: u8, data: &[u8]) -> Result<Vec<u8>, BmcError> {
            let asked = [&[function, command], data].concat();
            let known = self.0.iter().find(|(question, _)| *question == asked);
            known.map(|(_, answer)| answer.clone()).ok_or(BmcError::Refused(0xcc))
        }
    }

    fn v6(set: u8, source: u8, address: &str, status: u8) -> Vec<u8> {
        let octets = address.parse::<Ipv6Addr>().unwrap().octets();
        [&[0x11, set, source][..], &octets, &[64, status]].concat()
    }

    fn lan_on_channel_two() -> Vec<(Vec<u8>, Vec<u8>)> {
        vec![
            (vec![APP, GET_CHANNEL_INFO, 1], vec![1, 1, 1, 0, 0xf2, 0x1b, 0, 0, 0]),
            (vec![APP, GET_CHANNEL_INFO, 2], vec![2, LAN, 1, 0x80, 0xf2, 0x1b, 0, 0, 0]),
            (vec![TRANSPORT, GET_LAN_PARAMETERS, 2, IP_ADDRESS, 0, 0], vec![0x11, 10, 0, 0, 9]),
            (vec![TRANSPORT, GET_LAN_PARAMETERS, 2, MAC_ADDRESS, 0, 0], vec![0x11, 2, 0, 0, 0, 0, 9]),
        ]
    }

    #[test]
    fn the_lan_channel_is_found_and_asked() {
        let mut answers = lan_on_channel_two();
        let dynamic = |set: u8| vec![TRANSPORT, GET_LAN_PARAMETERS, 2, IPV6_DYNAMIC, set, 0];
        answers.push((dynamic(0), v6(0, 1, "fe80::9", 0)));
        answers.push((dynamic(1), v6(1, 1, "fd00::8", 3)));
        answers.push((dynamic(2), v6(2, 1, "fd00::9", 0)));
        let bmc = ask(&mut Recorded(answers)).unwrap();
        let expected = Bmc {
            present: true,
            address: "10.0.0.9".to_owned(),
            address_v6: "fd00::9".to_owned(),
            mac: "02:00:00:00:00:09".to_owned(),
        };
        assert_eq!(bmc, expected);
    }

    #[test]
    fn the_port_that_is_in_use_is_told() {
        let mut answers = lan_on_channel_two();
        answers.get_mut(2).unwrap().1 = vec![0x11, 0, 0, 0, 0];
        let unused = ask(&mut Recorded(answers.clone())).unwrap();
        assert_eq!((unused.address.as_str(), unused.mac.as_str()), ("", "02:00:00:00:00:09"));
        answers.push((vec![APP, GET_CHANNEL_INFO, 8], vec![8, LAN, 1, 0x80, 0xf2, 0x1b, 0, 0, 0]));
        answers.push((vec![TRANSPORT, GET_LAN_PARAMETERS, 8, IP_ADDRESS, 0, 0], vec![0x11, 10, 0, 0, 8]));
        assert_eq!(ask(&mut Recorded(answers)).unwrap().address, "10.0.0.8");
    }

    #[test]
    fn a_controller_without_a_lan_is_there_all_the_same() {
        let bmc = ask(&mut Recorded(Vec::new())).unwrap();
        assert_eq!(bmc, Bmc { present: true, ..Bmc::default() });
    }

    #[test]
    fn answers_that_are_cut_or_say_nothing_are_no_addresses() {
        let mut answers = lan_on_channel_two();
        answers.get_mut(2).unwrap().1 = vec![0x11, 0, 0, 0, 0];
        answers.get_mut(3).unwrap().1 = vec![0x11, 2, 0];
        answers.push((vec![TRANSPORT, GET_LAN_PARAMETERS, 2, IPV6_STATIC, 0, 0], vec![0x11, 0]));
        let bmc = ask(&mut Recorded(answers)).unwrap();
        assert_eq!(bmc, Bmc { present: true, ..Bmc::default() });
    }

    #[test]
    fn a_controller_that_hangs_is_asked_no_further() {
        struct Hanging(usize);
        impl Controller for Hanging {
            fn command(&mut self, _: u8, _: u8, _: &[u8]) -> Result<Vec<u8>, BmcError> {
                self.0 += 1;
                Err(BmcError::Silent)
            }
        }
        let mut hanging = Hanging(0);
        let error = ask(&mut hanging).unwrap_err().to_string();
        assert_eq!(error, "the management controller does not answer within 3000 ms");
        assert_eq!(hanging.0, 1);
    }
}
