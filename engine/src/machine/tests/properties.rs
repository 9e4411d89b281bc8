//! Whatever clients ask for, in whatever order, a machine is never what the page forbids.

use super::*;
use crate::content::sample::{bootenv, stage, task, with, workflow};
use crate::workflow;
use proptest::prelude::*;
use protocol::model::Kind;
use std::sync::LazyLock;

static SCENE: LazyLock<Content> = LazyLock::new(|| {
    with(&[
        bootenv("e1"),
        bootenv("e2"),
        task("ta", &[]),
        task("tb", &["ta"]),
        task("tc", &["tb", "td"]),
        task("td", &[]),
        stage("s1", "e1", &["ta", "tb"]),
        stage("s2", "e2", &["tc"]),
        stage("s3", "", &["td", "context:runner", "ta", "bootenv:e1", "tb"]),
        workflow("w1", &["s1", "s2"]),
        workflow("w2", &["s3", "s2", "task:td"]),
        workflow("w3", &["s1", "s3", "s1"]),
    ])
});

/// One request.
#[derive(Debug, Clone)]
enum Step {
    Patch {
        changes: Value,
        force: bool,
        by_user: bool,
    },
    /// The list as it is, with some entries taken out and put in.
    Tasks(usize, usize, Vec<&'static str>),
    /// What a walk does: it goes to the next entry, and transitions take effect.
    Walk,
    Start(&'static str),
}

fn step() -> impl Strategy<Value = Step> {
    let entry = prop::sample::select(vec![
        "ta",
        "tb",
        "tc",
        "td",
        "gone",
        "stage:s1",
        "bootenv:e2",
        "context:runner",
        "context:",
        "a:b",
    ]);
    let change = prop_oneof![
        prop::sample::select(vec!["", "w1", "w2", "w3", "gone"]).prop_map(|name| json!({"Workflow": name})),
        prop::sample::select(vec!["", "none", "s1", "s2", "s3"]).prop_map(|name| json!({"Stage": name})),
        prop::sample::select(vec!["", "local", "e1", "e2", "ignore"])
            .prop_map(|name| json!({"BootEnv": name})),
        (-3i64..20).prop_map(|index| json!({"CurrentTask": index})),
        any::<bool>().prop_map(|runnable| json!({"Runnable": runnable})),
        any::<bool>().prop_map(|locked| json!({"Locked": locked})),
        (prop::sample::select(vec!["", "w1", "w2"]), prop::sample::select(vec!["s1", "none"]))
            .prop_map(|(flow, stage)| json!({"Workflow": flow, "Stage": stage})),
        (prop::sample::select(vec!["s1", "s2", "s3"]), prop::sample::select(vec!["", "local", "e1"]))
            .prop_map(|(stage, env)| json!({"Stage": stage, "BootEnv": env})),
        prop::collection::vec(entry.clone(), 0..6).prop_map(|tasks| json!({"Tasks": tasks})),
    ];
    prop_oneof![
        4 => (change, any::<bool>(), any::<bool>())
            .prop_map(|(changes, force, by_user)| Step::Patch { changes, force, by_user }),
        3 => (0usize..14, 0usize..4, prop::collection::vec(entry, 0..4))
            .prop_map(|(at, out, added)| Step::Tasks(at, out, added)),
        5 => Just(Step::Walk),
        1 => prop::sample::select(vec!["w1", "w2", "gone"]).prop_map(Step::Start),
    ]
}

/// A field of some object.
fn field() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "Uuid",
        "Tasks",
        "Params",
        "Meta",
        "Profiles",
        "Schema",
        "Templates",
        "OS",
        "Prerequisites",
        "Stages",
        "Claims",
        "Fingerprint",
        "HardwareAddrs",
        "Address",
        "CurrentTask",
        "TaskErrorStacks",
        "PoolStatus",
        "Loaders",
        "Roles",
        "EnterActions",
        "Contents",
        "Secure",
        "BootEnv",
        "Workflow",
        "Stage",
    ])
}

/// Any JSON, with words that mean something among it.
fn anything() -> impl Strategy<Value = Value> {
    let word = prop_oneof![
        prop::sample::select(vec![
            "Name",
            "$ref",
            "#",
            "type",
            "pattern",
            "stage:",
            "bootenv:e1",
            "w1",
            "ta",
            "{{",
            "*"
        ])
        .prop_map(str::to_owned),
        ".{0,4}",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(word.clone(), inner, 0..5)
                .prop_map(|map| map.into_iter().collect::<Value>()),
        ]
    })
}

/// The walk as `POST /jobs` does it, in short.
fn walk(machine: &mut Machine, content: &Content) {
    let length = i64::try_from(machine.fields.tasks.len()).unwrap();
    if machine.fields.current_task < length {
        machine.fields.current_task += 1;
    }
    let index = usize::try_from(machine.fields.current_task).unwrap();
    if let Some(entry) = machine.fields.tasks.get(index).cloned() {
        match workflow::Entry::read(&entry) {
            workflow::Entry::Stage(name) => name.clone_into(&mut machine.fields.stage),
            workflow::Entry::BootEnv(name) => enter_bootenv(machine, name, content),
            workflow::Entry::Context(name) => name.clone_into(&mut machine.fields.context),
            workflow::Entry::Chroot(_) | workflow::Entry::Action(_) | workflow::Entry::Task(_) => {}
        }
    }
    machine.settle();
}

/// What a step makes of a machine; nothing when it is refused.
fn take(machine: &Machine, step: &Step, content: &Content) -> Option<Machine> {
    match step {
        Step::Patch { changes, force, by_user } => {
            let wish = Wish { force: *force, by_user: *by_user, ..wish(content) };
            edit(machine, &wanted(machine, changes), &wish).ok()
        }
        Step::Tasks(at, out, added) => {
            let mut list = machine.fields.tasks.clone();
            let at = (*at).min(list.len());
            let until = (at + out).min(list.len());
            list.splice(at..until, added.iter().map(|entry| (*entry).to_owned()));
            patched(machine, content, &json!({"Tasks": list})).ok()
        }
        Step::Walk => {
            let mut machine = machine.clone();
            walk(&mut machine, content);
            Some(machine)
        }
        Step::Start(name) => {
            let wanted = wanted(&stopped(machine), &json!({"Workflow": name}));
            start(machine, &wanted, &wish(content)).ok()
        }
    }
}

fn past(machine: &Machine) -> &[String] {
    let done = usize::try_from(machine.fields.current_task + 1).unwrap();
    machine.fields.tasks.get(..done).unwrap_or(&machine.fields.tasks)
}

/// What holds of every machine, and of every step from one to the next.
fn hold(before: &Machine, step: &Step, after: &Machine) -> Result<(), TestCaseError> {
    let (old, new) = (&before.fields, &after.fields);
    let length = i64::try_from(new.tasks.len()).unwrap();
    prop_assert!((-1..=length).contains(&new.current_task), "P16");
    prop_assert!(length > 0 || new.current_task == 0);
    prop_assert_eq!(new.workflow_complete, new.current_task >= length, "P22");
    prop_assert_eq!(new.runnable, after.paused.is_none(), "a stop has a reason, and only a stop");
    prop_assert!(!new.boot_env.is_empty() && !new.stage.is_empty(), "P4");
    let Step::Patch { changes, .. } = step else {
        if let Step::Tasks(..) = step {
            prop_assert!(
                past(after).starts_with(past(before)) || old.current_task < 0 || old.tasks.is_empty(),
                "P15"
            );
            prop_assert_eq!(&old.boot_env, &new.boot_env);
        }
        return Ok(());
    };
    let replaced = old.workflow != new.workflow || old.stage != new.stage;
    if !replaced {
        let same = past(before).len().min(new.tasks.len());
        prop_assert_eq!(past(before).get(..same), new.tasks.get(..same), "P15");
        prop_assert!(past(before).len() <= new.tasks.len(), "P15");
        let grew = old.workflow_complete && !new.workflow_complete;
        prop_assert!(new.current_task <= old.current_task.max(0) || grew, "only the walk goes on");
    }
    if !new.workflow.is_empty() && old.workflow == new.workflow {
        prop_assert_eq!((&old.stage, &old.boot_env), (&new.stage, &new.boot_env), "P14");
    }
    if old.boot_env != new.boot_env {
        prop_assert!(!new.runnable, "P19");
    } else if changes.get("Runnable").is_none() {
        prop_assert_eq!(old.runnable, new.runnable, "nothing was booted");
    }
    if !replaced && new.current_task < old.current_task && !new.workflow.is_empty() {
        // From where it goes back to, nothing up to where it was boots anything else.
        let from = usize::try_from(new.current_task).unwrap_or(0);
        let until = past(before).len();
        let replayed = new.tasks.get(from..until).unwrap_or_default();
        for entry in replayed {
            if let workflow::Entry::BootEnv(name) = workflow::Entry::read(entry) {
                prop_assert_eq!(name, &new.boot_env, "P17: {:?} {:?}", old, new);
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn no_request_makes_a_machine_what_the_page_forbids(steps in prop::collection::vec(step(), 1..24)) {
        let content = &*SCENE;
        let mut machine = machine();
        for step in &steps {
            if let Some(next) = take(&machine, step, content) {
                hold(&machine, step, &next)?;
                machine = next;
            }
        }
    }

    #[test]
    fn no_body_breaks_the_reader(field in field(), value in anything(), kind in prop::sample::select(Kind::ALL.to_vec())) {
        let mut body = json!({"Name": "alpha", "ID": "alpha", "Id": "alpha"});
        body[field] = value;
        let content = &*SCENE;
        if let Ok(made) = create(&body, &wish(content)) {
            prop_assert!(made.fields.runnable && made.paused.is_none());
            if let Ok(edited) = patched(&made, content, &body) {
                prop_assert_eq!(edited.id, made.id);
            }
        }
        if let Ok(edit) = crate::content::sample::create(content, kind, &body) {
            prop_assert_eq!(edit.after, edit.content.show(kind, "alpha"));
        }
    }

    #[test]
    fn expansion_has_each_need_before_it_is_needed(stages in prop::collection::vec(
        prop::sample::select(vec!["s1", "s2", "s3", "task:tc", "task:tb"]), 0..6,
    )) {
        let content = crate::content::sample::and(&SCENE, &[workflow("wx", &stages)]);
        let list = workflow::expand(content.workflows.get("wx").unwrap(), &content).unwrap();
        let mut ran: Vec<&str> = Vec::new();
        let mut boots = "";
        for entry in &list {
            match workflow::Entry::read(entry) {
                workflow::Entry::BootEnv(name) if name != boots => {
                    boots = name;
                    ran.clear();
                }
                workflow::Entry::Task(name) => {
                    let task = content.tasks.get(name).unwrap();
                    prop_assert!(task.prerequisites.iter().all(|need| ran.contains(&need.as_str())), "{list:?}");
                    ran.push(name);
                }
                workflow::Entry::BootEnv(_)
                | workflow::Entry::Stage(_)
                | workflow::Entry::Context(_)
                | workflow::Entry::Chroot(_)
                | workflow::Entry::Action(_) => {}
            }
        }
    }
}
