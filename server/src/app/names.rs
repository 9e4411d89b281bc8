//! A machine's host name by reverse DNS: a suggestion, so it is asked for one second at most
//! and its absence is no error.

use engine::machine::Name;
use hickory_resolver::TokioResolver;
use hickory_resolver::proto::rr::RData;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// Asks the system's name servers for names of addresses, or nobody.
pub(crate) struct ReverseDns(Option<TokioResolver>);

impl ReverseDns {
    /// The name servers of `/etc/resolv.conf`; without any that can be used, nobody is asked.
    pub(crate) fn system() -> Self {
        let resolver = TokioResolver::builder_tokio().and_then(|builder| builder.build());
        Self(
            resolver
                .inspect_err(
                    |error| tracing::warn!(%error, "no name server: machines are not named by reverse DNS"),
                )
                .ok(),
        )
    }

    /// Nobody is asked.
    pub(crate) fn off() -> Self {
        Self(None)
    }

    /// The first usable name of an address.
    pub(crate) async fn name_of(&self, address: IpAddr) -> Option<String> {
        let resolver = self.0.as_ref()?;
        let answer = tokio::time::timeout(PATIENCE, resolver.reverse_lookup(address.to_canonical())).await;
        let lookup = match answer {
            Ok(Ok(lookup)) => lookup,
            Ok(Err(error)) => {
                tracing::debug!(%address, %error, "no name by reverse DNS");
                return None;
            }
            Err(_elapsed) => {
                tracing::debug!(%address, "reverse DNS did not answer within a second");
                return None;
            }
        };
        lookup.answers().iter().find_map(|record| {
            if let RData::PTR(name) = &record.data { usable(&name.0.to_ascii()) } else { None }
        })
    }
}

/// A name that a machine could have, without the final dot.
fn usable(name: &str) -> Option<String> {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name.parse::<Name>().is_ok().then_some(name)
}

impl fmt::Debug for ReverseDns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "ReverseDns(system)" } else { "ReverseDns(off)" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_from_dns_is_used_only_if_a_machine_could_have_it() {
        assert_eq!(usable("DB-07.example.org.").as_deref(), Some("db-07.example.org"));
        assert_eq!(usable("<script>.example."), None);
        assert_eq!(usable("."), None);
    }

    #[tokio::test]
    async fn nobody_is_asked_when_it_is_off() {
        assert_eq!(ReverseDns::off().name_of(IpAddr::from([127, 0, 0, 1])).await, None);
    }
}
