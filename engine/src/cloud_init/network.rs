//! The network of an installed system as cloud-init and netplan read it (network-config version 2), from the
//! same plan that `muster.net=` gives our own image. Links are found by their hardware addresses: the
//! installed system calls them by other names.

use protocol::ids::MacAddr;
use protocol::inventory::Link;
use protocol::net::{BondMode, MAX_LINK_NAME, NetPlan, NetSpec};
use serde_json::{Map, Value, json};

/// The document, or nothing where the image decides.
///
/// # Errors
/// Links that the machine does not have, and devices that are said twice.
pub(super) fn network_config(
    plan: &NetPlan,
    links: &[Link],
) -> Result<Option<Map<String, Value>>, Vec<String>> {
    let specs = match plan {
        NetPlan::Automatic | NetPlan::Ask => return Ok(None),
        NetPlan::Static(specs) => specs,
    };
    let mut devices = Devices { links, ..Devices::default() };
    let errors: Vec<String> = specs.iter().filter_map(|spec| devices.add(spec).err()).collect();
    if errors.is_empty() { Ok(Some(devices.document())) } else { Err(errors) }
}

/// A bond that was said.
#[derive(Debug)]
struct Bonded {
    members: Vec<String>,
    mode: BondMode,
}

#[derive(Debug, Default)]
struct Devices<'a> {
    links: &'a [Link],
    ethernets: Map<String, Value>,
    bonds: Map<String, Value>,
    vlans: Map<String, Value>,
    /// By the numbers in their names.
    bonded: Vec<Bonded>,
    /// Devices that have settings of their own.
    settled: Vec<String>,
}

impl Devices<'_> {
    fn add(&mut self, spec: &NetSpec) -> Result<(), String> {
        let base = match &spec.bond {
            Some(bond) => {
                let members = bond.members.iter().map(|member| self.ethernet(member));
                let members = members.collect::<Result<Vec<_>, _>>()?;
                self.bond(members, bond.mode)?
            }
            None => match &spec.link {
                Some(link) => self.ethernet(link)?,
                None => self.first()?,
            },
        };
        let device = match spec.vlan {
            None => base.clone(),
            Some(id) => self.vlan(&base, id),
        };
        if self.settled.contains(&device) {
            return Err(format!("device {device} is there twice; say all of it in one word"));
        }
        self.settled.push(device.clone());
        // A device on top carries no larger packets than the one below it.
        if let (Some(mtu), true) = (spec.mtu, spec.vlan.is_some()) {
            self.at_least(&base, mtu);
        }
        let settings = settings(spec);
        if let Some(device) = self.device(&device) {
            device.extend(settings);
        }
        Ok(())
    }

    fn device(&mut self, name: &str) -> Option<&mut Map<String, Value>> {
        let all = [&mut self.vlans, &mut self.bonds, &mut self.ethernets];
        all.into_iter().find_map(|devices| devices.get_mut(name)).and_then(Value::as_object_mut)
    }

    fn at_least(&mut self, name: &str, mtu: u32) {
        let Some(device) = self.device(name) else { return };
        if device.get("mtu").and_then(Value::as_u64).is_none_or(|known| known < u64::from(mtu)) {
            device.insert("mtu".to_owned(), mtu.into());
        }
    }

    /// The link of this name or hardware address.
    fn ethernet(&mut self, wanted: &str) -> Result<String, String> {
        let mac = wanted.parse::<MacAddr>().ok();
        let found = self.links.iter().find(|link| Some(link.mac) == mac || link.name == wanted);
        let (name, mac) = match (found, mac) {
            (Some(link), _) => (link.name.clone(), link.mac),
            // A card that is not in the machine yet.
            (None, Some(mac)) => (format!("link{}", self.ethernets.len()), mac),
            (None, None) => {
                let known: Vec<&str> = self.links.iter().map(|link| link.name.as_str()).collect();
                return Err(format!("there is no link {wanted}; the machine has {}", known.join(", ")));
            }
        };
        let same = |device: &Value| device["match"]["macaddress"] == json!(mac.to_string());
        if let Some((name, _)) = self.ethernets.iter().find(|(_, device)| same(device)) {
            return Ok(name.clone());
        }
        let device = json!({"match": {"macaddress": mac.to_string()}, "dhcp4": false, "dhcp6": false});
        self.ethernets.insert(name.clone(), device);
        Ok(name)
    }

    /// The first link that has a carrier, else the first.
    fn first(&mut self) -> Result<String, String> {
        let link = self.links.iter().find(|link| link.carrier).or_else(|| self.links.first());
        let mac = link.map(|link| link.mac.to_string());
        self.ethernet(&mac.ok_or("no link is known of the machine; name one by its hardware address")?)
    }

    fn bond(&mut self, members: Vec<String>, mode: BondMode) -> Result<String, String> {
        let number = match self.bonded.iter().position(|known| known.members == members) {
            Some(number) if self.bonded.get(number).is_some_and(|known| known.mode != mode) => {
                return Err(format!("the bond of {} has two modes", members.join(" and ")));
            }
            Some(number) => number,
            None => {
                let taken = |member: &&String| self.bonded.iter().any(|known| known.members.contains(member));
                if let Some(member) = members.iter().find(taken) {
                    return Err(format!("link {member} is in two bonds"));
                }
                let device = json!({
                    "interfaces": members,
                    "parameters": {"mode": mode.as_str(), "mii-monitor-interval": 100},
                    "dhcp4": false, "dhcp6": false,
                });
                self.bonds.insert(format!("bond{}", self.bonded.len()), device);
                self.bonded.push(Bonded { members, mode });
                self.bonded.len() - 1
            }
        };
        Ok(format!("bond{number}"))
    }

    fn vlan(&mut self, base: &str, id: u16) -> String {
        let name = format!("{base}.{id}");
        let name = if name.len() > MAX_LINK_NAME { format!("vlan{id}") } else { name };
        let device = json!({"id": id, "link": base, "dhcp4": false, "dhcp6": false});
        self.vlans.entry(name.clone()).or_insert(device);
        name
    }

    fn document(self) -> Map<String, Value> {
        let mut document = Map::from_iter([("version".to_owned(), json!(2))]);
        for (name, devices) in [("ethernets", self.ethernets), ("bonds", self.bonds), ("vlans", self.vlans)] {
            if !devices.is_empty() {
                document.insert(name.to_owned(), Value::Object(devices));
            }
        }
        document
    }
}

/// What a device is given.
fn settings(spec: &NetSpec) -> Map<String, Value> {
    let mut settings = Map::new();
    let automatic = spec.addresses.is_empty();
    settings.insert("dhcp4".to_owned(), automatic.into());
    settings.insert("dhcp6".to_owned(), automatic.into());
    let texts = |list: &[String]| json!(list);
    if !automatic {
        let addresses: Vec<String> = spec.addresses.iter().map(ToString::to_string).collect();
        settings.insert("addresses".to_owned(), texts(&addresses));
    }
    let default = |via: &std::net::IpAddr| {
        let to = if via.is_ipv4() { "0.0.0.0/0" } else { "::/0" };
        json!({"to": to, "via": via.to_string()})
    };
    let further =
        spec.routes.iter().map(|route| json!({"to": route.to.to_string(), "via": route.via.to_string()}));
    let routes: Vec<Value> = spec.gateways.iter().map(default).chain(further).collect();
    if !routes.is_empty() {
        settings.insert("routes".to_owned(), routes.into());
    }
    let servers: Vec<String> = spec.dns.iter().map(ToString::to_string).collect();
    let mut names = Map::new();
    if !servers.is_empty() {
        names.insert("addresses".to_owned(), texts(&servers));
    }
    if !spec.search.is_empty() {
        names.insert("search".to_owned(), texts(&spec.search));
    }
    if !names.is_empty() {
        settings.insert("nameservers".to_owned(), Value::Object(names));
    }
    if let Some(mtu) = spec.mtu {
        settings.insert("mtu".to_owned(), mtu.into());
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links() -> Vec<Link> {
        let link = |name: &str, mac: &str, carrier: bool| {
            serde_json::from_value(json!({"Name": name, "Mac": mac, "Carrier": carrier})).unwrap()
        };
        vec![link("eth0", "52:54:00:00:00:01", false), link("eth1", "52:54:00:00:00:02", true)]
    }

    fn made(plan: &str) -> Result<Value, Vec<String>> {
        let made = network_config(&plan.parse().unwrap(), &links())?;
        Ok(made.map_or(Value::Null, Value::Object))
    }

    #[test]
    fn link_by_name_becomes_a_link_by_hardware_address() {
        let plan = "if=eth0,addr=10.0.0.5/24,addr=fd00::5/64,gw=10.0.0.1,gw=fd00::1,dns=10.0.0.53,search=example.com,route=10.9.0.0/16@10.0.0.9,mtu=9000";
        assert_eq!(
            made(plan).unwrap(),
            json!({"version": 2, "ethernets": {"eth0": {
                "match": {"macaddress": "52:54:00:00:00:01"}, "dhcp4": false, "dhcp6": false,
                "addresses": ["10.0.0.5/24", "fd00::5/64"],
                "routes": [{"to": "0.0.0.0/0", "via": "10.0.0.1"}, {"to": "::/0", "via": "fd00::1"}, {"to": "10.9.0.0/16", "via": "10.0.0.9"}],
                "nameservers": {"addresses": ["10.0.0.53"], "search": ["example.com"]},
                "mtu": 9000,
            }}})
        );
        let first = made("addr=10.0.0.5/24").unwrap();
        assert_eq!(first["ethernets"]["eth1"]["match"]["macaddress"], "52:54:00:00:00:02");
        assert_eq!(made("dhcp").unwrap(), Value::Null);
        assert_eq!(made("if=eth0").unwrap()["ethernets"]["eth0"]["dhcp4"], true);
    }

    #[test]
    fn vlans_lie_on_one_bond() {
        let plan = "bond=52:54:00:00:00:01+eth1,mode=802.3ad,vlan=10,addr=10.0.0.5/24,mtu=1600 bond=eth0+eth1,mode=802.3ad,vlan=20";
        let made = made(plan).unwrap();
        assert_eq!(
            made["bonds"],
            json!({"bond0": {"interfaces": ["eth0", "eth1"], "dhcp4": false, "dhcp6": false, "mtu": 1600,
                             "parameters": {"mode": "802.3ad", "mii-monitor-interval": 100}}})
        );
        assert_eq!(made["vlans"]["bond0.10"]["link"], "bond0");
        assert_eq!(made["vlans"]["bond0.20"]["dhcp4"], true);
        assert_eq!(made["ethernets"]["eth0"]["dhcp4"], false);
    }

    #[test]
    fn what_cannot_be_is_told() {
        for (plan, told) in [
            ("if=eth7,addr=10.0.0.5/24", "there is no link eth7; the machine has eth0, eth1"),
            ("if=eth0,addr=10.0.0.5/24 if=eth0,addr=10.0.0.6/24", "device eth0 is there twice"),
            ("bond=eth0+eth1,vlan=1 bond=eth0+eth1,mode=802.3ad,vlan=2", "has two modes"),
        ] {
            assert!(made(plan).unwrap_err()[0].contains(told), "{plan}");
        }
        let none = network_config(&"addr=10.0.0.5/24".parse().unwrap(), &[]);
        assert!(none.unwrap_err()[0].contains("no link is known"));
        let stranger = made("if=52:54:00:00:00:99,addr=10.0.0.5/24").unwrap();
        assert_eq!(stranger["ethernets"]["link0"]["match"]["macaddress"], "52:54:00:00:00:99");
    }
}
