//! Boot files of the built-in boot environments, for machines and sites that mean harm.

use crate::text::lossy;
use engine::change::Revision;
use engine::content::Content;
use engine::machine::Machine;
use engine::render::{Addresses, Body, Nowhere, Outside, Scene, TokenWanted, file_path};
use engine::time::Timestamp;
use protocol::agent_api::Origin;
use protocol::ids::{KeyThumbprint, MachineId};
use protocol::inventory::Inventory;
use protocol::model::Job;
use serde_json::{Map, Value as Json};
use server::fuzzing::{boot_line, machines_named};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, LazyLock};

/// Where every kernel's arguments of ours begin.
const OWN: &str = " muster.server=";
const ARGS: &str = "muster.server=https://10.0.0.1:8092 muster.ca-hash=sha256:AAAA";
/// Longest line of a boot file: a kernel's arguments and the command before them.
const MAX_LINE: usize = 2_047 + 256;
/// Most things that a path may name a machine by.
const MAX_NAMED: usize = 24;
/// What has lines of its own by design.
const LINES: &str = "pxelinux-local-boot";
const ID: &str = "8e8a2d0c-1f6c-4d7e-9a53-0a4f2b1c9d77";
/// Most hardware addresses of a machine here.
const MAX_CARDS: usize = 8;

/// A server that lets everybody in by the same arguments.
#[derive(Debug)]
struct Door;

impl Outside for Door {
    fn token(&self, wanted: &TokenWanted) -> Result<String, String> {
        Nowhere.token(wanted)
    }

    fn kernel_args(&self, further: &str) -> Result<String, String> {
        boot_line(further, ARGS, "http://10.0.0.1:8091")
    }

    fn info(&self) -> Json {
        serde_json::json!({ "Id": "dc1" })
    }

    fn job(&self, id: &str) -> Option<Job> {
        Nowhere.job(id)
    }
}

/// The content where strangers are discovered, and where they are ignored.
static CONTENT: LazyLock<[Arc<Content>; 2]> = LazyLock::new(|| {
    ["discovery", "ignore"].map(|env| {
        let prefs = BTreeMap::from([("unknownBootEnv".to_owned(), env.to_owned())]);
        Arc::new(Content::load(Vec::new(), prefs, Revision(0)).expect("what is built in"))
    })
});

/// A path in the first line and a machine in the rest, as JSON: what a path may mean is bounded, the
/// same file is found twice, and no value leaves the line of the kernel's arguments that it is for.
pub fn boot_render(data: &[u8]) -> bool {
    let input = lossy(data);
    let (path, rest) = input.split_once('\n').unwrap_or((&input, ""));
    assert!(machines_named(path) <= MAX_NAMED);
    let wanted: Json = serde_json::from_str(rest).unwrap_or_default();
    let mut understood = false;
    for content in CONTENT.iter() {
        for env in ["local", "muster"] {
            let of = |hostile: bool| Some(Arc::new(machine(&wanted, env, hostile)));
            understood |= holds(&scene(content, of(true)), &scene(content, of(false)), path);
        }
        understood |= holds(&scene(content, None), &scene(content, None), path);
    }
    understood
}

fn scene(content: &Arc<Content>, machine: Option<Arc<Machine>>) -> Scene {
    let addresses = Addresses {
        ip: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)),
        host: "muster.example".to_owned(),
        http_port: 8_091,
        http_open: true,
        https_port: 8_092,
    };
    let (content, addresses) = (Arc::clone(content), Arc::new(addresses));
    Scene { machine, content, addresses, outside: Arc::new(Door) }
}

/// A machine with these fields, whatever they hold; with the params only when it is hostile.
fn machine(wanted: &Json, env: &str, hostile: bool) -> Machine {
    let name = "m-1".parse().expect("a name");
    let (id, key) = (MachineId(ID.parse().expect("an id")), KeyThumbprint([1; 32]));
    let (origin, inventory) = (Origin::default(), Inventory::default());
    let mut machine = Machine::register(id, name, key, origin, inventory, "", Timestamp::EPOCH);
    machine.fields.address = text(&wanted["Address"]);
    let cards = wanted["HardwareAddrs"].as_array().into_iter().flatten();
    machine.fields.hardware_addrs = cards.take(MAX_CARDS).map(text).collect();
    env.clone_into(&mut machine.fields.boot_env);
    if hostile {
        let params = wanted["Params"].as_object().into_iter().flat_map(Map::iter);
        let params = params.filter(|(name, _)| *name != LINES);
        machine.fields.params = params.map(|(name, value)| (name.clone(), value.clone())).collect();
    }
    machine
}

fn text(json: &Json) -> String {
    json.as_str().unwrap_or_default().to_owned()
}

/// What a scene shows is what the harmless one shows, but for plain words among a kernel's arguments.
fn holds(scene: &Scene, harmless: &Scene, path: &str) -> bool {
    let files: Vec<_> = scene.files().into_iter().zip(harmless.files()).collect();
    for (file, like) in files {
        // A path that nothing can lie at, or arguments that no loader would carry.
        let (Ok(file), Ok(like)) = (file, like) else { continue };
        assert_eq!(file_path(&file.path), Ok(file.path.clone()), "a path has one spelling");
        assert_eq!(file.path, like.path);
        assert!(scene.has_file(&file.path));
        let (Body::Text(text), Body::Text(like)) = (&file.body, &like.body) else { panic!("a link") };
        assert_eq!(text.lines().count(), like.lines().count(), "{text:?}");
        text.lines().zip(like.lines()).for_each(|(line, like)| is_like(line, like));
    }
    let Ok(path) = file_path(path) else { return false };
    let found = scene.file_at(&path);
    assert_eq!(found, scene.file_at(&path), "asked again");
    assert_eq!(found.is_some(), scene.has_file(&path));
    found.is_some_and(|found| found.is_ok())
}

fn is_like(line: &str, like: &str) {
    assert!(line.len() <= MAX_LINE, "{} bytes", line.len());
    if line == like {
        return;
    }
    let (head, tail) = like.split_once(OWN).expect("a line that a param is in has arguments");
    let behind = line.strip_prefix(head).and_then(|rest| rest.strip_suffix(tail));
    let words = behind.and_then(|rest| rest.strip_suffix(OWN)).expect("the rest of the line stays as it is");
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/:+%~=,[] ".contains(c);
    assert!(words.chars().all(plain), "{words:?}");
}
