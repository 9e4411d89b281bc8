//! What a network gives to its machines: addresses and names, by dnsmasq (package `dnsmasq-base`).

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};

use super::{BRIDGE, Lab};
use crate::process::{Process, Spec};
use crate::{output, wait};

/// Longest start.
const READY_WITHIN: Duration = Duration::from_secs(10);

/// What is served. IPv4 leases last two minutes, the least that dnsmasq gives.
#[derive(Debug, Clone, Default)]
pub struct Services {
    args: Vec<String>,
    names: bool,
}

impl Services {
    /// IPv4 addresses with the lab as router and name server; no names yet: see [`Services::name`].
    #[must_use]
    pub fn dhcp() -> Self {
        Self::default().arg("--dhcp-range=10.77.0.100,10.77.0.199,2m").arg("--dhcp-authoritative")
    }

    /// As [`Services::dhcp`], without a router.
    #[must_use]
    pub fn dhcp_without_router() -> Self {
        Self::dhcp().arg("--dhcp-option=option:router")
    }

    /// IPv4 addresses with a subnet mask that is none.
    #[must_use]
    pub fn broken_dhcp() -> Self {
        Self::dhcp().arg("--dhcp-option=option:netmask,255.0.255.0")
    }

    /// IPv6 by router advertisement alone.
    #[must_use]
    pub fn router_advertisement() -> Self {
        Self::default().and_router_advertisement()
    }

    /// IPv6 by DHCPv6: the advertised prefix is not for making addresses of.
    #[must_use]
    pub fn dhcpv6() -> Self {
        Self::default().arg("--enable-ra").arg("--dhcp-range=fd77::100,fd77::1ff,64,2m")
    }

    /// Advertises an IPv6 prefix beside the rest, as most networks do: iPXE waits 16 s for a router where
    /// there is none.
    #[must_use]
    pub fn and_router_advertisement(self) -> Self {
        self.arg("--enable-ra").arg("--dhcp-range=fd77::,ra-only,64")
    }

    /// Answers for a name. Without any, nobody answers questions about names.
    #[must_use]
    pub fn name(mut self, name: &str, address: IpAddr) -> Self {
        self.names = true;
        self.arg(&format!("--host-record={name},{address}"))
    }

    /// Tells firmware that boots from the network to load a file from `server`, by TFTP.
    #[must_use]
    pub fn boot(self, file: &str, server: Ipv4Addr) -> Self {
        self.arg(&format!("--dhcp-boot={file},,{server}"))
    }

    /// As [`Services::boot`], for UEFI's own network stack on x86-64.
    #[must_use]
    pub fn boot_uefi(self, file: &str, server: Ipv4Addr) -> Self {
        self.arg("--dhcp-match=set:uefi,option:client-arch,7")
            .arg(&format!("--dhcp-boot=tag:uefi,{file},,{server}"))
    }

    /// Tells iPXE, which says who it is, to load this instead: a URL.
    #[must_use]
    pub fn boot_ipxe(self, url: &str) -> Self {
        self.arg("--dhcp-userclass=set:ipxe,iPXE").arg(&format!("--dhcp-boot=tag:ipxe,{url}"))
    }

    /// Serves a folder by TFTP.
    #[must_use]
    pub fn tftp(self, folder: &Path) -> Self {
        self.arg("--enable-tftp").arg(&format!("--tftp-root={}", folder.display()))
    }

    fn arg(mut self, arg: &str) -> Self {
        self.args.push(arg.to_owned());
        self
    }

    pub(super) fn start(&self, lab: &Lab) -> Result<Process> {
        let mut args: Vec<OsString> = [
            // In the foreground, and as whoever calls: inside a user namespace there is nobody else.
            "--no-daemon",
            "--conf-file=/dev/null",
            "--no-hosts",
            "--no-resolv",
            "--no-ping",
            "--log-dhcp",
            "--log-facility=-",
            "--bind-dynamic",
            // Nobody else is asked, and unknown names are answered at once.
            "--domain-needed",
            "--local=//",
        ]
        .map(OsString::from)
        .into();
        args.push(format!("--interface={BRIDGE}").into());
        args.push(format!("--dhcp-leasefile={}", lab.private().join("leases").display()).into());
        if !self.names {
            args.push("--port=0".into());
            // Named all the same: machines ask and hear that nobody listens.
            args.push(format!("--dhcp-option=option:dns-server,{}", super::HOST).into());
        }
        args.extend(self.args.iter().map(OsString::from));
        let spec = Spec::new(Path::new("dnsmasq"), lab.folder(), "dnsmasq").args(args);
        let seen = std::fs::read(lab.folder().join("dnsmasq.err")).map_or(0, |bytes| bytes.len());
        let mut process = spec.in_network(lab.namespace()).start()?;
        let log = process.stderr().to_path_buf();
        wait::until("dnsmasq", READY_WITHIN, || {
            let said = std::fs::read(&log)?;
            let said = String::from_utf8_lossy(said.get(seen..).unwrap_or_default()).into_owned();
            if let Some(status) = process.ended()? {
                bail!("dnsmasq ended with {status} (package dnsmasq-base):\n{}", output::tail(&said, 10));
            }
            Ok(said.contains("DHCP").then_some(()))
        })?;
        Ok(process)
    }
}
