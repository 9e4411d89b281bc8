//! The statement by which a machine's key names its successor: made where the old key lives, used where the
//! new one does, such as on the disk that was just installed.
//!
//! It has the form of a [`crate::proof`], signed by the old key, for a path that no server has. Its `nonce` is
//! the machine's id, which no server gives as a nonce, and its `body_sha256` the digest of the new key's
//! thumbprint as text. It is good as long as the old key is the machine's, and so exactly once: until then the
//! old key goes on working, and a power cut in between costs nothing.

use crate::ids::MachineId;
use crate::proof::{ProofClaims, target};

/// The path of its target; no route.
const PATH: &str = "/succession";

/// What the old key signs. `successor` is the base64url of the SHA-256 of the new key's thumbprint as text,
/// `unique` as the `jti` of any proof.
pub fn claims(server_id: &str, machine: MachineId, successor: String, unique: String) -> ProofClaims {
    ProofClaims {
        jti: unique,
        htm: "POST".to_owned(),
        htu: target(server_id, PATH),
        sid: server_id.to_owned(),
        nonce: machine.to_string(),
        body_sha256: successor,
        ath: None,
    }
}

/// The machine that a statement speaks of, if it is one to this server about this successor. The caller
/// verifies the signature, and that its key is the machine's.
pub fn machine(statement: &ProofClaims, server_id: &str, successor: &str) -> Option<MachineId> {
    let machine: MachineId = statement.nonce.parse().ok()?;
    let expected = claims(server_id, machine, successor.to_owned(), statement.jti.clone());
    (*statement == expected).then_some(machine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_for_one_server_one_machine_and_one_successor() {
        let id: MachineId = "0b4f9c9e-8f5e-4f4e-9d6e-1a2b3c4d5e6f".parse().unwrap();
        let good = claims("dc1", id, "digest".into(), "j".into());
        assert_eq!(machine(&good, "dc1", "digest"), Some(id));
        assert_eq!(machine(&good, "dc2", "digest"), None);
        assert_eq!(machine(&good, "dc1", "another"), None);
        for change in [
            |c: &mut ProofClaims| c.nonce = "n".into(),
            |c: &mut ProofClaims| c.htu = target("dc1", crate::agent_api::TOKEN_PATH),
            |c: &mut ProofClaims| c.ath = Some("a".into()),
            |c: &mut ProofClaims| c.htm = "GET".into(),
        ] {
            let mut other = good.clone();
            change(&mut other);
            assert_eq!(machine(&other, "dc1", "digest"), None, "{other:?}");
        }
    }
}
