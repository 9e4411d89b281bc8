//! `muster serve`: the server, until SIGTERM or Ctrl-C.

use crate::print;
use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use protocol::config::ServerUrl;
use server::{DEFAULT_BOOT_DOWNLOADS, DhcpOptions, DhcpRange, ServeOptions, Server};
use std::future::Future;
use std::io::IsTerminal;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Longest password file that is read, in bytes.
const MAX_PASSWORD_FILE: u64 = 1_024;

/// Arguments of `muster serve`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where the server keeps everything, its keys included; made on first start
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// Address of HTTPS: dashboard, REST and machines. Port 0 takes any free one
    #[arg(long, value_name = "ADDR:PORT", default_value = "0.0.0.0:8092")]
    listen: SocketAddr,
    /// Media directory, as `muster media build` writes it; without one there is nothing to download
    #[arg(long, value_name = "DIR")]
    media_dir: Option<PathBuf>,
    /// Most bytes of images of operating systems that are kept, such as 200G; else as much as the disk has
    #[arg(long, value_name = "SIZE", value_parser = size)]
    image_space: Option<u64>,
    /// PostgreSQL, as postgres://USER@HOST/DATABASE, instead of the embedded database; set the
    /// variable when there is a password in it
    #[arg(long, value_name = "URL", env = "MUSTER_DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
    /// Address that machines are told; repeat it for several. Else the server's own addresses
    #[arg(long, value_name = "URL")]
    advertise: Vec<ServerUrl>,
    /// Address of plain HTTP, for firmware and loaders that fetch boot files: nothing else is served
    /// there. Port 0 takes any free one, off serves none
    #[arg(long, value_name = "ADDR:PORT|off", default_value = "0.0.0.0:8091", value_parser = boot_door)]
    http_listen: BootDoor,
    /// Address of TFTP, for firmware that boots from the network; the port is usually 69
    #[arg(long, value_name = "ADDR:PORT|off", default_value = "off", value_parser = boot_door)]
    tftp_listen: BootDoor,
    /// Tells firmware that boots from the network what to load, beside the DHCP server that gives it
    /// its address. ADDR is this server's own address on that network
    #[arg(long, value_name = "ADDR|off", default_value = "off", value_parser = proxy_dhcp)]
    proxy_dhcp: ProxyDhcp,
    /// Leases these addresses, too: for a lab's network without a DHCP server
    #[arg(long, value_name = "FIRST-LAST")]
    dhcp_range: Option<DhcpRange>,
    /// Folder with network loaders (shimx64.efi, grubx64.efi, undionly.kpxe, ...), looked into before
    /// the media directory and the places where Debian's packages have them
    #[arg(long, value_name = "DIR")]
    loader_dir: Option<PathBuf>,
    /// Kernels, ramdisks and images on their way at once by plain HTTP; more are asked to come back
    #[arg(long, value_name = "COUNT", default_value_t = DEFAULT_BOOT_DOWNLOADS, value_parser = at_least_one)]
    boot_downloads: usize,
    /// How to log, on standard error. MUSTER_LOG=debug says how much
    #[arg(long, value_enum, default_value_t)]
    log_format: LogFormat,
}

/// Where boot files are served, if they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct BootDoor(Option<SocketAddr>);

fn boot_door(text: &str) -> Result<BootDoor, String> {
    if text == "off" {
        return Ok(BootDoor(None));
    }
    let address = text.parse().map_err(|_| "it is an address with a port, or off".to_owned())?;
    Ok(BootDoor(Some(address)))
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|count| *count > 0).ok_or_else(|| "it is a number from 1 on".to_owned())
}

/// Our address where DHCP is answered, if it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ProxyDhcp(Option<Ipv4Addr>);

fn proxy_dhcp(text: &str) -> Result<ProxyDhcp, String> {
    if text == "off" {
        return Ok(ProxyDhcp(None));
    }
    let address = text.parse().map_err(|_| "it is an IPv4 address of this server, or off".to_owned())?;
    Ok(ProxyDhcp(Some(address)))
}

/// A number of bytes, or of their multiples.
fn size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = text.get(digits.len()..).unwrap_or_default();
    let shift = match unit.trim_end_matches("iB").trim_end_matches('B').to_ascii_uppercase().as_str() {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return Err("it is a number of bytes with or without K, M, G or T, such as 200G".to_owned()),
    };
    let bytes = digits.parse::<u64>().ok().and_then(|count| count.checked_mul(1 << shift));
    bytes.filter(|bytes| *bytes > 0).ok_or_else(|| "it is a size from 1 byte on, such as 200G".to_owned())
}

/// How to log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum LogFormat {
    /// Lines for people
    #[default]
    Human,
    /// One JSON object a line
    Json,
}

/// Serves until it is told to stop.
pub(crate) fn run(args: Args) -> Result<()> {
    start_log(args.log_format)?;
    let dhcp = args.proxy_dhcp.0.map(|address| DhcpOptions { address, range: args.dhcp_range });
    if dhcp.is_none() && args.dhcp_range.is_some() {
        bail!("--dhcp-range needs --proxy-dhcp with this server's own address on that network");
    }
    let options = ServeOptions {
        http_listen: args.http_listen.0,
        tftp_listen: args.tftp_listen.0,
        dhcp,
        loader_dir: args.loader_dir,
        boot_downloads: args.boot_downloads,
        image_space: args.image_space,
        media_dir: args.media_dir,
        database_url: args.database_url,
        advertise: args.advertise,
        ..ServeOptions::new(args.data_dir, args.listen)
    };
    let runtime = tokio::runtime::Runtime::new().context("the asynchronous runtime did not start")?;
    runtime.block_on(async {
        let told = std::cell::RefCell::new(Ok(()));
        let ready = |server: &Server| *told.borrow_mut() = announce(server, dhcp);
        server::serve(options, ready, shutdown()?).await?;
        told.into_inner()
    })
}

/// The one line that scripts wait for, and before it, beside the result, where boot files are and the
/// way in for whoever started the first server.
fn announce(server: &Server, dhcp: Option<DhcpOptions>) -> Result<()> {
    if let Some(address) = server.boot_address() {
        print::note(&format!("boot files http://{address}"))?;
    }
    if let Some(address) = server.tftp_address() {
        print::note(&format!("boot files tftp://{address}"))?;
    }
    match dhcp {
        Some(DhcpOptions { address, range: None }) => {
            print::note(&format!("boot files offered by {address}, beside the DHCP server of its network"))?;
        }
        Some(DhcpOptions { address, range: Some(range) }) => {
            print::note(&format!("boot files and the addresses {range} offered by {address}"))?;
        }
        None => {}
    }
    if let Some(file) = server.first_password_file() {
        // A log or a pipe keeps what it is told; a terminal belongs to who may know.
        if std::io::stdout().is_terminal() {
            print::note(&format!(
                "user admin, password {} (kept in {})",
                read_password(file)?,
                file.display()
            ))?;
        } else {
            tracing::info!(file = %file.display(), "first start: the password of the user admin is in this file");
        }
    }
    print::line(&format!("ready {}", server.url()))
}

fn read_password(file: &Path) -> Result<String> {
    use std::io::Read as _;
    let told = || format!("{} cannot be read", file.display());
    let mut text = String::new();
    std::fs::File::open(file)
        .with_context(told)?
        .take(MAX_PASSWORD_FILE)
        .read_to_string(&mut text)
        .with_context(told)?;
    Ok(text.trim().to_owned())
}

/// Ends on SIGTERM or SIGINT.
fn shutdown() -> Result<impl Future<Output = ()>> {
    let listen = |kind| -> Result<Signal> { signal(kind).context("signals cannot be listened to") };
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

fn start_log(format: LogFormat) -> Result<()> {
    let words = std::env::var("MUSTER_LOG").unwrap_or_else(|_| "info".to_owned());
    let filter =
        EnvFilter::try_new(&words).with_context(|| format!("MUSTER_LOG={words} is not understood"))?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Human => log.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => log.json().try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("the log did not start: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [("1", 1), ("512", 512), ("4K", 4_096), ("200G", 200 << 30), ("1TiB", 1 << 40)] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for wrong in ["", "0", "G", "-1", "1.5G", "1X", "99999999999T"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}
