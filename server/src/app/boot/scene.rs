//! By which addresses machines reach this server.

use super::super::App;
use super::super::media::own_addresses;
use engine::render::Addresses;
use protocol::config::ServerUrl;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

impl App {
    /// The addresses in an answer to whoever came to this one of ours, whatever is advertised: a
    /// loader's network may be another than that of operators.
    pub(super) fn addresses_at(&self, ip: IpAddr) -> Addresses {
        Addresses { ip, ..Addresses::clone(&self.addresses(Some(ip))) }
    }

    /// The addresses in a rendering: what the operator advertises, else the one that the requester
    /// came to, else the server's own.
    pub(crate) fn addresses(&self, reached: Option<IpAddr>) -> Arc<Addresses> {
        let settings = &self.boot.settings;
        let reached = reached.map(|ip| ip.to_canonical());
        let ip_of = |url: &ServerUrl| url.host().parse::<IpAddr>().ok();
        let advertised: Vec<IpAddr> = settings.advertise.iter().filter_map(ip_of).collect();
        let chosen = advertised.iter().copied().find(|ip| Some(*ip) == reached);
        let own = || own_addresses(settings.https_port).first().and_then(ip_of);
        let ip = chosen.or(advertised.first().copied()).or(reached).or_else(own);
        let ip = ip.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let named = settings.advertise.iter().find(|url| ip_of(url).is_none());
        let by_address = settings.advertise.iter().find(|url| ip_of(url) == Some(ip));
        let told = by_address.or(named);
        Arc::new(Addresses {
            ip,
            host: named.map_or_else(|| self.settings.server_name.clone(), |url| url.host().to_owned()),
            http_port: settings.http_port,
            http_open: settings.http_open,
            https_port: told.map_or(settings.https_port, ServerUrl::port),
        })
    }
}
