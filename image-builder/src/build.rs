//! The build: from a request to a media directory.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use iso::manifest::{FileDigest, Identity, Manifest, ManifestError, Package, SCHEMA};
use iso::menu::{Marker, MenuError};
use thiserror::Error;

use crate::digest::sha256;
use crate::kernel::{Kernel, KernelError};
use crate::media::{BootFiles, MediaError};
use crate::modules::modinfo::is_static_program;
use crate::packages::{Deb, Listed, PackageError, Packages, look_up, look_up_one};
use crate::plan::{
    AGENT_FILE, BuildRequest, CHECKSUMS_FILE, INITRD_FILE, ISO_FILE, KERNEL_FILE, KernelSource,
    MANIFEST_FILE, Plan, PlanError,
};
use crate::progress::Progress;
use crate::publish::{PublishError, publish_media};
use crate::ramdisk::{self, RamdiskError};

/// Hexadecimal digits of a digest that tell one build's medium from another's.
const MARKER_DIGITS: usize = 16;

/// Why media were not built. Nothing was published.
#[derive(Debug, Error)]
pub enum BuildError {
    /// The request makes no sense.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The agent is not there.
    #[error("read the agent {path}: build it first, or name it with --agent")]
    Agent {
        /// Where it was looked for.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The agent would not start.
    #[error("the agent {0} is not a static x86-64 program: the kernel could not start it as /init")]
    AgentNotStatic(PathBuf),
    /// A package is missing.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// The kernel or its modules are unusable.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The initial ramdisk cannot be made.
    #[error(transparent)]
    Ramdisk(#[from] RamdiskError),
    /// The image cannot be made.
    #[error(transparent)]
    Media(#[from] MediaError),
    /// The marker cannot be made.
    #[error(transparent)]
    Marker(#[from] MenuError),
    /// The manifest cannot be written.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The directory cannot be written.
    #[error(transparent)]
    Publish(#[from] PublishError),
}

/// Builds media and publishes them in `request.out`.
///
/// Needs apt, dpkg-deb, grub-mkimage, mkfs.vfat and mtools; says which package has a missing one. The network is
/// used only for packages that are not in the cache.
///
/// # Errors
/// [`BuildError`]; the output directory is then as it was.
pub fn build(request: &BuildRequest, progress: &mut dyn FnMut(Progress)) -> Result<Manifest, BuildError> {
    let plan = Plan::new(request)?;
    let agent = read_agent(&request.agent)?;
    let sources = Sources { packages: Packages::new(&request.cache)?, request };
    let listed = look_up(&plan.packages)?;
    let debs: Result<Vec<Deb>, PackageError> =
        listed.iter().map(|listed| sources.fetch(listed, progress)).collect();
    let boot_files = BootFiles::unpack(&debs?)?;
    let mut used = boot_files.packages.clone();
    let kernel = match &request.kernel {
        KernelSource::Files { kernel, modules } => {
            Kernel::from_files(kernel, modules, request.profile, progress)?
        }
        KernelSource::Debian => {
            let (kernel, package) = sources.debian_kernel(progress)?;
            used.push(package);
            kernel
        }
    };
    used.sort_by(|a, b| a.name.cmp(&b.name));
    let initrd = ramdisk::build(&agent, &boot_files.busybox, &kernel)?;
    progress(Progress::Initrd { bytes: initrd.len() });

    let marker = marker(request, &kernel, &initrd)?;
    let identity = Identity {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        arch: request.arch.to_string(),
        kernel: kernel.release.clone(),
        profile: request.profile.to_string(),
        build_time: request.build_time,
        marker: marker.file_name().to_owned(),
    };
    let layout =
        boot_files.image(identity.clone(), marker, plan.menu, kernel.image.clone(), initrd.clone())?;
    progress(Progress::Image { bytes: layout.image.len() });

    let files: [(&str, &[u8]); 4] = [
        (ISO_FILE, &layout.image),
        (KERNEL_FILE, &kernel.image),
        (INITRD_FILE, &initrd),
        (AGENT_FILE, &agent),
    ];
    let manifest = Manifest {
        schema: SCHEMA,
        identity,
        files: digests(&files),
        regions: layout.regions,
        packages: used,
    };
    let json = manifest.to_json()?;
    let checksums = checksums(&manifest, &json);
    let mut all = files.to_vec();
    all.push((MANIFEST_FILE, &json));
    all.push((CHECKSUMS_FILE, checksums.as_bytes()));
    publish_media(&request.out, &all)?;
    Ok(manifest)
}

/// Where packages come from during one build.
struct Sources<'a> {
    packages: Packages,
    request: &'a BuildRequest,
}

impl Sources<'_> {
    fn fetch(&self, listed: &Listed, progress: &mut dyn FnMut(Progress)) -> Result<Deb, PackageError> {
        let deb = self.packages.fetch(listed)?;
        let (name, version) = (deb.package.name.clone(), deb.package.version.clone());
        progress(Progress::Package { name, version, cached: deb.cached });
        Ok(deb)
    }

    /// Debian's newest kernel of the profile; its package is not even fetched when it was packed before.
    fn debian_kernel(&self, progress: &mut dyn FnMut(Progress)) -> Result<(Kernel, Package), BuildError> {
        let BuildRequest { profile, cache, .. } = self.request;
        let meta = look_up_one(profile.kernel_package())?;
        let listed = look_up_one(meta.kernel_behind()?)?;
        let kernel = match Kernel::kept(&listed.package, *profile, cache) {
            Some(kernel) => {
                progress(Progress::KernelKept { release: kernel.release.clone() });
                kernel
            }
            None => Kernel::from_package(&self.fetch(&listed, progress)?, *profile, cache, progress)?,
        };
        Ok((kernel, listed.package))
    }
}

fn read_agent(path: &Path) -> Result<Vec<u8>, BuildError> {
    let agent = fs::read(path).map_err(|source| BuildError::Agent { path: path.to_owned(), source })?;
    if !is_static_program(&agent) {
        return Err(BuildError::AgentNotStatic(path.to_owned()));
    }
    Ok(agent)
}

/// A marker that only media with the same contents share.
fn marker(request: &BuildRequest, kernel: &Kernel, initrd: &[u8]) -> Result<Marker, MenuError> {
    let text = format!("{} {} {}", request.build_time, sha256(&kernel.image), sha256(initrd));
    let digest = sha256(text.as_bytes());
    Marker::new(digest.get(..MARKER_DIGITS).unwrap_or(&digest))
}

fn digests(files: &[(&str, &[u8])]) -> BTreeMap<String, FileDigest> {
    let digest = |bytes: &[u8]| FileDigest { size: bytes.len() as u64, sha256: sha256(bytes) };
    files.iter().map(|(name, bytes)| ((*name).to_owned(), digest(bytes))).collect()
}

/// Lines for `sha256sum --check`.
fn checksums(manifest: &Manifest, json: &[u8]) -> String {
    let files = manifest.files.iter().map(|(name, file)| (name.as_str(), file.sha256.clone()));
    let all: BTreeMap<&str, String> = files.chain([(MANIFEST_FILE, sha256(json))]).collect();
    all.iter().map(|(name, digest)| format!("{digest}  {name}\n")).collect()
}
