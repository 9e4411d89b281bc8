//! The build: from a request to a media directory.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use iso::manifest::{FileDigest, Identity, LOADERS_FOLDER, Manifest, ManifestError, SCHEMA};
use iso::menu::{Marker, MenuError};
use protocol::tools::{TOOLS_FILE, TicketError};
use thiserror::Error;

use crate::apt::{Listed, Lists};
use crate::crates::Linked;
use crate::digest::sha256;
use crate::firmware::{Firmware, FirmwareError};
use crate::kernel::{Kernel, KernelError};
use crate::licenses;
use crate::loaders::{self, LoaderError, Loaders};
use crate::media::{BootFiles, Content, MediaError};
use crate::modules::modinfo::is_static_program;
use crate::packages::{Deb, PackageError, Packages};
use crate::plan::{
    AGENT_FILE, BUSYBOX, BuildRequest, CHECKSUMS_FILE, GRUB_COMMON, INITRD_FILE, INSTALLER_FILE, ISO_FILE,
    KERNEL_FILE, KernelSource, LICENSES_FILE, MANIFEST_FILE, Plan, PlanError, SBOM_FILE,
};
use crate::progress::Progress;
use crate::publish::{PublishError, publish_media};
use crate::ramdisk::{self, Parcel, RamdiskError};
use crate::sbom::{self, Digests, Facts};
use crate::store::Store;
use crate::tools::{Tools, ToolsError};

/// Hexadecimal digits of a digest that tell one build's medium from another's.
const MARKER_DIGITS: usize = 16;

/// Why media were not built. Nothing was published.
#[derive(Debug, Error)]
pub enum BuildError {
    /// The request makes no sense.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// One of our own programs is not there.
    #[error("read the {what} {path}: build it first, or name it with --{what}")]
    Program {
        /// Which.
        what: &'static str,
        /// Where it was looked for.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// One of our own programs would not start.
    #[error("the {what} {path} is not a static x86-64 program: the boot image could not start it")]
    NotStatic {
        /// Which.
        what: &'static str,
        /// Its file.
        path: PathBuf,
    },
    /// A package is missing.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// The kernel or its modules are unusable.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The operator's firmware is unusable.
    #[error(transparent)]
    Firmware(#[from] FirmwareError),
    /// The boot loaders for network boot cannot be had.
    #[error(transparent)]
    Loaders(#[from] LoaderError),
    /// The tools cannot be gathered.
    #[error(transparent)]
    Tools(#[from] ToolsError),
    /// The tools are more than agents accept.
    #[error(transparent)]
    Ticket(#[from] TicketError),
    /// The initial ramdisk cannot be made.
    #[error(transparent)]
    Ramdisk(#[from] RamdiskError),
    /// The image cannot be made.
    #[error(transparent)]
    Media(#[from] MediaError),
    /// The marker cannot be made.
    #[error(transparent)]
    Marker(#[from] MenuError),
    /// The SBOM cannot be written, or the list of crates not be read.
    #[error("describe what is in the media")]
    Json(#[source] serde_json::Error),
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
    let agent = read_program("agent", &request.agent)?;
    let installer = read_program("installer", &request.installer)?;
    let linked = Linked::of(&agent).map_err(BuildError::Json)?;
    let store = Store::new(&request.cache);
    let firmware = request.firmware.as_deref().map(Firmware::read).transpose()?.unwrap_or_default();
    let mut sources = Sources::new(request, &store)?;
    let boot_files = sources.boot_files(&plan.packages, progress)?;
    let kernel = sources.kernel(progress)?;
    let tools = sources.tools(&installer, progress)?;
    let loaders = sources.loaders(progress)?;
    let ticket = tools.ticket.render()?;
    let ingredients = sources.used();
    let busybox = &boot_files.busybox;
    let parcel = Parcel { agent: &agent, busybox, kernel: &kernel, firmware: &firmware, ticket: &ticket };
    let initrd = ramdisk::build(&parcel, request.storage, &store)?;
    progress(Progress::Initrd { bytes: initrd.len() });

    let mut digests = BTreeMap::new();
    for (name, bytes) in [(KERNEL_FILE, &kernel.image), (INITRD_FILE, &initrd), (AGENT_FILE, &agent)] {
        digests.insert(name, Digests::of(bytes));
    }
    let marker = marker(request.build_time, &digests)?;
    let identity = identity(request, &kernel, &marker);
    let all: Vec<&Ingredient> = ingredients.iter().collect();
    let licenses = licenses::document(&all, &linked);
    // The image tells of what is on it; the tools and the loaders for network boot are fetched.
    let inside: Vec<&Ingredient> = all.into_iter().filter(|used| used.is_on_image()).collect();
    let on_image = licenses::document(&inside, &linked);
    let content = Content { identity: identity.clone(), marker, menu: plan.menu, licenses: on_image };
    let layout = boot_files.image(content, kernel.image.clone(), initrd.clone())?;
    progress(Progress::Image { bytes: layout.image.len() });

    digests.insert(ISO_FILE, Digests::of(&layout.image));
    digests.insert(INSTALLER_FILE, Digests::of(&installer));
    digests.insert(TOOLS_FILE, Digests::of(&tools.archive));
    digests.insert(LICENSES_FILE, Digests::of(licenses.as_bytes()));
    digests.extend(loaders.iter().map(|(path, bytes)| (path.as_str(), Digests::of(bytes))));
    let facts = Facts { identity: &identity, files: &digests, ingredients: &ingredients, linked: &linked };
    let sbom = sbom::document(&facts).map_err(BuildError::Json)?;
    let mut files: Vec<(&str, &[u8])> = vec![
        (ISO_FILE, &layout.image),
        (KERNEL_FILE, &kernel.image),
        (INITRD_FILE, &initrd),
        (AGENT_FILE, &agent),
        (INSTALLER_FILE, &installer),
        (TOOLS_FILE, &tools.archive),
        (LICENSES_FILE, licenses.as_bytes()),
        (SBOM_FILE, &sbom),
    ];
    digests.insert(SBOM_FILE, Digests::of(&sbom));
    files.extend(loaders.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())));
    let (listed, loaders) = listings(&files, &digests);
    let manifest = Manifest {
        schema: SCHEMA,
        files: listed,
        loaders,
        identity,
        regions: layout.regions,
        packages: ingredients.iter().map(|used| used.listed.package.clone()).collect(),
        firmware: firmware.files().map(|(name, bytes)| (name.to_owned(), file_digest(bytes))).collect(),
    };
    let json = manifest.to_json()?;
    let checksums = checksums(&manifest, &json);
    files.push((MANIFEST_FILE, &json));
    files.push((CHECKSUMS_FILE, checksums.as_bytes()));
    publish_media(&request.out, &files)?;
    Ok(manifest)
}

fn identity(request: &BuildRequest, kernel: &Kernel, marker: &Marker) -> Identity {
    Identity {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        arch: request.arch.to_string(),
        kernel: kernel.release.clone(),
        profile: request.profile.to_string(),
        build_time: request.build_time,
        marker: marker.file_name().to_owned(),
    }
}

/// Where packages come from during one build, and what was used of them.
struct Sources<'a> {
    request: &'a BuildRequest,
    store: &'a Store,
    lists: Lists<'a>,
    packages: Packages,
    used: Vec<Ingredient>,
}

impl<'a> Sources<'a> {
    fn new(request: &'a BuildRequest, store: &'a Store) -> Result<Self, BuildError> {
        let packages = Packages::new(&request.cache)?;
        Ok(Self { request, store, lists: Lists::open(store), packages, used: Vec::new() })
    }

    /// Boot code and busybox; their packages are not even looked for when they were read before.
    fn boot_files(
        &mut self,
        names: &[&str],
        progress: &mut dyn FnMut(Progress),
    ) -> Result<BootFiles, BuildError> {
        // One question for what is needed now and a little later.
        let later = [self.request.profile.kernel_package(), GRUB_COMMON];
        let loaders = if self.request.loaders { loaders::PACKAGES } else { &[] };
        self.lists.known(&[names, &later, loaders].concat())?;
        let listed = self.lists.look_up(names)?;
        let files = match BootFiles::kept(&listed, self.store) {
            Some(files) => files,
            None => {
                let debs = self.packages.fetch(&listed, progress)?;
                let read = |deb: &Deb| deb.read(|path| BootFiles::wants(&deb.listed.package.name, path));
                let contents = debs.iter().map(read).collect::<Result<Vec<_>, _>>()?;
                let terms = self.packages.terms(&contents, &self.lists, progress)?;
                BootFiles::new(&listed, contents, terms, self.store)?
            }
        };
        for listed in listed {
            let terms = files.terms.get(&listed.package.name).cloned().unwrap_or_default();
            let file = if listed.package.name == BUSYBOX { INITRD_FILE } else { ISO_FILE };
            self.used.push(Ingredient { listed, terms, files: vec![file.to_owned()] });
        }
        Ok(files)
    }

    /// The kernel; that of Debian is the newest of the profile, and not even fetched when it was packed before.
    fn kernel(&mut self, progress: &mut dyn FnMut(Progress)) -> Result<Kernel, BuildError> {
        let BuildRequest { profile, .. } = self.request;
        if let KernelSource::Files { kernel, modules } = &self.request.kernel {
            return Ok(Kernel::from_files(kernel, modules, *profile, progress)?);
        }
        let meta = self.lists.look_up_one(profile.kernel_package())?;
        let listed = self.lists.look_up_one(meta.kernel_behind()?)?;
        let kernel = match Kernel::kept(&listed.package, *profile, self.store) {
            Some(kernel) => {
                progress(Progress::KernelKept { release: kernel.release.clone() });
                kernel
            }
            None => {
                let debs = self.packages.fetch(std::slice::from_ref(&listed), progress)?;
                let deb = debs.first().ok_or_else(|| PackageError::Unknown(listed.package.name.clone()))?;
                Kernel::from_package(deb, *profile, self.store, progress)?
            }
        };
        let terms = kernel.terms.clone().unwrap_or_default();
        self.used.push(Ingredient { listed, terms, files: vec![KERNEL_FILE.to_owned()] });
        Ok(kernel)
    }

    /// Programs that are fetched when they are wanted: Debian's, and our installer.
    fn tools(&mut self, installer: &[u8], progress: &mut dyn FnMut(Progress)) -> Result<Tools, BuildError> {
        let tools = Tools::gather(&self.packages, &self.lists, self.store, progress)?;
        let tools = tools.with_program(INSTALLER_FILE, installer)?;
        for listed in &tools.listed {
            let terms = tools.terms.get(&listed.package.name).cloned().unwrap_or_default();
            let files = vec![TOOLS_FILE.to_owned()];
            self.uses(listed.clone(), terms, files);
        }
        progress(Progress::Tools { bytes: tools.archive.len(), packages: tools.listed.len() });
        Ok(tools)
    }

    /// Boot loaders for network boot, by their path in the media directory.
    fn loaders(
        &mut self,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<BTreeMap<String, Vec<u8>>, BuildError> {
        let path = |name: &str| format!("{LOADERS_FOLDER}/{name}");
        let own =
            self.request.own_loaders.as_deref().map(loaders::read_folder).transpose()?.unwrap_or_default();
        let mut files = BTreeMap::new();
        if self.request.loaders {
            let debian = Loaders::gather(&self.packages, &self.lists, self.store, progress)?;
            for listed in debian.listed {
                let of_package = Loaders::of(&listed.package.name).filter(|name| !own.contains_key(*name));
                let paths: Vec<String> = of_package.map(path).collect();
                let terms = debian.terms.get(&listed.package.name).cloned().unwrap_or_default();
                if !paths.is_empty() {
                    self.uses(listed, terms, paths);
                }
            }
            files.extend(debian.files.into_iter().map(|(name, bytes)| (path(&name), bytes)));
        }
        files.extend(own.into_iter().map(|(name, bytes)| (path(&name), bytes)));
        progress(Progress::Loaders { files: files.len(), bytes: files.values().map(Vec::len).sum() });
        Ok(files)
    }

    /// A package is in these files, and maybe in others that are known already.
    fn uses(&mut self, listed: Listed, terms: String, files: Vec<String>) {
        match self.used.iter_mut().find(|used| used.listed == listed) {
            Some(used) => used.files.extend(files),
            None => self.used.push(Ingredient { listed, terms, files }),
        }
    }

    /// The packages used, sorted by name.
    fn used(self) -> Vec<Ingredient> {
        let mut used = self.used;
        used.sort_by(|a, b| a.listed.package.name.cmp(&b.listed.package.name));
        used
    }
}

/// A package whose contents are in the media.
#[derive(Debug, Clone)]
pub(crate) struct Ingredient {
    pub(crate) listed: Listed,
    /// The terms it is under, as it says itself.
    pub(crate) terms: String,
    /// The files of the media directory that it is in: the one that has most of it, and each loader.
    pub(crate) files: Vec<String>,
}

impl Ingredient {
    fn is_on_image(&self) -> bool {
        let inside = [ISO_FILE, INITRD_FILE, KERNEL_FILE];
        self.files.iter().any(|file| inside.contains(&file.as_str()))
    }
}

/// What the manifest says of files: those of the directory itself, and of the loaders by their name.
fn listings(
    files: &[(&str, &[u8])],
    digests: &BTreeMap<&str, Digests>,
) -> (BTreeMap<String, FileDigest>, BTreeMap<String, FileDigest>) {
    let (mut listed, mut loaders) = (BTreeMap::new(), BTreeMap::new());
    for (path, bytes) in files {
        let sha256 = digests.get(path).map(|digests| digests.sha256.clone()).unwrap_or_default();
        let file = FileDigest { size: bytes.len() as u64, sha256 };
        match path.strip_prefix(LOADERS_FOLDER).and_then(|rest| rest.strip_prefix('/')) {
            Some(name) => loaders.insert(name.to_owned(), file),
            None => listed.insert((*path).to_owned(), file),
        };
    }
    (listed, loaders)
}

fn file_digest(bytes: &[u8]) -> FileDigest {
    FileDigest { size: bytes.len() as u64, sha256: sha256(bytes) }
}

fn read_program(what: &'static str, path: &Path) -> Result<Vec<u8>, BuildError> {
    let program =
        fs::read(path).map_err(|source| BuildError::Program { what, path: path.to_owned(), source })?;
    if !is_static_program(&program) {
        return Err(BuildError::NotStatic { what, path: path.to_owned() });
    }
    Ok(program)
}

/// A marker that only media with the same contents share.
fn marker(build_time: u64, files: &BTreeMap<&str, Digests>) -> Result<Marker, MenuError> {
    let digests: Vec<&str> = files.values().map(|file| file.sha256.as_str()).collect();
    let digest = sha256(format!("{build_time} {}", digests.join(" ")).as_bytes());
    Marker::new(digest.get(..MARKER_DIGITS).unwrap_or(&digest))
}

/// Lines for `sha256sum --check`.
fn checksums(manifest: &Manifest, json: &[u8]) -> String {
    let files = manifest.paths().map(|(name, file)| (name, file.sha256.clone()));
    let all: BTreeMap<String, String> = files.chain([(MANIFEST_FILE.to_owned(), sha256(json))]).collect();
    all.iter().map(|(name, digest)| format!("{digest}  {name}\n")).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use iso::manifest::Package;

    /// A package that exists nowhere.
    pub(crate) fn ingredient(name: &str, terms: &str) -> Ingredient {
        let package = Package { name: name.into(), version: "1:2+b1".into(), sha256: "ab".repeat(32) };
        let listed = Listed {
            package,
            architecture: "amd64".into(),
            maintainer: "A Team <team@example.org>".into(),
            source: (format!("{name}-src"), "1:2".into()),
            file_name: format!("{name}_1%3a2+b1_amd64.deb"),
            depends: vec![],
        };
        Ingredient { listed, terms: terms.into(), files: vec![ISO_FILE.to_owned()] }
    }
}
