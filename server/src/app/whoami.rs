//! Which machine a caller may be, by its hardware (`spec/machine-model.md` 5.9). The answer never
//! has a token: hardware proves nothing (`spec/security.md` 0.8).

use super::App;
use super::actor::Actor;
use super::error::{AppError, AppErrorKind};
use engine::whoami::Evidence;
use protocol::ids::MachineId;
use protocol::model::HardwareFingerprint;
use serde::Deserialize;
use serde_json::{Value, json as literal};

/// Most hardware addresses that are looked up.
const MOST_MACS: usize = 64;
/// Most memory modules that are compared.
const MOST_MODULES: usize = 1_024;

/// What a caller sends; anything else in the body comes back as it was.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Request {
    mac_addrs: Option<Vec<String>>,
    fingerprint: Option<HardwareFingerprint>,
    #[serde(rename = "OnDiskUUID")]
    on_disk: Option<String>,
}

impl App {
    /// The request, and in `Result` the machine that most speaks for, with its score.
    ///
    /// # Errors
    /// `AUTH` without the claim; a body that is no evidence.
    pub(crate) async fn whoami(&self, actor: &Actor, body: Value) -> Result<Value, AppError> {
        actor.may("whoami", "create", "")?;
        let evidence = evidence(&body)?;
        let mut candidates = self.store.lookalikes(&evidence.hints()).await?;
        for mac in &evidence.macs {
            candidates.extend(self.store.machines_of_mac(&mac.to_string()).await?);
        }
        if let Some(id) = evidence.on_disk {
            candidates.extend(self.store.machine(id).await?);
        }
        let scored = candidates.into_iter().map(|machine| (evidence.score(&machine), machine.id));
        // Of two that are equally likely, always the same one.
        let best = scored.max_by_key(|(score, id)| (*score, std::cmp::Reverse(*id)));
        let result = match best.filter(|(score, _)| *score > 0) {
            Some((score, id)) => literal!({"Score": score, "Uuid": id.to_string(), "Token": ""}),
            None => literal!({"Score": 0, "Uuid": "", "Token": ""}),
        };
        let mut answer = body;
        if let Some(answer) = answer.as_object_mut() {
            answer.insert("Result".to_owned(), result);
        }
        Ok(answer)
    }
}

fn evidence(body: &Value) -> Result<Evidence, AppError> {
    let refused = |message: String| AppError::new(AppErrorKind::BadRequest, message).about("whoami", "");
    let request = Request::deserialize(body)
        .map_err(|error| refused(format!("the body tells no hardware: {error}")))?;
    let macs = request.mac_addrs.unwrap_or_default();
    let fingerprint = request.fingerprint.unwrap_or_default();
    if macs.len() > MOST_MACS || fingerprint.memory_ids.len() > MOST_MODULES {
        return Err(refused(format!("more than {MOST_MACS} addresses or {MOST_MODULES} memory modules")));
    }
    let on_disk = request.on_disk.unwrap_or_default();
    Ok(Evidence {
        // What is no address is nobody's.
        macs: macs.iter().filter_map(|mac| mac.parse().ok()).collect(),
        fingerprint,
        on_disk: on_disk.to_ascii_lowercase().parse::<MachineId>().ok(),
    })
}
