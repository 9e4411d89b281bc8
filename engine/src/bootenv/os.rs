//! Families and versions of operating systems.

use protocol::model::OsInfo;

/// The family: what is given, else the name's part before the first dash.
pub fn family(os: &OsInfo) -> &str {
    if os.family.is_empty() { parts(os).0 } else { &os.family }
}

/// The version: what is given, else the name's part behind the first dash, which may be empty.
pub fn family_version(os: &OsInfo) -> &str {
    if os.version.is_empty() { parts(os).1 } else { &os.version }
}

/// The sort of family that installers go by: `rhel`, `debian`, or the family itself.
pub fn family_type(os: &OsInfo) -> &str {
    match family(os) {
        "centos" | "redhat" | "fedora" | "scientificlinux" => "rhel",
        "debian" | "ubuntu" => "debian",
        other => other,
    }
}

/// Whether the version begins with these parts: 7.9 is a 7, and no 7.9.1.
pub fn version_eq(os: &OsInfo, wanted: &str) -> bool {
    let mut actual = family_version(os).split('.');
    wanted.split('.').all(|part| actual.next() == Some(part))
}

fn parts(os: &OsInfo) -> (&str, &str) {
    os.name.split_once('-').unwrap_or((&os.name, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> OsInfo {
        OsInfo { name: name.to_owned(), ..OsInfo::default() }
    }

    #[test]
    fn family_and_version_are_parts_of_the_name_unless_given() {
        for (name, parts, sort) in [
            ("centos-7.9", ("centos", "7.9"), "rhel"),
            ("redhat-8", ("redhat", "8"), "rhel"),
            ("fedora-41", ("fedora", "41"), "rhel"),
            ("scientificlinux-7", ("scientificlinux", "7"), "rhel"),
            ("debian-12", ("debian", "12"), "debian"),
            ("ubuntu-22.04-server", ("ubuntu", "22.04-server"), "debian"),
            ("march", ("march", ""), "march"),
            ("", ("", ""), ""),
        ] {
            let os = named(name);
            assert_eq!((family(&os), family_version(&os)), parts, "{name}");
            assert_eq!(family_type(&os), sort, "{name}");
        }
        let given = OsInfo { family: "ubuntu".into(), version: "24".into(), ..named("mint-22") };
        assert_eq!((family(&given), family_version(&given), family_type(&given)), ("ubuntu", "24", "debian"));
    }

    #[test]
    fn version_is_compared_by_its_parts() {
        let os = named("centos-7.9.2009");
        for (wanted, equal) in [
            ("7", true),
            ("7.9", true),
            ("7.9.2009", true),
            ("7.9.2009.1", false),
            ("7.90", false),
            ("8", false),
            ("", false),
        ] {
            assert_eq!(version_eq(&os, wanted), equal, "{wanted}");
        }
    }
}
