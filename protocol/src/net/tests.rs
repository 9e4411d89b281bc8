//! The grammar: what is read, what is refused and in which words, and that text comes back.

use super::*;
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

fn spec(text: &str) -> NetSpec {
    text.parse().unwrap()
}

fn refusal(text: &str) -> String {
    text.parse::<NetSpec>().unwrap_err().to_string()
}

#[test]
fn everything_at_once_is_read() {
    let text = "bond=52:54:00:00:00:01+eth1,mode=802.3ad,vlan=120,mtu=9000,addr=10.0.0.5/24,addr=fd00::5/64,\
                gw=10.0.0.1,gw=fe80::1,dns=10.0.0.53,dns=fd00::53,search=example.com,route=10.1.2.3/16@10.0.0.9";
    let read = spec(text);
    assert_eq!(read.to_string(), text);
    assert_eq!(read.bond.unwrap().mode, BondMode::Lacp);
    assert_eq!(
        (read.vlan, read.mtu, read.addresses.len(), read.gateways.len()),
        (Some(120), Some(9000), 2, 2)
    );
    assert_eq!(read.routes.first().unwrap().to.network().to_string(), "10.1.0.0/16");
}

#[test]
fn specs_of_first_light_stay_valid() {
    for text in [
        "addr=10.0.0.5/24",
        "addr=10.0.2.77/24,gw=10.0.2.2",
        "addr=10.0.0.5/24,gw=10.0.0.1,dns=10.0.0.53,if=52:54:00:12:34:56",
        "addr=10.0.0.5/32,gw=10.0.0.1,dns=1.1.1.1,dns=8.8.8.8,if=ETH0",
    ] {
        assert_eq!(spec(&spec(text).to_string()), spec(text), "{text}");
    }
    assert_eq!(spec("if=52-54-00-AB-cd-56,addr=10.0.0.5/24").link.unwrap(), "52:54:00:ab:cd:56");
}

#[test]
fn device_without_an_address_is_automatic() {
    let read = spec("if=eth1,vlan=7,dns=10.0.0.53");
    assert!(read.addresses.is_empty());
    assert_eq!(read.vlan, Some(7));
}

#[test]
fn a_mistake_is_named_with_its_key_value_and_an_example() {
    for (text, words) in [
        (
            "addr=10.0.0.5",
            "addr=10.0.0.5 must be an address a machine can have and the length of its prefix, such as addr=10.0.0.5/24",
        ),
        (
            "addr=fe80::1/64",
            "addr=fe80::1/64 must be an address a machine can have and the length of its prefix, such as addr=fd00::5/64",
        ),
        (
            "addr=10.0.0.5/24,gw=0.0.0.0",
            "gw=0.0.0.0 must be an IP address a machine can have, such as gw=10.0.0.1",
        ),
        ("vlan=4095", "vlan=4095 must be a number from 1 to 4094, such as vlan=120"),
        ("vlan=+5", "vlan=+5 must be a number from 1 to 4094, such as vlan=120"),
        ("mtu=68", "mtu=68 must be a number from 576 to 9216, such as mtu=9000"),
        ("if=../etc", "if=../etc must be a link's name or hardware address, such as if=52:54:00:12:34:56"),
        (
            "bond=eth0+eth0",
            "bond=eth0+eth0 must be 1 to 8 different links by name or hardware address, joined by +, such as bond=eth0+eth1",
        ),
        (
            "bond=eth0,mode=lacp",
            "mode=lacp must be active-backup, 802.3ad, balance-xor, balance-rr, balance-tlb or balance-alb, such as mode=802.3ad",
        ),
        ("mode=802.3ad", "mode needs bond, such as bond=eth0+eth1,mode=802.3ad"),
        (
            "addr=10.0.0.5/24,gw=fd00::1",
            "gw needs an addr of the same family, such as addr=10.0.0.5/24,gw=10.0.0.1",
        ),
        (
            "addr=fd00::5/64,mtu=1000",
            "mtu=1000 is too small for an IPv6 address, which needs at least mtu=1280",
        ),
        ("search=a b", "search=a?b must be a domain, such as search=example.com"),
        (
            "route=10.1.0.0/16",
            "route=10.1.0.0/16 must be a network and, behind @, its gateway, such as route=10.1.0.0/16@10.0.0.1",
        ),
        (
            "if=a,if=b",
            "if is given twice; give it once a device, and a second muster.net= for a second device",
        ),
        (
            "if=a,bond=b+c",
            "if and bond exclude each other; name the links in bond alone, such as bond=eth0+eth1",
        ),
        (
            "ip=10.0.0.5",
            "\"ip\" is not understood; use if, bond, mode, vlan, mtu, addr, gw, dns, search or route",
        ),
        ("", "\"\" is not understood; use if, bond, mode, vlan, mtu, addr, gw, dns, search or route"),
        (
            "dns=1.1.1.1,dns=1.1.1.2,dns=1.1.1.3,dns=1.1.1.4",
            "more than 3 dns= given; leave out what the machine can do without until it is registered",
        ),
    ] {
        assert_eq!(refusal(text), words, "{text}");
    }
}

#[test]
fn ask_wins_and_else_the_last_word_does() {
    let joined = |values: &[&str]| {
        values.iter().fold(None, |plan, value| Some(NetPlan::join(plan, value).unwrap())).unwrap()
    };
    assert_eq!(joined(&["addr=10.0.0.5/24", "ask", "dhcp"]), NetPlan::Ask);
    assert_eq!(joined(&["addr=10.0.0.5/24", "dhcp"]), NetPlan::Automatic);
    assert_eq!(joined(&["dhcp", "if=eth0", "if=eth1"]).words(), ["if=eth0", "if=eth1"]);
    assert_eq!("if=eth0 if=eth1".parse::<NetPlan>().unwrap().to_string(), "if=eth0 if=eth1");
    assert_eq!("".parse::<NetPlan>().unwrap(), NetPlan::Automatic);
    let many = vec!["if=eth0"; MAX_SPECS + 1].join(" ");
    assert!(many.parse::<NetPlan>().unwrap_err().to_string().starts_with("more than 16 muster.net="));
}

#[test]
fn network_of_a_prefix_and_what_is_in_it() {
    let prefix = |text: &str| text.parse::<Prefix>().unwrap();
    for (text, network) in [
        ("10.1.2.3/16", "10.1.0.0/16"),
        ("10.1.2.3/0", "0.0.0.0/0"),
        ("10.1.2.3/32", "10.1.2.3/32"),
        ("fd00::1:2/64", "fd00::/64"),
        ("fd00::1/0", "::/0"),
        ("fd00::1/128", "fd00::1/128"),
    ] {
        assert_eq!(prefix(text).network().to_string(), network);
    }
    assert!(prefix("10.0.0.5/24").contains("10.0.0.9".parse().unwrap()));
    assert!(!prefix("10.0.0.5/24").contains("10.0.1.9".parse().unwrap()));
    assert!(!prefix("0.0.0.0/0").contains("::1".parse().unwrap()));
    for text in ["10.0.0.5/33", "fd00::/129", "10.0.0.5/", "10.0.0.5/-1", "10.0.0/8", "/8"] {
        assert_eq!(text.parse::<Prefix>(), Err(PrefixError), "{text}");
    }
}

#[test]
fn names_with_teeth_are_not_names() {
    for name in ["", "a b", "$(reboot)", "-a", "a..b", "\u{1b}[2J", &"a".repeat(64), &"a.".repeat(130)] {
        assert_eq!(dns_name(name), None, "{name:?}");
    }
    assert_eq!(dns_name("Example.Com."), Some("example.com".to_owned()));
}

fn any_host() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        (0x0100_0000..0x7f00_0000_u32).prop_map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits))),
        any::<u64>().prop_map(|low| IpAddr::V6(Ipv6Addr::from_bits((0xfd00_u128 << 112) | u128::from(low)))),
    ]
}

fn any_prefix() -> impl Strategy<Value = Prefix> {
    (any_host(), 1..=128_u8).prop_map(|(address, length)| {
        let longest = if address.is_ipv4() { 32 } else { 128 };
        Prefix { address, length: length.min(longest) }
    })
}

fn any_link() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z][a-z0-9]{0,10}", any::<[u8; 6]>().prop_map(|octets| MacAddr(octets).to_string())]
}

prop_compose! {
    fn any_device()(
        bonded: bool, link in of(any_link()),
        members in proptest::collection::btree_set(any_link(), 1..=MAX_MEMBERS), mode in 0..BondMode::ALL.len(),
        vlan in of(1..=4094_u16), mtu in of(MIN_IPV6_MTU..=MAX_MTU),
    ) -> NetSpec {
        let mode = *BondMode::ALL.get(mode).unwrap();
        let bond = bonded.then(|| Bond { members: members.into_iter().collect(), mode });
        NetSpec { link: link.filter(|_| !bonded), bond, vlan, mtu, ..NetSpec::default() }
    }
}

prop_compose! {
    /// A spec with something in it: an empty one is written as no text at all.
    fn any_spec()(
        device in any_device(), addresses in vec(any_prefix(), 1..=MAX_ADDRESSES),
        gateway in of(any_host()), dns in vec(any_host(), 0..=MAX_DNS),
        search in vec("[a-z]{1,9}(\\.[a-z]{1,9}){0,2}", 0..=MAX_SEARCH),
        routes in vec((any_prefix(), any_host()), 0..=MAX_ROUTES),
    ) -> NetSpec {
        let has = |ip: &IpAddr| addresses.iter().any(|own: &Prefix| own.address.is_ipv4() == ip.is_ipv4());
        let routes = routes.into_iter().map(|(to, via)| Route { to, via });
        let routes = routes.filter(|r| has(&r.via) && r.to.address.is_ipv4() == r.via.is_ipv4()).collect();
        let gateways = gateway.into_iter().filter(has).collect();
        NetSpec { addresses, gateways, dns, search, routes, ..device }
    }
}

proptest! {
    #[test]
    fn parsing_is_total(text in "\\PC{0,200}") {
        drop(text.parse::<NetPlan>());
    }

    #[test]
    fn parsing_is_total_near_the_grammar(
        text in "((if|bond|mode|vlan|mtu|addr|gw|dns|search|route)[=]?[0-9a-f:./@+-]{0,20}[, ]?){0,8}",
    ) {
        drop(text.parse::<NetPlan>());
    }

    #[test]
    fn plans_read_back_the_same(specs in vec(any_spec(), 1..4)) {
        let plan = NetPlan::Static(specs);
        prop_assert_eq!(plan.to_string().parse::<NetPlan>().unwrap(), plan);
    }
}
