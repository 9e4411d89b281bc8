use super::*;
use engine::filter::parse;
use protocol::model::Kind;

async fn way(store: &Store, statement: Statement) -> String {
    let rows = statement.explained().query().fetch_all(&store.readers).await.unwrap();
    rows.iter().map(|row| row.try_get::<String, _>("detail").unwrap()).collect::<Vec<_>>().join("; ")
}

fn plan<L: Listed>(kind: Kind, pairs: &[(&str, &str)]) -> Plan<L> {
    let plan = Plan::of(&parse(kind, pairs.iter().copied()).unwrap());
    assert!(plan.is_whole(), "{pairs:?}");
    plan
}

fn example(column: &Column) -> &'static str {
    match (column.form, column.index) {
        (_, "CreatedAt" | "LastModifiedAt" | "StartTime" | "EndTime") => "2026-11-22T01:21:41Z",
        (_, "Uuid" | "Key" | "Machine" | "Previous") => "12345678-0000-4000-8000-000000000001",
        (_, "Address") => "10.0.0.1",
        (columns::Form::Number, _) => "true",
        (columns::Form::Text, _) => "word",
    }
}

async fn every_column_is_found_by_its_index<L: Listed>(store: &Store, kind: Kind) {
    for column in L::shown().columns.iter().filter(|column| column.selects.is_some()) {
        let value = example(column);
        let mut tests = vec![value.to_owned(), format!("In({value},{value})")];
        if value != "true" {
            tests.push(format!("Between({value},{value})"));
            tests.push(format!("Lt({value})"));
        }
        for test in tests {
            let plan = plan::<L>(kind, &[(column.index, &test), ("sort", "Uuid")]);
            let driver = plan.drivers().first().copied();
            assert_eq!(driver, Some(0), "{} {test}", column.index);
            let counted = way(store, plan.select(driver).count_driver(1_000)).await;
            assert!(counted.contains("SEARCH i USING COVERING INDEX"), "{} {test}: {counted}", column.index);
            let gathered = way(store, plan.select(driver).page(None, 0, 50)).await;
            assert!(gathered.contains("SEARCH i USING"), "{} {test}: {gathered}", column.index);
            assert!(!gathered.contains("SCAN i"), "{} {test}: {gathered}", column.index);
        }
    }
}

#[tokio::test]
async fn what_is_filtered_is_found_by_an_index() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::sqlite(&directory.path().join("muster.db")).await.unwrap();
    every_column_is_found_by_its_index::<Machine>(&store, Kind::Machines).await;
    every_column_is_found_by_its_index::<Job>(&store, Kind::Jobs).await;
    for pair in [("Profiles", "base"), ("Params", "a,b"), ("HardwareAddrs", "In(a,b)"), ("Params.rack", "7")]
    {
        let plan = plan::<Machine>(Kind::Machines, &[pair]);
        let counted = way(&store, plan.select(plan.drivers().first().copied()).count_driver(1_000)).await;
        assert!(counted.contains("INDEX machine_mark_by_name (kind=? AND name=?"), "{pair:?}: {counted}");
        let gathered = way(&store, plan.select(plan.drivers().first().copied()).page(None, 0, 50)).await;
        assert!(gathered.contains("machine_mark_by_name") && !gathered.contains("SCAN i"), "{gathered}");
        let walked = way(&store, plan.select(None).page(None, 0, 50)).await;
        assert!(
            walked.contains("sqlite_autoindex_machine_mark_1 (machine=? AND kind=? AND name=?"),
            "{walked}"
        );
    }
    store.close().await;
}

#[tokio::test]
async fn who_walks_along_an_order_sorts_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::sqlite(&directory.path().join("muster.db")).await.unwrap();
    for (order, index) in [
        ("Uuid", "autoindex_machine_index"),
        ("Name", "machine_by_name"),
        ("CreatedAt", "machine_by_creation"),
    ] {
        for reverse in ["true", "false"] {
            let pairs = [("sort", order), ("reverse", reverse), ("Stage", "s"), ("Runnable", "true")];
            let plan = plan::<Machine>(Kind::Machines, &pairs);
            let walked = way(&store, plan.select(None).page(None, 0, 50)).await;
            assert!(walked.contains("SCAN i USING INDEX") && walked.contains(index), "{order}: {walked}");
        }
    }
    let plan = plan::<Machine>(Kind::Machines, &[("Stage", "s"), ("Runnable", "true")]);
    let after = way(&store, plan.select(None).after("1", 50)).await;
    assert!(after.contains("SEARCH i USING INDEX sqlite_autoindex_machine_index_1 (id>?)"), "{after}");
    assert!(!after.contains("TEMP B-TREE FOR ORDER BY; SEARCH m"), "{after}");
    store.close().await;
}

#[test]
fn the_fewest_rows_are_driven_by() {
    let by = |pairs: &[(&str, &str)]| {
        let plan = plan::<Machine>(Kind::Machines, pairs);
        let driver = plan.drivers().first().copied();
        driver.map(|driver| pairs[driver].0.to_owned())
    };
    assert_eq!(by(&[("Runnable", "true"), ("Stage", "s")]).as_deref(), Some("Stage"));
    assert_eq!(by(&[("Stage", "s"), ("Name", "n"), ("Workflow", "w")]).as_deref(), Some("Name"));
    assert_eq!(by(&[("Stage", "Gt(s)"), ("Locked", "true")]).as_deref(), Some("Locked"));
    assert_eq!(by(&[("Profiles", "p"), ("Runnable", "true")]).as_deref(), Some("Profiles"));
    assert_eq!(by(&[("Stage", "Ne(s)"), ("Profiles", "Ne(p)"), ("PoolStatus", "Free")]), None);
}

#[test]
fn many_are_walked_to_and_few_are_gathered() {
    let plan = plan::<Machine>(Kind::Machines, &[("Stage", "s")]);
    for (offset, filtered, driven) in
        [(0, 99_000, false), (0, 10_000, false), (0, 1_000, true), (0, 1, true), (90_000, 99_000, false)]
    {
        assert_eq!(
            plan.way(offset, 50, Counted { filtered, total: 100_000, driver: Some(0) }).is_some(),
            driven,
            "{offset} {filtered}"
        );
    }
}

#[test]
fn sql_says_what_it_cannot_decide() {
    let left = |pairs: &[(&str, &str)]| {
        let plan = Plan::<Machine>::of(&parse(Kind::Machines, pairs.iter().copied()).unwrap());
        (plan.left().len(), plan.is_whole())
    };
    assert_eq!(left(&[("Name", "Re(^m)")]), (1, false));
    assert_eq!(left(&[("Description", "x"), ("Stage", "s")]), (1, false));
    assert_eq!(left(&[("sort", "Description")]), (0, false));
    assert_eq!(left(&[("sort", "Bundle")]), (0, true));
    assert_eq!(left(&[("rack", "Gt(7)")]), (1, false));
    assert_eq!(left(&[("rack", "7.0")]), (1, false), "another spelling of 7");
    assert_eq!(left(&[("rack", "7")]), (0, true));
    assert_eq!(left(&[("rack", "7"), ("aggregate", "true")]), (1, false));
    let many = (0..600).map(|number| number.to_string()).collect::<Vec<_>>().join(",");
    assert_eq!(left(&[("Stage", &format!("In({many})"))]), (1, false));
    let jobs = Plan::<Job>::of(&parse(Kind::Jobs, [("Bundle", "x"), ("State", "failed")]).unwrap());
    assert_eq!(jobs.left().len(), 1);
}
