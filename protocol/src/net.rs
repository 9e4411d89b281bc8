//! The network set-up an operator asks for: `muster.net=`, the config's `net`, the console's form.
//!
//! ```text
//! plan  = "dhcp" | "ask" | spec *( " " spec )
//! spec  = item *( "," item )
//! item  = "if=" LINK | "bond=" LINK *( "+" LINK ) | "mode=" MODE | "vlan=" 1..4094
//!       | "mtu=" 576..9216 | "addr=" IP "/" LENGTH | "gw=" IP | "dns=" IP | "search=" DOMAIN
//!       | "route=" IP "/" LENGTH "@" IP
//! LINK  = a link's name or hardware address
//! ```
//!
//! A spec is one device: a link or a bond, perhaps a VLAN on it, and what it is given. Without
//! `addr` the device is configured automatically.

use crate::ids::MacAddr;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Most specs of one plan.
pub const MAX_SPECS: usize = 16;
/// Most members of a bond.
pub const MAX_MEMBERS: usize = 8;
/// Most addresses of one device.
pub const MAX_ADDRESSES: usize = 16;
/// Most name servers, as in `resolv.conf(5)`.
pub const MAX_DNS: usize = 3;
/// Most search domains, as in `resolv.conf(5)`.
pub const MAX_SEARCH: usize = 6;
/// Most routes of one device.
pub const MAX_ROUTES: usize = 16;
/// Smallest MTU, in bytes: what every IPv4 host must take (RFC 791).
pub const MIN_MTU: u32 = 576;
/// Largest MTU, in bytes: jumbo frames.
pub const MAX_MTU: u32 = 9_216;
/// Smallest MTU that carries IPv6, in bytes (RFC 8200 5).
pub const MIN_IPV6_MTU: u32 = 1_280;
/// Longest name of a link, in bytes (`IFNAMSIZ` without its NUL).
pub const MAX_LINK_NAME: usize = 15;
/// Longest part of a value that an error repeats, in characters.
const MAX_QUOTED: usize = 64;

/// What is to be done about the network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum NetPlan {
    /// DHCPv4, router advertisements and DHCPv6 on every link.
    #[default]
    Automatic,
    /// The person at the console says.
    Ask,
    /// These devices and no other.
    Static(Vec<NetSpec>),
}

impl NetPlan {
    /// Joins the value of one more argument to what was said before. `ask` wins wherever it
    /// stands; between `dhcp` and specs, the last one does.
    ///
    /// # Errors
    /// [`NetSpecError`] of the first spec that is none; the plan then stays as it was.
    pub fn join(before: Option<Self>, value: &str) -> Result<Self, NetSpecError> {
        let mut plan = before;
        for word in value.split_ascii_whitespace() {
            plan = Some(match (plan, word) {
                (Some(Self::Ask), _) | (_, "ask") => Self::Ask,
                (_, "dhcp") => Self::Automatic,
                (Some(Self::Static(mut specs)), word) => {
                    if specs.len() >= MAX_SPECS {
                        return Err(NetSpecError::TooMany { key: "muster.net", limit: MAX_SPECS });
                    }
                    specs.push(word.parse()?);
                    Self::Static(specs)
                }
                (Some(Self::Automatic) | None, word) => Self::Static(vec![word.parse()?]),
            });
        }
        Ok(plan.unwrap_or_default())
    }

    /// The plan as the values of one argument each.
    pub fn words(&self) -> Vec<String> {
        match self {
            Self::Automatic => vec!["dhcp".to_owned()],
            Self::Ask => vec!["ask".to_owned()],
            Self::Static(specs) => specs.iter().map(NetSpec::to_string).collect(),
        }
    }
}

impl fmt::Display for NetPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words().join(" "))
    }
}

impl FromStr for NetPlan {
    type Err = NetSpecError;

    fn from_str(text: &str) -> Result<Self, NetSpecError> {
        Self::join(None, text)
    }
}

/// How a bond spreads its traffic (`Documentation/networking/bonding.rst`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BondMode {
    /// One member works, the others stand by. Needs nothing of the switch.
    #[default]
    ActiveBackup,
    /// LACP (IEEE 802.3ad).
    Lacp,
    /// By a hash of the addresses.
    BalanceXor,
    /// Packet by packet.
    BalanceRr,
    /// Outgoing traffic by load.
    BalanceTlb,
    /// Both directions by load.
    BalanceAlb,
}

impl BondMode {
    /// Every mode, the default first.
    pub const ALL: [Self; 6] = [
        Self::ActiveBackup,
        Self::Lacp,
        Self::BalanceXor,
        Self::BalanceRr,
        Self::BalanceTlb,
        Self::BalanceAlb,
    ];

    /// The kernel's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ActiveBackup => "active-backup",
            Self::Lacp => "802.3ad",
            Self::BalanceXor => "balance-xor",
            Self::BalanceRr => "balance-rr",
            Self::BalanceTlb => "balance-tlb",
            Self::BalanceAlb => "balance-alb",
        }
    }
}

/// Several links that act as one. The device's name is `bond0`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bond {
    /// Its links by name or hardware address, 1 to [`MAX_MEMBERS`].
    pub members: Vec<String>,
    /// How they share the work.
    pub mode: BondMode,
}

/// An address and how many of its bits name the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefix {
    /// The address.
    pub address: IpAddr,
    /// Length in bits, at most 32 or 128.
    pub length: u8,
}

impl Prefix {
    /// The network alone: the bits behind the length are zero.
    #[must_use]
    pub fn network(self) -> Self {
        let length = u32::from(self.length);
        let address = match self.address {
            IpAddr::V4(ip) => {
                let mask = u32::MAX.checked_shl(32_u32.saturating_sub(length)).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from_bits(ip.to_bits() & mask))
            }
            IpAddr::V6(ip) => {
                let mask = u128::MAX.checked_shl(128_u32.saturating_sub(length)).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & mask))
            }
        };
        Self { address, length: self.length }
    }

    /// Whether an address is in this network; never of the other family.
    pub fn contains(self, other: IpAddr) -> bool {
        self.address.is_ipv4() == other.is_ipv4()
            && Self { address: other, length: self.length }.network() == self.network()
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

/// The text is not an address with the length of its prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an address with the length of its prefix, such as 10.0.0.5/24")]
pub struct PrefixError;

impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let (address, length) = text.split_once('/').ok_or(PrefixError)?;
        let address: IpAddr = address.parse().map_err(|_| PrefixError)?;
        let length = number(length).and_then(|length| u8::try_from(length).ok()).ok_or(PrefixError)?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        if length > longest { Err(PrefixError) } else { Ok(Self { address, length }) }
    }
}

/// One more route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// Where it leads.
    pub to: Prefix,
    /// The next hop, of the same family.
    pub via: IpAddr,
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.to, self.via)
    }
}

/// One device and what it is given; see the [module](self) for the grammar.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetSpec {
    /// The link by name or hardware address; `None` is the first link with a carrier, or a bond.
    pub link: Option<String>,
    /// The bond that takes the link's place.
    pub bond: Option<Bond>,
    /// VLAN on top of it, 1 to 4094. The device is then called `LINK.VLAN`.
    pub vlan: Option<u16>,
    /// MTU of the device, in bytes.
    pub mtu: Option<u32>,
    /// Its addresses; none means automatic.
    pub addresses: Vec<Prefix>,
    /// Default gateways, at most one a family.
    pub gateways: Vec<IpAddr>,
    /// Name servers.
    pub dns: Vec<IpAddr>,
    /// Domains that short names are looked up in.
    pub search: Vec<String>,
    /// Further routes.
    pub routes: Vec<Route>,
}

/// Why a spec cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetSpecError {
    /// A key nobody knows.
    #[error("{0:?} is not understood; use if, bond, mode, vlan, mtu, addr, gw, dns, search or route")]
    Key(String),
    /// A value that is not what its key wants.
    #[error("{key}={value} must be {expected}, such as {key}={example}")]
    Value {
        /// Key.
        key: &'static str,
        /// What was given, cut and cleaned.
        value: String,
        /// What is wanted.
        expected: &'static str,
        /// A value that would do.
        example: &'static str,
    },
    /// A key that has one value was given two.
    #[error("{0} is given twice; give it once a device, and a second muster.net= for a second device")]
    Twice(&'static str),
    /// Too many of a kind.
    #[error(
        "more than {limit} {key}= given; leave out what the machine can do without until it is registered"
    )]
    TooMany {
        /// Key.
        key: &'static str,
        /// How many are taken.
        limit: usize,
    },
    /// A key that means nothing without another.
    #[error("{key} needs {needs}, such as {example}")]
    Needs {
        /// Key.
        key: &'static str,
        /// What is missing.
        needs: &'static str,
        /// A spec that would do.
        example: &'static str,
    },
    /// Both a link and a bond.
    #[error("if and bond exclude each other; name the links in bond alone, such as bond=eth0+eth1")]
    LinkAndBond,
    /// IPv6 does not work over links this small.
    #[error("mtu={0} is too small for an IPv6 address, which needs at least mtu={MIN_IPV6_MTU}")]
    SmallForIpv6(u32),
}

impl FromStr for NetSpec {
    type Err = NetSpecError;

    fn from_str(text: &str) -> Result<Self, NetSpecError> {
        let mut spec = Self::default();
        let mut mode = None;
        for item in text.split(',') {
            let (key, value) = item.split_once('=').unwrap_or((item, ""));
            match key {
                "if" => once("if", &mut spec.link, link(value).ok_or_else(|| wrong_link("if", value))?)?,
                "bond" => {
                    let bond = Bond { members: members(value)?, mode: BondMode::default() };
                    once("bond", &mut spec.bond, bond)?;
                }
                "mode" => once("mode", &mut mode, bond_mode(value)?)?,
                "vlan" => once("vlan", &mut spec.vlan, vlan(value)?)?,
                "mtu" => once("mtu", &mut spec.mtu, mtu(value)?)?,
                "addr" => push("addr", &mut spec.addresses, MAX_ADDRESSES, own_address(value)?)?,
                "gw" => spec.take_gateway(value)?,
                "dns" => push("dns", &mut spec.dns, MAX_DNS, host("dns", value, "10.0.0.53")?)?,
                "search" => push("search", &mut spec.search, MAX_SEARCH, domain(value)?)?,
                "route" => push("route", &mut spec.routes, MAX_ROUTES, route(value)?)?,
                _ => return Err(NetSpecError::Key(quoted(key))),
            }
        }
        match (mode, &mut spec.bond) {
            (Some(mode), Some(bond)) => bond.mode = mode,
            (Some(_), None) => {
                let example = "bond=eth0+eth1,mode=802.3ad";
                return Err(NetSpecError::Needs { key: "mode", needs: "bond", example });
            }
            (None, _) => {}
        }
        spec.check()?;
        Ok(spec)
    }
}

impl NetSpec {
    fn take_gateway(&mut self, value: &str) -> Result<(), NetSpecError> {
        let gateway = host("gw", value, "10.0.0.1")?;
        if self.gateways.iter().any(|other| other.is_ipv4() == gateway.is_ipv4()) {
            return Err(NetSpecError::Twice("gw"));
        }
        self.gateways.push(gateway);
        Ok(())
    }

    /// What no single item shows.
    fn check(&self) -> Result<(), NetSpecError> {
        if self.link.is_some() && self.bond.is_some() {
            return Err(NetSpecError::LinkAndBond);
        }
        let has =
            |family: &IpAddr| self.addresses.iter().any(|own| own.address.is_ipv4() == family.is_ipv4());
        let needs = "an addr of the same family";
        if !self.gateways.iter().all(has) {
            let example = "addr=10.0.0.5/24,gw=10.0.0.1";
            return Err(NetSpecError::Needs { key: "gw", needs, example });
        }
        if !self.routes.iter().all(|route| has(&route.via)) {
            let example = "addr=10.0.0.5/24,route=10.1.0.0/16@10.0.0.1";
            return Err(NetSpecError::Needs { key: "route", needs, example });
        }
        match self.mtu {
            Some(mtu) if mtu < MIN_IPV6_MTU && self.addresses.iter().any(|own| own.address.is_ipv6()) => {
                Err(NetSpecError::SmallForIpv6(mtu))
            }
            Some(_) | None => Ok(()),
        }
    }
}

impl fmt::Display for NetSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut items: Vec<String> = self.link.iter().map(|link| format!("if={link}")).collect();
        if let Some(bond) = &self.bond {
            items.push(format!("bond={}", bond.members.join("+")));
            if bond.mode != BondMode::default() {
                items.push(format!("mode={}", bond.mode.as_str()));
            }
        }
        items.extend(self.vlan.map(|vlan| format!("vlan={vlan}")));
        items.extend(self.mtu.map(|mtu| format!("mtu={mtu}")));
        items.extend(self.addresses.iter().map(|address| format!("addr={address}")));
        items.extend(self.gateways.iter().map(|gateway| format!("gw={gateway}")));
        items.extend(self.dns.iter().map(|server| format!("dns={server}")));
        items.extend(self.search.iter().map(|domain| format!("search={domain}")));
        items.extend(self.routes.iter().map(|route| format!("route={route}")));
        f.write_str(&items.join(","))
    }
}

fn once<T>(key: &'static str, place: &mut Option<T>, value: T) -> Result<(), NetSpecError> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(NetSpecError::Twice(key)),
    }
}

fn push<T>(key: &'static str, list: &mut Vec<T>, limit: usize, value: T) -> Result<(), NetSpecError> {
    if list.len() >= limit {
        return Err(NetSpecError::TooMany { key, limit });
    }
    list.push(value);
    Ok(())
}

fn wrong(key: &'static str, value: &str, expected: &'static str, example: &'static str) -> NetSpecError {
    NetSpecError::Value { key, value: quoted(value), expected, example }
}

fn wrong_link(key: &'static str, value: &str) -> NetSpecError {
    match key {
        "bond" => {
            wrong(key, value, "1 to 8 different links by name or hardware address, joined by +", "eth0+eth1")
        }
        _ => wrong(key, value, "a link's name or hardware address", "52:54:00:12:34:56"),
    }
}

/// A link's name, or its hardware address written the one way.
fn link(value: &str) -> Option<String> {
    if let Ok(mac) = value.parse::<MacAddr>() {
        return Some(mac.to_string());
    }
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    let is_name = (1..=MAX_LINK_NAME).contains(&value.len()) && value.bytes().all(plain);
    // A name of dots would be a path.
    (is_name && !value.starts_with('.')).then(|| value.to_ascii_lowercase())
}

fn members(value: &str) -> Result<Vec<String>, NetSpecError> {
    let mut members: Vec<String> = Vec::new();
    for text in value.split('+') {
        let member = link(text).filter(|member| !members.contains(member) && members.len() < MAX_MEMBERS);
        members.push(member.ok_or_else(|| wrong_link("bond", value))?);
    }
    Ok(members)
}

fn bond_mode(value: &str) -> Result<BondMode, NetSpecError> {
    let modes = "active-backup, 802.3ad, balance-xor, balance-rr, balance-tlb or balance-alb";
    let known = BondMode::ALL.into_iter().find(|mode| mode.as_str() == value);
    known.ok_or_else(|| wrong("mode", value, modes, "802.3ad"))
}

fn vlan(value: &str) -> Result<u16, NetSpecError> {
    let number = number(value).and_then(|number| u16::try_from(number).ok());
    let in_range = number.filter(|number| (1..=4094).contains(number));
    in_range.ok_or_else(|| wrong("vlan", value, "a number from 1 to 4094", "120"))
}

fn mtu(value: &str) -> Result<u32, NetSpecError> {
    let in_range = number(value).filter(|mtu| (MIN_MTU..=MAX_MTU).contains(mtu));
    in_range.ok_or_else(|| wrong("mtu", value, "a number from 576 to 9216", "9000"))
}

fn own_address(value: &str) -> Result<Prefix, NetSpecError> {
    let usable = |own: &Prefix| own.length > 0 && is_host(own.address) && !is_link_local_v6(own.address);
    value.parse().ok().filter(usable).ok_or_else(|| {
        let expected = "an address a machine can have and the length of its prefix";
        let example = if value.contains(':') { "fd00::5/64" } else { "10.0.0.5/24" };
        wrong("addr", value, expected, example)
    })
}

fn host(key: &'static str, value: &str, example: &'static str) -> Result<IpAddr, NetSpecError> {
    let example = if value.contains(':') { "fd00::1" } else { example };
    let address = value.parse().ok().filter(|address| is_host(*address));
    address.ok_or_else(|| wrong(key, value, "an IP address a machine can have", example))
}

fn route(value: &str) -> Result<Route, NetSpecError> {
    let parsed = value.split_once('@').and_then(|(to, via)| {
        let route = Route { to: to.parse().ok()?, via: via.parse().ok()? };
        (route.to.address.is_ipv4() == route.via.is_ipv4() && is_host(route.via)).then_some(route)
    });
    parsed.ok_or_else(|| {
        let example = if value.contains(':') { "fd01::/48@fd00::1" } else { "10.1.0.0/16@10.0.0.1" };
        wrong("route", value, "a network and, behind @, its gateway", example)
    })
}

fn domain(value: &str) -> Result<String, NetSpecError> {
    dns_name(value).ok_or_else(|| wrong("search", value, "a domain", "example.com"))
}

/// A DNS name in lower case without its final dot (RFC 1035 2.3.4); `None` when the text is none.
pub fn dns_name(text: &str) -> Option<String> {
    let text = text.trim().trim_end_matches('.');
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
    };
    (text.len() <= 253 && text.split('.').all(is_label)).then(|| text.to_ascii_lowercase())
}

/// Whether some machine can have this address, on whatever network.
pub fn is_host(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(ip) => {
            let [first, ..] = ip.octets();
            first != 0 && first < 224 && !ip.is_loopback()
        }
        IpAddr::V6(ip) => {
            !ip.is_unspecified() && !ip.is_loopback() && !ip.is_multicast() && ip.to_ipv4_mapped().is_none()
        }
    }
}

/// Whether this is an IPv6 address that is good on its own link only (`fe80::/10`).
pub fn is_link_local_v6(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => false,
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

/// A number in decimal digits and nothing else.
fn number(text: &str) -> Option<u32> {
    let is_plain = (1..=9).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if is_plain { text.parse().ok() } else { None }
}

/// The beginning of outside text, fit for a message.
fn quoted(text: &str) -> String {
    text.chars().take(MAX_QUOTED).map(|c| if c.is_ascii_graphic() { c } else { '?' }).collect()
}

#[cfg(test)]
mod tests;
