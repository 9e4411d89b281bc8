//! Packets of others that go on from here: what a relay, and a member that holds a whole network, switches on in
//! `/proc/sys/net`, and back as it was. What was switched is noted in a file first, so that whoever comes later knows.
//!
//! IPv4 has a switch per interface. IPv6 has one for all (`net.ipv6.conf.all.forwarding`), which also makes every
//! interface a router's that hears no routers any more; so the others are set back at once, and the rules of
//! [`super::network`] see that nothing is forwarded between them. Setting it drops default routes that routers gave,
//! unless an interface says that it hears them all the same (`accept_ra` 2), which it does meanwhile.

use crate::handover::put;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const V6_ALL: &str = "ipv6/conf/all/forwarding";
/// Longest note that is read, in bytes.
const MAX_NOTE: usize = 64 * 1_024;

/// The switches.
#[derive(Debug, Clone)]
pub(super) struct Forwarding {
    /// `/proc/sys/net`.
    settings: PathBuf,
    /// What was switched on, a path a line.
    note: PathBuf,
    /// The interface with the tunnels.
    interface: String,
}

/// A switch cannot be set.
#[derive(Debug, thiserror::Error)]
#[error("cannot set {path}")]
pub(super) struct ForwardingError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl Forwarding {
    /// Those of a system.
    pub(super) fn new(settings: &Path, note: PathBuf, interface: &str) -> Self {
        Self { settings: settings.to_owned(), note, interface: interface.to_owned() }
    }

    /// Lets the interface with the tunnels have IPv6, whatever new interfaces have here. Whether the kernel has it at all.
    ///
    /// # Errors
    /// [`ForwardingError`].
    pub(super) fn allow_v6(&self) -> Result<bool, ForwardingError> {
        let path = format!("ipv6/conf/{}/disable_ipv6", self.interface);
        if self.read(&path)?.as_deref() == Some("1") {
            self.write(&path, "0")?;
        }
        Ok(self.settings.join("ipv6").exists())
    }

    /// Whether the switch of all interfaces for IPv6 is ours: it is off, or was before.
    ///
    /// # Errors
    /// [`ForwardingError`].
    pub(super) fn is_ours(&self) -> Result<bool, ForwardingError> {
        Ok(self.noted()?.iter().any(|path| path == V6_ALL) || self.read(V6_ALL)?.as_deref() == Some("0"))
    }

    /// Packets that come in by the tunnels or by these interfaces go on.
    ///
    /// # Errors
    /// [`ForwardingError`].
    pub(super) fn raise(&self, interfaces: &[String]) -> Result<(), ForwardingError> {
        let mut noted = self.noted()?;
        for interface in std::iter::once(&self.interface).chain(interfaces) {
            let path = format!("ipv4/conf/{interface}/forwarding");
            if self.read(&path)?.as_deref() == Some("0") {
                self.add(&mut noted, &path)?;
                self.write(&path, "1")?;
            }
        }
        if self.read(V6_ALL)?.as_deref() == Some("0") {
            self.add(&mut noted, V6_ALL)?;
            self.switch_v6(true)?;
        }
        Ok(())
    }

    /// Everything as it was.
    ///
    /// # Errors
    /// [`ForwardingError`].
    pub(super) fn lower(&self) -> Result<(), ForwardingError> {
        for path in self.noted()? {
            if path == V6_ALL {
                self.switch_v6(false)?;
            } else {
                self.write(&path, "0")?;
            }
        }
        match fs::remove_file(&self.note) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(self.failed(&self.note, source)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn noted(&self) -> Result<Vec<String>, ForwardingError> {
        match fs::read_to_string(&self.note) {
            Ok(text) if text.len() > MAX_NOTE => Ok(Vec::new()),
            // Only what we may have written leads to a switch.
            Ok(text) => Ok(text.lines().filter(|line| is_switch(line)).map(str::to_owned).collect()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(source) => Err(self.failed(&self.note, source)),
        }
    }

    fn add(&self, noted: &mut Vec<String>, path: &str) -> Result<(), ForwardingError> {
        if !noted.iter().any(|known| known == path) {
            noted.push(path.to_owned());
            let text = noted.join("\n") + "\n";
            put(&self.note, text.as_bytes()).map_err(|source| self.failed(&self.note, source))?;
        }
        Ok(())
    }

    /// Sets the switch of all interfaces, and no other but that of the tunnels.
    fn switch_v6(&self, on: bool) -> Result<(), ForwardingError> {
        let mut others = Vec::new();
        for entry in fs::read_dir(self.settings.join("ipv6/conf")).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name != "all" && name != self.interface {
                let setting = |key: &str| format!("ipv6/conf/{name}/{key}");
                let forwarding = self.read(&setting("forwarding"))?;
                let hears = self.read(&setting("accept_ra"))?;
                others.push((setting("forwarding"), forwarding, setting("accept_ra"), hears));
            }
        }
        let hearing = |hears: &Option<String>| hears.as_deref() == Some("1");
        for (_, _, path, _) in others.iter().filter(|(_, _, _, hears)| on && hearing(hears)) {
            self.write(path, "2")?;
        }
        self.write(V6_ALL, if on { "1" } else { "0" })?;
        for (forwarding, was, hears, heard) in others {
            if let Some(was) = was {
                self.write(&forwarding, &was)?;
            }
            if on && hearing(&heard) {
                self.write(&hears, "1")?;
            }
        }
        Ok(())
    }

    /// A setting; none where the kernel has no such thing.
    fn read(&self, path: &str) -> Result<Option<String>, ForwardingError> {
        match fs::read_to_string(self.settings.join(path)) {
            Ok(text) => Ok(Some(text.trim().to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(self.failed(Path::new(path), source)),
        }
    }

    fn write(&self, path: &str, value: &str) -> Result<(), ForwardingError> {
        let file = self.settings.join(path);
        // An interface that went took its settings along; none is ever made here.
        let open = fs::OpenOptions::new().write(true).truncate(true).open(&file);
        match open.and_then(|mut file| io::Write::write_all(&mut file, value.as_bytes())) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(self.failed(&file, error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn failed(&self, path: &Path, source: io::Error) -> ForwardingError {
        ForwardingError { path: self.settings.join(path), source }
    }
}

fn is_switch(line: &str) -> bool {
    let interface = line.strip_prefix("ipv4/conf/").and_then(|rest| rest.strip_suffix("/forwarding"));
    line == V6_ALL || interface.is_some_and(|name| !name.is_empty() && !name.contains('/') && name != "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Settings of a machine with `eth0`, which hears routers, and `eth1`, which forwards.
    fn machine() -> (tempfile::TempDir, Forwarding) {
        let root = tempfile::tempdir().unwrap();
        for (name, forwarding, hears) in [
            ("all", "0", "1"),
            ("default", "0", "1"),
            ("eth0", "0", "1"),
            ("eth1", "1", "0"),
            ("muster0", "0", "1"),
        ] {
            for (family, key, value) in [
                ("ipv4", "forwarding", forwarding),
                ("ipv6", "forwarding", forwarding),
                ("ipv6", "accept_ra", hears),
            ] {
                let folder = root.path().join(family).join("conf").join(name);
                fs::create_dir_all(&folder).unwrap();
                fs::write(folder.join(key), format!("{value}\n")).unwrap();
            }
        }
        let forwarding = Forwarding::new(root.path(), root.path().join("lib/forwarding"), "muster0");
        (root, forwarding)
    }

    fn settings(root: &Path) -> Vec<String> {
        let mut all = Vec::new();
        for family in ["ipv4", "ipv6"] {
            for name in ["all", "default", "eth0", "eth1", "muster0"] {
                for key in ["forwarding", "accept_ra"] {
                    let text = fs::read_to_string(root.join(family).join("conf").join(name).join(key));
                    all.extend(text.ok().map(|text| format!("{family} {name} {key} {}", text.trim())));
                }
            }
        }
        all
    }

    #[test]
    fn tunnels_forward_and_every_other_interface_stays_what_it_was() {
        let (root, forwarding) = machine();
        let before = settings(root.path());
        assert!(forwarding.is_ours().unwrap());
        forwarding.raise(&[]).unwrap();
        let raised: Vec<String> =
            settings(root.path()).into_iter().filter(|line| !before.contains(line)).collect();
        // A real kernel sets that of the tunnels with `all`; files do not.
        assert_eq!(raised, ["ipv4 muster0 forwarding 1", "ipv6 all forwarding 1"]);
        assert!(forwarding.is_ours().unwrap(), "known from before");
        forwarding.raise(&["eth0".to_owned()]).unwrap();
        assert!(settings(root.path()).contains(&"ipv4 eth0 forwarding 1".to_owned()));
        forwarding.lower().unwrap();
        assert_eq!(settings(root.path()), before);
        forwarding.lower().unwrap();
        assert_eq!(settings(root.path()), before, "nothing was noted any more");
    }

    #[test]
    fn what_forwarded_already_goes_on() {
        let (root, forwarding) = machine();
        fs::write(root.path().join(V6_ALL), "1\n").unwrap();
        assert!(!forwarding.is_ours().unwrap());
        forwarding.raise(&["eth1".to_owned()]).unwrap();
        forwarding.lower().unwrap();
        assert_eq!(fs::read_to_string(root.path().join(V6_ALL)).unwrap(), "1\n");
        assert!(settings(root.path()).contains(&"ipv4 eth1 forwarding 1".to_owned()));
    }

    #[test]
    fn note_leads_nowhere_but_to_switches() {
        let (root, forwarding) = machine();
        let other = root.path().join("other");
        fs::write(&other, "as it was").unwrap();
        put(&forwarding.note, b"../other\nipv4/conf/../../other/forwarding\n\xffodd\n").unwrap();
        assert!(forwarding.lower().is_err(), "that is no text");
        put(
            &forwarding.note,
            b"../other\nother\nipv4/conf/../../other/forwarding\nipv4/conf/gone/forwarding\n",
        )
        .unwrap();
        forwarding.lower().unwrap();
        assert_eq!(fs::read_to_string(other).unwrap(), "as it was");
        assert!(!root.path().join("ipv4/conf/gone").exists());
    }

    #[test]
    fn tunnels_have_ipv6_where_new_interfaces_have_none() {
        let (root, forwarding) = machine();
        let switch = root.path().join("ipv6/conf/muster0/disable_ipv6");
        fs::write(&switch, "1\n").unwrap();
        assert!(forwarding.allow_v6().unwrap());
        assert_eq!(fs::read_to_string(switch).unwrap(), "0");
    }

    #[test]
    fn kernel_without_ipv6_forwards_ipv4() {
        let (root, forwarding) = machine();
        assert!(forwarding.allow_v6().unwrap());
        fs::remove_dir_all(root.path().join("ipv6")).unwrap();
        assert!(!forwarding.allow_v6().unwrap());
        assert!(!forwarding.is_ours().unwrap());
        forwarding.raise(&[]).unwrap();
        forwarding.lower().unwrap();
    }
}
