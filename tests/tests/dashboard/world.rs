//! The world that the pages show: one server, and simulated machines that call it. Scripts of
//! `dashboard/e2e/real/` ask for what happens in it.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use protocol::agent_api::{
    AgentState, Approved, HEARTBEAT_PATH, HeartbeatAnswer, HeartbeatRequest, RUNNER_PATH, RunnerRequest,
    RunnerTicket,
};
use protocol::ids::EnrollmentId;
use protocol::install::{ImportPhase, ImportState};
use protocol::mesh::REPORT_PATH;
use reqwest::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tests::browser::{Question, Script};
use tests::machine::{Machine, Target};
use tests::muster::{Server, ServerBuilder};
use tests::operator::Operator;
use tests::wait;

/// Longest that a script may take, beside virtual machines and compilers; two minutes when it is quiet.
pub(crate) const SCRIPT_WITHIN: Duration = Duration::from_secs(900);

/// Import of a few bytes.
const IMPORTED_WITHIN: Duration = Duration::from_secs(20);

/// A server, its operator, and machines by the names that scripts give them.
pub(crate) struct World {
    pub(crate) server: Server,
    pub(crate) operator: Operator,
    /// Without credentials.
    stranger: Operator,
    target: Target,
    machines: BTreeMap<String, Guest>,
    calls: u16,
}

/// A simulated machine, and its request while it waits.
struct Guest {
    machine: Machine,
    enrollment: Option<EnrollmentId>,
}

#[derive(Deserialize)]
struct Born {
    name: String,
    #[serde(default)]
    inventory: Value,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
struct ByToken {
    name: String,
    token: String,
    #[serde(default)]
    inventory: Value,
}

#[derive(Deserialize)]
struct Call {
    method: String,
    path: String,
    #[serde(default)]
    body: Value,
    /// The machine that speaks, by its UUID; an operator unless given.
    #[serde(default)]
    machine: Option<String>,
}

/// What a machine's member process tells of its tunnels.
#[derive(Deserialize)]
struct Tunnels {
    name: String,
    report: Value,
}

#[derive(Deserialize)]
struct Boot {
    name: String,
    /// The kernel's id of the boot.
    boot: String,
    /// The system on its disk, not our image.
    #[serde(default)]
    installed: bool,
}

impl World {
    pub(crate) fn of(server: ServerBuilder) -> Self {
        let server = server.start().unwrap();
        let operator = server.operator().unwrap();
        let target = Target::of(&server).unwrap();
        let stranger = Operator::anonymous(&server.url(), &server.ca_pem().unwrap()).unwrap();
        Self { server, operator, stranger, target, machines: BTreeMap::new(), calls: 0 }
    }

    /// Plays a script to its end. What it showed, sentence by sentence, stands in its log beside the server's.
    pub(crate) fn play(&mut self, script: &str) {
        let script = Script::of(&self.server, script).unwrap();
        script.play(SCRIPT_WITHIN, |question| self.answer(question)).unwrap();
    }

    /// Does what a script asks for.
    pub(crate) fn answer(&mut self, question: &Question) -> Result<Value> {
        match question.what.as_str() {
            "a machine waits" => self.wait(read(question)?),
            "the machine asks again" => self.ask_again(&read::<Named>(question)?.name),
            "the machine collects" => self.collect(&read::<Named>(question)?.name),
            "a machine brings a token" => self.bring(read(question)?),
            "the machine lives" => {
                self.guest(&read::<Named>(question)?.name)?.machine.heartbeat()?;
                Ok(Value::Null)
            }
            "the machine boots" => self.boot(&read(question)?),
            "the machine tells of its tunnels" => self.tell(&read(question)?),
            "an image is imported" => self.import(&read::<Named>(question)?.name),
            "time goes to" => {
                self.server.move_clock(read(question)?)?;
                // A log-in may have ended by that.
                self.operator = self.server.operator()?;
                Ok(Value::Null)
            }
            "the server stops" => self.server.stop().map(|()| Value::Null),
            "the server starts" => self.server.start_again().map(|()| Value::Null),
            "call" => self.call(&read(question)?),
            what => bail!("nobody in this world knows how to do {what:?}"),
        }
    }

    fn guest(&mut self, name: &str) -> Result<&mut Guest> {
        self.machines.get_mut(name).with_context(|| format!("there is no machine {name}"))
    }

    /// A new machine, from an address of its own: requests are limited by source.
    fn born(&mut self, inventory: Value) -> Result<Machine> {
        self.calls += 1;
        let [high, low] = self.calls.to_be_bytes();
        let source = Ipv4Addr::new(127, 2, high, low);
        let mut machine = Machine::calling_from(&self.target, u32::from(self.calls), source)?;
        if let Value::Object(told) = inventory {
            let mut whole =
                serde_json::to_value(&machine.inventory).context("an inventory that is not JSON")?;
            whole.as_object_mut().context("an inventory is an object")?.extend(told);
            machine.inventory = serde_json::from_value(whole).context("no such inventory")?;
        }
        Ok(machine)
    }

    fn wait(&mut self, born: Born) -> Result<Value> {
        let mut machine = self.born(born.inventory)?;
        let pending = machine.enroll()?;
        let fingerprint = machine.fingerprint()?.to_string();
        let code = pending.code.context("the server gave no code")?.to_string();
        self.machines.insert(born.name, Guest { machine, enrollment: Some(pending.id) });
        Ok(json!({ "code": code, "fingerprint": fingerprint }))
    }

    /// The code that it shows from now on.
    fn ask_again(&mut self, name: &str) -> Result<Value> {
        let guest = self.guest(name)?;
        let enrollment = guest.enrollment.context("it does not wait")?;
        let pending = guest.machine.poll_pending(enrollment, Duration::ZERO)?;
        let code = pending.code.context("the server gave no other code")?;
        Ok(json!({ "code": code.to_string() }))
    }

    fn collect(&mut self, name: &str) -> Result<Value> {
        let guest = self.guest(name)?;
        let enrollment = guest.enrollment.context("it does not wait")?;
        let approved = guest.machine.collect(enrollment)?;
        guest.registered(&approved)
    }

    fn bring(&mut self, by: ByToken) -> Result<Value> {
        let mut machine = self.born(by.inventory)?;
        let approved: Approved = machine.try_register(&by.token)?.expect(201)?;
        machine.acknowledge(&approved)?;
        self.machines.insert(by.name.clone(), Guest { machine, enrollment: None });
        self.guest(&by.name)?.registered(&approved)
    }

    /// The machine tells of another boot, and answers what the server wants to know.
    fn boot(&mut self, told: &Boot) -> Result<Value> {
        let machine = &mut self.guest(&told.name)?.machine;
        let body = HeartbeatRequest {
            state: AgentState::Discovery,
            boot_id: told.boot.clone(),
            installed: told.installed,
            observed: Some(machine.inventory.clone()),
            ..HeartbeatRequest::goodbye()
        };
        machine.call(HEARTBEAT_PATH, &body, Duration::ZERO)?.expect::<HeartbeatAnswer>(200)?;
        Ok(Value::Null)
    }

    /// The machine reports as a member of its mesh network, with what its agent is given for that; the answer.
    fn tell(&mut self, tunnels: &Tunnels) -> Result<Value> {
        let machine = &mut self.guest(&tunnels.name)?.machine;
        let ticket =
            machine.call(RUNNER_PATH, &RunnerRequest {}, Duration::ZERO)?.expect::<RunnerTicket>(200)?;
        let request = self.stranger.request(Method::POST, REPORT_PATH).bearer_auth(ticket.token);
        let answer = self.stranger.send(request.json(&tunnels.report))?;
        ensure!(answer.status == 200, "report: {} {}", answer.status, answer.text());
        answer.json()
    }

    /// A small archive, as `muster image import` sends one.
    fn import(&self, name: &str) -> Result<Value> {
        let folder = tempfile::tempdir().context("cannot make a folder")?;
        let archive = folder.path().join("root.tar");
        let mut tar = Command::new("tar");
        tar.args(["--create", "--file"]).arg(&archive).args(["-C", "/usr/lib", "os-release"]);
        ensure!(tar.status().context("cannot run tar")?.success(), "tar failed");
        let image = json!({ "Name": name, "Source": "upload", "Format": "tar" });
        self.operator.call(Method::POST, "/images", &image)?;
        let bytes = std::fs::read(&archive).context("cannot read an archive")?;
        let request =
            self.operator.request(Method::POST, &format!("/api/v3/images/{name}/import")).body(bytes);
        let answer = self.operator.send(request)?;
        ensure!(answer.status < 300, "import: {} {}", answer.status, answer.text());
        wait::until("the image to be imported", IMPORTED_WITHIN, || {
            let image = self.operator.call(Method::GET, &format!("/images/{name}"), &Value::Null)?;
            let import: ImportState = serde_json::from_value(image["Import"].clone())?;
            ensure!(import.state != ImportPhase::Failed, "{}", import.message);
            Ok((import.state == ImportPhase::Done).then_some(image))
        })
    }

    fn call(&self, call: &Call) -> Result<Value> {
        let method = Method::from_bytes(call.method.as_bytes()).context("no such method")?;
        let path = format!("/api/v3{}", call.path);
        let request = match &call.machine {
            None => self.operator.request(method, &path),
            Some(machine) => {
                let token = format!("/machines/{machine}/token");
                let token = self.operator.call(Method::GET, &token, &Value::Null)?;
                let token = token["Token"].as_str().context("no token of a machine")?;
                self.stranger.request(method, &path).bearer_auth(token)
            }
        };
        let request = match call.body.as_str() {
            Some(text) => request.body(text.to_owned()),
            None => request.json(&call.body),
        };
        let answer = self.operator.send(request)?;
        ensure!(answer.status < 300, "{path}: {} {}", answer.status, answer.text());
        if answer.body.is_empty() { Ok(Value::Null) } else { answer.json() }
    }
}

impl Guest {
    fn registered(&mut self, approved: &Approved) -> Result<Value> {
        self.machine.heartbeat()?;
        Ok(json!({ "uuid": approved.machine.uuid.to_string() }))
    }
}

pub(crate) fn read<T: DeserializeOwned>(question: &Question) -> Result<T> {
    serde_json::from_value(question.with.clone()).with_context(|| format!("cannot read {}", question.with))
}
