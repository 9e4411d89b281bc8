//! A machine's host name by reverse DNS: a suggestion, so it is asked for one second at most
//! and its absence is no error.

use engine::machine::Name;
use hickory_resolver::TokioResolver;
use hickory_resolver::proto::rr::RData;
use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long an answer holds, a missing one too: a dead name server costs one second, not one
/// for each question.
const HOLDS: Duration = Duration::from_secs(300);
/// Most answers remembered.
const REMEMBERED: usize = 4_096;

/// Asks the system's name servers for names of addresses, or nobody.
pub(crate) struct ReverseDns {
    resolver: Option<TokioResolver>,
    answers: Mutex<HashMap<IpAddr, Answer>>,
}

struct Answer {
    name: Option<String>,
    at: Instant,
}

impl ReverseDns {
    /// The name servers of `/etc/resolv.conf`; without any that can be used, nobody is asked.
    pub(crate) fn system() -> Self {
        let resolver = TokioResolver::builder_tokio().and_then(|builder| builder.build());
        let without =
            |error: &_| tracing::warn!(%error, "no name server: machines get no names by reverse DNS");
        Self { resolver: resolver.inspect_err(without).ok(), answers: Mutex::default() }
    }

    /// Nobody is asked.
    pub(crate) fn off() -> Self {
        Self { resolver: None, answers: Mutex::default() }
    }

    /// The first usable name of an address.
    pub(crate) async fn name_of(&self, address: IpAddr) -> Option<String> {
        let resolver = self.resolver.as_ref()?;
        if let Some(remembered) = self.remembered(address) {
            return remembered;
        }
        let name = ask(resolver, address).await;
        self.remember(address, name.clone());
        name
    }

    /// The name of an address, if it was asked for lately.
    pub(crate) fn known(&self, address: IpAddr) -> Option<String> {
        self.remembered(address).flatten()
    }

    fn remembered(&self, address: IpAddr) -> Option<Option<String>> {
        let answers = self.lock();
        answers.get(&address).filter(|answer| answer.at.elapsed() < HOLDS).map(|answer| answer.name.clone())
    }

    fn remember(&self, address: IpAddr, name: Option<String>) {
        let mut answers = self.lock();
        if answers.len() >= REMEMBERED {
            answers.retain(|_, answer| answer.at.elapsed() < HOLDS);
        }
        if answers.len() < REMEMBERED {
            answers.insert(address, Answer { name, at: Instant::now() });
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, Answer>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn ask(resolver: &TokioResolver, address: IpAddr) -> Option<String> {
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

/// A name that a machine could have, without the final dot.
fn usable(name: &str) -> Option<String> {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name.parse::<Name>().is_ok().then_some(name)
}

impl fmt::Debug for ReverseDns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.resolver.is_some() { "ReverseDns(system)" } else { "ReverseDns(off)" })
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

    #[test]
    fn answers_are_remembered_the_missing_ones_too() {
        let dns = ReverseDns::off();
        let address = |last| IpAddr::from([10, 0, 0, last]);
        dns.remember(address(1), Some("db-07.example.org".into()));
        dns.remember(address(2), None);
        assert_eq!(dns.known(address(1)).as_deref(), Some("db-07.example.org"));
        assert_eq!(dns.remembered(address(2)), Some(None));
        assert_eq!(dns.remembered(address(3)), None);
    }

    #[tokio::test]
    async fn nobody_is_asked_when_it_is_off() {
        assert_eq!(ReverseDns::off().name_of(IpAddr::from([127, 0, 0, 1])).await, None);
    }
}
