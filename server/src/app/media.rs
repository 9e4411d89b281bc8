//! Downloads of boot media: plain files, and `muster.iso` personalised while it is streamed.
//!
//! `overlay.cpio` is the config region of such an image alone, for boot servers that hand out
//! the kernel and the initrd.
//!
//! A personalised image differs from the base inside its regions only: the config region has the
//! addresses of this server, the pins of its CAs and an id, that of kernel arguments this server's
//! id, by which the medium finds disks that this server installed. All of it derives from the base's digest and
//! the settings, so that ranges of one image fit together over requests and restarts, and the
//! ETag says when they do not. Nothing is copied to disk, rebuilt or searched for.

use super::{AppError, AppErrorKind};
use crate::keys::Keys;
use crate::places::{Place, Places};
use iso::manifest::{ISO_FILE, MAX_MANIFEST_LEN, Manifest, OVERLAY_FILE};
use iso::menu::local_argument;
use iso::patch::{Patch, PatchedImage};
use iso::region::{CONFIG_REGION, KERNEL_ARGS_REGION};
use protocol::agent_api::Origin;
use protocol::config::{AgentConfig, MAX_SERVERS, ServerUrl};
use protocol::rest::MediaFile;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

/// Downloads at once, altogether and for one source; further ones are asked to come back.
const DOWNLOADS_AT_ONCE: usize = 256;
const DOWNLOADS_PER_SOURCE: usize = 16;
/// Seconds after which a refused download should be tried again.
const RETRY_AFTER: u64 = 10;
/// The agent as a program of its own.
pub(super) const AGENT_FILE: &str = "muster-agent";
/// Its helper, which terminals take; media of older builders have none.
pub(super) const HELPER_FILE: &str = "muster-installer";
const MANIFEST_FILE: &str = "manifest.json";
/// Files that the manifest does not list, since it could not list itself.
const UNLISTED: [&str; 2] = [MANIFEST_FILE, "SHA256SUMS"];
/// Largest config region that is filled, in bytes: it is made in memory.
const MAX_REGION: u64 = 1024 * 1_024;
/// Patches kept for the next download: callers reach a server by a few names.
const KEPT: usize = 8;

/// The media directory.
#[derive(Debug)]
pub(crate) struct Media {
    directory: Option<PathBuf>,
    /// What machines are told, when the operator said so.
    advertise: Vec<ServerUrl>,
    places: Arc<Places>,
    manifest: Mutex<Option<CachedManifest>>,
    /// Newest first, at most [`KEPT`].
    personal: Mutex<Vec<Personal>>,
}

/// What makes an image of this digest this server's.
#[derive(Debug)]
struct Personal {
    base: String,
    /// Without the id, which derives from it.
    config: AgentConfig,
    id: String,
    patches: Vec<Patch>,
}

#[derive(Debug)]
struct CachedManifest {
    modified: SystemTime,
    manifest: Arc<Manifest>,
}

/// A file about to be sent. Holds one open file and one of the places.
#[derive(Debug)]
pub(crate) struct Download {
    /// Bytes of the whole file.
    pub(crate) len: u64,
    /// Where in the image it begins.
    begin: u64,
    /// Entity tag, quoted.
    pub(crate) etag: String,
    /// SHA-256 of the whole file in hexadecimal, where it is known.
    pub(crate) sha256: Option<String>,
    image: PatchedImage<Arc<File>>,
    place: Arc<Place>,
}

impl Download {
    /// A file as it is, of this length and entity tag.
    ///
    /// # Errors
    /// When its length cannot be found out.
    pub(super) fn of_file(file: File, len: u64, etag: String, place: Place) -> Result<Self, AppError> {
        let image = PatchedImage::new(Arc::new(file), Vec::new()).map_err(AppError::internal)?;
        Ok(Self { len, begin: 0, etag, sha256: None, image, place: Arc::new(place) })
    }

    /// A file with these patches laid over it.
    #[cfg(test)]
    pub(crate) fn patched(
        file: File,
        patches: Vec<Patch>,
        etag: String,
        place: Place,
    ) -> Result<Self, iso::patch::PatchError> {
        let image = PatchedImage::new(Arc::new(file), patches)?;
        Ok(Self { len: image.len(), begin: 0, etag, sha256: None, image, place: Arc::new(place) })
    }

    /// Moves to a byte of the file.
    pub(crate) fn seek(&mut self, position: u64) -> io::Result<()> {
        self.image.seek(SeekFrom::Start(self.begin.saturating_add(position))).map(|_| ())
    }

    /// From where we are: what the open file has there, byte by byte the same. Where in that file it
    /// begins, and how long it is; of no length where the image differs from the file.
    pub(crate) fn unpatched(&self) -> (&Arc<File>, u64, u64) {
        let (position, len) = self.image.unpatched();
        (self.image.base(), position, len)
    }

    /// Goes on behind bytes that were sent otherwise.
    pub(crate) fn skip(&mut self, count: u64) -> io::Result<()> {
        let count = i64::try_from(count).map_err(io::Error::other)?;
        self.image.seek(SeekFrom::Current(count)).map(|_| ())
    }

    /// The place it takes among the downloads.
    pub(crate) fn place(&self) -> &Arc<Place> {
        &self.place
    }

    /// Reads exactly as many bytes as `buffer` has, from a byte of the file on.
    pub(crate) fn read_at(&mut self, position: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.seek(position)?;
        self.read_exact(buffer)
    }

    /// Reads exactly as many bytes as `buffer` has.
    pub(crate) fn read_exact(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        self.image.read_exact(buffer)
    }
}

impl Media {
    /// Serves this directory, or nothing.
    pub(crate) fn new(directory: Option<PathBuf>, advertise: Vec<ServerUrl>) -> Self {
        let places = Places::new(DOWNLOADS_AT_ONCE, DOWNLOADS_PER_SOURCE);
        let (manifest, personal) = (Mutex::new(None), Mutex::new(Vec::new()));
        Self { directory, advertise, places, manifest, personal }
    }

    /// What there is to download; nothing when no media were built or they cannot be read,
    /// which the log then says.
    pub(crate) fn list(&self) -> Vec<MediaFile> {
        match self.manifest() {
            Ok(Some((_, manifest))) => manifest
                .files
                .iter()
                .map(|(name, file)| MediaFile {
                    name: name.clone(),
                    size: file.size,
                    sha256: file.sha256.clone(),
                })
                .collect(),
            Ok(None) => Vec::new(),
            Err(error) => {
                tracing::warn!(error = %crate::report::chain(&error), "the media directory cannot be read");
                Vec::new()
            }
        }
    }

    /// A program beside the media, with the architecture it is for; none when no media were built.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub(super) fn program(&self, name: &str) -> Result<Option<(String, MediaFile)>, AppError> {
        let Some((_, manifest)) = self.manifest()? else { return Ok(None) };
        let file = manifest.files.get(name).map(|file| MediaFile {
            name: name.to_owned(),
            size: file.size,
            sha256: file.sha256.clone(),
        });
        Ok(file.map(|file| (manifest.identity.arch.clone(), file)))
    }

    /// Whether there is a file of this name, as long as the manifest says.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub(super) fn has(&self, name: &str) -> Result<bool, AppError> {
        let Some((directory, manifest)) = self.manifest()? else { return Ok(false) };
        let Some(listed) = manifest.files.get(name) else { return Ok(false) };
        match std::fs::metadata(directory.join(name)) {
            Ok(found) => Ok(found.is_file() && found.len() == listed.size),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(unreadable(name, error)),
        }
    }

    /// Opens a file for download; `muster.iso` and `overlay.cpio` for machines that shall come to
    /// `servers`.
    /// Blocks on the disk.
    ///
    /// # Errors
    /// `NotFound` for any other name, `Unavailable` when too many downloads run.
    pub(crate) fn open(
        &self,
        name: &str,
        servers: &[ServerUrl],
        keys: &Keys,
        source: IpAddr,
    ) -> Result<Download, AppError> {
        let place = self.places.take(source).ok_or_else(|| {
            AppError::new(AppErrorKind::Unavailable, "too many downloads at once; try again")
                .after(RETRY_AFTER)
        })?;
        let origin = (name == OVERLAY_FILE).then_some(Origin::Pxe);
        let wish = AgentConfig { server: servers.to_vec(), origin, ..AgentConfig::unpersonalised() };
        self.open_as(name, wish, keys, |_| Ok(place))
    }

    /// Opens a file for download, an image with `wish` laid over it: who its machines go to, and what
    /// they register by. `admit` is asked for a place for so many bytes.
    /// Blocks on the disk.
    ///
    /// # Errors
    /// `NotFound` for any other name, and what `admit` says.
    pub(super) fn open_as(
        &self,
        name: &str,
        wish: AgentConfig,
        keys: &Keys,
        admit: impl FnOnce(u64) -> Result<Place, AppError>,
    ) -> Result<Download, AppError> {
        let (directory, manifest) = self.manifest()?.ok_or_else(|| not_built(name))?;
        let stored = if name == OVERLAY_FILE { ISO_FILE } else { name };
        let listed = manifest.files.get(stored);
        if listed.is_none() && !UNLISTED.contains(&name) {
            return Err(AppError::not_found("media", name));
        }
        let file = File::open(directory.join(stored)).map_err(|error| unreadable(name, error))?;
        let len = file.metadata().map_err(|error| unreadable(name, error))?.len();
        if listed.is_some_and(|listed| listed.size != len) {
            return Err(changing(name));
        }
        let base = listed.map(|listed| listed.sha256.as_str());
        let (patches, etag, sha256) = match base {
            Some(_) if stored == ISO_FILE && wish.server.is_empty() => return Err(unreachable_server()),
            Some(base) if stored == ISO_FILE => {
                let (patches, id) = self.personalised(&manifest, base, wish, keys)?;
                (patches, format!("\"{base}-{id}\""), None)
            }
            Some(base) => (Vec::new(), format!("\"SHA256:{base}\""), Some(base.to_owned())),
            None => (Vec::new(), format!("\"{}-{len}\"", manifest.identity.marker), None),
        };
        let (begin, len) = match manifest.region(CONFIG_REGION) {
            Some(region) if name == OVERLAY_FILE => (region.offset, region.length),
            _ => (0, len),
        };
        let place = admit(len)?;
        let image = PatchedImage::new(Arc::new(file), patches).map_err(AppError::internal)?;
        Ok(Download { len, begin, etag, sha256, image, place: Arc::new(place) })
    }

    /// The patches that make the base this server's, and the id of the result: made once, and
    /// again when the base, the caller's name for this server, or the CAs change.
    fn personalised(
        &self,
        manifest: &Manifest,
        base: &str,
        wish: AgentConfig,
        keys: &Keys,
    ) -> Result<(Vec<Patch>, String), AppError> {
        let config =
            AgentConfig { ca_hash: keys.pins(), built_at: Some(manifest.identity.build_time), ..wish };
        if config.token.is_some() || config.nonce.is_some() {
            // For one machine: nobody else would find it here.
            return personalise(manifest, base, &config, keys);
        }
        let mut kept = self.personal.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = kept.iter().find(|known| known.base == base && known.config == config) {
            return Ok((known.patches.clone(), known.id.clone()));
        }
        let (patches, id) = personalise(manifest, base, &config, keys)?;
        kept.truncate(KEPT - 1);
        kept.insert(0, Personal { base: base.to_owned(), config, id: id.clone(), patches: patches.clone() });
        Ok((patches, id))
    }

    /// Downloads under way.
    pub(crate) fn running(&self) -> usize {
        self.places.taken()
    }

    /// The addresses that machines are told: what the operator advertises, else the name by
    /// which this caller reached the server, else the server's own addresses.
    pub(crate) fn servers(&self, host: Option<ServerUrl>, port: u16) -> Vec<ServerUrl> {
        if !self.advertise.is_empty() {
            return self.advertise.iter().take(MAX_SERVERS).cloned().collect();
        }
        match host.filter(|url| !is_loopback(url.host())) {
            Some(url) => vec![url],
            None => own_addresses(port),
        }
    }

    /// The directory and its manifest, read again when the file changed.
    fn manifest(&self) -> Result<Option<(&Path, Arc<Manifest>)>, AppError> {
        let Some(directory) = self.directory.as_deref() else { return Ok(None) };
        let path = directory.join(MANIFEST_FILE);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unreadable(MANIFEST_FILE, error)),
        };
        let modified =
            file.metadata().and_then(|data| data.modified()).map_err(|e| unreadable(MANIFEST_FILE, e))?;
        let mut cached = self.manifest.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cached) = cached.as_ref().filter(|cached| cached.modified == modified) {
            return Ok(Some((directory, Arc::clone(&cached.manifest))));
        }
        let mut bytes = Vec::new();
        file.take(MAX_MANIFEST_LEN as u64 + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| unreadable(MANIFEST_FILE, error))?;
        let manifest = Arc::new(Manifest::parse(&bytes).map_err(AppError::internal)?);
        *cached = Some(CachedManifest { modified, manifest: Arc::clone(&manifest) });
        Ok(Some((directory, manifest)))
    }
}

/// Makes the patches for this configuration, and their id.
fn personalise(
    manifest: &Manifest,
    base: &str,
    config: &AgentConfig,
    keys: &Keys,
) -> Result<(Vec<Patch>, String), AppError> {
    let region =
        manifest.region(CONFIG_REGION).filter(|region| region.length <= MAX_REGION).ok_or_else(|| {
            AppError::new(AppErrorKind::Internal, "the image has no config region; build the media again")
        })?;
    let nameless = config.render().map_err(AppError::internal)?;
    // What the label stands for beside its other parts: the word changes when a region gets other contents.
    let id = keys.label(&[b"image", base.as_bytes(), &nameless, b"local"]);
    let named = AgentConfig { image_id: Some(id.clone()), ..config.clone() };
    let json = named.render().map_err(AppError::internal)?;
    let length = usize::try_from(region.length).map_err(AppError::internal)?;
    let archive = initrd::segment::config_archive(&json, length).map_err(AppError::internal)?;
    let mut patches = vec![Patch::new(region, archive).map_err(AppError::internal)?];
    // A base of an older version may have no such region; its medium then looks for no disk.
    if let Some(region) = manifest.region(KERNEL_ARGS_REGION) {
        let arguments = local_argument(keys.server_id()).map_err(AppError::internal)?;
        patches.push(Patch::new(region, arguments.to_region()).map_err(AppError::internal)?);
    }
    Ok((patches, id))
}

fn is_loopback(host: &str) -> bool {
    match host.parse::<IpAddr>().map(|address| address.to_canonical()) {
        Ok(address) => address.is_loopback() || address.is_unspecified(),
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
}

/// Addresses of this host that other machines may reach, IPv4 first.
pub(crate) fn own_addresses(port: u16) -> Vec<ServerUrl> {
    let url = |address: IpAddr| {
        let text = match address {
            IpAddr::V4(address) => format!("https://{address}:{port}"),
            IpAddr::V6(address) => format!("https://[{address}]:{port}"),
        };
        text.parse().ok()
    };
    interface_addresses().into_iter().filter_map(url).take(MAX_SERVERS).collect()
}

/// Addresses of the interfaces that are up, without loopback and link-local ones.
pub(crate) fn interface_addresses() -> Vec<IpAddr> {
    let interfaces = match nix::ifaddrs::getifaddrs() {
        Ok(interfaces) => interfaces,
        Err(error) => {
            tracing::warn!(%error, "the addresses of this host cannot be read");
            return Vec::new();
        }
    };
    let address = |storage: nix::sys::socket::SockaddrStorage| {
        let v4 = storage.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
        v4.or_else(|| storage.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
    };
    let reachable = |address: &IpAddr| match address {
        IpAddr::V4(address) => !address.is_loopback() && !address.is_link_local(),
        IpAddr::V6(address) => !address.is_loopback() && !address.is_unicast_link_local(),
    };
    let up = nix::net::if_::InterfaceFlags::IFF_UP;
    let mut addresses: Vec<IpAddr> = interfaces
        .filter(|interface| interface.flags.contains(up))
        .filter_map(|interface| interface.address.and_then(address))
        .filter(reachable)
        .collect();
    addresses.sort_by_key(|address| (address.is_ipv6(), *address));
    addresses.dedup();
    addresses
}

fn not_built(name: &str) -> AppError {
    let mut error = AppError::not_found("media", name);
    error.message =
        "no boot media were built; run `muster media build` and start the server with --media-dir".into();
    error
}

fn unreachable_server() -> AppError {
    let message = "this server knows no address that machines could reach; start it with --advertise";
    AppError::new(AppErrorKind::Invalid, message)
}

fn unreadable(name: &str, cause: io::Error) -> AppError {
    if cause.kind() == io::ErrorKind::NotFound {
        return AppError::not_found("media", name).because(cause);
    }
    AppError::internal(cause)
}

fn changing(name: &str) -> AppError {
    let message = format!("{name} is not the file its manifest describes; wait until the media are built");
    AppError::new(AppErrorKind::Unavailable, message).after(RETRY_AFTER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_known_in_every_spelling() {
        for host in ["127.0.0.1", "::1", "::ffff:127.0.0.1", "::ffff:0.0.0.0", "localhost", "a.localhost"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["10.0.0.1", "::ffff:10.0.0.1", "localhost.example"] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
