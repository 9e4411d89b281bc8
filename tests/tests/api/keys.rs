//! The server's certificate over time: a renewal and a roll of the CA lose nobody
//! (`spec/security.md` 4, acceptance check 25).

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use protocol::agent_api::{Approved, HeartbeatAnswer, Refusal, RefusalKind};
use protocol::cmdline::KernelArgs;
use protocol::ids::SpkiPin;
use protocol::rest::CaRolled;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use tests::machine::{Machine, Target};
use tests::muster::Server;
use tests::operator::Operator;

use crate::{Site, source};

/// Machines that send heartbeats while keys change.
const MACHINES: u32 = 50;
/// Heartbeats after which a machine comes back by a new connection.
const PER_CONNECTION: usize = 4;
/// Pause between two heartbeats of one machine, which send one in twenty seconds in real life.
const PACE: Duration = Duration::from_millis(250);
/// Sixty-one days: a leaf made then has less than thirty left.
const TWO_MONTHS: i64 = 61 * 86_400;

/// The chain that the server shows a client which trusts `ca_pem`.
fn chain(server: &Server, ca_pem: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca_pem) {
        roots.add(certificate.context("not PEM")?)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::from(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST));
    let mut tls = ClientConnection::new(Arc::new(config), name)?;
    let mut stream = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, server.port())))?;
    while tls.is_handshaking() {
        tls.complete_io(&mut stream)?;
    }
    Ok(tls.peer_certificates().context("no certificate was shown")?.to_vec())
}

/// Pins of a chain, leaf first.
fn pins(chain: &[CertificateDer<'_>]) -> Vec<SpkiPin> {
    let pin = |der| {
        let key = ParsedCertificate::try_from(der).unwrap().subject_public_key_info();
        SpkiPin(tests::machine::sha256(&key).unwrap())
    };
    chain.iter().map(pin).collect()
}

fn roll(operator: &Operator, force: bool) -> tests::operator::Answer {
    operator.post("/api/v3/keys/ca/roll", &serde_json::json!({ "Force": force })).unwrap()
}

/// Registers a machine by token.
fn register(site: &mut Site, token: &str) -> (Machine, Approved) {
    let mut machine = site.machine();
    let approved: Approved = machine.try_register(token).unwrap().expect(201).unwrap();
    machine.acknowledge(&approved).unwrap();
    (machine, approved)
}

/// Sends heartbeats until told to stop, now and then by a new connection of somebody who knows
/// the server as `target` says. Any answer but a heartbeat's, or none, is an error.
fn beat(
    mut machine: Machine,
    target: &Target,
    number: u32,
    stop: &AtomicBool,
) -> Result<(usize, Vec<SpkiPin>)> {
    let (mut beats, mut told) = (0, Vec::new());
    while !stop.load(Ordering::Relaxed) {
        if beats % PER_CONNECTION == PER_CONNECTION - 1 {
            machine = Machine::with_key(target, number, source(number), machine.pkcs8())?;
            machine.renew().context("after a new connection")?;
        }
        let answer = machine.try_heartbeat()?;
        match answer.status {
            200 => {
                told = answer.json::<HeartbeatAnswer>()?.ca_hash;
                beats += 1;
            }
            // A clock that moved two months on ended it; an agent asks for another as well.
            401 if answer.json::<Refusal>()?.error == RefusalKind::InvalidAccessToken => machine.renew()?,
            _ => bail!("heartbeat {beats}: {} {}", answer.status, answer.text()),
        }
        thread::sleep(PACE);
    }
    Ok((beats, told))
}

#[test]
fn a_renewal_and_a_roll_under_load_lose_no_machine() {
    // Clients go by the real time, in which both leaves must be valid.
    let server = Server::builder("keys-load").clock_at(-TWO_MONTHS).start().unwrap();
    let mut site = Site::of(server);
    let token = site.operator.create_token(31_536_000).unwrap().token;
    let first = chain(&site.server, &site.target.ca_pem).unwrap();
    let machines: Vec<Machine> = (0..MACHINES).map(|_| register(&mut site, &token).0).collect();
    let stop = Arc::new(AtomicBool::new(false));
    let beating: Vec<_> = (1..)
        .zip(machines)
        .map(|(number, machine)| {
            let (target, stop) = (site.target.clone(), Arc::clone(&stop));
            thread::spawn(move || beat(machine, &target, number, &stop))
        })
        .collect();

    site.server.move_clock(0).unwrap();
    let renewed = tests::wait::until("the leaf to be renewed", Duration::from_secs(30), || {
        let now = chain(&site.server, &site.target.ca_pem)?;
        Ok((now != first).then_some(now))
    });
    let renewed = renewed.unwrap();
    assert_eq!(pins(&renewed), pins(&first), "the same keys in a new certificate");

    let operator = site.server.operator().unwrap();
    let rolled: CaRolled = roll(&operator, false).expect(200).unwrap();
    let shown = chain(&site.server, &site.target.ca_pem).unwrap();
    assert_eq!(pins(&shown)[1].to_string(), rolled.ca_hash[0]);
    // Everybody comes back by a new connection at least once more.
    thread::sleep(PACE * u32::try_from(3 * PER_CONNECTION).unwrap());
    stop.store(true, Ordering::Relaxed);
    let mut beats = 0;
    for (number, thread) in (1..).zip(beating) {
        let (sent, told) = thread.join().unwrap().unwrap_or_else(|lost| panic!("machine {number}: {lost:#}"));
        let told: Vec<String> = told.iter().map(ToString::to_string).collect();
        assert_eq!(told, rolled.ca_hash, "machine {number} was told the new pins");
        beats += sent;
    }
    let shown = operator.machines().unwrap();
    assert_eq!(shown.len(), usize::try_from(MACHINES).unwrap());
    assert!(shown.iter().all(|machine| machine.own.online));
    assert!(beats > usize::try_from(MACHINES).unwrap() * PER_CONNECTION, "{beats} heartbeats are no load");
}

#[test]
fn what_was_made_before_a_roll_registers_after_it_and_after_a_kill() {
    let mut site = Site::start("keys-roll");
    let made = site.operator.create_token(31_536_000).unwrap();
    let before = KernelArgs::parse(&made.kernel_args);
    let (mut held, approved) = register(&mut site, &made.token);
    let old_info = site.operator.info().unwrap();
    let rolled: CaRolled = roll(&site.operator, false).expect(200).unwrap();
    assert_eq!(rolled.ca_hash[0], old_info.ca_hash[1]);
    for killed in [false, true] {
        if killed {
            site.server.kill().unwrap();
            site.server.start_again().unwrap();
        }
        // An agent looks for a pinned key in the chain, here by the command line from before.
        let shown = pins(&chain(&site.server, &site.target.ca_pem).unwrap());
        assert!(shown.iter().any(|pin| before.ca_hash.contains(pin)), "{shown:?}");
        let (mut late, _) = register(&mut site, &made.token);
        late.heartbeat().unwrap();
        held.heartbeat().unwrap();
        assert_eq!(site.operator.info().unwrap().ca_hash, rolled.ca_hash);
    }
    assert_eq!(site.server.ca_pem().unwrap(), rolled.ca_pem.as_bytes());
    assert!(site.operator.machine(&approved.machine.uuid.to_string()).unwrap().own.online);
    // What is made from now on names the new pair.
    let made = site.operator.create_token(600).unwrap();
    let now: Vec<String> =
        KernelArgs::parse(&made.kernel_args).ca_hash.iter().map(ToString::to_string).collect();
    assert_eq!(now, rolled.ca_hash);
}

#[test]
fn a_second_roll_names_the_first_and_locks_out_what_is_older_only_by_force() {
    let site = Site::start("keys-twice");
    let old = KernelArgs::parse(&site.operator.create_token(600).unwrap().kernel_args);
    let first: CaRolled = roll(&site.operator, false).expect(200).unwrap();
    assert_eq!(first.previous_roll, None);
    let again = roll(&site.operator, false);
    assert_eq!((again.status, again.error_kind().unwrap().as_str()), (409, "Conflict"));
    assert!(again.text().contains("the CA was rolled on 20"), "{}", again.text());
    let second: CaRolled = roll(&site.operator, true).expect(200).unwrap();
    assert!(second.previous_roll.is_some());
    assert_eq!(second.ca_hash[0], first.ca_hash[1]);
    assert!(chain(&site.server, &site.target.ca_pem).is_err(), "the ca.pem from before both rolls");
    let shown = pins(&chain(&site.server, &site.server.ca_pem().unwrap()).unwrap());
    assert!(!shown.iter().any(|pin| old.ca_hash.contains(pin)));
}
