//! The text by which people search for a machine: all that they know it by.

use super::Machine;
use protocol::inventory::{Inventory, Lldp};

/// Longest text of one machine, in bytes. What is known best comes first.
const MAX_TEXT: usize = 4_096;

/// One line for each of them, in lower case.
pub fn text(machine: &Machine) -> String {
    let Inventory { vendor, product, serial, board_serial, system_uuid, host_name, bmc, links, .. } =
        &machine.inventory;
    let id = machine.id.to_string();
    let macs: Vec<_> = links.iter().map(|link| link.mac.to_string()).collect();
    let heard = |lldp: &Lldp| [lldp.system_name.clone(), lldp.management_address.clone()];
    let switches: Vec<_> = links.iter().filter_map(|link| link.lldp.as_ref()).flat_map(heard).collect();
    let known = [machine.name.as_str(), &id, &machine.fields.address, serial].into_iter();
    let known =
        known.chain([vendor.as_str(), product, &machine.description, &machine.placement.mesh_network]);
    // Which profiles are roles, the content says.
    let roles = machine.placement.roles.iter().chain(&machine.fields.profiles);
    let known = known.chain(roles.map(String::as_str));
    let known = known.chain(machine.fields.hardware_addrs.iter().chain(&macs).map(String::as_str));
    let known = known.chain([board_serial.as_str(), system_uuid, host_name, &bmc.address, &bmc.mac]);
    let known = known.chain(links.iter().flat_map(|link| &link.addresses).map(String::as_str));
    let known = known.chain(switches.iter().map(String::as_str));
    lines(known)
}

fn lines<'a>(known: impl Iterator<Item = &'a str>) -> String {
    let mut text = String::new();
    for one in known.filter(|one| !one.is_empty()) {
        let one = one.to_lowercase().replace('\0', "");
        // Hardware addresses are often told twice, and names are host names.
        if text.lines().any(|line| line == one) {
            continue;
        }
        if text.len().saturating_add(one.len()) >= MAX_TEXT {
            break;
        }
        text.push_str(&one);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thing_is_said_once_in_lower_case_and_within_the_limit() {
        assert_eq!(lines(["DB-7", "", "db-7", "7XK\0", "a b"].into_iter()), "db-7\n7xk\na b\n");
        let long = "x".repeat(3_000);
        let other = "y".repeat(2_000);
        assert_eq!(lines([long.as_str(), &other, "z"].into_iter()).len(), 3_001);
    }
}
