//! The one way to write: a decision's changes, all or none.

use super::audit::Chain;
use super::marks::{drop_hints, put_enrollment_hints};
use super::read::{placeholders, to_json};
use super::{Store, StoreError};
use engine::change::{Change, Changes, Record, Revision};
use engine::enrollment::{CODE_REST, Enrollment};
use engine::identity::hints;
use engine::time::Timestamp;
use protocol::code::BootstrapCode;
use protocol::ids::EnrollmentId;
use protocol::rest::EnrollmentState;
use sqlx::{AnyConnection, AssertSqlSafe, Row};

/// How a commit does not fit what is stored. Nothing of it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// The object changed or went since it was read.
    #[error("an object changed since it was read")]
    Stale,
    /// The object is there already.
    #[error("an object exists already")]
    Exists,
    /// The code, or one that a slip turns into it, is live or rests.
    #[error("a code is too near to another one")]
    CodeTaken,
    /// Another machine has the name.
    #[error("a machine's name is taken")]
    NameTaken,
    /// Another machine has the key.
    #[error("a machine's key is taken")]
    KeyTaken,
    /// The token registered as many machines as it may.
    #[error("a bootstrap token registered as many machines as it may")]
    UsedUp,
    /// The token was revoked.
    #[error("a bootstrap token was revoked")]
    Revoked,
    /// The machine has as many boot nonces as it may.
    #[error("a machine has as many boot nonces as it may")]
    NoncesOut,
    /// The nonce was used or is over.
    #[error("a boot nonce was used or is over")]
    NonceUsed,
    /// Machines are in the mesh network.
    #[error("machines are in a mesh network")]
    MeshUsed,
    /// The job's log is as long as a log may be.
    #[error("a job's log is full")]
    LogFull,
}

impl From<Conflict> for StoreError {
    fn from(conflict: Conflict) -> Self {
        Self::Conflict(conflict)
    }
}

/// The one row that all commits agree on. Whoever advances it writes alone.
#[derive(Debug, Clone)]
pub(super) struct Head {
    revision: i64,
    latest: i64,
    content: i64,
    checked: i64,
    chain: Chain,
}

impl Head {
    /// Reads it and keeps every other writer waiting until the transaction ends.
    pub(super) async fn lock(connection: &mut AnyConnection) -> Result<Self, StoreError> {
        let sql = "UPDATE head SET revision = revision \
                   RETURNING revision, latest, content_revision, checked_revision, audit_rows, audit_hash";
        let row = sqlx::query(sql).fetch_one(connection).await?;
        Ok(Self {
            revision: row.try_get("revision")?,
            latest: row.try_get("latest")?,
            content: row.try_get("content_revision")?,
            checked: row.try_get("checked_revision")?,
            chain: Chain { rows: row.try_get("audit_rows")?, hash: row.try_get("audit_hash")? },
        })
    }

    /// Writes one set of changes. Answers the head after it; an error leaves what was written so far
    /// to be taken back.
    pub(super) async fn write(
        mut self,
        transaction: &mut AnyConnection,
        changes: &Changes,
    ) -> Result<Self, StoreError> {
        if changes.on_content.is_some_and(|seen| seen.0 != self.content) {
            return Err(Conflict::Stale.into());
        }
        self.revision += 1;
        self.latest = self.latest.max(changes.at.as_millis());
        let mut writing = Writing { transaction, at: changes.at, head: self };
        for change in &changes.list {
            writing.write(change).await?;
        }
        Ok(writing.head)
    }

    /// The revision of the latest set.
    pub(super) const fn revision(&self) -> Revision {
        Revision(self.revision)
    }

    /// The content is another one from this set on.
    pub(super) const fn content_changes(&mut self) {
        self.content = self.revision;
    }

    /// All machines were checked against this content. Never goes back: of two checks, the one of the
    /// older content may end last.
    pub(super) fn machines_checked(&mut self, against: Revision) {
        self.checked = self.checked.max(against.0);
    }

    /// Puts it back.
    pub(super) async fn store(self, connection: &mut AnyConnection) -> Result<(), StoreError> {
        let sql = "UPDATE head SET revision = $1, latest = $2, content_revision = $3, checked_revision = $4, \
                   audit_rows = $5, audit_hash = $6";
        sqlx::query(sql)
            .bind(self.revision)
            .bind(self.latest)
            .bind(self.content)
            .bind(self.checked)
            .bind(self.chain.rows)
            .bind(self.chain.hash)
            .execute(connection)
            .await?;
        Ok(())
    }
}

/// One set of changes being written.
pub(super) struct Writing<'a> {
    pub(super) transaction: &'a mut AnyConnection,
    /// When it was decided.
    pub(super) at: Timestamp,
    pub(super) head: Head,
}

impl Store {
    /// Stores all changes, or none. When it returns, they are on disk. Answers the commit's
    /// revision, which every object in it now has.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when they do not fit what is stored.
    pub(crate) async fn commit(&self, changes: &Changes) -> Result<Revision, StoreError> {
        self.commit_then(changes.clone(), |_| {}).await
    }

    /// The same; `then` is called once they are on disk, in the order of the commits' revisions, even
    /// when the caller goes away.
    ///
    /// # Errors
    /// As [`Store::commit`]; `then` is not called.
    pub(crate) async fn commit_then(
        &self,
        changes: Changes,
        then: impl FnOnce(Revision) + Send + 'static,
    ) -> Result<Revision, StoreError> {
        self.writing.commit(changes, Box::new(then)).await
    }
}

impl Writing<'_> {
    async fn write(&mut self, change: &Change) -> Result<(), StoreError> {
        match change {
            Change::InsertEnrollment(enrollment) => self.insert_enrollment(enrollment).await,
            Change::UpdateEnrollment(enrollment) => self.update_enrollment(enrollment).await,
            Change::TakeCode { code, enrollment, at } => self.take_code(*code, *enrollment, *at).await,
            Change::RetireCode { code, at } => self.retire_code(*code, *at).await,
            Change::InsertMachine(machine) => self.insert_machine(machine).await,
            Change::UpdateMachine(machine) => self.update_machine(machine).await,
            Change::DeleteMachine { id, revision } => self.delete_machine(*id, *revision).await,
            Change::Seen(seen) => self.seen(seen).await,
            Change::IssueToken(token) => self.issue_token(token).await,
            Change::UseToken { token, by } => self.use_token(token, *by).await,
            Change::Revoke(revocation) => self.revoke(revocation).await,
            Change::GiveNonce(nonce) => self.give_nonce(nonce).await,
            Change::UseNonce(digest) => self.use_nonce(*digest).await,
            Change::EndNonces(machine) => self.end_nonces(*machine).await,
            Change::InsertJob(job) => self.insert_job(job).await,
            Change::UpdateJob(job) => self.update_job(job).await,
            Change::DeleteJob { id, revision } => self.delete_job(*id, *revision).await,
            Change::JobIs { id, revision } => self.job_is(*id, *revision).await,
            Change::InsertRun(run) => self.insert_run(run).await,
            Change::UpdateRun(run) => self.update_run(run).await,
            Change::PutGoods { run, goods } => self.put_goods(*run, goods).await,
            Change::AppendLog { job, at, bytes } => self.append_log(*job, *at, bytes).await,
            Change::PutObject(object) => self.put_object(object).await,
            Change::DeleteObject { kind, key } => self.delete_object(*kind, key).await,
            Change::SetPref { name, value } => self.set_pref(name, value).await,
            Change::MachinesChecked(against) => {
                self.head.machines_checked(*against);
                Ok(())
            }
            Change::JoinMesh { mesh, number, machine } => self.join_mesh(mesh, *number, *machine).await,
            Change::LeaveMesh(machine) => self.leave_mesh(*machine).await,
            Change::ClearMesh(mesh) => self.clear_mesh(mesh).await,
            Change::PutRecord(record) => self.put_record(record).await,
            Change::DeleteRecord { kind, key } => self.delete_record(kind, key).await,
            Change::ForgetCodes(before) => {
                self.forget("DELETE FROM code WHERE retired_at < $1", *before).await
            }
            Change::ForgetEnrollments(before) => self.forget_enrollments(*before).await,
            Change::ForgetUnanswered(before) => {
                let sql = "DELETE FROM enrollment WHERE state IN ('Cancelled', 'Expired') AND ended_at < $1";
                self.forget(sql, *before).await
            }
            Change::ForgetTokens(before) => {
                self.forget("DELETE FROM bootstrap_token WHERE expires_at < $1", *before).await
            }
            Change::ForgetNonces(before) => {
                self.forget("DELETE FROM boot_nonce WHERE expires_at < $1", *before).await
            }
            Change::ForgetRuns(before) => {
                let sql = "DELETE FROM provision WHERE created_at < $1 \
                           AND NOT EXISTS (SELECT 1 FROM machine m WHERE m.id = provision.machine)";
                self.forget(sql, *before).await
            }
            Change::ForgetRevocations(before) => {
                self.forget("DELETE FROM revocation WHERE kept_until < $1", *before).await
            }
            Change::Audit(row) => self.head.chain.append(self.transaction, row).await,
        }
    }

    async fn insert_enrollment(&mut self, enrollment: &Enrollment) -> Result<(), StoreError> {
        // One key waits once, however often it asks at the same time.
        let sql = "SELECT id FROM enrollment WHERE id = $1 OR (machine_key = $2 AND state = 'Pending')";
        let (id, key) = (enrollment.id.to_string(), enrollment.key.to_string());
        let taken = sqlx::query(sql)
            .bind(id.clone())
            .bind(key.clone())
            .fetch_optional(&mut *self.transaction)
            .await?;
        if taken.is_some() {
            return Err(Conflict::Exists.into());
        }
        let sql = "INSERT INTO enrollment (id, machine_key, state, created_at, fingerprint, body, revision) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7)";
        sqlx::query(sql)
            .bind(id.clone())
            .bind(key)
            .bind(state_word(enrollment))
            .bind(enrollment.created_at.as_millis())
            .bind(enrollment.fingerprint.to_string())
            .bind(to_json("enrollment", enrollment)?)
            .bind(self.head.revision().0)
            .execute(&mut *self.transaction)
            .await?;
        put_enrollment_hints(self.transaction, &id, &enrollment.inventory).await
    }

    async fn update_enrollment(&mut self, enrollment: &Enrollment) -> Result<(), StoreError> {
        let sql = "UPDATE enrollment SET state = $1, ended_at = $2, decided_by = $3, body = $4, revision = $5 \
                   WHERE id = $6 AND revision = $7";
        let id = enrollment.id.to_string();
        let done = sqlx::query(sql)
            .bind(state_word(enrollment))
            .bind(enrollment.ended_at().map(Timestamp::as_millis))
            .bind(enrollment.decided_by().map(str::to_owned))
            .bind(to_json("enrollment", enrollment)?)
            .bind(self.head.revision().0)
            .bind(id.clone())
            .bind(enrollment.revision.0)
            .execute(&mut *self.transaction)
            .await?;
        one_row(done.rows_affected())?;
        // The inventory never changes, except that a request without an answer loses it.
        if hints(&enrollment.inventory).is_empty() { drop_hints(self.transaction, &id).await } else { Ok(()) }
    }

    async fn take_code(
        &mut self,
        code: BootstrapCode,
        enrollment: EnrollmentId,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let mut near = code.neighbours();
        near.push(code);
        let sql = format!(
            "SELECT code FROM code WHERE code IN ({}) AND (retired_at IS NULL OR retired_at > ${}) LIMIT 1",
            placeholders(near.len()),
            near.len() + 1
        );
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for code in &near {
            query = query.bind(code.as_str().to_owned());
        }
        let taken =
            query.bind(at.minus(CODE_REST).as_millis()).fetch_optional(&mut *self.transaction).await?;
        if taken.is_some() {
            return Err(Conflict::CodeTaken.into());
        }
        // A row that rested long enough may still wait for the sweep.
        let text = code.as_str().to_owned();
        sqlx::query("DELETE FROM code WHERE code = $1")
            .bind(text.clone())
            .execute(&mut *self.transaction)
            .await?;
        sqlx::query("INSERT INTO code (code, enrollment) VALUES ($1, $2)")
            .bind(text)
            .bind(enrollment.to_string())
            .execute(&mut *self.transaction)
            .await?;
        Ok(())
    }

    async fn retire_code(&mut self, code: BootstrapCode, at: Timestamp) -> Result<(), StoreError> {
        let done = sqlx::query("UPDATE code SET retired_at = $1 WHERE code = $2 AND retired_at IS NULL")
            .bind(at.as_millis())
            .bind(code.as_str().to_owned())
            .execute(&mut *self.transaction)
            .await?;
        one_row(done.rows_affected())
    }

    async fn put_record(&mut self, record: &Record) -> Result<(), StoreError> {
        if record.revision == Revision::default() {
            return self.insert_record(record).await;
        }
        let sql =
            "UPDATE record SET body = $1, revision = $2 WHERE kind = $3 AND name = $4 AND revision = $5";
        let done = sqlx::query(sql)
            .bind(record.body.clone())
            .bind(self.head.revision().0)
            .bind(record.kind.clone())
            .bind(record.key.clone())
            .bind(record.revision.0)
            .execute(&mut *self.transaction)
            .await?;
        one_row(done.rows_affected())
    }

    async fn insert_record(&mut self, record: &Record) -> Result<(), StoreError> {
        let taken = sqlx::query("SELECT name FROM record WHERE kind = $1 AND name = $2")
            .bind(record.kind.clone())
            .bind(record.key.clone())
            .fetch_optional(&mut *self.transaction)
            .await?;
        if taken.is_some() {
            return Err(Conflict::Exists.into());
        }
        sqlx::query("INSERT INTO record (kind, name, body, revision) VALUES ($1, $2, $3, $4)")
            .bind(record.kind.clone())
            .bind(record.key.clone())
            .bind(record.body.clone())
            .bind(self.head.revision().0)
            .execute(&mut *self.transaction)
            .await?;
        Ok(())
    }

    async fn delete_record(&mut self, kind: &str, key: &str) -> Result<(), StoreError> {
        // Two may delete the same at once, such as a log-out and the end of its session.
        sqlx::query("DELETE FROM record WHERE kind = $1 AND name = $2")
            .bind(kind.to_owned())
            .bind(key.to_owned())
            .execute(&mut *self.transaction)
            .await?;
        Ok(())
    }

    async fn forget(&mut self, sql: &'static str, before: Timestamp) -> Result<(), StoreError> {
        sqlx::query(sql).bind(before.as_millis()).execute(&mut *self.transaction).await?;
        Ok(())
    }

    async fn forget_enrollments(&mut self, before: Timestamp) -> Result<(), StoreError> {
        self.forget(
            "DELETE FROM hint WHERE owner IN (SELECT id FROM enrollment WHERE ended_at < $1)",
            before,
        )
        .await?;
        self.forget("DELETE FROM enrollment WHERE ended_at < $1", before).await
    }
}

/// The state as its column holds it.
fn state_word(enrollment: &Enrollment) -> String {
    let word = match enrollment.word() {
        EnrollmentState::Pending => "Pending",
        EnrollmentState::Approved => "Approved",
        EnrollmentState::Enrolled => "Enrolled",
        EnrollmentState::Denied => "Denied",
        EnrollmentState::Cancelled => "Cancelled",
        EnrollmentState::Expired => "Expired",
        EnrollmentState::Unclaimed => "Unclaimed",
    };
    word.to_owned()
}

pub(super) fn one_row(rows: u64) -> Result<(), StoreError> {
    if rows == 1 { Ok(()) } else { Err(Conflict::Stale.into()) }
}
