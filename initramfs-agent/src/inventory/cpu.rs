//! Processors: the model from `/proc/cpuinfo`, the counts from the topology in sysfs.

use super::Tree;
use protocol::inventory::Cpu;
use std::collections::BTreeSet;

/// Longest part of `/proc/cpuinfo` that is read, in bytes: some 1,400 processors.
const MAX_CPUINFO: u64 = 2 * 1_024 * 1_024;
/// Where processors live.
const CPUS: &str = "sys/devices/system/cpu";

/// The processors of the tree.
pub(super) fn read(tree: &Tree) -> Cpu {
    let bytes = tree.bytes("proc/cpuinfo", MAX_CPUINFO).unwrap_or_default();
    let cpuinfo = String::from_utf8_lossy(&bytes);
    let values = |wanted: &'static str| {
        cpuinfo
            .lines()
            .filter_map(|line| line.split_once(':'))
            .filter(move |(key, _)| key.trim() == wanted)
            .map(|(_, value)| value.trim())
    };
    let threads = values("processor").count();
    let (mut cores, mut sockets) = (BTreeSet::new(), BTreeSet::new());
    for name in tree.names(CPUS) {
        let topology = format!("{CPUS}/{name}/topology");
        if is_processor(&name) && tree.exists(&topology) {
            let socket = tree.text(&format!("{topology}/physical_package_id"));
            cores.insert((socket.clone(), tree.text(&format!("{topology}/core_id"))));
            sockets.insert(socket);
        }
    }
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Cpu {
        model: values("model name").next().unwrap_or_default().to_owned(),
        threads: count(threads),
        cores: count(cores.len()),
        sockets: count(sockets.len()),
    }
}

fn is_processor(name: &str) -> bool {
    name.strip_prefix("cpu").is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::fixture::Fixture;

    #[test]
    fn threads_cores_and_sockets_are_counted_apart() {
        let fixture = Fixture::new(&[(
            "proc/cpuinfo",
            "processor\t: 0\nmodel name\t: Xeon\nprocessor\t: 1\nmodel name\t: Xeon\n\
             processor\t: 2\nprocessor\t: 3\n",
        )]);
        // Two sockets of one core with two threads each.
        for (cpu, socket) in [(0, 0), (1, 0), (2, 1), (3, 1)] {
            let topology = format!("{CPUS}/cpu{cpu}/topology");
            fixture.bytes(&format!("{topology}/physical_package_id"), format!("{socket}\n").as_bytes());
            fixture.bytes(&format!("{topology}/core_id"), b"0\n");
        }
        fixture.bytes(&format!("{CPUS}/cpufreq/topology/core_id"), b"9\n");
        let cpu = read(&fixture.tree());
        assert_eq!(cpu, Cpu { model: "Xeon".to_owned(), threads: 4, cores: 2, sockets: 2 });
    }
}
