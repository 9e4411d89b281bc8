//! Rendering against a small site: one machine, its bootenv, its stage.

mod cost;
mod dot;
mod files;
mod repos;
mod work;

use super::{Addresses, Nowhere, Outside, Scene, TokenWanted};
use crate::content::Content;
use crate::machine::Machine;
use crate::time::Timestamp;
use protocol::agent_api::Origin;
use protocol::ids::MachineId;
use protocol::inventory::Inventory;
use protocol::model::{BootEnv, Job, OsInfo, Param, Profile, Stage, Template, TemplateInfo};
use serde_json::{Value as Json, json};
use std::sync::{Arc, Mutex};

const ID: &str = "8e8a2d0c-1f6c-4d7e-9a53-0a4f2b1c9d77";

/// A server that remembers which tokens were asked for.
#[derive(Debug, Default)]
struct Witness(Mutex<Vec<TokenWanted>>);

impl Outside for Witness {
    fn token(&self, wanted: &TokenWanted) -> Result<String, String> {
        let mut asked = self.0.lock().unwrap();
        asked.push(wanted.clone());
        Ok(format!("token-{}", asked.len()))
    }

    fn kernel_args(&self, further: &str) -> Result<String, String> {
        Ok(format!("muster.server=https://10.0.0.1:8092 {further}").trim_end().to_owned())
    }

    fn info(&self) -> Json {
        json!({"Version": "v4.9.1", "ApiPort": 8092, "Id": "dc1"})
    }

    fn job(&self, id: &str) -> Option<Job> {
        Some(Job { uuid: id.parse().ok()?, task: "stored".into(), ..Job::default() })
    }
}

/// What is rendered from, to be changed at will.
struct Site {
    content: Content,
    machine: Machine,
    outside: Arc<Witness>,
}

impl Site {
    fn new() -> Self {
        let key = protocol::ids::KeyThumbprint([7; 32]);
        let id = MachineId(ID.parse().unwrap());
        let name = "db-07.example.org".parse().unwrap();
        let now = Timestamp::from_seconds(1_000);
        let mut machine =
            Machine::register(id, name, key, Origin::default(), Inventory::default(), "user:ann", now);
        machine.fields.address = "10.0.0.5".into();
        machine.fields.hardware_addrs = vec!["52:54:00:ab:cd:ef".into(), "52:54:00:00:00:02".into()];
        machine.fields.boot_env = "march-install".into();
        machine.fields.stage = "prepare".into();
        machine.fields.profiles = vec!["rack".into()];
        let mut content = Content::default();
        for env in crate::bootenv::builtin() {
            content.bootenvs.put(env);
        }
        content.bootenvs.put(BootEnv {
            name: "march-install".into(),
            os: OsInfo { name: "march-1.2".into(), codename: "spring".into(), ..OsInfo::default() },
            kernel: "vmlinuz0".into(),
            initrds: vec!["stage1.img".into(), "stage2.img".into()],
            boot_params: "quiet name={{.Machine.Name}}".into(),
            ..BootEnv::default()
        });
        content.stages.put(Stage {
            name: "prepare".into(),
            params: [("from-stage".to_owned(), json!("s"))].into(),
            profiles: vec!["of-stage".into()],
            ..Stage::default()
        });
        let mut site = Self { content, machine, outside: Arc::default() };
        site.profile("rack", json!({"slot": 4, "text": "{{.Machine.Name}}!", "fruits": ["pear"]}));
        site.profile("of-stage", json!({"deep": {"key": "of-stage"}, "fruits": ["fig"]}));
        site.profile("global", json!({"everywhere": true}));
        let schema = json!({"type": "string", "default": "by schema"});
        site.content.params.put(Param { name: "lazy".into(), schema, ..Param::default() });
        site.content.params.put(Param {
            name: "pxelinux-local-boot".into(),
            schema: json!({"default": "localboot 0"}),
            ..Param::default()
        });
        site
    }

    fn profile(&mut self, name: &str, params: Json) {
        let params = serde_json::from_value(params).unwrap();
        self.content.profiles.put(Profile { name: name.into(), params, ..Profile::default() });
    }

    fn template(&mut self, id: &str, contents: &str) {
        let (id, contents) = (id.to_owned(), contents.to_owned());
        self.content.templates.put(Template { id, contents, ..Template::default() });
    }

    fn bootenv(&mut self, change: impl FnOnce(&mut BootEnv)) {
        let mut env = (**self.content.bootenvs.get("march-install").unwrap()).clone();
        change(&mut env);
        self.content.bootenvs.put(env);
    }

    fn stage(&mut self, change: impl FnOnce(&mut Stage)) {
        let mut stage = (**self.content.stages.get("prepare").unwrap()).clone();
        change(&mut stage);
        self.content.stages.put(stage);
    }

    fn addresses() -> Arc<Addresses> {
        Arc::new(Addresses {
            ip: "10.0.0.1".parse().unwrap(),
            host: "muster.example".into(),
            http_port: 8091,
            http_open: true,
            https_port: 8092,
        })
    }

    fn scene(&self) -> Scene {
        Scene {
            machine: Some(Arc::new(self.machine.clone())),
            content: Arc::new(self.content.clone()),
            addresses: Self::addresses(),
            outside: Arc::<Witness>::clone(&self.outside),
        }
    }

    fn unknown(&self) -> Scene {
        Scene { machine: None, outside: Arc::new(Nowhere), ..self.scene() }
    }

    #[track_caller]
    fn says(&self, text: &str, rendered: &str) {
        assert_eq!(self.scene().text(text).as_deref().map_err(ToString::to_string), Ok(rendered), "{text}");
    }

    #[track_caller]
    fn fails(&self, text: &str, reason: &str) {
        let error = self.scene().text(text).expect_err(text).to_string();
        assert!(error.contains(reason), "{text}: {error}");
    }
}

fn file(name: &str, path: &str, contents: &str) -> TemplateInfo {
    TemplateInfo {
        name: name.into(),
        path: path.into(),
        contents: contents.into(),
        ..TemplateInfo::default()
    }
}
