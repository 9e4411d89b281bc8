//! Rolling the certificate authority: the next CA takes over and one is made to follow it
//! (`spec/security.md` 4).
//!
//! Everything that machines, people and scripts hold names two CAs, so it survives one roll. What
//! was made before the last roll does not survive the next, which is why a second one within the
//! life of media and tokens has to be asked for twice.

use super::App;
use super::actor::{Action, Actor};
use super::error::{AppError, AppErrorKind};
use engine::change::{AuditKind, AuditRow, Changes};
use engine::time::Timestamp;
use protocol::ids::SpkiPin;
use protocol::rest::{CaRoll, CaRolled};
use std::time::Duration;

/// How long what was made before a roll is surely still about: the longest life of a bootstrap
/// token.
const MEDIA_LIFE: Duration = Duration::from_secs(365 * 86_400);

impl App {
    /// Lets the next CA take over. Handshakes show it at once; connections that are open go on.
    ///
    /// # Errors
    /// `conflict` within [`MEDIA_LIFE`] of the roll before, unless forced.
    pub(crate) async fn roll_ca(&self, actor: &Actor, request: CaRoll) -> Result<CaRolled, AppError> {
        actor.require(Action::KeyRoll)?;
        let (before, now) = (self.keys.shown(), self.clock.now());
        if let Some(last) = before.rolled_at.filter(|last| !request.force && now.since(*last) < MEDIA_LIFE) {
            return Err(AppError::new(AppErrorKind::Conflict, too_soon(last)));
        }
        // Before the deed: a roll that nobody hears of would be worse than one that is told and
        // failed, which the next row then says.
        let row = AuditRow::new(AuditKind::KeyRotated, &actor.cause(now));
        let told = row.clone().reason(format!("CA {} gives way to the next", before.ca));
        self.commit(Changes::new(now).audit(told), Vec::new()).await?;
        let (identity, current) = (self.keys.identity(), before.ca.clone());
        let rolled = tokio::task::spawn_blocking(move || identity.roll(&current, now)).await;
        let failed = match rolled.map_err(AppError::internal)? {
            Ok(true) => return Ok(self.rolled(before.rolled_at)),
            Ok(false) => AppError::new(AppErrorKind::Conflict, "another roll of the CA was faster"),
            Err(error) => AppError::internal(error),
        };
        let row = row.reason(format!("CA {}: {failed}", before.ca));
        self.commit(Changes::new(now).audit(row), Vec::new()).await?;
        Err(failed)
    }

    fn rolled(&self, previous: Option<Timestamp>) -> CaRolled {
        let shown = self.keys.shown();
        CaRolled {
            ca_hash: shown.pins.iter().map(SpkiPin::to_string).collect(),
            ca_pem: shown.ca_pem.clone(),
            previous_roll: previous.map(|at| at.to_string()),
        }
    }
}

fn too_soon(last: Timestamp) -> String {
    format!(
        "the CA was rolled on {last}: a second roll locks out boot media, command lines and ca.pem files \
         from before that day; make them anew first, then roll with force"
    )
}
