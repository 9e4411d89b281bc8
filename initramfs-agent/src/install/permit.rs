//! The wipe permit (`spec/security.md` 5): nothing opens a disk for writing but with a [`Granted`], and nothing
//! but [`obtain`] makes one.
//!
//! The server signs a permit for one job with the key of its leaf. It is believed under the machine's pins, as the
//! server is when it is connected to, and everything that it says must be so: machine, key, run, job, lease,
//! image, time. The disks that it names are looked for among those that are there now.

use super::Install;
use super::order::path;
use crate::api::ClockTrust;
use crate::api::rest::Call;
use crate::api::tls::{Trust, TrustError, judge};
use crate::handover::{self, HandoverError};
use crate::runner::AskError;
use hyper::Method;
use protocol::install::{InstallOrder, MAX_PERMIT_LIFE, Permit, PermitAnswer, PermitShape, ReceivedPermit};
use protocol::inventory::Disk;
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use uuid::Uuid;
use webpki::EndEntityCert;

/// How far the clocks of server and machine may be apart, in seconds.
const SKEW: i64 = 300;
/// A SubjectPublicKeyInfo up to the point, for keys on P-256 (RFC 5480 section 2).
const P256: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// Why no disk may be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PermitError {
    /// The server gives none.
    #[error("E60: no wipe permit: the server does not give one")]
    Ask(#[source] AskError),
    /// Its answer is none.
    #[error("E60: no wipe permit: the server's answer is not understood")]
    Answer,
    /// The agent does not say which key the machine has.
    #[error("E60: no wipe permit: it is not known which key the machine has")]
    Key(#[source] HandoverError),
    /// It is not one.
    #[error("E60: the wipe permit is refused: {0}")]
    Shape(#[from] PermitShape),
    /// It is not by the server.
    #[error("E60: the wipe permit is refused: {0}")]
    Trust(#[from] TrustError),
    /// Its signature does not hold.
    #[error("E60: the wipe permit is refused: its signature does not hold")]
    Signature,
    /// It says something that is not so.
    #[error("E60: the wipe permit is refused: it is for another {0}")]
    Other(&'static str),
    /// Its time is over.
    #[error(
        "E60: the wipe permit is refused: it was good until {exp}, the clock says {now}; start the run again"
    )]
    Expired {
        /// Seconds since 1970.
        exp: i64,
        /// Seconds since 1970.
        now: i64,
    },
    /// It is good for longer than permits are.
    #[error(
        "E60: the wipe permit is refused: it is good for more than an hour; set the clock of server or machine"
    )]
    Long,
    /// A disk that it names is not there, or is there twice.
    #[error(
        "E60: the wipe permit is refused: {1} disks of the machine are {0}; look at the disks, then start the run again"
    )]
    Disk(String, usize),
}

/// What a permit must be for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bearer<'a> {
    /// The machine.
    pub(crate) machine: Uuid,
    /// Thumbprint of its key.
    pub(crate) thumbprint: &'a str,
    /// The run.
    pub(crate) run: Uuid,
    /// The job.
    pub(crate) job: Uuid,
    /// Its lease.
    pub(crate) epoch: i64,
    /// Digest of the image.
    pub(crate) image: &'a str,
}

/// A permit that holds.
#[derive(Debug, Clone)]
pub(crate) struct Granted(Permit);

/// Asks the server for a permit for this job, and verifies it.
///
/// # Errors
/// [`PermitError`]: no disk is written.
pub(crate) fn obtain(install: &Install, order: &InstallOrder) -> Result<Granted, PermitError> {
    let standing = handover::identity().map_err(PermitError::Key)?;
    obtain_for(install, order, &standing.thumbprint)
}

/// The same for a key that is known already.
fn obtain_for(install: &Install, order: &InstallOrder, thumbprint: &str) -> Result<Granted, PermitError> {
    let settings = &install.settings;
    let call = Call::new(Method::POST, format!("{}/permit", path(settings.run)));
    let reply = install.network.ask(settings, call).map_err(PermitError::Ask)?;
    let answer: PermitAnswer = serde_json::from_slice(&reply.body).map_err(|_| PermitError::Answer)?;
    let bearer = Bearer {
        machine: settings.runner.machine,
        thumbprint,
        run: settings.run,
        job: settings.job,
        epoch: settings.epoch,
        image: &order.image.digest,
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    verify(&answer.permit, &settings.runner.place.trust, &bearer, UnixTime::since_unix_epoch(now))
}

/// Verifies a permit.
///
/// # Errors
/// [`PermitError`] says what does not hold.
pub(crate) fn verify(
    text: &str,
    trust: &Trust,
    bearer: &Bearer<'_>,
    now: UnixTime,
) -> Result<Granted, PermitError> {
    let received = ReceivedPermit::parse(text)?;
    // The server's own CA signs permits, whoever ends its TLS.
    let pinned = Trust { pins: trust.pins.clone(), extra: None };
    let (leaf, ca) = (CertificateDer::from(received.leaf), CertificateDer::from(received.ca));
    // The chain alone counts; nobody was dialled.
    let nobody = ServerName::IpAddress(std::net::Ipv4Addr::LOCALHOST.into());
    judge(&pinned, &nobody, (&leaf, &[ca]), ClockTrust::Set, now)?;
    let key = EndEntityCert::try_from(&leaf).map_err(|_| PermitError::Signature)?.subject_public_key_info();
    let point = key.strip_prefix(P256).ok_or(PermitError::Signature)?;
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
        .verify(&received.signing_input, &received.signature)
        .map_err(|_| PermitError::Signature)?;
    says(&received.permit, bearer, now)?;
    Ok(Granted(received.permit))
}

/// Holds what a permit says against what is so.
fn says(permit: &Permit, bearer: &Bearer<'_>, now: UnixTime) -> Result<(), PermitError> {
    let claims = [
        (permit.uuid == bearer.machine, "machine"),
        (permit.jkt == bearer.thumbprint, "key"),
        (permit.run == bearer.run, "run"),
        (permit.job == bearer.job, "job"),
        (permit.epoch == bearer.epoch, "lease of the job"),
        (permit.image == bearer.image, "image"),
    ];
    if let Some((_, what)) = claims.into_iter().find(|(holds, _)| !holds) {
        return Err(PermitError::Other(what));
    }
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    if permit.exp <= now {
        return Err(PermitError::Expired { exp: permit.exp, now });
    }
    if permit.exp > now.saturating_add(MAX_PERMIT_LIFE + SKEW) {
        return Err(PermitError::Long);
    }
    Ok(())
}

impl Granted {
    /// The disks that may be erased, among those that are there now.
    ///
    /// # Errors
    /// [`PermitError::Disk`] unless each that it names is there exactly once.
    pub(crate) fn disks<'a>(&self, present: &'a [Disk]) -> Result<Vec<&'a Disk>, PermitError> {
        let mut found: Vec<&Disk> = Vec::new();
        for permitted in &self.0.disks {
            let mut same = present.iter().filter(|disk| permitted.is(disk));
            let (first, others) = (same.next(), same.count());
            let named = || {
                let name = [&permitted.wwn, &permitted.serial, &permitted.path];
                name.into_iter().find(|name| !name.is_empty()).cloned().unwrap_or_default()
            };
            match first {
                Some(disk) if others == 0 && !found.contains(&disk) => found.push(disk),
                Some(_) => return Err(PermitError::Disk(named(), others + 1)),
                None => return Err(PermitError::Disk(named(), 0)),
            }
        }
        Ok(found)
    }
}

/// Where a disk is.
pub(crate) fn device(disk: &Disk) -> PathBuf {
    Path::new("/dev").join(&disk.name)
}

#[cfg(test)]
mod tests;
