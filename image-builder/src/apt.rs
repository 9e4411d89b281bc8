//! What apt's lists say about packages.
//!
//! apt-cache reads all of Debian's lists for every question, half a second of work. Its answers are kept as long
//! as none of the files they come from has changed.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use iso::manifest::Package;

use crate::packages::PackageError;
use crate::store::{Parts, Store};
use crate::tool::{Tool, ToolError};

/// Where apt keeps its lists, its settings and the versions that are installed; each decides on candidates.
const SOURCES: &[&str] = &["/var/lib/apt/lists", "/etc/apt", "/var/lib/dpkg/status"];
/// Levels of directories in those.
const MAX_DEPTH: usize = 4;
const SHELF: &str = "listing";
const ANSWER: &str = "answer";

/// What apt's lists say about a package's candidate version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) package: Package,
    pub(crate) architecture: String,
    /// Who packaged it: `NAME <ADDRESS>`.
    pub(crate) maintainer: String,
    /// The source package, and its version.
    pub(crate) source: (String, String),
    /// The name apt gives the downloaded file.
    pub(crate) file_name: String,
    /// Names in `Pre-Depends` and `Depends`, in order, alternatives included.
    pub(crate) depends: Vec<String>,
}

impl Listed {
    /// The kernel package behind a meta package such as `linux-image-amd64`.
    pub(crate) fn kernel_behind(&self) -> Result<&str, PackageError> {
        self.depends
            .iter()
            .map(String::as_str)
            .find(|name| name.starts_with("linux-image-"))
            .ok_or_else(|| PackageError::NoKernel(self.package.name.clone()))
    }
}

/// apt's lists as they are now.
#[derive(Debug)]
pub(crate) struct Lists<'a> {
    store: &'a Store,
    /// Of all files behind the answers; `None` when they lie somewhere else.
    fingerprint: Option<String>,
    /// What was asked for in this run, and what there was.
    asked: RefCell<BTreeMap<String, Option<Listed>>>,
}

impl<'a> Lists<'a> {
    /// Looks at the files, and reads none.
    pub(crate) fn open(store: &'a Store) -> Self {
        Self { store, fingerprint: fingerprint(), asked: RefCell::default() }
    }

    /// Looks packages up, in the order asked for.
    ///
    /// # Errors
    /// [`PackageError::Unknown`] names the first that apt does not know.
    pub(crate) fn look_up(&self, names: &[&str]) -> Result<Vec<Listed>, PackageError> {
        let listed = self.known(names)?;
        let missing = |name: &&&str| !listed.iter().any(|listed| listed.package.name == **name);
        match names.iter().find(missing) {
            Some(name) => Err(PackageError::Unknown((*name).to_owned())),
            None => Ok(listed),
        }
    }

    /// Looks one package up.
    pub(crate) fn look_up_one(&self, name: &str) -> Result<Listed, PackageError> {
        self.look_up(&[name])?.pop().ok_or_else(|| PackageError::Unknown(name.to_owned()))
    }

    /// Those of the packages that apt knows, in the order asked for. Asking for many at once is as cheap as for one.
    pub(crate) fn known(&self, names: &[&str]) -> Result<Vec<Listed>, PackageError> {
        let mut asked = self.asked.borrow_mut();
        let new: Vec<&str> = names.iter().copied().filter(|name| !asked.contains_key(*name)).collect();
        if !new.is_empty() {
            let found = self.answer(&new)?;
            let of = |name: &str| found.iter().find(|listed| listed.package.name == name).cloned();
            asked.extend(new.into_iter().map(|name| (name.to_owned(), of(name))));
        }
        Ok(names.iter().filter_map(|name| asked.get(*name)?.clone()).collect())
    }

    /// apt's answer, kept or new.
    fn answer(&self, names: &[&str]) -> Result<Vec<Listed>, PackageError> {
        let key = self.fingerprint.as_ref().map(|files| format!("{files}\n{}", names.join(" ")));
        let read = |text: &str| text.split("\n\n").filter_map(parse).collect::<Vec<Listed>>();
        if let Some(kept) = key.as_ref().and_then(|key| self.store.load(SHELF, key)?.remove(ANSWER)) {
            return Ok(read(&String::from_utf8_lossy(&kept)));
        }
        let text = ask(names)?;
        let listed = read(&text);
        if let (Some(key), false) = (key, listed.is_empty()) {
            self.store.keep(SHELF, &key, &Parts::from([(ANSWER.to_owned(), text.into_bytes())]))?;
        }
        Ok(listed)
    }
}

fn ask(names: &[&str]) -> Result<String, PackageError> {
    match Tool::APT_CACHE.command().args(["show", "--no-all-versions"]).args(names).output() {
        Ok(text) => Ok(text),
        // apt-cache fails only when it knows none of them.
        Err(ToolError::Failed { .. }) => Ok(String::new()),
        Err(error @ (ToolError::Missing { .. } | ToolError::Run { .. })) => Err(error.into()),
    }
}

/// Names, lengths and dates of all files that apt's answers come from.
fn fingerprint() -> Option<String> {
    if env::var_os("APT_CONFIG").is_some() {
        return None;
    }
    let mut lines = Vec::new();
    for path in SOURCES {
        stat(Path::new(path), MAX_DEPTH, &mut lines).ok()?;
    }
    lines.sort();
    Some(lines.concat())
}

fn stat(path: &Path, depth: usize, lines: &mut Vec<String>) -> io::Result<()> {
    let data = fs::metadata(path)?;
    if data.is_dir() {
        // Half-loaded lists come and go in directories that only apt may read.
        let entries = match fs::read_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(()),
            entries => entries?,
        };
        let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<PathBuf>>>()?;
        paths.retain(|path| path.file_name().is_none_or(|name| name != "partial" && name != "lock"));
        let next = depth.checked_sub(1).ok_or(io::ErrorKind::InvalidInput)?;
        return paths.iter().try_for_each(|path| stat(path, next, lines));
    }
    lines.push(format!("{} {} {}.{}\n", path.display(), data.len(), data.mtime(), data.mtime_nsec()));
    Ok(())
}

/// Reads one paragraph of `apt-cache show`.
fn parse(text: &str) -> Option<Listed> {
    let field =
        |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(": ")).map(str::trim);
    let (name, version, architecture) = (field("Package")?, field("Version")?, field("Architecture")?);
    let sha256 = field("SHA256")?;
    // The name apt gives a downloaded file: the epoch's colon is written as in a URL.
    let file_name = format!("{name}_{}_{architecture}.deb", version.replace(':', "%3a"));
    if file_name.contains('/') {
        return None;
    }
    let depends = [field("Pre-Depends"), field("Depends")].into_iter().flatten();
    let depends = depends.flat_map(|list| list.split([',', '|'])).filter_map(|part| {
        let word = part.split_whitespace().next()?;
        Some(word.split(':').next().unwrap_or(word).to_owned())
    });
    Some(Listed {
        package: Package { name: name.to_owned(), version: version.to_owned(), sha256: sha256.to_owned() },
        architecture: architecture.to_owned(),
        maintainer: field("Maintainer").unwrap_or_default().to_owned(),
        source: source(field("Source"), name, version),
        file_name,
        depends: depends.collect(),
    })
}

/// `NAME (VERSION)`, each left out where it is the package's own.
fn source(field: Option<&str>, name: &str, version: &str) -> (String, String) {
    let field = field.unwrap_or(name);
    let (source, rest) = field.split_once(' ').unwrap_or((field, ""));
    let own = rest.trim().trim_start_matches('(').trim_end_matches(')');
    (source.to_owned(), if own.is_empty() { version } else { own }.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOW: &str = "Package: busybox-static\nSource: busybox (1:1.35.0-4+deb12u1)\n\
        Version: 1:1.35.0-4+deb12u1+b1\nArchitecture: amd64\nMaintainer: A Team <team@example.org>\n\
        Pre-Depends: libc6 (>= 2.34)\nDepends: linux-image-6.1.0-56-amd64 (= 6.1.192-2), perl:any | other\n\
        Description: Standalone rescue shell\nSHA256: 00ff\n\nPackage: other\nVersion: 2\n";

    #[test]
    fn the_candidate_version_is_read_from_apts_lists() {
        let listed = parse(SHOW).unwrap();
        assert_eq!(listed.package.name, "busybox-static");
        assert_eq!(listed.package.version, "1:1.35.0-4+deb12u1+b1");
        assert_eq!(listed.file_name, "busybox-static_1%3a1.35.0-4+deb12u1+b1_amd64.deb");
        assert_eq!(listed.package.sha256, "00ff");
        assert_eq!(listed.source, ("busybox".to_owned(), "1:1.35.0-4+deb12u1".to_owned()));
        assert_eq!(listed.depends, ["libc6", "linux-image-6.1.0-56-amd64", "perl", "other"]);
        assert_eq!(listed.kernel_behind().unwrap(), "linux-image-6.1.0-56-amd64");
    }

    #[test]
    fn a_source_package_has_the_names_that_are_not_said() {
        let told = |field| source(field, "lvm2", "2.03");
        assert_eq!(told(None), ("lvm2".to_owned(), "2.03".to_owned()));
        assert_eq!(told(Some("other")), ("other".to_owned(), "2.03".to_owned()));
        assert_eq!(told(Some("other (7)")), ("other".to_owned(), "7".to_owned()));
    }

    #[test]
    fn an_answer_without_a_hash_is_no_package() {
        assert_eq!(parse("Package: a\nVersion: 1\nArchitecture: all\n"), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn a_package_nobody_has_says_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path());
        let error = Lists::open(&store).look_up(&["muster-no-such-package"]).unwrap_err().to_string();
        assert!(error.contains("`muster-no-such-package`: run `apt-get update`"), "{error}");
    }

    #[test]
    fn an_answer_is_kept_until_a_list_changes() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path());
        let lists = |files: &str| Lists {
            store: &store,
            fingerprint: Some(files.to_owned()),
            asked: RefCell::default(),
        };
        let kept = Parts::from([(ANSWER.to_owned(), SHOW.as_bytes().to_vec())]);
        store.keep(SHELF, "lists of today\nbusybox-static", &kept).unwrap();
        let listed = lists("lists of today").look_up_one("busybox-static").unwrap();
        assert_eq!(listed.package.sha256, "00ff");
        let listed = lists("lists of tomorrow").look_up_one("busybox-static").unwrap();
        assert_eq!(listed.package.sha256.len(), 64);
    }
}
