//! Tokens by which a machine's tasks and templates speak for their machine: who makes them, how
//! long they last, and what they stand on.

use super::auth::{LoggedIn, LoginOrigin, Proof, unauthenticated};
use super::{Actor, App, AppError, AppErrorKind, MachineTokenActor};
use crate::keys::{GrantSecrets, MachineGrant, MachineTokens};
use engine::change::{AuditKind, AuditRow};
use engine::claims::Claims;
use engine::content::Content;
use engine::lifetime::Lifetime;
use engine::machine::Machine;
use protocol::model::{JobState, Kind};
use protocol::rest::MachineToken;
use std::time::Duration;

/// Preference: seconds that a token lives when nobody says how long.
const KNOWN_TOKEN_TIMEOUT: &str = "knownTokenTimeout";
/// Longest life of a token, also of one that shall never end: three years.
const LONGEST: Duration = Duration::from_secs(3 * 365 * 86_400);

impl App {
    /// A token of the server's own for a machine, which lives this long.
    ///
    /// # Errors
    /// `Invalid` for a machine without a secret.
    pub(crate) fn machine_token(&self, machine: &Machine, lifetime: Duration) -> Result<String, AppError> {
        self.grant(machine, "", lifetime)
    }

    /// A token for a machine, for whoever may have one. A machine's token makes the next one for
    /// itself, which lives no longer than one that nobody says anything about.
    ///
    /// # Errors
    /// `Forbidden`, not found, `Invalid` for a lifetime that is none.
    pub(crate) async fn create_machine_token(
        &self,
        actor: &Actor,
        key: &str,
        ttl: Option<&str>,
    ) -> Result<MachineToken, AppError> {
        let machine = self.machine_for(actor, key, "token").await?;
        let usual = Lifetime::Of(self.usual_lifetime());
        let asked = ttl.map(str::parse::<Lifetime>).transpose();
        let asked = asked.map_err(|error| AppError::new(AppErrorKind::Invalid, format!("ttl: {error}")))?;
        let (grantor, longest) = match actor {
            Actor::User(user) => (user.name.as_str(), LONGEST),
            Actor::MachineToken(token) => (token.grantor.as_str(), self.usual_lifetime()),
            Actor::Machine(_) => ("", self.usual_lifetime()),
        };
        let lifetime = asked.unwrap_or(usual).at_most(longest);
        let token = self.grant(&machine, grantor, lifetime)?;
        if actor.is_user() {
            let row = AuditRow::new(AuditKind::ApiTokenIssued, &actor.cause(self.clock.now()));
            let seconds = lifetime.as_secs();
            self.audit(row.machine(machine.id).reason(format!("for the machine, {seconds} s"))).await?;
        }
        Ok(MachineToken { token, expires_in: lifetime.as_secs() })
    }

    /// Who a machine token speaks for.
    ///
    /// # Errors
    /// `Unauthenticated` when it is none of ours, has ended, or its machine, its grantor or one of
    /// the secrets is not what it was.
    pub(super) async fn by_machine_token(
        &self,
        token: &str,
        origin: LoginOrigin<'_>,
    ) -> Result<LoggedIn, AppError> {
        let void =
            || unauthenticated("the machine token is void: it has ended, or its machine's Secret changed");
        let unproven = MachineTokens::read(token).ok_or_else(void)?;
        let (id, grantor) = unproven.needs();
        let content = self.content();
        let grantor = secret_of(&content, grantor).ok_or_else(void)?;
        let machine = self.store.machine(id).await?.ok_or_else(void)?;
        let secrets = secrets(&content, &machine, &grantor);
        let grant =
            self.keys.machine_tokens().prove(unproven, &secrets, self.clock.now()).ok_or_else(void)?;
        let MachineGrant { machine: id, grantor, expires_at } = grant;
        let actor = Actor::MachineToken(MachineTokenActor {
            machine: id,
            grantor,
            extra: extra_claims(&machine, &content),
            source: origin.source,
            request_id: origin.request_id.to_owned(),
        });
        let proof = Proof::MachineToken(token.to_owned());
        Ok(LoggedIn { actor, expires_at: Some(expires_at), confirmed_at: None, key: None, proof })
    }

    /// How long a token lives when nobody says how long.
    fn usual_lifetime(&self) -> Duration {
        let seconds = self.content().pref(KNOWN_TOKEN_TIMEOUT).parse().unwrap_or(3_600);
        Duration::from_secs(seconds).min(LONGEST)
    }

    fn grant(&self, machine: &Machine, grantor: &str, lifetime: Duration) -> Result<String, AppError> {
        let content = self.content();
        let invalid = |message: String| {
            let key = machine.id.to_string();
            AppError::new(AppErrorKind::Invalid, message).about(Kind::Machines.prefix(), key)
        };
        let secret = secret_of(&content, grantor);
        let secret = secret.ok_or_else(|| invalid(format!("user {grantor} does not exist")))?;
        let expires_at = self.clock.now().plus(lifetime.min(LONGEST));
        let grant = MachineGrant { machine: machine.id, grantor: grantor.to_owned(), expires_at };
        let secrets = secrets(&content, machine, &secret);
        self.keys.machine_tokens().issue(&grant, &secrets).map_err(|error| invalid(error.to_string()))
    }
}

/// The secret of a grantor; none for a user who does not exist.
fn secret_of(content: &Content, grantor: &str) -> Option<String> {
    if grantor.is_empty() {
        return Some(String::new());
    }
    content.users.get(grantor).map(|user| user.secret.clone())
}

fn secrets<'a>(content: &'a Content, machine: &'a Machine, grantor: &'a str) -> GrantSecrets<'a> {
    GrantSecrets {
        machine: &machine.fields.secret,
        grantor,
        base: content.pref("baseTokenSecret"),
        system: content.pref("systemGrantorSecret"),
    }
}

/// What the task that a machine runs now may do beside. It ends with the task, whatever tokens
/// there are.
fn extra_claims(machine: &Machine, content: &Content) -> Claims {
    let fields = &machine.fields;
    let running = fields.job_state == JobState::Running.word();
    let entry = usize::try_from(fields.current_task).ok().and_then(|at| fields.tasks.get(at));
    match entry.and_then(|task| content.tasks.get(task)).filter(|_| running) {
        Some(task) => {
            Claims::of_list(task.extra_claims.clone()).and(Claims::of_roles(content, &task.extra_roles))
        }
        None => Claims::default(),
    }
}
