//! Seeds of what clients ask of objects.

use super::{Seed, seed};

/// Every seed of patches and queries.
pub(super) fn all() -> Vec<Seed> {
    let object = r#"{"Name":"alpha","Online":true,"Tasks":["a","b"],"Params":{"x/y":1,"m":{"k":[1.0]}}}"#;
    let operations = r#"[{"op":"test","path":"","from":"","value":{"Name":"alpha","Tasks":["a","b"],"Params":{"x/y":1.0,"m":{"k":[1]}}}},
{"op":"replace","path":"/Params/x~1y","from":"","value":null},{"op":"add","path":"/Tasks/-","value":"c"},
{"op":"move","from":"/Tasks/0","path":"/Tasks/1"},{"op":"copy","from":"/Params/m","path":"/Params/n"},
{"op":"remove","path":"/Params/m/k/0"}]"#;
    let fields = r#"{"description":"one line","Params":{"z":3},"Name":null}"#;
    let functions = "machines\nName=Re(^a.*a$)\nAddress=Between(10.0.0.1,10.0.0.9)\nCurrentTask=Except(4,9)\n\
                     Profiles=In(p1,p2)\nParams=Eq(rack,slot)\nParams.slot=Gt(3)\nrack=r7\nRunnable=True";
    let page =
        "machines\nsort=Name,Runnable\nreverse=true\nlimit=2\noffset=1\nslim=Meta\nparams=rack\naggregate=1";
    vec![
        seed("patch", "operations", format!("{object}\n{operations}")),
        seed("patch", "fields", format!("{object}\n{fields}")),
        seed("filter", "functions", functions),
        seed("filter", "page", page),
        seed(
            "filter",
            "times",
            "jobs\nStartTime=Lt(2027-01-01T00:00:00Z)\nMachine=Ne()\nState=In(failed,finished)",
        ),
    ]
}
