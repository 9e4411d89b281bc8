//! Filters, orders and shapes on objects as REST shows them.

use super::*;
use proptest::prelude::*;
use serde_json::json;

fn machine() -> Value {
    json!({
        "Name": "alpha", "Uuid": "11111111-2222-4333-8444-555555555555", "Address": "10.0.0.5",
        "Runnable": true, "Validated": true, "CurrentTask": 3, "Stage": "none", "BootEnv": "local",
        "Profiles": ["p1", "p2"], "Meta": {"machine-role": "machine"},
        "Params": {"rack": "r7", "slot": 4, "serial": "007", "on": true, "none": null},
        "CreatedAt": "2026-11-22T01:21:41.250Z",
    })
}

fn holds(name: &str, value: &str) -> bool {
    parse(Kind::Machines, [(name, value)]).unwrap().matches(&machine())
}

fn refused(name: &str, value: &str) -> Vec<String> {
    let problem = parse(Kind::Machines, [(name, value)]).unwrap_err();
    assert_eq!((problem.kind, problem.model), (ProblemKind::BadList, "machines"));
    problem.messages
}

#[test]
fn value_alone_means_equal() {
    for (name, value) in [
        ("Name", "alpha"),
        ("Name", "Eq(alpha)"),
        ("Key", "11111111-2222-4333-8444-555555555555"),
        ("Uuid", "11111111-2222-4333-8444-555555555555"),
        ("Address", "10.0.0.5"),
        ("Runnable", "True"),
        ("Runnable", "t"),
        ("Valid", "1"),
        ("CurrentTask", "3"),
        ("CreatedAt", "2026-11-22T02:21:41.25+01:00"),
    ] {
        assert!(holds(name, value), "{name}={value}");
        let value = value.trim_start_matches("Eq(").trim_end_matches(')');
        assert!(!holds(name, &format!("Ne({value})")), "{name} Ne {value}");
    }
    assert!(!holds("Name", "Alpha") && !holds("Runnable", "False") && !holds("Name", "Odd(alpha)"));
}

#[test]
fn ranges_and_sets_are_as_their_names_say() {
    for (value, expected) in [
        ("Lt(4)", true),
        ("Lt(3)", false),
        ("Lte(3)", true),
        ("Gt(3)", false),
        ("Gte(3)", true),
        ("Between(3,4)", true),
        ("Between(4, 9)", false),
        ("Except(3,4)", false),
        ("Except(4,9)", true),
        ("In(1,3)", true),
        ("Nin(1,3)", false),
    ] {
        assert_eq!(holds("CurrentTask", value), expected, "{value}");
    }
    assert!(holds("Address", "Between(10.0.0.1,10.0.0.9)") && !holds("Address", "Gt(10.0.0.10)"));
    assert!(holds("Name", "Re(^al.*a$)") && !holds("Name", "Re(^b)"));
    assert!(holds("CreatedAt", "Lt(2027-01-01T00:00:00Z)"));
}

#[test]
fn lists_have_all_any_or_none() {
    for (value, expected) in [
        ("p1", true),
        ("Eq(p1,p2)", true),
        ("Eq(p1,p3)", false),
        ("Ne(p1,p3)", true),
        ("In(p3,p2)", true),
        ("In(p3,p4)", false),
        ("Nin(p3,p4)", true),
        ("Nin(p1)", false),
    ] {
        assert_eq!(holds("Profiles", value), expected, "{value}");
    }
    assert!(holds("Params", "Eq(rack,slot)") && !holds("Params", "Eq(rack,other)"));
    assert!(!refused("Profiles", "Lt(p1)").is_empty() && !refused("Profiles", "Re(p)").is_empty());
}

#[test]
fn other_names_are_params() {
    assert!(holds("rack", "r7") && holds("Params.rack", "Eq(r7)") && holds("slot", "4"));
    assert!(holds("slot", "Gt(3)") && !holds("slot", "Gt(40)") && holds("rack", "Re(^r)"));
    assert!(holds("serial", "007") && holds("on", "true") && holds("none", "null"));
    assert!(!holds("unknown", "x") && holds("unknown", "Ne(x)"));
    assert!(parse(Kind::Workflows, [("rack", "r7")]).is_err(), "workflows have no params");
}

#[test]
fn values_of_the_wrong_type_are_refused_together() {
    for name in ["Address", "Uuid", "Runnable", "CurrentTask", "CreatedAt"] {
        assert!(refused(name, "word")[0].contains(name));
    }
    let many = [("limit", "-1"), ("offset", "x"), ("reverse", "maybe"), ("Runnable", "2")];
    assert_eq!(parse(Kind::Machines, many).unwrap_err().messages.len(), 4);
    assert!(!refused("sort", "Profiles").is_empty() && !refused("sort", "colour").is_empty());
    assert!(!refused("CurrentTask", "Between(1)").is_empty());
    assert!(!refused("Runnable", "Re(t)").is_empty() && !refused("Name", "Re(()").is_empty());
    assert!(!refused("Name", "Re((((a{99}){99}){99}){99})").is_empty());
}

#[test]
fn pages_and_flags_are_read() {
    let pairs = [
        ("limit", "0"),
        ("offset", "5"),
        ("sort", "Name,Stage"),
        ("reverse", "True"),
        ("slim", "Params,Meta"),
        ("params", "a,b"),
        ("aggregate", "true"),
        ("decode", "nonsense"),
    ];
    let query = parse(Kind::Machines, pairs).unwrap();
    assert_eq!((query.limit, query.offset, query.reverse), (None, 5, true));
    assert_eq!(query.sort.iter().map(|index| index.name).collect::<Vec<_>>(), ["Name", "Stage"]);
    assert!(query.shape.aggregate && query.filters.is_empty());
    assert_eq!((query.part(3), query.part(9)), (3..3, 5..9));
}

#[test]
fn too_many_filters_are_refused() {
    let pairs = vec![("rack", "r7"); MAX_FILTERS + 1];
    assert!(parse(Kind::Machines, pairs).is_err());
}

#[test]
fn order_is_total_and_reverses() {
    let object = |name: &str, stage: &str| json!({"Name": name, "Uuid": "", "Stage": stage});
    let key = index::find(Kind::Machines, "Name").unwrap();
    let mut list = vec![object("c", "x"), object("a", "y"), object("b", "x")];
    let query = parse(Kind::Machines, [("sort", "Stage")]).unwrap();
    list.sort_by(|one, other| query.order(key, one, other));
    let names = |list: &[Value]| list.iter().map(|one| one["Name"].clone()).collect::<Vec<_>>();
    assert_eq!(names(&list), ["b", "c", "a"]);
    let query = parse(Kind::Machines, [("sort", "Stage"), ("reverse", "true")]).unwrap();
    list.sort_by(|one, other| query.order(key, one, other));
    assert_eq!(names(&list), ["a", "c", "b"]);
}

#[test]
fn shape_leaves_out_and_says_so() {
    let shape = parse_shape(Kind::Machines, [("slim", "Meta"), ("params", "rack"), ("Name", "x")]).unwrap();
    let mut object = machine();
    shape.trim(object.as_object_mut().unwrap());
    assert_eq!(object["Params"], json!({"rack": "r7"}));
    assert!(object.get("Meta").is_none() && object["Partial"] == true);
    let mut whole = machine();
    Shape::default().trim(whole.as_object_mut().unwrap());
    assert_eq!(whole, machine());
}

proptest! {
    #[test]
    fn parsing_and_matching_are_total(name in ".{0,12}", value in ".{0,24}") {
        for kind in Kind::ALL {
            if let Ok(query) = parse(kind, [(name.as_str(), value.as_str())]) {
                let _holds: bool = query.matches(&machine());
            }
        }
    }

    #[test]
    fn functions_of_anything_are_total(
        name in prop::sample::select(vec!["Name", "Uuid", "Address", "Runnable", "CreatedAt", "Params", "x"]),
        function in prop::sample::select(vec!["Eq", "Ne", "Lt", "Between", "Except", "In", "Nin", "Re"]),
        arguments in "[a-f0-9:.,()*-]{0,16}",
    ) {
        let value = format!("{function}({arguments})");
        if let Ok(query) = parse(Kind::Machines, [(name, value.as_str())]) {
            let _holds: bool = query.matches(&machine());
        }
    }

    #[test]
    fn opposites_never_agree(
        name in prop::sample::select(vec!["Name", "CurrentTask", "Profiles", "Params", "rack", "slot"]),
        arguments in "(alpha|r7|[0-9]{1,2}|p[1-3]|rack)(,(p[1-3]|[0-9]|slot))?",
    ) {
        for (one, other) in [("Eq", "Ne"), ("In", "Nin"), ("Between", "Except")] {
            let ask = |function: &str| {
                let value = format!("{function}({arguments})");
                parse(Kind::Machines, [(name, value.as_str())]).map(|query| query.matches(&machine()))
            };
            if let (Ok(one), Ok(other)) = (ask(one), ask(other)) {
                prop_assert_ne!(one, other);
            }
        }
    }
}
