//! Kernels, initial ramdisks and command lines by architecture, and their place in the boot tree.

use crate::names::canonical_arch;
use protocol::model::{ArchInfo, BootEnv};
use std::collections::BTreeSet;

/// The architecture of a bootenv that names none, and of machines nobody knows.
pub(crate) const DEFAULT_ARCH: &str = "amd64";

/// Where the boot tree has our own boot media, in whatever folder they were built.
pub const MEDIA_FOLDER: &str = "muster/";

/// Whether machines of this architecture can boot it. One that lists no architecture is for amd64,
/// or for all when it has no kernel.
pub fn supports(env: &BootEnv, arch: &str) -> bool {
    if env.os.supported_architectures.is_empty() {
        return env.kernel.is_empty() || known_by(arch) == DEFAULT_ARCH;
    }
    arch_info(env, arch).is_some()
}

/// Whether there is anything in it to boot from the network.
pub fn is_netbootable(env: &BootEnv) -> bool {
    env.only_unknown || !env.kernel.is_empty()
}

/// Whether it installs an operating system, by the end of its name.
pub fn is_install(env: &BootEnv) -> bool {
    env.name.ends_with("-install")
}

/// Its kernel on this architecture; empty where there is none.
pub fn kernel_for<'a>(env: &'a BootEnv, arch: &str) -> &'a str {
    either(env, arch, |info| &info.kernel, &env.kernel, |kernel| kernel.is_empty()).map_or("", String::as_str)
}

/// Its initial ramdisks on this architecture.
pub fn initrds_for<'a>(env: &'a BootEnv, arch: &str) -> &'a [String] {
    either(env, arch, |info| &info.initrds, &env.initrds, Vec::is_empty).map_or(&[], Vec::as_slice)
}

/// Its kernel command line on this architecture: a template.
pub fn boot_params_for<'a>(env: &'a BootEnv, arch: &str) -> &'a str {
    either(env, arch, |info| &info.boot_params, &env.boot_params, String::is_empty).map_or("", String::as_str)
}

/// Where a file of it lies in the boot tree: `march/arm64/install/vmlinuz0`. Without a file, the
/// folder. Never leads out of the tree.
pub fn tree_path(env: &BootEnv, arch: &str, file: &str) -> String {
    let arch = known_by(arch);
    let mut steps: Vec<&str> = Vec::new();
    let under = if arch == DEFAULT_ARCH { "" } else { arch };
    let install = if is_install(env) { "install" } else { "" };
    for step in [env.os.name.as_str(), under, install].into_iter().chain([file]).flat_map(|s| s.split('/')) {
        match step {
            "" | "." => {}
            ".." => drop(steps.pop()),
            step => steps.push(step),
        }
    }
    steps.join("/")
}

/// Every file of the boot tree that it needs, on all its architectures.
pub fn needed_files(env: &BootEnv) -> BTreeSet<String> {
    let mut files = BTreeSet::new();
    let listed = env.os.supported_architectures.keys().map(String::as_str);
    let default = env.os.supported_architectures.is_empty().then_some(DEFAULT_ARCH);
    for arch in listed.chain(default) {
        let kernel = Some(kernel_for(env, arch)).filter(|kernel| !kernel.is_empty());
        let initrds = initrds_for(env, arch).iter().map(String::as_str).filter(|file| !file.is_empty());
        files.extend(kernel.into_iter().chain(initrds).map(|file| tree_path(env, arch, file)));
    }
    files
}

/// Why it cannot be booted: each file that it needs and the boot tree does not have.
pub fn missing(env: &BootEnv, missing_files: &BTreeSet<String>) -> Vec<String> {
    let needed = needed_files(env);
    let absent = needed.intersection(missing_files);
    let told = |file: &String| match file.strip_prefix(MEDIA_FOLDER) {
        Some(_) => {
            format!("there is no file {file}; run `muster media build` and start the server with --media-dir")
        }
        None => format!("the boot tree has no file {file}; put it there"),
    };
    absent.map(told).collect()
}

/// What is written under an architecture, by whatever name the bootenv calls it.
fn arch_info<'a>(env: &'a BootEnv, arch: &str) -> Option<&'a ArchInfo> {
    let listed = &env.os.supported_architectures;
    listed.get(arch).or_else(|| {
        let wanted = known_by(arch);
        listed.iter().find(|(name, _)| known_by(name) == wanted).map(|(_, info)| info)
    })
}

/// The architecture's own value, else the bootenv's, else nothing when it is not for the architecture.
fn either<'a, T>(
    env: &'a BootEnv,
    arch: &str,
    of: impl Fn(&'a ArchInfo) -> &'a T,
    common: &'a T,
    is_empty: impl Fn(&T) -> bool,
) -> Option<&'a T> {
    match arch_info(env, arch).map(of) {
        Some(own) if !is_empty(own) => Some(own),
        Some(_) => Some(common),
        None => supports(env, arch).then_some(common),
    }
}

/// The canonical name of an architecture; a stranger keeps its own.
fn known_by(arch: &str) -> &str {
    canonical_arch(arch).unwrap_or(arch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::model::OsInfo;

    fn march(name: &str) -> BootEnv {
        let arm = ArchInfo {
            kernel: "vmlinuz-arm".into(),
            initrds: vec!["/boot/initrd-arm".into()],
            ..ArchInfo::default()
        };
        BootEnv {
            name: name.into(),
            os: OsInfo {
                name: "march".into(),
                supported_architectures: [
                    ("x86_64".to_owned(), ArchInfo::default()),
                    ("arm64".to_owned(), arm),
                ]
                .into(),
                ..OsInfo::default()
            },
            kernel: "vmlinuz0".into(),
            initrds: vec!["stage1.img".into(), "stage2.img".into()],
            boot_params: "quiet".into(),
            ..BootEnv::default()
        }
    }

    #[test]
    fn tree_has_a_folder_for_the_architecture_and_for_installing() {
        for (name, arch, path) in [
            ("march", "amd64", "march/vmlinuz0"),
            ("march", "x86_64", "march/vmlinuz0"),
            ("march", "arm64", "march/arm64/vmlinuz0"),
            ("march-install", "amd64", "march/install/vmlinuz0"),
            ("march-install", "aarch64", "march/arm64/install/vmlinuz0"),
            ("march-install-not", "amd64", "march/vmlinuz0"),
        ] {
            assert_eq!(tree_path(&march(name), arch, "vmlinuz0"), path);
            assert_eq!(tree_path(&march(name), arch, "/./vmlinuz0"), path);
        }
        assert_eq!(tree_path(&march("march"), "amd64", ""), "march");
        assert_eq!(tree_path(&march("march"), "amd64", "../../../etc/passwd"), "etc/passwd");
    }

    #[test]
    fn architecture_has_its_own_files_and_the_common_ones_else() {
        let env = march("march-install");
        assert_eq!(kernel_for(&env, "amd64"), "vmlinuz0");
        assert_eq!(kernel_for(&env, "arm64"), "vmlinuz-arm");
        assert_eq!(kernel_for(&env, "aarch64"), "vmlinuz-arm");
        assert_eq!(kernel_for(&env, "s390x"), "");
        assert_eq!(initrds_for(&env, "arm64"), ["/boot/initrd-arm"]);
        assert_eq!(initrds_for(&env, "amd64").len(), 2);
        assert!(initrds_for(&env, "s390x").is_empty());
        assert_eq!(boot_params_for(&env, "arm64"), "quiet");
        assert_eq!(boot_params_for(&env, "s390x"), "");
    }

    #[test]
    fn bootenv_without_architectures_is_for_amd64() {
        let mut env = march("march");
        assert!(supports(&env, "arm64") && supports(&env, "aarch64") && supports(&env, "amd64"));
        assert!(!supports(&env, "ppc64le"));
        env.os.supported_architectures.clear();
        assert!(supports(&env, "amd64") && !supports(&env, "arm64"));
        env.kernel.clear();
        assert!(supports(&env, "arm64"), "nothing in it is of an architecture");
    }

    #[test]
    fn files_that_are_missing_are_named() {
        let env = march("march-install");
        let needed = needed_files(&env);
        let expected = [
            "march/arm64/install/boot/initrd-arm",
            "march/arm64/install/vmlinuz-arm",
            "march/install/stage1.img",
            "march/install/stage2.img",
            "march/install/vmlinuz0",
        ];
        assert_eq!(needed.iter().collect::<Vec<_>>(), expected);
        assert!(missing(&env, &BTreeSet::new()).is_empty());
        let absent = BTreeSet::from(["march/install/vmlinuz0".to_owned(), "other/vmlinuz".to_owned()]);
        assert_eq!(
            missing(&env, &absent),
            ["the boot tree has no file march/install/vmlinuz0; put it there"]
        );
    }

    #[test]
    fn network_boots_what_has_a_kernel_or_is_for_strangers() {
        assert!(is_netbootable(&march("a")));
        assert!(!is_netbootable(&BootEnv::default()));
        assert!(is_netbootable(&BootEnv { only_unknown: true, ..BootEnv::default() }));
    }
}
