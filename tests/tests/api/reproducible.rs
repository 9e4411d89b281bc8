//! Two builds of the same media have nothing in common but the request, and the same bytes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tests::media::agent;
use tests::output::muster_binary;

/// Date of what is built, in seconds since 1970.
const BUILD_TIME: &str = "1700000000";

/// Where one build happens.
struct Surroundings<'a> {
    folder: PathBuf,
    cache: &'a Path,
    umask: &'a str,
    /// What the machine believes the time to be.
    clock: &'a str,
    time_zone: &'a str,
    locale: &'a str,
}

impl Surroundings<'_> {
    /// Builds and gives back the media directory.
    fn build(&self, profile: &str) -> PathBuf {
        fs::create_dir_all(&self.folder).unwrap();
        let out = self.folder.join("media");
        let script = "umask \"$0\" && exec faketime \"$@\"";
        let output = Command::new("sh")
            .args(["-c", script, self.umask, self.clock])
            .arg(muster_binary().unwrap())
            .args(["media", "build", "--profile", profile, "--out"])
            .arg(&out)
            .arg("--agent")
            .arg(agent())
            .current_dir(&self.folder)
            .env("SOURCE_DATE_EPOCH", BUILD_TIME)
            .env("HOME", &self.folder)
            .env("XDG_CACHE_HOME", self.cache)
            .env("TZ", self.time_zone)
            .env("LC_ALL", self.locale)
            .env("LANG", self.locale)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        out
    }
}

/// The files of a media directory by their path, those in its folder of loaders included.
fn names(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            names.extend(self::names(&path).into_iter().map(|inner| format!("{name}/{inner}")));
        } else {
            names.push(name.to_owned());
        }
    }
    names.sort();
    names
}

/// The user's cache of downloaded packages without any kept result, so that only the work is done anew.
fn cold_cache(warm: &Path, folder: &Path) -> PathBuf {
    let packages = folder.join("cache/muster/packages");
    fs::create_dir_all(&packages).unwrap();
    for name in names(&warm.join("muster/packages")) {
        // What a build at the same time is about to rename is no package yet.
        if name.ends_with(".deb") {
            fs::copy(warm.join("muster/packages").join(&name), packages.join(&name)).unwrap();
        }
    }
    folder.join("cache")
}

fn compare(profile: &str) {
    let folder = tempfile::tempdir().unwrap();
    let warm = user_cache();
    let first = Surroundings {
        folder: folder.path().join("here"),
        cache: &warm,
        umask: "022",
        clock: "2024-02-29 12:00:00",
        time_zone: "UTC",
        locale: "C",
    };
    let first = first.build(profile);
    let cold = cold_cache(&warm, folder.path());
    let second = Surroundings {
        folder: folder.path().join("a rather/different place"),
        cache: &cold,
        umask: "077",
        clock: "2031-07-08 09:10:11",
        time_zone: "Asia/Kathmandu",
        locale: "de_DE.UTF-8",
    };
    let second = second.build(profile);
    assert_eq!(names(&first), names(&second));
    let has = |name: &str| names(&first).iter().any(|found| found == name);
    assert!(names(&first).len() >= 9 && has("loaders/shimx64.efi"), "{:?}", names(&first));
    for name in names(&first) {
        let (one, other) = (fs::read(first.join(&name)).unwrap(), fs::read(second.join(&name)).unwrap());
        assert!(one == other, "{profile}: {name} differs between two builds");
    }
}

/// Where the user's own builds keep what they downloaded.
fn user_cache() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").expect("HOME is set")).join(".cache");
    std::env::var_os("XDG_CACHE_HOME").map_or_else(home, PathBuf::from)
}

#[test]
fn two_builds_in_other_surroundings_are_the_same_bytes() {
    compare("cloud");
    if std::env::var_os("FULL").is_some() {
        compare("generic");
    }
}
