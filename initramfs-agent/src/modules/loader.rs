//! The loader itself: blocking, one module after the other.

use super::ModulesError;
use crate::report::chain;
use nix::errno::Errno;
use protocol::module_index::{self, ModuleIndex};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CStr;
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use tokio::sync::watch;

/// Where modules live.
const MODULES: &str = "/lib/modules";
/// Where devices live.
const DEVICES: &str = "/sys/devices";
/// Largest module after decompression, in bytes; Debian's largest has 13 MB.
pub(super) const MAX_MODULE: u64 = 64 * 1_024 * 1_024;
/// Deepest directory below `/sys/devices` that is looked into.
const MAX_DEPTH: usize = 32;
/// Most walks of one coldplug: each finds the devices behind one more level of buses.
const MAX_ROUNDS: usize = 16;
/// Loaded whatever hardware there is, when the image carries them. `af_packet` is the DHCP
/// client's socket, `efivarfs` keeps the machine key, `evdev` and `button` are the power button.
const ALWAYS: [&str; 4] = ["af_packet", "efivarfs", "evdev", "button"];

/// Why one module is not loaded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// The image does not carry it.
    #[error("module {0} is not in this image; build the medium with profile generic")]
    Unknown(String),
    /// Its file cannot be read or unpacked.
    #[error("module {name} cannot be read")]
    File {
        /// Module.
        name: String,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// Larger than [`MAX_MODULE`].
    #[error("module {0} has more than {MAX_MODULE} bytes")]
    TooLarge(String),
    /// The kernel refuses it.
    #[error("module {name} is refused: {}", remedy(*.source))]
    Refused {
        /// Module.
        name: String,
        /// The kernel's reason.
        #[source]
        source: Errno,
    },
}

/// Says what a refusal means, for the reasons that people meet.
#[expect(clippy::wildcard_enum_match_arm, reason = "errno is the kernel's enum, not ours")]
fn remedy(errno: Errno) -> &'static str {
    match errno {
        Errno::EKEYREJECTED => "Secure Boot is on and its signature is not known to this kernel",
        Errno::ENOEXEC => "it was built for another kernel",
        Errno::ENODEV => "its hardware is not there",
        Errno::ENOENT => "it needs a symbol of a module this image lacks",
        other => other.desc(),
    }
}

/// How far loading has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Modules the kernel took so far.
    pub(crate) loaded: usize,
    /// Modules that failed, with the reason, for the verbose screen.
    pub(crate) failed: usize,
    /// Module being loaded, or the last one.
    pub(crate) current: String,
}

/// What a coldplug achieved.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    /// Different aliases seen.
    pub(crate) aliases: usize,
    /// Modules loaded in this run.
    pub(crate) loaded: usize,
    /// Sentences about what failed: never fatal, since another driver may do.
    pub(crate) failures: Vec<String>,
}

/// How a module image reaches the kernel, with its parameters.
pub(super) type Insert = Box<dyn FnMut(&[u8], &CStr) -> Result<(), Errno> + Send>;

/// Loads modules with what they depend on.
pub(crate) struct Loader {
    directory: PathBuf,
    devices: PathBuf,
    index: ModuleIndex,
    /// What the modules were compressed with; empty for nothing.
    dictionary: Vec<u8>,
    pub(super) insert: Insert,
    done: BTreeSet<String>,
    failed: BTreeMap<String, String>,
    seen: BTreeSet<String>,
    pub(super) progress: watch::Sender<Progress>,
}

impl std::fmt::Debug for Loader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loader")
            .field("directory", &self.directory)
            .field("done", &self.done)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

impl Loader {
    /// A loader for the running kernel.
    ///
    /// # Errors
    /// [`ModulesError::Missing`] when the image is for another kernel, or damaged.
    pub(crate) fn of_running_kernel() -> Result<Self, ModulesError> {
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").map_err(ModulesError::Version)?;
        let kernel = kernel.trim();
        let insert = Box::new(|image: &[u8], parameters: &CStr| nix::kmod::init_module(image, parameters));
        Self::open(&Path::new(MODULES).join(kernel), Path::new(DEVICES), kernel, insert)
    }

    pub(super) fn open(
        directory: &Path,
        devices: &Path,
        kernel: &str,
        insert: Insert,
    ) -> Result<Self, ModulesError> {
        let missing = |source| ModulesError::Missing { kernel: kernel.to_owned(), source };
        let file = File::open(directory.join(module_index::FILE_NAME)).map_err(missing)?;
        // One byte more than the limit, so that the parser sees what is too long.
        let limit = u64::try_from(module_index::MAX_INDEX_LEN).unwrap_or(u64::MAX).saturating_add(1);
        let mut text = String::new();
        file.take(limit).read_to_string(&mut text).map_err(missing)?;
        let index = ModuleIndex::parse(&text).map_err(ModulesError::Index)?;
        if index.kernel() != kernel {
            return Err(missing(io::Error::other(format!("its index is for kernel {}", index.kernel()))));
        }
        Ok(Self {
            directory: directory.to_owned(),
            devices: devices.to_owned(),
            index,
            dictionary: read_dictionary(directory).map_err(missing)?,
            insert,
            done: BTreeSet::new(),
            failed: BTreeMap::new(),
            seen: BTreeSet::new(),
            progress: watch::Sender::default(),
        })
    }

    /// Loads a module by name, and what it needs first. Built in and already there are fine.
    ///
    /// # Errors
    /// [`LoadError`] of the module, or of the first it cannot do without.
    pub(crate) fn load(&mut self, name: &str) -> Result<(), LoadError> {
        if self.index.is_builtin(name) {
            return Ok(());
        }
        let steps: Vec<(String, String, bool)> = self
            .index
            .load_order(name)
            .into_iter()
            .map(|step| (step.module.name.clone(), step.module.path.clone(), step.required))
            .collect();
        if steps.is_empty() {
            return Err(LoadError::Unknown(name.to_owned()));
        }
        for (name, path, required) in steps {
            if self.done.contains(&name) {
                continue;
            }
            match self.insert_file(&name, &path) {
                Ok(()) => {
                    self.failed.remove(&name);
                    self.done.insert(name);
                }
                Err(error) => {
                    self.blame(&name, &error);
                    if required {
                        self.report("");
                        return Err(error);
                    }
                }
            }
        }
        self.report("");
        Ok(())
    }

    /// Loads everything the index knows for an alias, once per alias. Failures are kept.
    pub(crate) fn load_alias(&mut self, alias: &str) {
        if !self.seen.insert(alias.to_owned()) {
            return;
        }
        let names: Vec<String> = self.index.matching(alias).into_iter().map(str::to_owned).collect();
        for name in names {
            if let Err(error) = self.load(&name) {
                self.blame(&name, &error);
            }
        }
    }

    /// Loads what a name stands for: a module, or every module that has it as an alias.
    ///
    /// # Errors
    /// [`LoadError`] when there is none, or when the kernel takes none of them.
    pub(super) fn load_named(&mut self, name: &str) -> Result<(), LoadError> {
        let names: Vec<String> = self.index.matching(name).into_iter().map(str::to_owned).collect();
        let mut outcome = Err(LoadError::Unknown(name.to_owned()));
        for module in names {
            let loaded = self.load(&module);
            outcome = outcome.or(loaded);
        }
        outcome
    }

    /// Loads what all devices of the machine ask for, until nothing new appears.
    pub(crate) fn coldplug(&mut self) -> Summary {
        let before = self.done.len();
        for name in ALWAYS {
            // The phases that need one say what they lack.
            if self.index.module(name).is_some()
                && let Err(error) = self.load(name)
            {
                self.blame(name, &error);
            }
        }
        for _ in 0..MAX_ROUNDS {
            let fresh: Vec<String> =
                aliases_below(&self.devices).into_iter().filter(|alias| !self.seen.contains(alias)).collect();
            if fresh.is_empty() {
                break;
            }
            // Network cards first: DHCP takes its time while the other drivers load.
            let (cards, others): (Vec<_>, Vec<_>) = fresh.iter().partition(|alias| is_network_card(alias));
            for alias in cards.into_iter().chain(others) {
                self.load_alias(alias);
            }
        }
        self.report("");
        Summary {
            aliases: self.seen.len(),
            loaded: self.done.len().saturating_sub(before),
            failures: self.failed.values().cloned().collect(),
        }
    }

    /// Keeps why a module is not there, for the summary. A driver that finds no hardware (an
    /// alias may stand for several, efivarfs loads only under UEFI) has nothing to blame.
    fn blame(&mut self, name: &str, error: &LoadError) {
        if !matches!(error, LoadError::Refused { source: Errno::ENODEV, .. }) {
            self.failed.entry(name.to_owned()).or_insert_with(|| chain(error));
        }
    }

    fn insert_file(&mut self, name: &str, path: &str) -> Result<(), LoadError> {
        self.report(name);
        let image = read_module(name, &self.directory.join(path), &self.dictionary)?;
        match (self.insert)(&image, parameters(name)) {
            Ok(()) | Err(Errno::EEXIST) => Ok(()),
            Err(source) => Err(LoadError::Refused { name: name.to_owned(), source }),
        }
    }

    fn report(&self, current: &str) {
        self.progress.send_modify(|progress| {
            progress.loaded = self.done.len();
            progress.failed = self.failed.len();
            if !current.is_empty() {
                current.clone_into(&mut progress.current);
            }
        });
    }
}

/// What a module is told when it is loaded.
fn parameters(name: &str) -> &'static CStr {
    match name {
        // Otherwise it makes a bond0 of its own, in a mode that nobody asked for.
        "bonding" => c"max_bonds=0",
        _ => c"",
    }
}

/// The image's zstd dictionary; empty when it has none.
fn read_dictionary(directory: &Path) -> io::Result<Vec<u8>> {
    let mut dictionary = Vec::new();
    let limit = u64::try_from(module_index::MAX_DICTIONARY_LEN).unwrap_or(u64::MAX);
    match File::open(directory.join(module_index::DICTIONARY_NAME)) {
        Ok(file) => file.take(limit).read_to_end(&mut dictionary)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error),
    };
    Ok(dictionary)
}

/// Reads a module into memory; `.ko.zst` is decompressed, the signature at its end stays whole.
fn read_module(name: &str, path: &Path, dictionary: &[u8]) -> Result<Vec<u8>, LoadError> {
    let failed = |source| LoadError::File { name: name.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let mut image = Vec::new();
    if path.extension().is_some_and(|suffix| suffix == "zst") {
        let decoder = zstd::Decoder::with_dictionary(BufReader::new(file), dictionary).map_err(failed)?;
        decoder.take(MAX_MODULE + 1).read_to_end(&mut image).map_err(failed)?;
    } else {
        file.take(MAX_MODULE + 1).read_to_end(&mut image).map_err(failed)?;
    }
    if u64::try_from(image.len()).is_ok_and(|len| len <= MAX_MODULE) {
        Ok(image)
    } else {
        Err(LoadError::TooLarge(name.to_owned()))
    }
}

/// Whether an alias is that of a network card: PCI base class 02, virtio device 1
/// (`include/uapi/linux/virtio_ids.h`), or USB class 2 (communications).
fn is_network_card(alias: &str) -> bool {
    (alias.starts_with("pci:") && alias.contains("bc02"))
        || alias.starts_with("virtio:d00000001")
        || (alias.starts_with("usb:") && alias.contains("ic02"))
}

/// Every different `modalias` below a directory, in a stable order. Directories that vanish
/// meanwhile are passed over: devices come and go. Symbolic links are not followed, since
/// sysfs is full of circles.
fn aliases_below(root: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut stack = vec![(root.to_owned(), 0)];
    while let Some((directory, depth)) = stack.pop() {
        let Ok(entries) = fs::read_dir(&directory) else { continue };
        for entry in entries.flatten() {
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() && depth < MAX_DEPTH {
                stack.push((entry.path(), depth + 1));
            } else if kind.is_file() && entry.file_name() == "modalias" {
                let mut alias = String::new();
                let limit = u64::try_from(module_index::MAX_ALIAS_LEN).unwrap_or(u64::MAX);
                let read = File::open(entry.path()).and_then(|f| f.take(limit).read_to_string(&mut alias));
                if read.is_ok() && !alias.trim().is_empty() {
                    found.insert(alias.trim().to_owned());
                }
            }
        }
    }
    found
}
