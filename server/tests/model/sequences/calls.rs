//! The calls that sequences are made of. Names are few, so that calls meet.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

/// Most calls of a sequence.
const LONGEST: usize = 20;
/// Entries that task lists are made of.
const ENTRIES: [&str; 11] = [
    "t1",
    "t2",
    "t3",
    "stage:s1",
    "stage:s2",
    "bootenv:e1",
    "bootenv:local",
    "context:cloud",
    "context:",
    "action:none",
    "gone",
];
const STAGES: [&str; 6] = ["", "none", "s1", "s2", "s3", "gone"];
const WORKFLOWS: [&str; 5] = ["", "w1", "w2", "bye", "gone"];
const BOOTENVS: [&str; 6] = ["", "local", "e1", "e2-install", "ignore", "gone"];
const CONTEXTS: [&str; 2] = ["", "cloud"];
/// The machines that calls are about.
pub(super) const SLOTS: usize = 2;

/// One field of a machine that a call sets.
#[derive(Debug, Clone)]
pub(super) struct Field(pub(super) &'static str, pub(super) Value);

/// How a change of a machine is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// RFC 6902.
    Patch,
    /// RFC 6902 with force.
    Force,
    /// A JSON object that is merged.
    Merge,
    /// The object as it is, with these fields, as PUT.
    Put,
    /// `PATCH /machines/{id}/start`.
    Start,
}

/// Which job of a machine a call is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    /// Its current one.
    Current,
    /// The one before.
    Previous,
}

/// Under which lease a call speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lease {
    /// The one that the job was handed out under.
    Held,
    /// The one before.
    Older,
}

/// One call.
#[derive(Debug, Clone)]
pub(super) enum Call {
    /// `POST /machines`.
    Create { slot: usize, fields: Vec<Field> },
    /// A change of a machine.
    Edit { slot: usize, how: How, fields: Vec<Field>, as_machine: bool },
    /// `DELETE /machines/{id}`.
    Delete { slot: usize, force: bool, cleanup: bool },
    /// `POST /machines/{id}/params/{key}`.
    SetParam { slot: usize, key: &'static str, value: Value },
    /// `POST /jobs`.
    Next { slot: usize, context: &'static str, as_machine: bool },
    /// `POST /jobs` until a job comes, at most so often, and its end told.
    Run { slot: usize, times: usize },
    /// A state told of a job.
    Tell { slot: usize, which: Which, state: &'static str, exit: Option<&'static str>, lease: Option<Lease> },
    /// `DELETE /jobs/{id}`.
    DeleteJob { slot: usize, which: Which },
    /// `DELETE /jobs`.
    CleanUp { keep: usize },
    /// An object of the content is put as it says, or made.
    Put { collection: &'static str, object: Value },
    /// An object of the content is deleted.
    Remove { collection: &'static str, key: &'static str },
    /// A preference is set.
    Pref { name: &'static str, value: &'static str },
}

/// A sequence of calls.
pub(super) fn sequence() -> impl Strategy<Value = Vec<Call>> {
    let begin = prop_oneof![
        1 => fields(0..3),
        3 => select(&["w1", "w2"][..]).prop_map(|name| vec![Field("Workflow", json!(name))]),
        3 => list(1..6).prop_map(|list| vec![list]),
    ];
    let begin = begin.prop_map(|fields| Call::Create { slot: 0, fields });
    (begin, vec(call(), 0..LONGEST)).prop_map(|(begin, rest)| std::iter::once(begin).chain(rest).collect())
}

/// The machine that a call is about: mostly the one that there is.
fn slot() -> impl Strategy<Value = usize> {
    prop_oneof![4 => Just(0), 1 => Just(1)]
}

/// A task list; most of its entries are tasks.
fn list(many: std::ops::Range<usize>) -> impl Strategy<Value = Field> {
    let entry = prop_oneof![3 => select(&ENTRIES[..3]), 1 => select(&ENTRIES[..])];
    vec(entry, many).prop_map(|list| Field("Tasks", json!(list)))
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        1 => (slot(), fields(0..4)).prop_map(|(slot, fields)| Call::Create { slot, fields }),
        10 => edit(),
        1 => (slot(), any::<bool>(), any::<bool>())
            .prop_map(|(slot, force, cleanup)| Call::Delete { slot, force, cleanup }),
        2 => (slot(), param()).prop_map(|(slot, (key, value))| Call::SetParam { slot, key, value }),
        6 => (slot(), select(&CONTEXTS[..]), any::<bool>())
            .prop_map(|(slot, context, as_machine)| Call::Next { slot, context, as_machine }),
        3 => (slot(), 1..4_usize).prop_map(|(slot, times)| Call::Run { slot, times }),
        6 => tell(),
        1 => (slot(), which()).prop_map(|(slot, which)| Call::DeleteJob { slot, which }),
        1 => (0..3_usize).prop_map(|keep| Call::CleanUp { keep }),
        4 => content(),
    ]
}

fn edit() -> impl Strategy<Value = Call> {
    let how = prop_oneof![
        6 => Just(How::Patch),
        3 => Just(How::Force),
        2 => Just(How::Merge),
        3 => Just(How::Put),
        1 => Just(How::Start),
    ];
    (slot(), how, fields(1..4), prop::bool::weighted(0.15))
        .prop_map(|(slot, how, fields, as_machine)| Call::Edit { slot, how, fields, as_machine })
}

fn which() -> impl Strategy<Value = Which> {
    prop_oneof![4 => Just(Which::Current), 1 => Just(Which::Previous)]
}

fn tell() -> impl Strategy<Value = Call> {
    let state = select(
        &["running", "running", "finished", "finished", "failed", "incomplete", "created", "bogus"][..],
    );
    let exit = option::weighted(0.3, select(&["complete", "failed", "reboot", "stop", "bogus"][..]));
    let lease = option::weighted(0.4, select(&[Lease::Held, Lease::Held, Lease::Older][..]));
    (slot(), which(), state, exit, lease).prop_map(|(slot, which, state, exit, lease)| Call::Tell {
        slot,
        which,
        state,
        exit,
        lease,
    })
}

fn fields(many: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Field>> {
    vec(field(), many).prop_map(|fields: Vec<Field>| {
        // Each field once: the last word counts.
        let mut once: Vec<Field> = Vec::new();
        for field in fields {
            once.retain(|known| known.0 != field.0);
            once.push(field);
        }
        once
    })
}

fn field() -> impl Strategy<Value = Field> {
    fn text(name: &'static str, values: &'static [&'static str]) -> impl Strategy<Value = Field> {
        select(values).prop_map(move |value| Field(name, json!(value)))
    }
    let of_run = prop_oneof![
        6 => text("Workflow", &WORKFLOWS),
        5 => text("Stage", &STAGES),
        4 => text("BootEnv", &BOOTENVS),
        6 => list(0..6),
        5 => (-2..7_i64).prop_map(|index| Field("CurrentTask", json!(index))),
        6 => prop::bool::weighted(0.7).prop_map(|on| Field("Runnable", json!(on))),
        3 => prop::bool::weighted(0.4).prop_map(|on| Field("Locked", json!(on))),
        2 => text("Context", &CONTEXTS),
    ];
    let others = prop_oneof![
        2 => vec(select(&["p1", "p2", "gone"][..]), 0..3).prop_map(|list| Field("Profiles", json!(list))),
        2 => vec(param(), 0..3).prop_map(|list| {
            let params: serde_json::Map<String, Value> =
                list.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
            Field("Params", params.into())
        }),
        1 => select(&CONTEXTS[..]).prop_map(|context| {
            Field("Meta", json!({"feature-flags": "change-stage-v2", "BaseContext": context}))
        }),
        1 => text("Name", &["slot-0", "slot-1", "other name", "a/b", ""]),
        1 => text("Address", &["", "10.0.0.9", "no address"]),
        1 => text("OS", &["", "handmade"]),
        1 => text("Secret", &["", "another secret"]),
        1 => text("Uuid", &["11111111-1111-4111-8111-111111111111"]),
    ];
    let servers = prop_oneof![
        text("CurrentJob", &["", "22222222-2222-4222-8222-222222222222"]),
        text("JobState", &["", "running", "finished"]),
        text("JobExitState", &["", "complete"]),
        any::<bool>().prop_map(|on| Field("WorkflowComplete", json!(on))),
        any::<bool>().prop_map(|on| Field("Available", json!(on))),
    ];
    prop_oneof![8 => of_run, 3 => others, 1 => servers]
}

fn param() -> impl Strategy<Value = (&'static str, Value)> {
    prop_oneof![
        select(&["x", "y", "site/color"][..]).prop_flat_map(|key| {
            prop_oneof![any::<i8>().prop_map(|n| json!(n)), Just(json!("text")), Just(Value::Null)]
                .prop_map(move |value| (key, value))
        }),
        Just(("typed", json!("text"))),
        Just(("typed", json!(["no text"]))),
        any::<bool>().prop_map(|on| ("on-complete-delete", json!(on))),
        Just(("on-delete-workflow", json!("bye"))),
        Just(("task-single-step", json!(true))),
        Just(("task-stop-at", json!(["t2", "action:none"]))),
        Just(("task-retry", json!({"t1": 1, "action:none": 1}))),
        Just(("task-error-handlers", json!({"t2": ["t3"], "t3": ["t1"]}))),
    ]
}

fn content() -> impl Strategy<Value = Call> {
    let put = |collection: &'static str| move |object: Value| Call::Put { collection, object };
    let tasks = vec(select(&["t1", "t2", "t3", "gone", "context:cloud"][..]), 0..4);
    let stage =
        (select(&["s1", "s2", "s3"][..]), select(&["", "local", "e1", "e2-install", "gone"][..]), tasks);
    let stages = vec(select(&["s1", "s2", "s3", "none", "gone"][..]), 0..4);
    let workflow = (select(&["w1", "w2", "bye"][..]), stages);
    let profile = (select(&["p1", "p2"][..]), param());
    let removed = select(
        &[
            ("stages", "s1"),
            ("stages", "s2"),
            ("stages", "s3"),
            ("stages", "none"),
            ("workflows", "w1"),
            ("workflows", "w2"),
            ("workflows", "bye"),
            ("bootenvs", "e1"),
            ("bootenvs", "e2-install"),
            ("bootenvs", "local"),
            ("tasks", "t1"),
            ("tasks", "t2"),
            ("tasks", "t3"),
            ("profiles", "p1"),
            ("profiles", "p2"),
            ("profiles", "global"),
            ("params", "typed"),
        ][..],
    );
    let pref = select(
        &[
            ("defaultStage", "s1"),
            ("defaultStage", "none"),
            ("defaultBootEnv", "e1"),
            ("defaultBootEnv", "local"),
            ("defaultBootEnv", "ignore"),
            ("defaultWorkflow", "w1"),
            ("defaultWorkflow", ""),
            ("defaultWorkflow", "gone"),
        ][..],
    );
    prop_oneof![
        4 => stage.prop_map(|(name, env, tasks)| json!({"Name": name, "BootEnv": env, "Tasks": tasks})).prop_map(put("stages")),
        3 => workflow.prop_map(|(name, stages)| json!({"Name": name, "Stages": stages})).prop_map(put("workflows")),
        1 => profile.prop_map(|(name, (key, value))| json!({"Name": name, "Params": {key: value}})).prop_map(put("profiles")),
        1 => any::<bool>().prop_map(|only| json!({"Name": "e1", "OnlyUnknown": only})).prop_map(put("bootenvs")),
        6 => removed.prop_map(|(collection, key)| Call::Remove { collection, key }),
        2 => pref.prop_map(|(name, value)| Call::Pref { name, value }),
    ]
}
