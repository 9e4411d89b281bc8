//! The image for UEFI HTTP Boot: our hybrid ISO, made the asking machine's own.
//!
//! Firmware sends a HEAD before its GET, and some firmware asks for ranges, so whoever asked gets the
//! same image for a while: what it is let in by is kept, the image itself never is.

use super::super::App;
use super::super::error::{AppError, AppErrorKind};
use super::identity::{self, Identity};
use super::outside::seconds;
use super::pass::Pass;
use super::{BootFile, Requester, latest_first};
use engine::bootenv;
use engine::change::Revision;
use engine::machine::Machine;
use engine::time::Timestamp;
use iso::manifest::ISO_FILE;
use protocol::agent_api::Origin;
use protocol::config::AgentConfig;
use protocol::ids::MachineId;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Most clients of whom is kept what they are let in by; a pass has some hundred bytes.
const KEPT: usize = 1_024;
/// Longest time for which it is kept.
const KEPT_FOR: Duration = Duration::from_secs(600);

/// Who asks: an address, and which machine that is, as it is stored at the moment.
type Asker = (IpAddr, Option<(MachineId, Revision)>);

/// What clients were let in by, and until when they get it again.
#[derive(Debug, Default)]
pub(super) struct Passes(Mutex<HashMap<Asker, (Pass, Timestamp)>>);

impl Passes {
    fn get(&self, asker: &Asker, now: Timestamp) -> Option<Pass> {
        self.lock().get(asker).filter(|(_, until)| now < *until).map(|(pass, _)| pass.clone())
    }

    fn keep(&self, asker: Asker, pass: &Pass, until: Timestamp, now: Timestamp) {
        let mut passes = self.lock();
        if passes.len() >= KEPT {
            passes.retain(|_, (_, until)| now < *until);
        }
        if passes.len() >= KEPT
            && let Some(oldest) = passes.iter().min_by_key(|(_, (_, until))| *until).map(|(asker, _)| *asker)
        {
            passes.remove(&oldest);
        }
        passes.insert(asker, (pass.clone(), until));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Asker, (Pass, Timestamp)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether this is the path of the image, alone or in a folder that is called like a hardware address.
pub(super) fn is_asked_for(path: &str) -> bool {
    let inner = path.strip_prefix(bootenv::MEDIA_FOLDER).unwrap_or_default();
    match inner.split_once('/') {
        None => inner == ISO_FILE,
        Some((mac, file)) => file == ISO_FILE && mac_in(mac).is_some(),
    }
}

/// The path of the image for a machine with this hardware address.
pub(super) fn path_for(mac: [u8; 6]) -> String {
    let octets: Vec<String> = mac.iter().map(|octet| format!("{octet:02x}")).collect();
    format!("{}{}/{ISO_FILE}", bootenv::MEDIA_FOLDER, octets.join("-"))
}

/// The hardware address that a folder is called by.
fn mac_in(path: &str) -> Option<String> {
    identity::in_path(path).into_iter().find_map(|identity| match identity {
        Identity::Mac(mac) => Some(mac),
        Identity::Id(_) | Identity::Address(_) | Identity::Name(_) => None,
    })
}

impl App {
    /// The image for whoever asks: who is not known gets it while the preference `unknownBootEnv` says
    /// so, a known machine while its bootenv does.
    ///
    /// # Errors
    /// `NotFound` with the reason for everybody else: firmware goes on with its next boot device.
    pub(super) async fn boot_image(
        self: &Arc<Self>,
        requester: Requester,
        path: &str,
    ) -> Result<BootFile, AppError> {
        let mut machines = match mac_in(path) {
            Some(mac) => self.store.machines_of_mac(&mac).await?,
            None => Vec::new(),
        };
        let from = requester.address.to_canonical();
        if machines.is_empty() {
            machines = self.store.machines_of_address(&from.to_string()).await?;
        }
        latest_first(&mut machines);
        let machine = machines.into_iter().next();
        self.gets_image(machine.as_ref()).map_err(|reason| no_image(path, reason))?;
        let now = self.clock.now();
        let asker = (from, machine.as_ref().map(|machine| (machine.id, machine.revision)));
        let pass = match self.boot.passes.get(&asker, now) {
            Some(pass) => pass,
            None => {
                let (pass, kept_for) = self.new_pass(machine.as_ref(), requester).await?;
                self.boot.passes.keep(asker, &pass, now.plus(kept_for), now);
                pass
            }
        };
        let wish = AgentConfig {
            server: self.servers_for(requester.reached),
            origin: Some(Origin::Pxe),
            ..pass.config()
        };
        let app = Arc::clone(self);
        let opened = tokio::task::spawn_blocking(move || {
            let admit = |len| app.boot.admission.admit(len, requester);
            app.media.open_as(ISO_FILE, wish, &app.keys, admit)
        });
        Ok(BootFile::Tree(Box::new(opened.await.map_err(AppError::internal)??)))
    }

    /// Whether our image is what this machine boots, or why not.
    pub(super) fn gets_image(&self, machine: Option<&Machine>) -> Result<(), String> {
        let Some(machine) = machine else {
            let chosen = self.content().pref("unknownBootEnv").to_owned();
            return match chosen.as_str() {
                bootenv::DISCOVERY => Ok(()),
                bootenv::IGNORE => Err(IGNORED.to_owned()),
                other => {
                    Err(format!("machines that are not known boot {other}, which has no image for HTTP Boot"))
                }
            };
        };
        match machine.fields.boot_env.as_str() {
            bootenv::MUSTER => Ok(()),
            bootenv::LOCAL => Err(format!("machine {} boots its own disk", machine.name)),
            other => Err(format!("machine {} boots {other}, which has no image for HTTP Boot", machine.name)),
        }
    }

    /// What a client is let in by from now on, and for how long it gets that again.
    async fn new_pass(
        &self,
        machine: Option<&Machine>,
        requester: Requester,
    ) -> Result<(Pass, Duration), AppError> {
        let Some(machine) = machine else {
            let lifetime = seconds(&self.content(), "unknownTokenTimeout");
            let lifetime = lifetime.map_err(|problem| AppError::new(AppErrorKind::Invalid, problem))?;
            let token = self.token_for_anybody(lifetime).await?;
            return Ok((Pass::Token(token), KEPT_FOR.min(lifetime / 2)));
        };
        let pass = self.pass_of(machine, requester).await;
        // Nothing is kept of nothing: in a moment it may be another answer.
        let kept_for = if pass == Pass::Nothing { Duration::ZERO } else { KEPT_FOR };
        Ok((pass, kept_for))
    }
}

/// Why nothing boots where nobody chose what.
pub(super) const IGNORED: &str = "machines that are not known boot their own disk; set the preference \
                                  unknownBootEnv to discovery to have them register";

fn no_image(path: &str, reason: String) -> AppError {
    tracing::info!(target: super::LOG, reason, "no image for HTTP Boot");
    let mut error = AppError::new(AppErrorKind::NotFound, reason);
    error = error.about("files", path);
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_of_the_image_names_a_machine_or_none() {
        let path = path_for([0x52, 0x54, 0, 0xab, 0xcd, 0xef]);
        assert_eq!(path, "muster/52-54-00-ab-cd-ef/muster.iso");
        assert_eq!(mac_in(&path).as_deref(), Some("52:54:00:ab:cd:ef"));
        for asked in [path.as_str(), "muster/muster.iso", "muster/52:54:00:AB:CD:EF/muster.iso"] {
            assert!(is_asked_for(asked), "{asked}");
        }
        for other in
            ["muster.iso", "muster/x/muster.iso", "muster/vmlinuz", "muster/a/52-54-00-ab-cd-ef/muster.iso"]
        {
            assert!(!is_asked_for(other), "{other}");
        }
    }

    #[test]
    fn what_is_kept_is_bounded_and_ends() {
        let passes = Passes::default();
        let asker = |number: u32| (IpAddr::from(number.to_be_bytes()), None);
        let at = Timestamp::from_seconds;
        for number in 0..2 * 1_024 {
            passes.keep(asker(number), &Pass::Nothing, at(100 + u64::from(number)), at(0));
        }
        assert_eq!(passes.lock().len(), KEPT);
        assert!(passes.get(&asker(0), at(0)).is_none() && passes.get(&asker(2_047), at(0)).is_some());
        assert!(passes.get(&asker(2_047), at(100 + 2_047)).is_none());
    }
}
