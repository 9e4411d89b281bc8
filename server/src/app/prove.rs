//! The door for machines' calls: a proof that holds, or a refusal that leaves a trace.

use super::{App, AppError};
use crate::keys::{Call, MachineCaller, ProofRefusal, ProvenHead};
use crate::report::chain;
use engine::change::{AuditKind, AuditRow, Cause};
use protocol::agent_api::RefusalKind;

impl App {
    /// Verifies the head of a machine's call. A proof that does not hold is noted in the audit
    /// log, for each source a few times a minute at most.
    ///
    /// # Errors
    /// [`AppError`] with the word the machine acts on; which check failed is never said.
    pub(crate) async fn prove_head(&self, call: &Call<'_>) -> Result<ProvenHead, AppError> {
        match self.keys.verify_head(call, self.now()) {
            Ok(head) => Ok(head),
            Err(refusal) => Err(self.refuse(call, refusal).await),
        }
    }

    /// Verifies the body of a call whose head is proven, and uses the proof up.
    ///
    /// # Errors
    /// As [`App::prove_head`].
    pub(crate) async fn prove_body(
        &self,
        head: ProvenHead,
        call: &Call<'_>,
        body: &[u8],
    ) -> Result<MachineCaller, AppError> {
        match self.keys.verify_body(head, call, body, self.now()) {
            Ok(caller) => Ok(caller),
            Err(refusal) => Err(self.refuse(call, refusal).await),
        }
    }

    async fn refuse(&self, call: &Call<'_>, refusal: ProofRefusal) -> AppError {
        if refusal == ProofRefusal::Invalid {
            self.note_failed_proof(call).await;
        }
        let kind = match refusal {
            ProofRefusal::Invalid => RefusalKind::InvalidProof,
            ProofRefusal::UseNonce => RefusalKind::UseNonce,
            ProofRefusal::AccessToken => RefusalKind::InvalidAccessToken,
        };
        AppError::refused(kind, refusal.to_string())
    }

    /// The caller is refused whether or not the row can be stored.
    async fn note_failed_proof(&self, call: &Call<'_>) {
        let now = self.now();
        if self.limits.failed_proof(call.source, now).is_err() {
            return;
        }
        let cause = Cause {
            principal: "nobody".to_owned(),
            source: Some(call.source),
            request_id: call.request_id.to_owned(),
            at: now,
        };
        let row =
            AuditRow::new(AuditKind::ProofFailed, &cause).reason(format!("{} {}", call.method, call.path));
        if let Err(error) = self.audit(row).await {
            tracing::warn!(error = chain(&error), "a failed proof could not be written to the audit log");
        }
    }
}
