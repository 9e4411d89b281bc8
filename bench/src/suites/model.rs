//! A hundred thousand machines: how fast they are created through the API, found again and listed.
//!
//! Everything goes over HTTPS to the server as it is released, on one computer with its clients.
//! Each answer is checked: that it is the one expected, and that the headers count right. No peer
//! takes part, see `docs/performance.md`.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use harness::muster::Server;
use harness::operator::{Answer, Operator};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use uuid::Uuid;

use super::{MUSTER, begin};
use crate::boot::cpu_of;
use crate::contest::{Driver, contest};
use crate::judge::{value_at_least, value_at_most};
use crate::measure::written_by;
use crate::record::{Metric, Sample, Suite};
use crate::stage::{Stage, number, read};

const CREATE: &str = "muster, create";
const BY_UUID: &str = "muster, get by UUID";
const BY_NAME: &str = "muster, get by name";
/// Machines of the fleet.
pub(super) const MACHINES: u64 = 100_000;
/// Clients that create at the same time, each with a connection of its own.
const CLIENTS: u64 = 64;
/// Requests of a sample, one after the other.
const ASKED: u64 = 100;
/// Machines on a page.
const PAGE: u64 = 50;
/// Longest wait for an answer.
const CALL_WITHIN: Duration = Duration::from_secs(60);
/// What every hundredth machine of the fleet is in, and each of the racks has.
const HUNDREDTH: u64 = MACHINES / 100;

/// Pages that are asked for: what it is called, its query, and how many machines the filters find.
const PAGES: [(&str, &str, u64); 8] = [
    ("muster, page of all", "", MACHINES),
    ("muster, page by name", "sort=Name", MACHINES),
    ("muster, page of a stage", "Stage=stage-3", MACHINES / 10),
    ("muster, page of a rack's profile", "Profiles=Eq(rack-7)", HUNDREDTH),
    ("muster, page by a param's value", "rack=7", HUNDREDTH),
    ("muster, page of the locked", "Locked=true", HUNDREDTH),
    ("muster, page of the runnable", "Runnable=true", MACHINES),
    ("muster, page of the locked in a stage, by name", "Stage=stage-0&Locked=true&sort=Name", HUNDREDTH),
];

pub(crate) fn run(stage: &Stage) -> Result<Suite> {
    let mut suite = begin("model")?;
    suite.inputs.insert("machines".to_owned(), MACHINES.to_string());
    suite.inputs.insert("clients that create".to_owned(), CLIENTS.to_string());
    let server = Server::builder("bench-model-server").start()?;
    let fleet = Fleet::new(&server)?;
    let created = [Metric::CreateRate, Metric::CpuPerObject, Metric::Written];
    contest(stage, &mut suite, 1, &created, vec![Box::new(Create(&fleet))])?;
    let mut asks: Vec<Box<dyn Driver + '_>> = vec![
        Box::new(Ask { fleet: &fleet, name: BY_UUID, what: What::ByUuid }),
        Box::new(Ask { fleet: &fleet, name: BY_NAME, what: What::ByName }),
    ];
    for (name, query, found) in PAGES {
        asks.push(Box::new(Ask { fleet: &fleet, name, what: What::Page { query, found } }));
    }
    contest(stage, &mut suite, stage.rounds, &[Metric::Answer], asks)?;
    suite.add(MUSTER, Metric::PeakMemory, fleet.memory("VmHWM:")?);
    suite.add(MUSTER, Metric::IdleMemory, fleet.memory("VmRSS:")?);
    judge(&mut suite);
    Ok(suite)
}

/// Makes the whole fleet on a server.
pub(super) fn fill(server: &Server) -> Result<()> {
    Create(&Fleet::new(server)?).run().map(drop)
}

fn judge(suite: &mut Suite) {
    let created = value_at_least(
        suite,
        "100,000 machines created at 1,000 a second or faster",
        (CREATE, Metric::CreateRate),
        1_000.0,
        "clients, TLS and the server share the processors",
    );
    suite.targets.push(created);
    for name in [BY_UUID, BY_NAME] {
        let text = format!("{} within 2 ms (median)", name.trim_start_matches("muster, "));
        let target = value_at_most(suite, &text, (name, Metric::Answer), 2.0, "see the CPU of a request");
        suite.targets.push(target);
    }
    for (name, _, _) in PAGES {
        let text = format!("{} within 10 ms (median)", name.trim_start_matches("muster, "));
        let because = "machines are read and written out whole: a page is about 75 kB of JSON";
        let target = value_at_most(suite, &text, (name, Metric::Answer), 10.0, because);
        suite.targets.push(target);
    }
}

/// The server, and clients of it.
struct Fleet {
    runtime: Runtime,
    http: Client,
    base: String,
    token: String,
    pid: u32,
    asked: AtomicU64,
}

/// The machine of this number as a client creates it.
fn machine(number: u64) -> Value {
    let [.., a, b, c] = number.to_be_bytes();
    json!({
        "Uuid": id(number),
        "Name": name(number),
        "Address": format!("10.{a}.{b}.{c}"),
        "HardwareAddrs": [format!("52:54:00:{a:02x}:{b:02x}:{c:02x}")],
        "Stage": format!("stage-{}", number % 10),
        "Profiles": ["base", format!("rack-{}", number % 100)],
        "Params": {"rack": number % 100, "slot": number / 100},
        "Locked": number.is_multiple_of(100),
    })
}

/// In no order, as random ones are, and the same in every run.
fn id(number: u64) -> Uuid {
    let spread = u128::from(number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    uuid::Builder::from_random_bytes(spread.to_be_bytes()).into_uuid()
}

fn name(number: u64) -> String {
    format!("node-{number:06}.example.org")
}

impl Fleet {
    /// Logs in and makes what machines refer to.
    fn new(server: &Server) -> Result<Self> {
        let operator = server.operator()?;
        for number in 0..10 {
            make(&operator, "stages", &json!({"Name": format!("stage-{number}")}))?;
        }
        make(&operator, "profiles", &json!({"Name": "base"}))?;
        for number in 0..100 {
            make(&operator, "profiles", &json!({"Name": format!("rack-{number}")}))?;
        }
        let token: Value = operator.get("/api/v3/users/admin/token?ttl=7200")?.expect(200)?;
        let token = token.get("Token").and_then(Value::as_str).context("the server gave no token")?;
        let cas = reqwest::Certificate::from_pem_bundle(&server.ca_pem()?)?;
        let http = Client::builder().tls_certs_only(cas).no_proxy().http1_only().timeout(CALL_WITHIN);
        Ok(Self {
            runtime: Runtime::new().context("cannot start a runtime")?,
            http: http.build().context("cannot make an HTTP client")?,
            base: server.url(),
            token: token.to_owned(),
            pid: server.pid().context("the server does not run")?,
            asked: AtomicU64::new(0),
        })
    }

    /// A number of `/proc/PID/status`, which is in kibibytes, in bytes.
    fn memory(&self, field: &str) -> Result<f64> {
        let status = read(Path::new(&format!("/proc/{}/status", self.pid)))?;
        let status = String::from_utf8_lossy(&status).into_owned();
        let kib = status.lines().find_map(|line| line.strip_prefix(field)?.split_whitespace().next());
        let kib: f64 = kib.and_then(|kib| kib.parse().ok()).with_context(|| format!("no {field}"))?;
        Ok(kib * 1_024.0)
    }

    /// Some machine, another one each time.
    fn somebody(&self) -> u64 {
        self.asked.fetch_add(1, Ordering::Relaxed).wrapping_mul(7_919) % MACHINES
    }
}

fn make(operator: &Operator, collection: &str, object: &Value) -> Result<()> {
    let request = operator.request(Method::POST, &format!("/api/v3/{collection}")).json(object);
    let answer = Answer::read(request.send().context("no answer")?)?;
    ensure!(answer.status == 201, "{collection}: {}: {}", answer.status, answer.text());
    Ok(())
}

/// All machines, by many clients.
struct Create<'a>(&'a Fleet);

/// Creates whatever no other client has begun with.
async fn create(http: Client, base: String, token: String, next: Arc<AtomicU64>) -> Result<()> {
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= MACHINES {
            return Ok(());
        }
        let request = http.post(format!("{base}/api/v3/machines")).bearer_auth(&token);
        let answer = request.json(&machine(number)).send().await.context("no answer")?;
        let status = answer.status().as_u16();
        let body = answer.bytes().await.context("the answer broke off")?;
        ensure!(status == 201, "machine {number}: {status}: {}", String::from_utf8_lossy(&body));
    }
}

impl Driver for Create<'_> {
    fn name(&self) -> &str {
        CREATE
    }

    fn available(&self) -> Result<(), String> {
        Ok(())
    }

    fn setup(&mut self) -> Result<()> {
        Ok(())
    }

    fn run(&mut self) -> Result<Sample> {
        let fleet = self.0;
        let next = Arc::new(AtomicU64::new(0));
        let (cpu, written) = (cpu_of(fleet.pid)?, written_by(fleet.pid)?);
        let begun = Instant::now();
        fleet.runtime.block_on(async {
            let clients: Vec<_> = (0..CLIENTS)
                .map(|_| {
                    let (base, token) = (fleet.base.clone(), fleet.token.clone());
                    tokio::spawn(create(fleet.http.clone(), base, token, Arc::clone(&next)))
                })
                .collect();
            for client in clients {
                client.await.context("a client ended early")??;
            }
            anyhow::Ok(())
        })?;
        let wall = begun.elapsed().as_secs_f64();
        let count = number(MACHINES);
        Ok(Sample::from([
            (Metric::CreateRate, count / wall),
            (Metric::CpuPerObject, (cpu_of(fleet.pid)? - cpu) * 1e3 / count),
            (Metric::Written, written_by(fleet.pid)? - written),
        ]))
    }
}

/// One kind of question, asked many times by one client.
struct Ask<'a> {
    fleet: &'a Fleet,
    name: &'static str,
    what: What,
}

#[derive(Clone, Copy)]
enum What {
    ByUuid,
    ByName,
    Page { query: &'static str, found: u64 },
}

impl Ask<'_> {
    /// Asks once and checks the answer.
    async fn once(&self) -> Result<()> {
        let somebody = self.fleet.somebody();
        let path = match self.what {
            What::ByUuid => format!("machines/{}", id(somebody)),
            What::ByName => format!("machines/Name:{}", name(somebody)),
            What::Page { query, .. } => format!("machines?limit={PAGE}&{query}"),
        };
        let url = format!("{}/api/v3/{path}", self.fleet.base);
        let answer =
            self.fleet.http.get(url).bearer_auth(&self.fleet.token).send().await.context("no answer")?;
        let status = answer.status().as_u16();
        let counted = |name: &str| {
            let text = answer.headers().get(name)?.to_str().ok()?;
            text.parse::<u64>().ok()
        };
        let counts = ["LIST-COUNT", "LIST-FILTER-COUNT", "LIST-TOTAL-COUNT"]
            .map(|name| counted(&format!("x-drp-{}", name.to_lowercase())));
        let body = answer.bytes().await.context("the answer broke off")?;
        ensure!(status == 200, "{path}: {status}: {}", String::from_utf8_lossy(&body));
        match self.what {
            What::ByUuid | What::ByName => {
                let found = body.windows(36).any(|window| window == id(somebody).to_string().as_bytes());
                ensure!(found, "{path}: another machine");
            }
            What::Page { found, .. } => {
                let expected = [PAGE.min(found), found, MACHINES].map(Some);
                ensure!(counts == expected, "{path}: {counts:?}, not {expected:?}");
            }
        }
        Ok(())
    }
}

impl Driver for Ask<'_> {
    fn name(&self) -> &str {
        self.name
    }

    fn available(&self) -> Result<(), String> {
        Ok(())
    }

    fn setup(&mut self) -> Result<()> {
        self.fleet.runtime.block_on(self.once())
    }

    /// The median of its answers.
    fn run(&mut self) -> Result<Sample> {
        let mut times = Vec::new();
        for _ in 0..ASKED {
            let begun = Instant::now();
            self.fleet.runtime.block_on(self.once())?;
            times.push(begun.elapsed().as_secs_f64() * 1e3);
        }
        let median = crate::statistics::median(&times).context("nothing was asked")?;
        Ok(Sample::from([(Metric::Answer, median)]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn pages_find_what_the_fleet_is_made_of() {
        let is = |number: u64, name: &str, value: Value| machine(number).get(name) == Some(&value);
        let few = MACHINES / 100;
        let count = |holds: &dyn Fn(u64) -> bool| (0..few).filter(|number| holds(*number)).count() as u64;
        assert_eq!(count(&|number| is(number, "Stage", "stage-3".into())), few / 10);
        assert_eq!(count(&|number| is(number, "Locked", true.into())), few / 100);
        assert_eq!(count(&|number| is(number, "Profiles", json!(["base", "rack-7"]))), few / 100);
        let ids: BTreeSet<_> = (0..few).map(id).collect();
        assert_eq!(ids.len() as u64, few);
    }
}
