//! What an operator sees before approving, and the reasons to look twice.

use super::{CODE_LIFETIME, Enrollment};
use crate::identity::Match;
use crate::machine::{Name, Presence};
use crate::time::Timestamp;
use protocol::code::Fingerprint;
use protocol::ids::{EnrollmentId, MachineId};
use protocol::rest::{EnrollmentPreview, MachineMatch, Warning};

/// Another enrollment of the same hardware, as far as a warning about it tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relative {
    /// Which.
    pub id: EnrollmentId,
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
    /// Where it stands.
    pub standing: Standing,
}

/// Where a [`Relative`] stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It waits too.
    Waiting,
    /// It was denied.
    Denied {
        /// By whom.
        by: String,
        /// When.
        at: Timestamp,
    },
}

/// Everything around an enrollment that the preview tells.
#[derive(Debug, Clone, PartialEq)]
pub struct Surroundings {
    /// When the machine last polled.
    pub last_poll: Timestamp,
    /// Registered machines it resembles, best first, and whether each is online.
    pub matches: Vec<(Match, Presence)>,
    /// Other enrollments of the same hardware that wait or were denied lately; of very many, some.
    pub relatives: Vec<Relative>,
    /// Host name by reverse DNS.
    pub reverse_dns: Option<String>,
}

impl Surroundings {
    /// Whether the enrollment has hardware in common with this registered machine.
    pub fn resembles(&self, machine: MachineId) -> bool {
        self.matches.iter().any(|(found, _)| found.machine.id == machine)
    }
}

/// Reasons to look twice before approving. With any, the fingerprint must be confirmed.
pub fn warnings(enrollment: &Enrollment, around: &Surroundings, now: Timestamp) -> Vec<Warning> {
    let warning = |kind: &str, message: String| Warning { kind: kind.to_owned(), message };
    let known = around.matches.iter().map(|(found, presence)| {
        let what = found.reasons.join(", ");
        let name = &found.machine.name;
        if presence.online {
            warning("machine_online", format!("looks like {name}, which is online now ({what})"))
        } else {
            let since = presence.last_seen.map_or_else(
                || "never seen online".to_owned(),
                |seen| format!("offline for {}", age(now.since(seen))),
            );
            warning("known_machine", format!("looks like {name}, {since} ({what})"))
        }
    });
    let others = around.relatives.iter().filter(|other| other.id != enrollment.id);
    let related = others.map(|other| match &other.standing {
        Standing::Waiting => warning(
            "same_hardware_waiting",
            format!("another request of the same hardware is waiting, fingerprint {}", other.fingerprint),
        ),
        Standing::Denied { by, at } => warning(
            "denied_before",
            format!("the same hardware was denied {} ago by {by}", age(now.since(*at))),
        ),
    });
    known.chain(related).collect()
}

/// The preview. There is no code in it.
pub fn preview(enrollment: &Enrollment, around: &Surroundings, now: Timestamp) -> EnrollmentPreview {
    let inventory = &enrollment.inventory;
    let matches = around.matches.iter().map(|(found, presence)| MachineMatch {
        uuid: found.machine.id,
        name: found.machine.name.to_string(),
        score: found.score,
        online: presence.online,
        reasons: found.reasons.clone(),
    });
    let host_name = if inventory.host_name.is_empty() {
        around.reverse_dns.clone().unwrap_or_default()
    } else {
        inventory.host_name.clone()
    };
    // The id only matters to a machine without any link, which cannot have called.
    let suggested = Name::suggest(inventory, around.reverse_dns.as_deref(), &MachineId(enrollment.id.0));
    EnrollmentPreview {
        id: enrollment.id,
        state: enrollment.word(),
        fingerprint: enrollment.fingerprint,
        key: enrollment.key,
        vendor: inventory.vendor.clone(),
        product: inventory.product.clone(),
        serial: inventory.serial.clone(),
        host_name,
        suggested_name: suggested.to_string(),
        macs: inventory.macs().map(|mac| mac.to_string()).collect(),
        source_ip: enrollment.source.to_string(),
        origin: enrollment.origin,
        created_at: enrollment.created_at.as_seconds(),
        last_polled_seconds: now.since(around.last_poll).as_secs(),
        code_expires_in: enrollment
            .live_code()
            .map_or(0, |code| CODE_LIFETIME.saturating_sub(now.since(code.issued_at)).as_secs()),
        warnings: warnings(enrollment, around, now),
        matches: matches.collect(),
        inventory: inventory.clone(),
    }
}

/// A duration as people say it: `40 s`, `12 min`, `5 h`, `4 d`.
fn age(duration: std::time::Duration) -> String {
    match duration.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..3_600 => format!("{} min", seconds / 60),
        seconds @ 3_600..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} d", seconds / 86_400),
    }
}
