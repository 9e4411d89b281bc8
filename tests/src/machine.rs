//! A simulated machine: the agent's side of the wire protocol over real HTTPS with real
//! Ed25519 proofs, without the machine. For tests of the protocol, of races, of limits and of
//! crashes, where a thousand boots would say no more.
//!
//! It is written from `protocol` and `spec/security.md` 2.4, not from the agent, so that the
//! two check each other.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use protocol::agent_api::{
    AgentState, Approved, ENROLLMENTS_PATH, EnrollmentAnswer, EnrollmentRequest, HEARTBEAT_PATH,
    HeartbeatAnswer, HeartbeatRequest, Origin, Pending, REGISTER_PATH, Refusal, RefusalKind, RegisterRequest,
    TOKEN_PATH, TokenAnswer, TokenRequest, cancel_path, poll_path,
};
use protocol::code::Fingerprint;
use protocol::ids::{EnrollmentId, KeyThumbprint, MacAddr};
use protocol::inventory::{FirmwareMode, Inventory, Link};
use protocol::proof::{self, NONCE_HEADER, PROOF_HEADER, ProofClaims};
use protocol::token::base64url;
use protocol::{PROTOCOL_HEADER, ProtocolVersion, SERVER_ID_SUFFIX};
use reqwest::blocking::Client;
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde::Serialize;

use crate::muster::Server;
use crate::operator::{Answer, client};

/// Tries of one call: the first may lack a nonce, the second must not.
const TRIES: usize = 2;
/// Looks of [`Machine::collect`] at an approval.
const COLLECT_POLLS: usize = 20;

/// A simulated machine.
pub struct Machine {
    key: Ed25519KeyPair,
    /// PKCS#8 of the key, to let another machine steal it.
    pkcs8: Vec<u8>,
    http: Client,
    base: String,
    server_id: String,
    nonce: String,
    access_token: Option<String>,
    /// What it says it is made of.
    pub inventory: Inventory,
    /// Protocol it says it speaks.
    pub protocol: ProtocolVersion,
}

impl std::fmt::Debug for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Machine").field("serial", &self.inventory.serial).finish_non_exhaustive()
    }
}

/// The server as machines know it.
#[derive(Debug, Clone)]
pub struct Target {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its id, as in its certificate.
    pub id: String,
    /// Certificate of its CA.
    pub ca_pem: Vec<u8>,
}

impl Target {
    /// The target that a running server is.
    ///
    /// # Errors
    /// When it does not say its id.
    pub fn of(server: &Server) -> Result<Self> {
        Ok(Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, server.port())),
            id: server.operator()?.info()?.id,
            ca_pem: server.ca_pem()?,
        })
    }
}

/// Parts of a signed call that tests tamper with.
#[derive(Debug, Clone, Default)]
pub struct Tamper {
    /// Claim another server id.
    pub sid: Option<String>,
    /// Claim another target.
    pub htu: Option<String>,
    /// Claim another method.
    pub htm: Option<String>,
    /// Use this nonce.
    pub nonce: Option<String>,
    /// Claim the digest of this body instead.
    pub body: Option<Vec<u8>>,
    /// Use this value instead of a fresh one.
    pub jti: Option<String>,
    /// Flip a bit of the signature.
    pub break_signature: bool,
    /// Send no proof at all.
    pub no_proof: bool,
}

impl Machine {
    /// A machine with a fresh key that calls from 127.0.0.1. `number` makes its hardware.
    ///
    /// # Errors
    /// When no key or client can be made.
    pub fn new(target: &Target, number: u32) -> Result<Self> {
        Self::calling_from(target, number, Ipv4Addr::LOCALHOST)
    }

    /// A machine that calls from another loopback address: limits are kept by source.
    ///
    /// # Errors
    /// When no key or client can be made.
    pub fn calling_from(target: &Target, number: u32, source: Ipv4Addr) -> Result<Self> {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).ok().context("no randomness")?;
        Self::with_key(target, number, source, pkcs8.as_ref())
    }

    /// A machine that holds a given key: one that was rebooted, or a thief.
    ///
    /// # Errors
    /// When the key is none, or no client can be made.
    pub fn with_key(target: &Target, number: u32, source: Ipv4Addr, pkcs8: &[u8]) -> Result<Self> {
        let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8).ok().context("not an Ed25519 key")?;
        let name = format!("{}{SERVER_ID_SUFFIX}", target.id);
        let http = client(&target.ca_pem)?
            .resolve(&name, target.address)
            .local_address(IpAddr::V4(source))
            .build()
            .context("cannot make an HTTP client")?;
        Ok(Self {
            key,
            pkcs8: pkcs8.to_vec(),
            http,
            base: format!("https://{name}:{}", target.address.port()),
            server_id: target.id.clone(),
            nonce: String::new(),
            access_token: None,
            inventory: inventory(number),
            protocol: ProtocolVersion::CURRENT,
        })
    }

    /// Its private key.
    #[must_use]
    pub fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// Its access token, once it has one.
    #[must_use]
    pub fn access_token(&self) -> Option<&str> {
        self.access_token.as_deref()
    }

    /// The raw public key.
    ///
    /// # Errors
    /// Never, unless ring's Ed25519 keys change their length.
    pub fn public_key(&self) -> Result<[u8; 32]> {
        self.key.public_key().as_ref().try_into().context("an Ed25519 key has 32 bytes")
    }

    /// What the server calls its key.
    ///
    /// # Errors
    /// As [`Machine::public_key`].
    pub fn thumbprint(&self) -> Result<KeyThumbprint> {
        Ok(KeyThumbprint(sha256(proof::thumbprint_preimage(&self.public_key()?).as_bytes())?))
    }

    /// What its console shows beside the code.
    ///
    /// # Errors
    /// As [`Machine::public_key`].
    pub fn fingerprint(&self) -> Result<Fingerprint> {
        let preimage = Fingerprint::preimage(&self.thumbprint()?, &self.server_id);
        Ok(Fingerprint::from_digest(sha256(&preimage)?))
    }

    /// Body of its enrollment request.
    #[must_use]
    pub fn enrollment_request(&self) -> EnrollmentRequest {
        EnrollmentRequest { inventory: self.inventory.clone(), origin: Origin::Iso, image_id: None }
    }

    /// Asks to be registered, whatever the answer.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn try_enroll(&mut self) -> Result<Answer> {
        let body = self.enrollment_request();
        self.call(ENROLLMENTS_PATH, &body, Duration::ZERO)
    }

    /// Asks to be registered and gets a code.
    ///
    /// # Errors
    /// On any other answer than a pending enrollment.
    pub fn enroll(&mut self) -> Result<Pending> {
        let answer = self.try_enroll()?;
        if answer.status != 201 && answer.status != 200 {
            bail!("enrollment: {} {}", answer.status, answer.text());
        }
        self.pending(&answer)
    }

    fn pending(&mut self, answer: &Answer) -> Result<Pending> {
        match answer.json()? {
            EnrollmentAnswer::AuthorizationPending(pending) => {
                self.nonce.clone_from(&pending.nonce);
                Ok(pending)
            }
            EnrollmentAnswer::Approved(approved) => bail!("registered already: {approved:?}"),
        }
    }

    /// Polls its enrollment, whatever the answer; the server may hold it for `wait`.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn try_poll(&mut self, id: EnrollmentId, wait: Duration) -> Result<Answer> {
        self.call(&poll_path(id), &serde_json::json!({}), wait)
    }

    /// Polls its enrollment and finds it pending.
    ///
    /// # Errors
    /// On any other answer.
    pub fn poll_pending(&mut self, id: EnrollmentId, wait: Duration) -> Result<Pending> {
        let answer = self.try_poll(id, wait)?;
        if answer.status != 202 {
            bail!("poll: {} {}", answer.status, answer.text());
        }
        self.pending(&answer)
    }

    /// Polls until it is approved, then asks for the access token: the acknowledgement.
    ///
    /// # Errors
    /// When it is refused, or not approved within 20 polls.
    pub fn collect(&mut self, id: EnrollmentId) -> Result<Approved> {
        for _ in 0..COLLECT_POLLS {
            let answer = self.try_poll(id, Duration::from_secs(5))?;
            match answer.status {
                200 => {
                    let EnrollmentAnswer::Approved(approved) = answer.json()? else {
                        bail!("200 to a poll must be an approval: {}", answer.text());
                    };
                    self.acknowledge(&approved)?;
                    return Ok(approved);
                }
                202 => {}
                429 => std::thread::sleep(Duration::from_secs(answer.retry_after.unwrap_or(1).min(10))),
                _ => bail!("poll: {} {}", answer.status, answer.text()),
            }
        }
        bail!("not approved within {COLLECT_POLLS} polls")
    }

    /// Takes its enrollment back, whatever the answer.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn try_cancel(&mut self, id: EnrollmentId) -> Result<Answer> {
        self.call(&cancel_path(id), &serde_json::json!({}), Duration::ZERO)
    }

    /// Registers with a bootstrap token, whatever the answer.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn try_register(&mut self, token: &str) -> Result<Answer> {
        self.register_by(token, "")
    }

    /// Comes back with a boot nonce, whatever the answer.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn try_come_back(&mut self, nonce: &str) -> Result<Answer> {
        self.register_by("", nonce)
    }

    fn register_by(&mut self, token: &str, nonce: &str) -> Result<Answer> {
        let body = RegisterRequest {
            token: token.to_owned(),
            nonce: nonce.to_owned(),
            statement: String::new(),
            inventory: self.inventory.clone(),
            origin: Origin::Pxe,
        };
        self.call(REGISTER_PATH, &body, Duration::ZERO)
    }

    /// Asks for the first access token over the enrollment's nonce.
    ///
    /// # Errors
    /// On any other answer than 200.
    pub fn acknowledge(&mut self, approved: &Approved) -> Result<()> {
        self.nonce.clone_from(&approved.enrol_nonce);
        self.renew()
    }

    /// Asks for an access token, whatever the answer.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn try_renew(&mut self) -> Result<Answer> {
        self.access_token = None;
        self.call(TOKEN_PATH, &TokenRequest {}, Duration::ZERO)
    }

    /// Asks for an access token.
    ///
    /// # Errors
    /// On any other answer than 200.
    pub fn renew(&mut self) -> Result<()> {
        let token: TokenAnswer = self.try_renew()?.expect(200)?;
        self.nonce.clone_from(&token.nonce);
        self.access_token = Some(token.access_token);
        Ok(())
    }

    /// Sends a heartbeat, whatever the answer.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn try_heartbeat(&mut self) -> Result<Answer> {
        let inventory = serde_json::to_vec(&self.inventory).context("an inventory that is not JSON")?;
        let body = HeartbeatRequest {
            state: AgentState::Discovery,
            inventory_digest: base64url(&sha256(&inventory)?),
            ..HeartbeatRequest::goodbye()
        };
        self.call(HEARTBEAT_PATH, &body, Duration::ZERO)
    }

    /// Sends a heartbeat.
    ///
    /// # Errors
    /// On any other answer than 200.
    pub fn heartbeat(&mut self) -> Result<HeartbeatAnswer> {
        let answer: HeartbeatAnswer = self.try_heartbeat()?.expect(200)?;
        self.nonce.clone_from(&answer.nonce);
        Ok(answer)
    }

    /// A signed call: again with a fresh nonce when the server asks for one.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn call(&mut self, path: &str, body: &impl Serialize, wait: Duration) -> Result<Answer> {
        let body = serde_json::to_vec(body).context("a body that is not JSON")?;
        self.call_with(path, &body, wait, &Tamper::default())
    }

    /// A signed call of raw bytes, tampered with.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn call_with(&mut self, path: &str, body: &[u8], wait: Duration, tamper: &Tamper) -> Result<Answer> {
        let mut answer = None;
        for _ in 0..TRIES {
            let one = self.call_once(path, body, wait, tamper)?;
            if let Some(nonce) = one.header(NONCE_HEADER) {
                nonce.clone_into(&mut self.nonce);
            }
            let refusal = one.json::<Refusal>().ok();
            if let Some(nonce) = refusal.as_ref().and_then(|refusal| refusal.nonce.clone()) {
                self.nonce = nonce;
            }
            let again = refusal.is_some_and(|refusal| refusal.error == RefusalKind::UseNonce);
            answer = Some(one);
            if !again {
                break;
            }
        }
        answer.context("no call was made")
    }

    fn call_once(&self, path: &str, body: &[u8], wait: Duration, tamper: &Tamper) -> Result<Answer> {
        let mut request = self
            .http
            .post(format!("{}{path}", self.base))
            .header(PROTOCOL_HEADER, self.protocol.to_string())
            .header("content-type", "application/json")
            .body(body.to_vec());
        if !tamper.no_proof {
            request = request.header(PROOF_HEADER, self.prove(path, body, tamper)?);
        }
        if let Some(token) = &self.access_token {
            request = request.header("authorization", format!("DPoP {token}"));
        }
        if !wait.is_zero() {
            request = request.header("prefer", format!("wait={}", wait.as_secs()));
        }
        Answer::read(request.send().with_context(|| format!("no answer to {path}"))?)
    }

    /// The proof header for a call, tampered with.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn prove(&self, path: &str, body: &[u8], tamper: &Tamper) -> Result<String> {
        let mut random = [0; 16];
        SystemRandom::new().fill(&mut random).ok().context("no randomness")?;
        let or = |given: &Option<String>, usual: String| given.clone().unwrap_or(usual);
        let ath = match &self.access_token {
            Some(token) => Some(base64url(&sha256(token.as_bytes())?)),
            None => None,
        };
        let claims = ProofClaims {
            jti: or(&tamper.jti, base64url(&random)),
            htm: or(&tamper.htm, "POST".to_owned()),
            htu: or(&tamper.htu, proof::target(&self.server_id, path)),
            sid: or(&tamper.sid, self.server_id.clone()),
            nonce: or(&tamper.nonce, self.nonce.clone()),
            body_sha256: base64url(&sha256(tamper.body.as_deref().unwrap_or(body))?),
            ath,
        };
        let input = proof::signing_input(&self.public_key()?, &claims);
        let mut signature = self.key.sign(input.as_bytes()).as_ref().to_vec();
        if let (true, Some(byte)) = (tamper.break_signature, signature.first_mut()) {
            *byte ^= 1;
        }
        Ok(proof::finish(&input, &signature))
    }
}

/// SHA-256 of some bytes.
///
/// # Errors
/// Never, unless ring's SHA-256 changes its length.
pub fn sha256(bytes: &[u8]) -> Result<[u8; 32]> {
    digest(&SHA256, bytes).as_ref().try_into().context("SHA-256 has 32 bytes")
}

/// Plausible hardware that differs with `number`.
#[must_use]
pub fn inventory(number: u32) -> Inventory {
    let [a, b, c, d] = number.to_be_bytes();
    Inventory {
        vendor: "Simulated".to_owned(),
        product: "Machine".to_owned(),
        serial: format!("SIM{number:08}"),
        system_uuid: format!("5157e500-0000-4000-8000-0000{number:08x}"),
        firmware_mode: FirmwareMode::Bios,
        arch: "amd64".to_owned(),
        kernel: "6.1.0-0-amd64".to_owned(),
        memory_bytes: 1 << 30,
        links: vec![Link {
            driver: "virtio_net".to_owned(),
            carrier: true,
            addresses: vec!["10.0.2.15/24".to_owned()],
            ..Link::new("eth0", MacAddr([0x52, 0x54, a, b, c, d]))
        }],
        ..Inventory::default()
    }
}
