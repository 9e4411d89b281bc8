//! The store's promises about lists: what SQL filters, orders and cuts is what comes out when every
//! object is looked at.

use super::{START, after, job, machine};
use crate::store::{About, Known, Listed, Plan, Store};
use engine::change::{Change, Changes};
use engine::filter::{Query, parse};
use engine::index;
use engine::job::Job;
use engine::machine::{Machine, Presence};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use protocol::ids::MachineId;
use protocol::model::{ExitState, JobState, Kind};
use serde_json::{Value, json};
use uuid::Uuid;

/// Words that are hard to order, and some that occur often.
const WORDS: [&str; 9] = ["", "none", "local", "Local", "a", "B", "_", "ä", "zz-top"];
/// The last one is longer than what an index holds.
const STRANGE: [&str; 3] = [
    "x\u{1}y",
    "100% _",
    "lllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllll",
];
const ADDRESSES: [&str; 4] = ["", "10.0.0.9", "10.0.0.10", "192.168.1.1"];
const TIMES: [u64; 4] = [0, 1, 60, 3_600];

fn word() -> impl Strategy<Value = String> {
    prop_oneof![6 => select(&WORDS[..]), 1 => select(&STRANGE[..])].prop_map(str::to_owned)
}

fn param() -> impl Strategy<Value = Value> {
    select(vec![
        json!(7),
        json!(7.0),
        json!("7"),
        json!("a"),
        json!(true),
        json!(null),
        json!([1, "x"]),
        json!({"b": 1, "a": 2}),
        json!("l".repeat(300)),
    ])
}

prop_compose! {
    fn some_machine()(
        words in proptest::collection::vec(word(), 7),
        address in select(&ADDRESSES[..]),
        flags in proptest::array::uniform6(any::<bool>()),
        task in -1..3_i64,
        times in (select(&TIMES[..]), proptest::option::of(select(&TIMES[..]))),
        profiles in proptest::sample::subsequence(vec!["base", "rack", "ä"], 0..3),
        roles in proptest::sample::subsequence(vec!["web", "rack", "db"], 0..3),
        mesh in select(vec!["", "core", "edge"]),
        params in proptest::collection::btree_map(select(vec!["rack", "slot/a"]), param(), 0..3),
        macs in proptest::sample::subsequence(vec!["52:54:00:00:00:01", "52:54:00:00:00:02"], 0..2),
    ) -> Machine {
        let mut machine = Machine { key: None, ..machine(1) };
        let [boot_env, stage, workflow, context, os, job_state, created_by] =
            <[String; 7]>::try_from(words).unwrap();
        let [runnable, locked, complete, broken, itself, allocated] = flags;
        machine.created_by = created_by;
        machine.created_at = after(times.0);
        machine.modified_at = times.1.map(after);
        machine.errors = if broken { vec!["broken".into()] } else { Vec::new() };
        if itself {
            machine.meta.insert("machine-role".into(), "self".into());
        }
        let fields = &mut machine.fields;
        (fields.boot_env, fields.stage, fields.workflow) = (boot_env, stage, workflow);
        (fields.context, fields.os, fields.job_state) = (context, os, job_state);
        (fields.runnable, fields.locked, fields.workflow_complete) = (runnable, locked, complete);
        fields.pool_allocated = allocated;
        fields.address = address.to_owned();
        fields.current_task = task;
        fields.profiles = profiles.into_iter().map(str::to_owned).collect();
        fields.params = params.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        fields.hardware_addrs = macs.into_iter().map(str::to_owned).collect();
        machine.placement.roles = roles.into_iter().map(str::to_owned).collect();
        machine.placement.mesh_network = mesh.to_owned();
        machine
    }
}

prop_compose! {
    fn some_job()(
        words in proptest::collection::vec(word(), 5),
        state in select(vec![JobState::Created, JobState::Running, JobState::Failed, JobState::Finished]),
        exit in select(vec![ExitState::None, ExitState::Complete, ExitState::Reboot]),
        of in 1..4_u128,
        flags in any::<(bool, bool)>(),
        index in 0..4_i64,
        start in proptest::option::of(select(&TIMES[..])),
    ) -> Job {
        let mut job = job(1, of);
        let fields = &mut job.fields;
        let [task, stage, workflow, boot_env, context] = <[String; 5]>::try_from(words).unwrap();
        (fields.task, fields.stage, fields.workflow) = (task, stage, workflow);
        (fields.boot_env, fields.context) = (boot_env, context);
        (fields.state, fields.exit_state, fields.current) = (state, exit, flags.0);
        (fields.current_index, fields.next_index) = (index, index + 1);
        fields.archived = flags.1;
        fields.previous = Uuid::from_u128(of + 1);
        if let Some(start) = start {
            fields.start_time = after(start).to_string();
        }
        job
    }
}

/// A value that may be compared with an index.
fn operand(name: &str, values: index::ValueType) -> BoxedStrategy<String> {
    let words = |words: Vec<&'static str>| select(words).prop_map(str::to_owned).boxed();
    match (values, name) {
        (index::ValueType::Boolean, _) => words(vec!["true", "False", "1", "0"]),
        (index::ValueType::Integer, _) => words(vec!["-1", "0", "2"]),
        (index::ValueType::Uuid, _) => (0..5_u128).prop_map(|id| Uuid::from_u128(id).to_string()).boxed(),
        (index::ValueType::Address, _) => words(vec!["", "10.0.0.9", "10.0.0.10", "11.0.0.0", "::1"]),
        (index::ValueType::Time, _) => {
            prop_oneof![select(&TIMES[..]).prop_map(|at| after(at).to_string()), Just(String::new())].boxed()
        }
        (index::ValueType::List, "Profiles") => words(vec!["base", "rack", "ä", "none"]),
        (index::ValueType::List, "Params") => words(vec!["rack", "slot/a", "none"]),
        (index::ValueType::Names, _) => words(vec!["web", "rack", "base", "none"]),
        (index::ValueType::Natural, _) => words(vec!["m_-20", "ma-7", "MA-10"]),
        (index::ValueType::List, _) => words(vec!["52:54:00:00:00:01", "52:54:00:00:00:02", "other"]),
        (index::ValueType::Text, "MeshNetwork") => words(vec!["", "core", "edge"]),
        (index::ValueType::Text, "State") => words(vec!["failed", "running", "other"]),
        (index::ValueType::Text, _) => word().boxed(),
    }
}

fn filter(kind: Kind) -> BoxedStrategy<(String, String)> {
    let of_index = (select(index::of(kind)), 0..11_usize).prop_flat_map(|(index, test)| {
        let values = proptest::collection::vec(operand(index.name, index.values), 1..4);
        let list = index.is_list();
        values.prop_map(move |values| {
            let (first, last) = (&values[0], &values[values.len() - 1]);
            let all = values.join(",");
            let value = match test {
                0 => format!("Ne({first})"),
                1 if list => format!("Eq({all})"),
                2 if list => format!("Ne({all})"),
                1 => format!("Lt({first})"),
                2 => format!("Lte({first})"),
                3 if !list => format!("Gt({first})"),
                4 if !list => format!("Gte({first})"),
                5 if !list => format!("Between({first},{last})"),
                6 if !list => format!("Except({first},{last})"),
                7 => format!("In({all})"),
                8 => format!("Nin({all})"),
                _ => first.clone(),
            };
            (index.name.to_owned(), value)
        })
    });
    if !index::has_params(kind) {
        return of_index.boxed();
    }
    let value = select(vec!["7", "7.0", "a", "true", "null", "[1,\"x\"]", "{\"a\":2,\"b\":1}", "other"]);
    let of_param = (select(vec!["rack", "Params.slot/a"]), value, 0..4_u8).prop_map(|(name, value, test)| {
        let value = match test {
            0 => format!("Ne({value})"),
            1 => "In(7,a,other)".to_owned(),
            2 => "Nin(7,true)".to_owned(),
            _ => value.to_owned(),
        };
        (name.to_owned(), value)
    });
    prop_oneof![4 => of_index, 1 => of_param].boxed()
}

fn query(kind: Kind) -> impl Strategy<Value = Vec<(String, String)>> {
    let sort = proptest::collection::vec(select(index::of(kind)), 0..3).prop_map(|indexes| {
        // The order of roles is of what is stored, see `roles_are_listed_by_what_they_are_made_of`.
        let ordered = indexes.into_iter().filter(|index| !index.is_list());
        ordered.map(|index| ("sort".to_owned(), index.name.to_owned())).collect::<Vec<_>>()
    });
    let shape = (any::<(bool, bool)>(), 0..5_u8, 0..30_u8);
    (proptest::collection::vec(filter(kind), 0..4), sort, shape).prop_map(
        |(mut pairs, sort, ((reverse, without), limit, offset))| {
            pairs.extend(sort);
            let more = [("reverse", reverse.to_string()), ("exclude-self", without.to_string())];
            let part = [("limit", (limit * 5).to_string()), ("offset", (offset / 5).to_string())];
            pairs.extend(more.into_iter().chain(part).map(|(name, value)| (name.to_owned(), value)));
            pairs
        },
    )
}

/// What comes out when every object is looked at.
fn by_looking<'a>(query: &Query, kind: Kind, objects: &'a [(Uuid, Value)]) -> (Vec<&'a Value>, u64) {
    let key = index::find(kind, "Key").unwrap();
    let mut found: Vec<_> =
        objects.iter().map(|(_, object)| object).filter(|object| query.matches(object)).collect();
    found.sort_by(|one, other| query.order(key, one, other));
    let filtered = found.len() as u64;
    (found[query.part(found.len())].to_vec(), filtered)
}

async fn lists_are_right<L: Listed>(
    store: &Store,
    kind: Kind,
    runner: &mut TestRunner,
    mut objects: Vec<(Uuid, Value)>,
    show: fn(&L) -> (Uuid, Value),
    planned: fn(&Store, &Query) -> Plan<L>,
) {
    objects.sort_by_key(|(id, _)| *id);
    let (mut whole, mut left) = (0, 0);
    for _ in 0..150 {
        let pairs = query(kind).new_tree(runner).unwrap().current();
        let asked = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let query = parse(kind, asked).unwrap();
        let plan = planned(store, &query);
        let (expected, filtered) = by_looking(&query, kind, &objects);
        if plan.is_whole() {
            whole += 1;
            let limit = query.limit.map(|limit| limit as u64);
            let page = store.page(&plan, query.offset as u64, limit).await.unwrap();
            let found: Vec<_> = page.items.iter().map(|item| show(item).1).collect();
            assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{pairs:?}");
            assert_eq!((page.filtered, page.total), (filtered, objects.len() as u64), "{pairs:?}");
            let all = Query { offset: 0, limit: None, ..query.clone() };
            let in_parts = in_parts(store, all.clone(), show, planned).await;
            let (expected, _) = by_looking(&all, kind, &objects);
            assert_eq!(in_parts.iter().collect::<Vec<_>>(), expected, "{pairs:?}");
        } else {
            left += 1;
        }
        let mut last = None;
        let mut found = Vec::new();
        loop {
            let part = store.after(&plan, last, 17).await.unwrap();
            let Some(end) = part.last() else { break };
            last = Some(show(end).0);
            found.extend(part.iter().map(show));
        }
        found.retain(|(_, object)| plan.left().iter().all(|filter| filter.matches(object)));
        let itself = |object: &Value| query.matches(object);
        assert_eq!(
            found,
            objects.iter().filter(|(_, one)| itself(one)).cloned().collect::<Vec<_>>(),
            "{pairs:?}"
        );
    }
    assert!(whole > 75 && left > 4, "{whole} and {left}");
}

/// A whole list, each part from where the one before ended.
async fn in_parts<L: Listed>(
    store: &Store,
    mut query: Query,
    show: fn(&L) -> (Uuid, Value),
    planned: fn(&Store, &Query) -> Plan<L>,
) -> Vec<Value> {
    let mut found = Vec::new();
    loop {
        let plan = planned(store, &query);
        assert!(plan.is_possible() && plan.is_whole());
        let page = store.page(&plan, 0, Some(13)).await.unwrap();
        found.extend(page.items.iter().map(|item| show(item).1));
        query.after = page.next;
        if query.after.is_none() {
            return found;
        }
    }
}

fn is_there(id: MachineId) -> bool {
    id.0.as_u128().is_multiple_of(3)
}

fn show_machine(machine: &Machine) -> (Uuid, Value) {
    let presence = Presence { online: is_there(machine.id), last_seen: None };
    (machine.id.0, serde_json::to_value(machine.view(presence)).unwrap())
}

fn number_to_id(number: u128) -> MachineId {
    MachineId(Uuid::from_u128(number.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c834)))
}

fn plan_machines(store: &Store, query: &Query) -> Plan<Machine> {
    let online = || (0..60).map(number_to_id).filter(|id| is_there(*id)).collect();
    store.knowing(Plan::of(query), &Known { online: &online, is_role: &|_| false })
}

fn plan_jobs(_: &Store, query: &Query) -> Plan<Job> {
    Plan::of(query)
}

fn show_job(job: &Job) -> (Uuid, Value) {
    (job.fields.uuid, serde_json::to_value(&job.fields).unwrap())
}

pub(super) async fn lists_are_what_looking_at_every_object_gives(store: Store) {
    let mut runner = TestRunner::deterministic();
    let (mut machines, mut jobs) = (Vec::new(), Vec::new());
    for number in 0..60_u128 {
        let id = number_to_id(number);
        let name = format!("m{}-{number}", ["A", "a", "_"][number as usize % 3]).parse().unwrap();
        let machine = Machine { id, name, ..some_machine().new_tree(&mut runner).unwrap().current() };
        let mut job = some_job().new_tree(&mut runner).unwrap().current();
        job.fields.uuid = id.0;
        let changes = Changes::new(START)
            .and(Change::InsertMachine(Box::new(machine.clone())))
            .and(Change::InsertJob(Box::new(job.clone())));
        store.commit(&changes).await.unwrap();
        machines.push(show_machine(&machine));
        jobs.push(show_job(&job));
    }
    lists_are_right(&store, Kind::Machines, &mut runner, machines, show_machine, plan_machines).await;
    lists_are_right(&store, Kind::Jobs, &mut runner, jobs, show_job, plan_jobs).await;
}

pub(super) async fn lists_follow_what_machines_become(store: Store) {
    let found = |pairs: &'static [(&'static str, &'static str)]| {
        let store = store.clone();
        async move {
            let plan = Plan::<Machine>::of(&parse(Kind::Machines, pairs.iter().copied()).unwrap());
            assert!(plan.is_whole());
            store.page(&plan, 0, None).await.unwrap().filtered
        }
    };
    store.commit(&super::insert(&machine(1))).await.unwrap();
    let mut read = store.machine(machine(1).id).await.unwrap().unwrap();
    read.name = "renamed".parse().unwrap();
    read.fields.stage = "burn-in".into();
    read.fields.locked = true;
    read.fields.profiles = vec!["rack".into()];
    read.fields.params.insert("slot".into(), json!(3));
    store.commit(&Changes::new(after(1)).and(Change::UpdateMachine(Box::new(read)))).await.unwrap();
    for pairs in [[("Name", "renamed")], [("Stage", "burn-in")], [("Locked", "true")], [("Profiles", "rack")]]
    {
        assert_eq!(found(Box::leak(Box::new(pairs))).await, 1, "{pairs:?}");
    }
    assert_eq!((found(&[("Name", "m-1")]).await, found(&[("slot", "3")]).await), (0, 1));
    let mut read = store.machine(machine(1).id).await.unwrap().unwrap();
    read.fields.profiles.clear();
    read.fields.params.insert("slot".into(), json!(4));
    store.commit(&Changes::new(after(2)).and(Change::UpdateMachine(Box::new(read)))).await.unwrap();
    assert_eq!((found(&[("Profiles", "rack")]).await, found(&[("slot", "3")]).await), (0, 0));
    assert_eq!(found(&[("slot", "4")]).await, 1);
    let read = store.machine(machine(1).id).await.unwrap().unwrap();
    let gone = Change::DeleteMachine { id: read.id, revision: read.revision };
    store.commit(&Changes::new(after(3)).and(gone)).await.unwrap();
    assert_eq!((found(&[]).await, found(&[("slot", "4")]).await), (0, 0));
}

/// The numbers of the machines that a query finds, in its order. Profiles `web` and `db` are roles.
async fn numbers(store: &Store, pairs: &[(&str, &str)]) -> Vec<u128> {
    let query = parse(Kind::Machines, pairs.iter().copied()).unwrap();
    let known = Known { online: &Vec::new, is_role: &|name| ["web", "db"].contains(&name) };
    let plan = store.knowing(Plan::of(&query), &known);
    assert!(plan.is_whole() && plan.is_possible(), "{pairs:?}");
    let page = store.page(&plan, 0, None).await.unwrap();
    assert_eq!(page.filtered, page.items.len() as u64, "{pairs:?}");
    page.items.iter().map(|machine| machine.id.0.as_u128()).collect()
}

pub(super) async fn roles_are_listed_by_what_they_are_made_of(store: Store) {
    // What a token gave it, and its profiles.
    for (number, given, profiles) in
        [(1, "db", ""), (2, "", "web"), (3, "gone", "base"), (4, "", "base"), (5, "web", "db")]
    {
        let mut one = machine(number);
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect();
        (one.placement.roles, one.fields.profiles) = (words(given), words(profiles));
        store.commit(&super::insert(&one)).await.unwrap();
    }
    for (filter, found) in [
        ("web", vec![2, 5]),
        ("Eq(web,db)", vec![5]),
        ("In(web,db)", vec![1, 2, 5]),
        ("Ne(web)", vec![1, 3, 4]),
        ("Nin(web,db)", vec![3, 4]),
        // A profile without the label is a role to those alone whose token says so.
        ("base", vec![]),
        ("gone", vec![3]),
    ] {
        assert_eq!(numbers(&store, &[("Roles", filter)]).await, found, "{filter}");
    }
    assert_eq!(numbers(&store, &[("sort", "Roles")]).await, [4, 1, 3, 2, 5]);
    let query = parse(Kind::Machines, [("Roles", "In(web,base)")]).unwrap();
    let known = Known { online: &Vec::new, is_role: &|name| name == "web" };
    assert!(
        !store.knowing(Plan::of(&query), &known).is_whole(),
        "a name that is a role, and one that is not"
    );
}

pub(super) async fn searches_find_machines_by_what_they_are_known_by(store: Store) {
    let mut one = machine(1);
    one.inventory.serial = "7XK21M3".into();
    one.description = "100% of rack_7".into();
    one.placement.roles = vec!["postgres".into()];
    one.fields.address = "10.20.3.17".into();
    store.commit(&super::insert(&one)).await.unwrap();
    store.commit(&super::insert(&machine(2))).await.unwrap();
    let id = one.id.to_string();
    for search in ["7xk21m3", "7XK 10.20.3", "52:54:00:00:00:01", "0% RACK_7", "postgres m-1", id.as_str()] {
        assert_eq!(numbers(&store, &[("q", search)]).await, [1], "{search}");
    }
    assert_eq!(numbers(&store, &[("q", "m- 52:54")]).await, [1, 2]);
    for search in ["rack%7", "rackx7", "postgres m-2", "7xk21m3\\", "'"] {
        assert_eq!(numbers(&store, &[("q", search)]).await, [0_u128; 0], "{search}");
    }
    assert_eq!(numbers(&store, &[("q", "m-"), ("Address", "10.20.3.17")]).await, [1]);
    let mut read = store.machine(one.id).await.unwrap().unwrap();
    read.inventory.serial = "8YL".into();
    store.commit(&Changes::new(after(1)).and(Change::UpdateMachine(Box::new(read)))).await.unwrap();
    assert_eq!(numbers(&store, &[("q", "7xk21m3")]).await, [0_u128; 0]);
    assert_eq!(numbers(&store, &[("q", "8yl")]).await, [1]);
    let read = store.machine(one.id).await.unwrap().unwrap();
    let gone = Change::DeleteMachine { id: read.id, revision: read.revision };
    store.commit(&Changes::new(after(2)).and(gone)).await.unwrap();
    assert_eq!(numbers(&store, &[("q", "8yl")]).await, [0_u128; 0]);
}

pub(super) async fn lists_go_on_behind_a_machine_that_is_gone(store: Store) {
    for number in 1..=4 {
        let name = format!("node-{}", [1, 10, 2, 20][usize::from(number) - 1]).parse().unwrap();
        store.commit(&super::insert(&Machine { name, ..machine(number) })).await.unwrap();
    }
    let query = parse(Kind::Machines, [("sort", "NaturalName")]).unwrap();
    let first = store.page(&plan_machines(&store, &query), 0, Some(2)).await.unwrap();
    let names = |machines: &[Machine]| machines.iter().map(|one| one.name.to_string()).collect::<Vec<_>>();
    assert_eq!(names(&first.items), ["node-1", "node-2"]);
    let last = &first.items[1];
    let gone = Change::DeleteMachine { id: last.id, revision: last.revision };
    store.commit(&Changes::new(after(1)).and(gone)).await.unwrap();
    let on = Query { after: first.next.clone(), ..query.clone() };
    let rest = store.page(&plan_machines(&store, &on), 0, Some(2)).await.unwrap();
    assert_eq!(names(&rest.items), ["node-10", "node-20"]);
    let backwards = Query { reverse: true, ..on };
    let before = store.page(&plan_machines(&store, &backwards), 0, None).await.unwrap();
    assert_eq!((names(&before.items), before.next), (vec!["node-1".to_owned()], None));
    for (sort, place) in
        [("Name,Uuid", first.next.as_deref()), ("NaturalName", Some("W10")), ("Name", Some("!"))]
    {
        let on =
            Query { after: place.map(str::to_owned), ..parse(Kind::Machines, [("sort", sort)]).unwrap() };
        assert!(!plan_machines(&store, &on).is_possible(), "{sort} {place:?}");
    }
}

pub(super) async fn machines_are_found_by_what_they_have_to_do_with(store: Store) {
    for number in 1..=30 {
        let mut one = machine(number);
        let fields = &mut one.fields;
        fields.address = format!("10.0.0.{}", number % 20);
        fields.hardware_addrs = vec![format!("52:54:00:00:00:{:02x}", number % 25)];
        fields.stage = if number % 2 == 0 { "even".into() } else { "odd".into() };
        fields.boot_env = "discovery".into();
        fields.workflow = format!("w{}", number % 3);
        fields.profiles = vec![format!("p{}", number % 5)];
        store.commit(&super::insert(&one)).await.unwrap();
    }
    let numbers =
        |machines: Vec<Machine>| -> Vec<u128> { machines.iter().map(|one| one.id.0.as_u128()).collect() };
    assert_eq!(numbers(store.machines_of_address("10.0.0.7").await.unwrap()), [7, 27]);
    assert_eq!(numbers(store.machines_of_address("10.0.0.15").await.unwrap()), [15]);
    assert!(store.machines_of_address("10.0.0.99").await.unwrap().is_empty());
    assert!(store.machines_of_address("no address").await.unwrap().is_empty());
    assert_eq!(numbers(store.machines_of_mac("52:54:00:00:00:03").await.unwrap()), [3, 28]);
    let about = [
        (About::All, (1..=30).collect::<Vec<_>>()),
        (About::Stage("odd"), (1..=30).filter(|number| number % 2 == 1).collect()),
        (About::BootEnv("discovery"), (1..=30).collect()),
        (About::Workflow("w2"), (1..=30).filter(|number| number % 3 == 2).collect()),
        (About::Profile("p4"), (1..=30).filter(|number| number % 5 == 4).collect()),
        (About::Profile("none"), Vec::new()),
    ];
    for (about, expected) in about {
        let (mut found, mut last) = (Vec::new(), None);
        loop {
            let part = store.machines_about(about, last, 4).await.unwrap();
            let Some(end) = part.last() else { break };
            last = Some(end.id);
            found.extend(numbers(part));
        }
        assert_eq!(found, expected, "{about:?}");
    }
}
