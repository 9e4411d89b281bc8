//! A module directory (`lib/modules/VERSION`), read from disk.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use protocol::module_index::{IndexError, canonical_name};
use thiserror::Error;

use super::modinfo::{Modinfo, pairs, section};

/// Largest module, unpacked. The largest of Debian's is about 16 MB.
const MAX_MODULE_LEN: u64 = 64 * 1024 * 1024;
/// Largest of the lists beside the modules.
const MAX_LIST_LEN: u64 = 8 * 1024 * 1024;
/// Most files looked at.
const MAX_FILES: usize = 50_000;
/// Deepest directory; the kernel's own tree has nine.
const MAX_DEPTH: usize = 16;

/// Why modules cannot be used.
#[derive(Debug, Error)]
pub enum ModuleError {
    /// A file or directory cannot be read.
    #[error("read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Not exactly one `lib/modules/VERSION`.
    #[error("{path} has {found} module directories (lib/modules/VERSION), exactly one is needed")]
    Versions {
        /// Where they were looked for.
        path: PathBuf,
        /// How many there are.
        found: usize,
    },
    /// Larger than a module is.
    #[error("{path} has more than {MAX_MODULE_LEN} bytes unpacked")]
    TooLarge {
        /// The module.
        path: PathBuf,
    },
    /// More files, or deeper, than a kernel has.
    #[error("{path} holds more than {MAX_FILES} files or more than {MAX_DEPTH} levels of directories")]
    TooMany {
        /// The module directory.
        path: PathBuf,
    },
    /// No `.modinfo`.
    #[error("{path} is not a kernel module for x86-64")]
    NotAModule {
        /// The file.
        path: PathBuf,
    },
    /// A dependency that is not there.
    #[error("the module `{user}` needs `{name}`, which is neither in {path} nor built in")]
    Missing {
        /// The module that needs it.
        user: String,
        /// The missing one.
        name: String,
        /// The module directory.
        path: PathBuf,
    },
    /// Nothing was selected.
    #[error("{path} has no network driver this profile wants")]
    NoNetwork {
        /// The module directory.
        path: PathBuf,
    },
    /// The index cannot hold them.
    #[error("index the modules")]
    Index(#[from] IndexError),
    /// A worker that compresses modules ended early.
    #[error("compress the modules")]
    Compress(#[source] io::Error),
    /// The archive of modules cannot be made.
    #[error("archive the modules")]
    Archive(#[from] initrd::cpio::WriteError),
}

/// A module in the tree.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    /// Path relative to the module directory, as on disk.
    pub(crate) path: String,
    pub(crate) info: Modinfo,
}

/// All modules of one kernel.
#[derive(Debug)]
pub(crate) struct ModuleTree {
    pub(crate) dir: PathBuf,
    /// `uname -r` of the kernel.
    pub(crate) release: String,
    /// By canonical name.
    pub(crate) modules: BTreeMap<String, Found>,
    /// Built-in modules, by canonical name, with their aliases.
    pub(crate) builtin: BTreeMap<String, Modinfo>,
}

impl ModuleTree {
    /// Reads the one `lib/modules/VERSION` below `root`, or `root` itself when it is such a directory.
    pub(crate) fn read(root: &Path) -> Result<Self, ModuleError> {
        let dir = version_dir(root)?;
        let release = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut modules = BTreeMap::new();
        for path in module_files(&dir)? {
            let full = dir.join(&path);
            let bytes = read_module(&full)?;
            let section = section(&bytes).ok_or(ModuleError::NotAModule { path: full })?;
            let info = Modinfo::parse(section);
            let name = canonical_name(module_stem(&path).unwrap_or_default());
            modules.insert(name, Found { path, info });
        }
        let builtin = read_builtin(&dir)?;
        Ok(Self { dir, release, modules, builtin })
    }

    /// The module of this canonical name.
    pub(crate) fn module(&self, name: &str) -> Result<&Found, ModuleError> {
        let missing = || ModuleError::Missing {
            user: "selection".to_owned(),
            name: name.to_owned(),
            path: self.dir.clone(),
        };
        self.modules.get(name).ok_or_else(missing)
    }

    /// The module's bytes, unpacked.
    pub(crate) fn bytes(&self, module: &Found) -> Result<Vec<u8>, ModuleError> {
        read_module(&self.dir.join(&module.path))
    }
}

/// `e1000` of `kernel/drivers/.../e1000.ko.xz`.
pub(crate) fn module_stem(path: &str) -> Option<&str> {
    let file = path.rsplit('/').next()?;
    let plain = [".ko", ".ko.zst", ".ko.xz", ".ko.gz"];
    plain.iter().find_map(|suffix| file.strip_suffix(suffix))
}

fn version_dir(root: &Path) -> Result<PathBuf, ModuleError> {
    if root.join("kernel").is_dir() {
        return Ok(root.to_owned());
    }
    let candidates = [root.join("lib/modules"), root.join("usr/lib/modules"), root.to_owned()];
    let path = candidates.into_iter().find(|path| path.is_dir()).unwrap_or_else(|| root.to_owned());
    let mut found = Vec::new();
    for entry in fs::read_dir(&path).map_err(read_error(&path))? {
        let entry = entry.map_err(read_error(&path))?;
        if entry.path().join("kernel").is_dir() {
            found.push(entry.path());
        }
    }
    match <[PathBuf; 1]>::try_from(found) {
        Ok([dir]) => Ok(dir),
        Err(found) => Err(ModuleError::Versions { path, found: found.len() }),
    }
}

/// Relative paths of all module files, sorted. Links are not followed: `build` and `source` lead elsewhere.
fn module_files(dir: &Path) -> Result<Vec<String>, ModuleError> {
    let mut files = Vec::new();
    let mut waiting = vec![(dir.to_owned(), String::new(), 0)];
    while let Some((at, prefix, depth)) = waiting.pop() {
        for entry in fs::read_dir(&at).map_err(read_error(&at))? {
            let entry = entry.map_err(read_error(&at))?;
            let kind = entry.file_type().map_err(read_error(&at))?;
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if kind.is_dir() {
                waiting.push((entry.path(), format!("{name}/"), depth + 1));
            } else if kind.is_file() && module_stem(&name).is_some() {
                files.push(name);
            }
            if depth > MAX_DEPTH || files.len() > MAX_FILES || waiting.len() > MAX_FILES {
                return Err(ModuleError::TooMany { path: dir.to_owned() });
            }
        }
    }
    files.sort();
    Ok(files)
}

fn read_module(path: &Path) -> Result<Vec<u8>, ModuleError> {
    let failed = read_error(path);
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) => return Err(failed(error)),
    };
    // The kernel of this image takes plain modules only, and one way of packing them is enough for the agent.
    let mut bytes = Vec::new();
    let read = match path.extension().and_then(|extension| extension.to_str()) {
        Some("zst") => zstd::stream::read::Decoder::new(file)
            .and_then(|stream| stream.take(MAX_MODULE_LEN + 1).read_to_end(&mut bytes)),
        Some("gz") => {
            flate2::read::MultiGzDecoder::new(file).take(MAX_MODULE_LEN + 1).read_to_end(&mut bytes)
        }
        Some("xz") => xz2::read::XzDecoder::new(file).take(MAX_MODULE_LEN + 1).read_to_end(&mut bytes),
        _ => file.take(MAX_MODULE_LEN + 1).read_to_end(&mut bytes),
    };
    read.map_err(failed)?;
    if bytes.len() as u64 > MAX_MODULE_LEN {
        return Err(ModuleError::TooLarge { path: path.to_owned() });
    }
    Ok(bytes)
}

/// `modules.builtin` names them; `modules.builtin.modinfo` has `NAME.key=value` pairs.
fn read_builtin(dir: &Path) -> Result<BTreeMap<String, Modinfo>, ModuleError> {
    let mut builtin: BTreeMap<String, Modinfo> = BTreeMap::new();
    let list = read_list(&dir.join("modules.builtin"))?;
    for line in String::from_utf8_lossy(&list).lines() {
        if let Some(stem) = module_stem(line) {
            builtin.insert(canonical_name(stem), Modinfo::default());
        }
    }
    let infos = read_list(&dir.join("modules.builtin.modinfo"))?;
    for (key, value) in pairs(&infos) {
        if let Some((name, key)) = key.split_once('.')
            && let Some(info) = builtin.get_mut(&canonical_name(name))
        {
            info.take(key, value);
        }
    }
    Ok(builtin)
}

fn read_list(path: &Path) -> Result<Vec<u8>, ModuleError> {
    let mut bytes = Vec::new();
    match fs::File::open(path) {
        Ok(file) => file.take(MAX_LIST_LEN).read_to_end(&mut bytes).map_err(read_error(path))?,
        // A kernel that has everything built as modules may come without the lists.
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(read_error(path)(error)),
    };
    Ok(bytes)
}

fn read_error(path: &Path) -> impl Fn(io::Error) -> ModuleError + use<> {
    let path = path.to_owned();
    move |source| ModuleError::Read { path: path.clone(), source }
}
