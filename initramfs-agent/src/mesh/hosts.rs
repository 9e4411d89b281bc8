//! Names of members in `/etc/hosts`, between two lines that say whose they are. All else in the file stays byte for
//! byte, and the file is written whole or not at all.

use super::plan::Known;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

const BEGIN: &str = "# Members of the mesh network, written by muster-agent";
const END: &str = "# End of the members of the mesh network";
/// Longest file that is changed, in bytes: somebody's block list may be in it.
const MAX_HOSTS: u64 = 16 << 20;
/// Longest name of a host, in characters (RFC 1035).
const MAX_NAME: usize = 253;

/// Why the file stays as it is.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the names of members into {path}")]
pub(super) struct HostsError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// The lines of all members whose names are names of hosts; none when they are not wanted.
pub(super) fn lines(known: &Known) -> Option<String> {
    let own = known.own.as_ref().filter(|own| own.hosts)?;
    let mut lines = String::new();
    let peers = known.peers.values().map(|peer| (&peer.name, &peer.addresses));
    for (name, addresses) in std::iter::once((&own.name, &own.addresses)).chain(peers) {
        if is_host_name(name) && is_host_name(&own.network) {
            for address in addresses {
                lines.push_str(&line(*address, name, &own.network));
            }
        }
    }
    Some(lines)
}

fn line(address: IpAddr, name: &str, network: &str) -> String {
    format!("{address} {name}.{network}.mesh {name}\n")
}

/// A name that stands for itself in the file.
fn is_host_name(name: &str) -> bool {
    let fits = |label: &str| {
        let inner = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        inner && (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-')
    };
    name.len() <= MAX_NAME && name != "localhost" && name.split('.').all(fits)
}

/// Puts these lines into the file, or takes them out. Whether it was changed.
///
/// # Errors
/// [`HostsError`]; the file is as it was.
pub(super) fn write(path: &Path, lines: Option<&str>) -> Result<bool, HostsError> {
    put(path, lines).map_err(|source| HostsError { path: path.to_owned(), source })
}

fn put(path: &Path, lines: Option<&str>) -> io::Result<bool> {
    // A link leads to the file that is meant.
    let path = match path.canonicalize() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_owned(),
        found => found?,
    };
    let (before, owner) = match File::open(&path) {
        Ok(file) => {
            let owner = file.metadata()?;
            let mut bytes = Vec::new();
            file.take(MAX_HOSTS + 1).read_to_end(&mut bytes)?;
            if bytes.len() > usize::try_from(MAX_HOSTS).unwrap_or(usize::MAX) {
                return Err(io::Error::other(format!("it has more than {MAX_HOSTS} bytes")));
            }
            (bytes, Some(owner))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => (Vec::new(), None),
        Err(error) => return Err(error),
    };
    let after = with(&before, lines);
    if after == before {
        return Ok(false);
    }
    let new = path.with_extension("muster-new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(&new)?;
    file.set_permissions(owner.as_ref().map_or(Permissions::from_mode(0o644), fs::Metadata::permissions))?;
    if let Some(owner) = owner {
        fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
    }
    file.write_all(&after)?;
    file.sync_all()?;
    fs::rename(&new, &path)?;
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()?;
    Ok(true)
}

/// The text of the file with these lines instead of those that are there.
fn with(text: &[u8], lines: Option<&str>) -> Vec<u8> {
    let (mut before, after) = match ours(text) {
        Some((before, after)) => (before.to_vec(), after),
        None => (text.to_vec(), [].as_slice()),
    };
    if let Some(lines) = lines.filter(|lines| !lines.is_empty()) {
        if !before.is_empty() && !before.ends_with(b"\n") {
            before.push(b'\n');
        }
        before.extend(format!("{BEGIN}\n{lines}{END}\n").bytes());
    }
    before.extend(after);
    before
}

/// What stands before and behind our lines; none where there are none, or no end of them.
fn ours(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut place = 0;
    let (mut begin, mut end) = (None, None);
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let bare = line.strip_suffix(b"\n").unwrap_or(line);
        if bare == BEGIN.as_bytes() {
            // Without an end before it, an earlier one is somebody's remark.
            begin = Some(place);
        }
        place += line.len();
        if bare == END.as_bytes() && begin.is_some() {
            end = Some(place);
            break;
        }
    }
    Some((text.get(..begin?)?, text.get(end?..)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::plan::tests::{known, own, peer};
    use proptest::prelude::*;

    const OLD: &[u8] = b"127.0.0.1 localhost\n\xff\xfe not text\n10.0.0.9\tdb";

    #[test]
    fn members_are_named_twice_and_odd_names_are_left_out() {
        let mut all = known(own(), &[peer(2), peer(3)]);
        assert_eq!(lines(&all), None);
        all.own.as_mut().unwrap().hosts = true;
        all.peers.values_mut().last().unwrap().name = "two words\n10.0.0.1 bank".to_owned();
        assert_eq!(
            lines(&all).unwrap(),
            "10.20.0.1 web-1.home.mesh web-1\nfd00:20::1 web-1.home.mesh web-1\n\
             10.20.0.2 web-2.home.mesh web-2\nfd00:20::2 web-2.home.mesh web-2\n"
        );
        for name in ["", "a..b", "-a", "a b", "ä", "localhost", &"a".repeat(64)] {
            assert!(!is_host_name(name), "{name}");
        }
    }

    #[test]
    fn lines_come_and_go_and_the_rest_stays_byte_for_byte() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hosts");
        fs::write(&path, OLD).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        assert!(write(&path, Some("10.20.0.2 b\n")).unwrap());
        assert!(!write(&path, Some("10.20.0.2 b\n")).unwrap(), "nothing new");
        let there = fs::read(&path).unwrap();
        assert!(
            there.starts_with(OLD) && there.ends_with(format!("{BEGIN}\n10.20.0.2 b\n{END}\n").as_bytes())
        );
        assert!(write(&path, Some("10.20.0.3 c\n")).unwrap());
        assert!(!String::from_utf8_lossy(&fs::read(&path).unwrap()).contains("10.20.0.2"));
        assert!(write(&path, None).unwrap());
        assert_eq!(fs::read(&path).unwrap(), [OLD, b"\n"].concat());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn file_that_is_not_there_is_made_and_a_link_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("hosts"), folder.path().join("link"));
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(!write(&path, None).unwrap());
        assert!(write(&path, Some("10.20.0.2 b\n")).unwrap());
        assert!(write(&link, None).unwrap());
        assert!(link.is_symlink());
        assert_eq!(fs::read(&path).unwrap(), b"");
        let nowhere = write(Path::new("/proc/muster/hosts"), Some("x")).unwrap_err();
        assert_eq!(nowhere.to_string(), "cannot write the names of members into /proc/muster/hosts");
    }

    #[test]
    fn beginning_without_an_end_is_somebody_elses_line() {
        let text = format!("a\n{BEGIN}\nb\n");
        assert_eq!(with(text.as_bytes(), None), text.as_bytes());
        let twice = with(text.as_bytes(), Some("10.20.0.2 b\n"));
        assert_eq!(with(&twice, None), text.as_bytes());
    }

    proptest! {
        #[test]
        fn what_was_put_in_is_taken_out_again(text in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut ended = text.clone();
            if !ended.is_empty() && !ended.ends_with(b"\n") {
                ended.push(b'\n');
            }
            prop_assert_eq!(with(&with(&text, Some("10.20.0.2 b\n")), None), ended);
        }
    }
}
