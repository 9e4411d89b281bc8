//! A server that sequences are played on, and what GET shows of it.

use super::calls::{Call, Field, How, Lease, SLOTS, Which};
use super::checks::{self, Moment, Tally};
use crate::site::{Answer, Site, replace, request};
use axum::http::HeaderValue;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// What changes by itself.
const VOLATILE: [&str; 3] = ["Online", "LastSeenAt", "WaitReason"];

/// Preferences that every sequence begins with.
const PREFS: [(&str, &str); 3] =
    [("defaultWorkflow", ""), ("defaultStage", "none"), ("defaultBootEnv", "local")];

/// What GET shows: machines by id, and their jobs, oldest first.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct View {
    pub(super) machines: BTreeMap<String, Value>,
    pub(super) jobs: BTreeMap<String, Value>,
}

impl View {
    /// The job that a machine names as its current one.
    pub(super) fn current_job(&self, machine: &Value) -> Option<&Value> {
        self.jobs.get(machine["CurrentJob"].as_str()?)
    }
}

/// A server, its machines, and the content as it was put.
pub(super) struct World {
    site: Site,
    slots: [Option<String>; SLOTS],
    /// Objects of the content by collection and name.
    pub(super) content: BTreeMap<(String, String), Value>,
    /// Preferences as they were set.
    prefs: BTreeMap<&'static str, &'static str>,
    view: View,
    pub(super) tally: Tally,
}

/// What every sequence begins with.
fn baseline() -> Vec<(&'static str, Value)> {
    let task = |name: &str| json!({"Name": name, "Templates": [{"Name": name, "Contents": "true\n"}]});
    let mut all: Vec<(&str, Value)> = ["t1", "t2", "t3"].map(|name| ("tasks", task(name))).into();
    all.extend([
        ("bootenvs", json!({"Name": "e1", "OS": {"Name": "e"}, "OnlyUnknown": false})),
        ("bootenvs", json!({"Name": "e2-install", "OS": {"Name": "march"}})),
        ("stages", json!({"Name": "s1", "BootEnv": "", "Tasks": ["t1", "t2"]})),
        ("stages", json!({"Name": "s2", "BootEnv": "e1", "Tasks": ["t3", "context:cloud", "t1"]})),
        ("stages", json!({"Name": "s3", "BootEnv": "e2-install", "Tasks": []})),
        ("workflows", json!({"Name": "w1", "Stages": ["s1", "s2"]})),
        ("workflows", json!({"Name": "w2", "Stages": ["s2", "s1", "s3"]})),
        ("workflows", json!({"Name": "bye", "Stages": ["s1"]})),
        ("params", json!({"Name": "typed", "Schema": {"type": "string", "default": "word"}})),
        ("profiles", json!({"Name": "p1", "Params": {"x": 1}})),
        ("profiles", json!({"Name": "p2", "Params": {"on-complete-delete": true}})),
    ]);
    all
}

impl World {
    pub(super) async fn begin() -> Self {
        let mut world = Self {
            site: Site::swift().await,
            slots: [const { None }; SLOTS],
            content: BTreeMap::new(),
            prefs: BTreeMap::new(),
            view: View::default(),
            tally: Tally::default(),
        };
        world.restore().await;
        world
    }

    /// Plays a sequence from the beginning that all have.
    pub(super) async fn play(&mut self, calls: &[Call]) -> Result<(), String> {
        self.restore().await;
        for (number, call) in calls.iter().enumerate() {
            let outcome = self.step(call).await;
            outcome.map_err(|broken| format!("call {number}, {call:?}: {broken}"))?;
        }
        Ok(())
    }

    /// One call, and every check on what it did.
    async fn step(&mut self, call: &Call) -> Result<(), String> {
        if let Call::Run { slot, times } = call {
            return self.run(*slot, *times).await;
        }
        let Some((answer, machine)) = self.make(call).await else { return Ok(()) };
        let status = answer.status;
        if status >= 500 {
            return Err(format!("{status}: {}", answer.text()));
        }
        let body = if answer.body.is_empty() { Value::Null } else { answer.json() };
        self.note(call, status, &body);
        let now = self.look().await;
        let before = std::mem::replace(&mut self.view, now);
        self.tally.count(call, status);
        let moment = Moment {
            call,
            status,
            body: &body,
            machine: machine.as_deref(),
            before: &before,
            after: &self.view,
            content: &self.content,
        };
        checks::check(&moment).map_err(|broken| format!("{broken}\n{status} {body}"))
    }

    /// Lets an agent work: it says that it may, jobs are taken, begun and finished.
    async fn run(&mut self, slot: usize, times: usize) -> Result<(), String> {
        for _ in 0..times {
            if self.machine(slot).is_some_and(|machine| machine["Runnable"] == false) {
                let fields = vec![Field("Runnable", json!(true))];
                let up = Call::Edit { slot, how: How::Patch, fields, as_machine: true };
                Box::pin(self.step(&up)).await?;
            }
            let context = self.machine(slot).map(|machine| machine["Context"] == "cloud").unwrap_or_default();
            let context = if context { "cloud" } else { "" };
            Box::pin(self.step(&Call::Next { slot, context, as_machine: false })).await?;
            for state in ["running", "finished"] {
                let tell = Call::Tell { slot, which: Which::Current, state, exit: None, lease: None };
                Box::pin(self.step(&tell)).await?;
            }
        }
        Ok(())
    }

    fn machine(&self, slot: usize) -> Option<&Value> {
        self.view.machines.get(self.slots.get(slot)?.as_ref()?)
    }

    /// Makes the call; none when there is nothing that it could be about. Also the machine that
    /// it is about.
    async fn make(&self, call: &Call) -> Option<(Answer, Option<String>)> {
        let about = |slot: usize| {
            let id = self.slots.get(slot)?.clone()?;
            Some((format!("machines/{id}"), id))
        };
        let (answer, machine) = match call {
            Call::Create { slot, fields } => {
                let mut body = object(fields);
                body.entry("Name").or_insert_with(|| format!("slot-{slot}").into());
                (self.site.post("machines", body.into()).await, None)
            }
            Call::Edit { slot, how, fields, as_machine } => {
                let (path, id) = about(*slot)?;
                (self.edit(&path, &id, *how, fields, *as_machine).await?, Some(id))
            }
            Call::Delete { slot, force, cleanup } => {
                let (path, id) = about(*slot)?;
                let path = if *cleanup { format!("{path}/cleanup") } else { path };
                (self.site.delete(&format!("{path}?force={force}")).await, Some(id))
            }
            Call::SetParam { slot, key, value } => {
                let (path, id) = about(*slot)?;
                (self.site.post(&format!("{path}/params/{key}"), value.clone()).await, Some(id))
            }
            Call::Next { slot, context, as_machine } => {
                let (_, id) = about(*slot)?;
                let body = json!({"Machine": id, "Context": context});
                let answer = if *as_machine {
                    let bearer = self.bearer(&id).await?;
                    self.site.call_as(&bearer, "POST", "jobs", &body).await
                } else {
                    self.site.post("jobs", body).await
                };
                (answer, Some(id))
            }
            Call::Run { .. } => return None,
            Call::Tell { slot, which, state, exit, lease } => {
                let (_, id) = about(*slot)?;
                let job = self.job(&id, *which)?;
                let mut fields = vec![Field("State", json!(state))];
                fields.extend(exit.map(|exit| Field("ExitState", json!(exit))));
                let body = replace(&object(&fields).into());
                let mut call = request("PATCH", &format!("jobs/{job}"), body.to_string());
                if let Some(lease) = lease {
                    let epoch = self.view.jobs.get(&job)?["Epoch"].as_i64()?;
                    let number = if *lease == Lease::Held { epoch } else { epoch - 1 };
                    call.headers_mut().insert("x-muster-lease", HeaderValue::from(number));
                }
                (self.site.send(call).await, Some(id))
            }
            Call::DeleteJob { slot, which } => {
                let (_, id) = about(*slot)?;
                let job = self.job(&id, *which)?;
                (self.site.delete(&format!("jobs/{job}")).await, Some(id))
            }
            Call::CleanUp { keep } => (self.site.delete(&format!("jobs?jobsToKeep={keep}")).await, None),
            Call::Put { collection, object } => (self.put(collection, object).await, None),
            Call::Remove { collection, key } => {
                (self.site.delete(&format!("{collection}/{key}")).await, None)
            }
            Call::Pref { name, value } => (self.site.post("prefs", json!({*name: value})).await, None),
        };
        Some((answer, machine))
    }

    async fn edit(
        &self,
        path: &str,
        id: &str,
        how: How,
        fields: &[Field],
        as_machine: bool,
    ) -> Option<Answer> {
        let fields = object(fields);
        let (method, path, body) = match how {
            How::Patch => ("PATCH", path.to_owned(), replace(&fields.into())),
            How::Force => ("PATCH", format!("{path}?force=true"), replace(&fields.into())),
            How::Start => ("PATCH", format!("{path}/start"), replace(&fields.into())),
            How::Merge => ("PATCH", path.to_owned(), fields.into()),
            How::Put => {
                let mut whole = self.view.machines.get(id)?.clone();
                whole.as_object_mut()?.extend(fields);
                ("PUT", path.to_owned(), whole)
            }
        };
        if !as_machine || how == How::Start {
            let call = request(method, &path, body.to_string());
            return Some(self.site.send(call).await);
        }
        let bearer = self.bearer(id).await?;
        Some(self.site.call_as(&bearer, method, &path, &body).await)
    }

    /// A machine token as an `Authorization` header.
    async fn bearer(&self, id: &str) -> Option<String> {
        let token = self.site.get(&format!("machines/{id}/token?ttl=600")).await;
        Some(format!("Bearer {}", token.json()["Token"].as_str()?))
    }

    fn job(&self, machine: &str, which: Which) -> Option<String> {
        let current = self.view.current_job(self.view.machines.get(machine)?)?;
        let job = match which {
            Which::Current => current,
            Which::Previous => self.view.jobs.get(current["Previous"].as_str()?)?,
        };
        job["Uuid"].as_str().map(str::to_owned)
    }

    /// Puts an object where it is, or makes it.
    async fn put(&self, collection: &str, object: &Value) -> Answer {
        let name = object["Name"].as_str().unwrap_or_default();
        if self.content.contains_key(&(collection.to_owned(), name.to_owned())) {
            self.site.put(&format!("{collection}/{name}"), object.clone()).await
        } else {
            self.site.post(collection, object.clone()).await
        }
    }

    /// Remembers what a call made or took away.
    fn note(&mut self, call: &Call, status: u16, body: &Value) {
        if status >= 300 {
            return;
        }
        match call {
            Call::Create { slot, .. } => {
                let id = body["Uuid"].as_str().map(str::to_owned);
                // Two machines may be made for one slot under two names: the newer one is played with.
                if let Some(place) = self.slots.get_mut(*slot) {
                    *place = id;
                }
            }
            Call::Put { collection, object } => {
                let name = object["Name"].as_str().unwrap_or_default().to_owned();
                self.content.insert(((*collection).to_owned(), name), object.clone());
            }
            Call::Remove { collection, key } => {
                self.content.remove(&((*collection).to_owned(), (*key).to_owned()));
            }
            Call::Pref { name, value } => {
                self.prefs.insert(name, value);
            }
            Call::Edit { .. }
            | Call::Delete { .. }
            | Call::SetParam { .. }
            | Call::Next { .. }
            | Call::Run { .. }
            | Call::Tell { .. }
            | Call::DeleteJob { .. }
            | Call::CleanUp { .. } => {}
        }
    }

    /// What GET shows now.
    async fn look(&self) -> View {
        let without = |mut object: Value| {
            if let Some(fields) = object.as_object_mut() {
                fields.retain(|name, _| !VOLATILE.contains(&name.as_str()));
            }
            object
        };
        let by_id = |list: Value| {
            let list = list.as_array().cloned().unwrap_or_default().into_iter().map(without);
            list.map(|one| (one["Uuid"].as_str().unwrap_or_default().to_owned(), one)).collect()
        };
        let machines: BTreeMap<String, Value> = by_id(self.site.get("machines").await.ok());
        let ids: Vec<&str> = machines.keys().map(String::as_str).collect();
        let jobs = if ids.is_empty() {
            BTreeMap::new()
        } else {
            by_id(self.site.get(&format!("jobs?Machine=In({})", ids.join(","))).await.ok())
        };
        View { machines, jobs }
    }

    /// Back to the beginning: no machines, and the content that all sequences begin with.
    async fn restore(&mut self) {
        for (id, machine) in &self.look().await.machines {
            let path = format!("machines/{id}");
            if machine["Locked"] == true {
                self.site.patch(&path, json!({"Locked": false})).await.ok();
            }
            self.site.delete(&format!("{path}?force=true")).await.ok();
        }
        for (name, value) in PREFS {
            if self.prefs.insert(name, value) != Some(value) {
                self.site.post("prefs", json!({ name: value })).await.ok();
            }
        }
        for (collection, object) in baseline() {
            let key = (collection.to_owned(), object["Name"].as_str().unwrap_or_default().to_owned());
            if self.content.get(&key) != Some(&object) {
                self.put(collection, &object).await.ok();
                self.content.insert(key, object);
            }
        }
        self.slots = [const { None }; SLOTS];
        self.view = self.look().await;
    }
}

fn object(fields: &[Field]) -> Map<String, Value> {
    fields.iter().map(|Field(name, value)| ((*name).to_owned(), value.clone())).collect()
}
