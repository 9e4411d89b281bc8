//! Starting and stopping the server.
//!
//! 1. Lock the data directory: two servers on one would lose each other's writes.
//! 2. Bind both doors, so that a taken port is told before anything is made.
//! 3. Database and migrations, then keys and certificates: both go by a clock that never runs
//!    behind the database's last commit. The first user on first start.
//! 4. Accept. From here on `ready` is true.
//! 5. Stop: no new connections, held calls are answered, running ones end, the last heartbeats
//!    are stored, the database is closed.

use crate::app::{
    App, AppError, BootSettings, Clock, HTTP_PORT, Loaders, ReverseDns, Settings, SharedApp,
    interface_addresses, loader_folders, own_addresses,
};
use crate::dhcp::{Dhcp, DhcpError, DhcpOptions};
use crate::http::{self, Http};
use crate::images::{Images, system_lookup};
use crate::keys::{Keys, KeysError, files};
use crate::listener::{self, ConnectionLimits};
use crate::metrics::Metrics;
use crate::report::chain;
use crate::store::{Store, StoreError};
use crate::tftp::Tftp;
use axum::Router;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use protocol::config::{MAX_SERVERS, ServerUrl};
use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Largest lock file that is read for its process id, in bytes.
const MAX_LOCK: u64 = 32;
/// Connections that may wait to be accepted: a rack that is switched on calls all at once, and
/// one that is turned away comes back a second later.
const BACKLOG: u32 = 4_096;
/// Time between two looks at the certificate's end and the host's addresses: also how long a
/// clock that jumped over its end locks machines out.
const LEAF_CHECK: Duration = Duration::from_secs(10);
/// The cache of images, in the data directory.
const IMAGES: &str = "images";
/// The boot tree, in the data directory: kernels and installers, put there by the operator.
const BOOT_TREE: &str = "boot";
/// Recordings of terminals, in the data directory.
const TERMINALS: &str = "terminals";

/// Most large boot files on their way at once, unless said otherwise: on a network of 10 Gbit/s each
/// has 2 MB a second.
pub const DEFAULT_BOOT_DOWNLOADS: usize = 512;

/// How a server is started.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// Everything the server keeps, its keys included.
    pub data_dir: PathBuf,
    /// HTTPS address; port 0 takes any free one.
    pub listen: SocketAddr,
    /// Plain HTTP for boot files; port 0 takes any free one. None for no such door.
    pub http_listen: Option<SocketAddr>,
    /// TFTP for boot files; port 0 takes any free one. None for no such door.
    pub tftp_listen: Option<SocketAddr>,
    /// DHCP for machines that boot from the network, or none.
    pub dhcp: Option<DhcpOptions>,
    /// Folder with network loaders, looked into before the places where Debian's packages have them.
    pub loader_dir: Option<PathBuf>,
    /// Most kernels, ramdisks and images on their way at once by plain HTTP.
    pub boot_downloads: usize,
    /// Most bytes of images that are kept; none for as much as the disk has.
    pub image_space: Option<u64>,
    /// Built boot media, or none.
    pub media_dir: Option<PathBuf>,
    /// PostgreSQL; without it the embedded database in the data directory.
    pub database_url: Option<String>,
    /// Addresses that machines are told; without any, the server's own.
    pub advertise: Vec<ServerUrl>,
    /// Limits of the listener.
    pub limits: ConnectionLimits,
    /// Whether machines are named by reverse DNS.
    pub reverse_dns: bool,
}

impl ServeOptions {
    /// The usual: embedded database, default limits, no door for boot files.
    pub fn new(data_dir: impl Into<PathBuf>, listen: SocketAddr) -> Self {
        Self {
            data_dir: data_dir.into(),
            listen,
            http_listen: None,
            tftp_listen: None,
            dhcp: None,
            loader_dir: None,
            boot_downloads: DEFAULT_BOOT_DOWNLOADS,
            image_space: None,
            media_dir: None,
            database_url: None,
            advertise: Vec::new(),
            limits: ConnectionLimits::default(),
            reverse_dns: true,
        }
    }
}

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The data directory cannot be made or written.
    #[error("data directory {path} cannot be used")]
    DataDir {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Another server uses it.
    #[error("data directory {path} is in use by another server{holder}; stop it or choose another directory")]
    Locked {
        /// Which.
        path: PathBuf,
        /// ` (process N)`, when it is known.
        holder: String,
    },
    /// The address cannot be bound.
    #[error("cannot listen on {address}; is another server running there?")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The address of the door for boot files cannot be bound.
    #[error(
        "cannot listen on {address} for boot files; choose another address with --http-listen, or \
         --http-listen off to serve none"
    )]
    ListenHttp {
        /// Which.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The port is one of those that take rights.
    #[error(
        "port {port} of {address} takes rights: run muster as root, or give it the capability \
         CAP_NET_BIND_SERVICE"
    )]
    Rights {
        /// Where.
        address: IpAddr,
        /// Which.
        port: u16,
    },
    /// The address of TFTP cannot be bound.
    #[error(
        "cannot listen on {address} for TFTP; choose another address with --tftp-listen, or leave it off"
    )]
    ListenTftp {
        /// Which.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// DHCP cannot be answered.
    #[error("cannot answer DHCP on {address}")]
    ListenDhcp {
        /// Our address there.
        address: Ipv4Addr,
        /// Why.
        source: DhcpError,
    },
    /// Keys or certificates.
    #[error("the server's keys cannot be used")]
    Keys(#[from] KeysError),
    /// The database.
    #[error("the database cannot be used")]
    Store(#[from] StoreError),
    /// The first user cannot be made.
    #[error("the first user cannot be made")]
    Admin(#[from] AppError),
}

/// What is listened at.
struct Doors {
    listener: TcpListener,
    address: SocketAddr,
    /// Plain HTTP for boot files.
    boot: Option<(TcpListener, SocketAddr)>,
    tftp: Option<Tftp>,
    dhcp: Option<Dhcp>,
}

impl Doors {
    async fn open(options: &ServeOptions) -> Result<Self, ServeError> {
        let (listener, address) = bind(options.listen).map_err(|error| {
            refused(options.listen, error, |address, source| ServeError::Listen { address, source })
        })?;
        let bind_boot = |address| {
            bind(address).map_err(|error| {
                refused(address, error, |address, source| ServeError::ListenHttp { address, source })
            })
        };
        let bind_tftp = |address| {
            Tftp::bind(address).map_err(|error| {
                refused(address, error, |address, source| ServeError::ListenTftp { address, source })
            })
        };
        let boot = options.http_listen.map(bind_boot).transpose()?;
        let tftp = options.tftp_listen.map(bind_tftp).transpose()?;
        let dhcp = match options.dhcp {
            Some(dhcp) => {
                let failed = |source| ServeError::ListenDhcp { address: dhcp.address, source };
                Some(Dhcp::bind(dhcp, &options.data_dir).await.map_err(failed)?)
            }
            None => None,
        };
        Ok(Self { listener, address, boot, tftp, dhcp })
    }
}

/// A server that listens and does not accept yet.
pub struct Server {
    http: Http,
    doors: Doors,
    tls: TlsAcceptor,
    limits: ConnectionLimits,
    advertise: Vec<ServerUrl>,
    first_password: Option<PathBuf>,
    /// Looks at machines again when content changes. Ends with the server, also when that never ran.
    checks: (JoinHandle<()>, DropGuard),
    _lock: File,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("address", &self.doors.address).finish_non_exhaustive()
    }
}

/// Starts a server: everything up to accepting.
///
/// # Errors
/// [`ServeError`] names the file, address or database, and the remedy where there is one.
pub async fn start(options: ServeOptions) -> Result<Server, ServeError> {
    let lock = prepare_data_dir(&options.data_dir)?;
    raise_file_limit(options.limits.connections);
    let doors = Doors::open(&options).await?;
    let data_dir_error = |source: io::Error| ServeError::DataDir { path: options.data_dir.clone(), source };
    let store = match &options.database_url {
        Some(url) => Store::postgres(url).await?,
        None => Store::sqlite(&database_file(&options.data_dir).map_err(data_dir_error)?).await?,
    };
    let clock = Clock::system();
    clock.go_on_from(store.time_floor().await?);
    let keys = Keys::open(&options.data_dir, &leaf_names(&options.advertise), clock.now())?;
    let tls = tls_acceptor(&keys)?;
    let settings = Settings {
        server_name: host_name().unwrap_or_else(|| keys.server_id().to_owned()),
        advertise: told_to_machines(&options.advertise, doors.address.port()),
        boot: boot_settings(&options, &doors),
        terminals: options.data_dir.join(TERMINALS),
    };
    let reverse_dns = if options.reverse_dns { ReverseDns::system() } else { ReverseDns::off() };
    let images = options.data_dir.join(IMAGES);
    let images = Images::open(images, options.image_space, system_lookup()).map_err(data_dir_error)?;
    let app = App::open(store, keys, clock, settings, reverse_dns, images).await?;
    if doors.tftp.is_some() || doors.dhcp.is_some() {
        app.boot_remarks().iter().for_each(|remark| tracing::warn!("{remark}"));
    }
    let first_password = app.ensure_admin(&options.data_dir).await?;
    let [a, b, c, d] = crate::keys::random::<4>()?;
    let http = Http {
        app: Arc::new(app),
        unproven: Http::unproven_bodies(),
        metrics: Arc::new(Metrics::new()),
        stopping: CancellationToken::new(),
        port: doors.address.port(),
        start: u32::from_be_bytes([a, b, c, d]),
    };
    let until = http.stopping.child_token();
    let checks = tokio::spawn(Arc::clone(&http.app).run_revalidation(until.clone()));
    let ServeOptions { limits, advertise, .. } = options;
    let checks = (checks, until.drop_guard());
    Ok(Server { http, doors, tls, limits, advertise, first_password, checks, _lock: lock })
}

/// Starts a server, calls `ready` when it is about to accept, and runs it until `shutdown`.
///
/// # Errors
/// As [`start`].
pub async fn serve(
    options: ServeOptions,
    ready: impl FnOnce(&Server),
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let server = start(options).await?;
    ready(&server);
    server.run(shutdown).await;
    Ok(())
}

impl Server {
    /// The address it listens on, with the port that was chosen.
    pub fn address(&self) -> SocketAddr {
        self.doors.address
    }

    /// Where to find it, as a URL: by its own name for the address it listens on, or
    /// `localhost` when it listens everywhere.
    pub fn url(&self) -> String {
        match self.doors.address.ip() {
            ip if ip.is_unspecified() => format!("https://localhost:{}", self.doors.address.port()),
            _ => format!("https://{}", self.doors.address),
        }
    }

    /// Where firmware finds boot files, when it finds any.
    pub fn boot_address(&self) -> Option<SocketAddr> {
        self.doors.boot.as_ref().map(|(_, address)| *address)
    }

    /// Where TFTP finds boot files, when it finds any.
    pub fn tftp_address(&self) -> Option<SocketAddr> {
        self.doors.tftp.as_ref().map(Tftp::address)
    }

    /// The file with the first user's password, on the very first start.
    pub fn first_password_file(&self) -> Option<&Path> {
        self.first_password.as_deref()
    }

    /// The whole surface without a socket, for embedding and tests.
    pub fn router(&self) -> Router {
        http::router(self.http.clone())
    }

    /// The door for boot files without a socket.
    pub fn boot_router(&self) -> Router {
        http::boot_router(self.http.clone())
    }

    /// Accepts until `shutdown`, then stops gracefully.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let (router, boot_router) = (self.router(), self.boot_router());
        let Self { http, doors, tls, limits, advertise, checks, _lock, .. } = self;
        let Doors { listener, boot, tftp, dhcp, .. } = doors;
        let (checks, _checks_end) = checks;
        let swept = CancellationToken::new();
        let sweeper = {
            let (app, swept) = (Arc::clone(&http.app), swept.clone());
            tokio::spawn(async move { app.run_sweep(swept.cancelled_owned()).await })
        };
        let leaf = tokio::spawn(keep_leaf(Arc::clone(&http.app), advertise, http.stopping.clone()));
        let follower = {
            let (app, stopping) = (Arc::clone(&http.app), http.stopping.clone());
            tokio::spawn(async move { app.follow_content(stopping.cancelled_owned()).await })
        };
        let importing = {
            let (app, stopping) = (Arc::clone(&http.app), http.stopping.clone());
            tokio::spawn(async move { app.follow_imports(stopping.cancelled_owned()).await })
        };
        let booting = async {
            if let Some((listener, _)) = boot {
                listener::run(listener, None, boot_router, limits.clone(), http.stopping.clone()).await;
            }
        };
        let transferring = async {
            if let Some(tftp) = tftp {
                tftp.run(Arc::clone(&http.app), http.stopping.clone()).await;
            }
        };
        let answering = async {
            if let Some(dhcp) = dhcp {
                dhcp.run(Arc::clone(&http.app), http.stopping.clone()).await;
            }
        };
        let accepting = listener::run(listener, Some(tls), router, limits.clone(), http.stopping.clone());
        let until_told = async {
            shutdown.await;
            tracing::info!("stopping");
            http.stopping.cancel();
        };
        tokio::join!(accepting, booting, transferring, answering, until_told);
        // After the last request, so that every heartbeat it brought is stored.
        swept.cancel();
        http.app.images.stop().await;
        for (name, task) in [
            ("sweeper", sweeper),
            ("certificate's keeper", leaf),
            ("follower of the content", follower),
            ("follower of imports", importing),
            ("check of machines", checks),
        ] {
            if let Err(error) = task.await {
                tracing::error!(%error, name, "a background task failed");
            }
        }
        http.app.store.close().await;
        tracing::info!("stopped");
    }
}

/// How boot files are served by these doors.
fn boot_settings(options: &ServeOptions, doors: &Doors) -> BootSettings {
    let media = options.media_dir.as_deref();
    let folders = loader_folders(options.loader_dir.as_deref(), &options.data_dir, media);
    BootSettings {
        tree: options.data_dir.join(BOOT_TREE),
        loaders: Loaders::new(folders, PathBuf::from("/")),
        media: options.media_dir.clone(),
        http_open: doors.boot.is_some(),
        tftp_open: doors.tftp.is_some(),
        leases: options.dhcp.is_some_and(|dhcp| dhcp.range.is_some()),
        http_port: doors.boot.as_ref().map_or(HTTP_PORT, |(_, address)| address.port()),
        https_port: doors.address.port(),
        downloads: options.boot_downloads,
        advertise: options.advertise.clone(),
    }
}

/// Makes the directory and locks it for this process, until the file is closed.
fn prepare_data_dir(path: &Path) -> Result<File, ServeError> {
    let failed = |source| ServeError::DataDir { path: path.to_owned(), source };
    files::private_dir(path).map_err(failed)?;
    let mut lock = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        // A link would have another file emptied below.
        .custom_flags(nix::libc::O_NOFOLLOW)
        .open(path.join("lock"))
        .map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(ServeError::Locked { path: path.to_owned(), holder: holder(lock) });
        }
        Err(TryLockError::Error(source)) => return Err(failed(source)),
    }
    lock.set_len(0).map_err(failed)?;
    lock.rewind().map_err(failed)?;
    writeln!(lock, "{}", std::process::id()).map_err(failed)?;
    Ok(lock)
}

/// Who wrote the lock file, in words.
fn holder(lock: File) -> String {
    let mut text = String::new();
    match lock.take(MAX_LOCK).read_to_string(&mut text) {
        Ok(_) => text.trim().parse::<u32>().map(|id| format!(" (process {id})")).unwrap_or_default(),
        Err(_) => String::new(),
    }
}

/// Why an address cannot be bound: for want of rights, or else as `other` says it.
fn refused(
    address: SocketAddr,
    error: io::Error,
    other: impl FnOnce(SocketAddr, io::Error) -> ServeError,
) -> ServeError {
    if error.kind() == io::ErrorKind::PermissionDenied {
        return ServeError::Rights { address: address.ip(), port: address.port() };
    }
    other(address, error)
}

fn bind(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A server that restarts takes its port back at once.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    let listener = socket.listen(BACKLOG)?;
    let bound = listener.local_addr()?;
    Ok((listener, bound))
}

fn tls_acceptor(keys: &Keys) -> Result<TlsAcceptor, KeysError> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(keys.identity());
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Looks after the certificate until the server stops: its end, and addresses that changed.
async fn keep_leaf(app: SharedApp, advertise: Vec<ServerUrl>, stopping: CancellationToken) {
    loop {
        tokio::select! {
            () = stopping.cancelled() => return,
            () = tokio::time::sleep(LEAF_CHECK) => {}
        }
        let (identity, now, names) = (app.keys.identity(), app.now(), leaf_names(&advertise));
        match tokio::task::spawn_blocking(move || identity.refresh(&names, now)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(error = %chain(&error), "the certificate cannot be renewed"),
            Err(error) => tracing::error!(%error, "the certificate's check failed"),
        }
    }
}

/// Lets the process open as many files as the system allows it: a connection is a file.
fn raise_file_limit(wanted: usize) {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        if soft < hard { setrlimit(Resource::RLIMIT_NOFILE, hard, hard).map(|()| hard) } else { Ok(hard) }
    });
    match raised {
        // Every connection, and the database, media and log beside them.
        Ok(files) if usize::try_from(files).is_ok_and(|files| files < wanted.saturating_add(256)) => {
            tracing::warn!(files, wanted, "the system allows fewer open files than connections are allowed");
        }
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "the limit of open files cannot be raised"),
    }
}

/// The embedded database's file, for its owner alone from the first byte on.
fn database_file(data_dir: &Path) -> io::Result<PathBuf> {
    let path = data_dir.join("muster.db");
    OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
    Ok(path)
}

/// What the leaf certificate carries beside the server's id: names that people and scripts use.
fn leaf_names(advertise: &[ServerUrl]) -> Vec<String> {
    let advertised = advertise.iter().map(|url| url.host().to_owned());
    let addresses = interface_addresses().into_iter().map(|address: IpAddr| address.to_string());
    advertised.chain(host_name()).chain(addresses).collect()
}

fn host_name() -> Option<String> {
    let name = nix::unistd::gethostname().ok()?.into_string().ok()?;
    (!name.is_empty()).then(|| name.to_ascii_lowercase())
}

/// Addresses for command lines and consoles: what is advertised, else the server's own.
fn told_to_machines(advertise: &[ServerUrl], port: u16) -> Vec<ServerUrl> {
    let chosen = if advertise.is_empty() { own_addresses(port) } else { advertise.to_vec() };
    chosen.into_iter().take(MAX_SERVERS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_that_take_rights_say_which_and_all_others_what_to_do() {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 69));
        let told = |kind: io::ErrorKind| {
            let other = |address, source| ServeError::ListenTftp { address, source };
            refused(address, kind.into(), other).to_string()
        };
        assert_eq!(
            told(io::ErrorKind::PermissionDenied),
            "port 69 of 127.0.0.1 takes rights: run muster as root, or give it the capability \
             CAP_NET_BIND_SERVICE"
        );
        assert!(told(io::ErrorKind::AddrInUse).contains("choose another address with --tftp-listen"));
    }

    #[test]
    fn second_server_on_a_data_directory_is_told_who_has_it() {
        let directory = tempfile::tempdir().unwrap();
        let first = prepare_data_dir(directory.path()).unwrap();
        let error = prepare_data_dir(directory.path()).unwrap_err().to_string();
        let expected = format!(
            "data directory {} is in use by another server (process {}); stop it or choose another directory",
            directory.path().display(),
            std::process::id()
        );
        assert_eq!(error, expected);
        drop(first);
        assert!(prepare_data_dir(directory.path()).is_ok());
    }

    #[test]
    fn lock_that_links_elsewhere_is_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let victim = directory.path().join("victim");
        std::fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, directory.path().join("lock")).unwrap();
        assert!(prepare_data_dir(directory.path()).is_err());
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
    }
}
