//! `muster machine setup`: what an installation would be made of, and who says so; also after a change that is not
//! made.

use super::{disks, path};
use crate::object::edit;
use crate::print;
use crate::rest::{Call, decode};
use anyhow::Result;
use protocol::install::{ParamInForce, ParamSource, Setup as Made, SourceKind};

/// Arguments of `muster machine setup`
#[derive(Debug, clap::Args)]
pub(crate) struct Setup {
    /// Name or UUID
    machine: String,
    /// As if these fields were so, without changing them: VALUE is JSON, or text as it is; Params are merged
    #[arg(value_name = "FIELD=VALUE")]
    fields: Vec<String>,
    /// Also params that nobody sets, with their defaults
    #[arg(long)]
    defaults: bool,
    #[command(flatten)]
    call: Call,
}

/// Shows it.
pub(crate) async fn setup(args: Setup) -> Result<()> {
    let client = args.call.client()?;
    let place = format!("{}/setup", path(&args.machine));
    let answer = match edit::fields(&args.fields)? {
        none if none.is_empty() => client.get(&place).await?,
        fields => client.post(&place, &fields).await?,
    };
    args.call.show(&answer, || Ok(draw(&decode(&answer)?, args.defaults)))
}

fn draw(made: &Made, defaults: bool) -> String {
    let image = match made.image.as_str() {
        "" => "none".to_owned(),
        image => format!("{image}, says {}", who(&made.image_from)),
    };
    let protected = if made.write_protected { "yes: no disk may be erased" } else { "no" };
    let mut parts = vec![print::fields(&[("Image", image), ("Protected", protected.to_owned())])];
    let role = |role: &protocol::install::RoleInForce| {
        let gone = if role.exists { "" } else { "does not exist" };
        vec![role.name.clone(), role.priority.to_string(), gone.to_owned()]
    };
    parts.push(print::table(&["ROLE", "PRIORITY", ""], made.roles.iter().map(role).collect(), "no roles"));
    let shown = made.params.iter().filter(|param| defaults || !is_default(param));
    let rows = shown.filter_map(row).collect();
    parts.push(print::table(&["PARAM", "VALUE", "SAYS", "OVERRULES"], rows, "no params are set"));
    parts.push(disks::draw(&made.disk_plan));
    parts.extend(made.errors.values().map(|error| format!("wrong: {}", print::one_line(error))));
    parts.join("\n\n")
}

fn is_default(param: &ParamInForce) -> bool {
    param.sources.first().is_some_and(|source| source.kind == SourceKind::Default)
}

fn row(param: &ParamInForce) -> Option<Vec<String>> {
    let (holds, others) = param.sources.split_first()?;
    let value = match holds.cut {
        0 => holds.value.to_string(),
        size => format!("({})", print::bytes(size)),
    };
    let others: Vec<String> = others.iter().map(who).collect();
    Some(vec![param.name.clone(), value, who(holds), others.join(", ")])
}

/// Who says something, in words.
fn who(source: &ParamSource) -> String {
    let name = &source.name;
    match source.kind {
        SourceKind::Machine => "the machine".to_owned(),
        SourceKind::Role => format!("role {name}"),
        SourceKind::Profile => format!("profile {name}"),
        SourceKind::Stage => format!("stage {name}"),
        SourceKind::Default => "default".to_owned(),
        SourceKind::Preference => format!("the preference {name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::install::RoleInForce;
    use serde_json::json;

    fn source(kind: SourceKind, name: &str, value: serde_json::Value) -> ParamSource {
        ParamSource { kind, name: name.to_owned(), value, cut: 0 }
    }

    #[test]
    fn setup_says_who_says_what_and_what_is_wrong() {
        let long = ParamSource { cut: 20_480, ..source(SourceKind::Role, "web", json!(null)) };
        let param = |name: &str, sources: Vec<ParamSource>| ParamInForce { name: name.to_owned(), sources };
        let made = Made {
            roles: vec![
                RoleInForce { name: "web".into(), priority: 200, exists: true },
                RoleInForce { name: "old".into(), priority: 100, exists: false },
            ],
            image: "debian-12".into(),
            image_from: source(SourceKind::Role, "web", json!("debian-12")),
            params: vec![
                param("muster/cloud-init", vec![long]),
                param(
                    "site/rack",
                    vec![
                        source(SourceKind::Machine, "", json!(9)),
                        source(SourceKind::Profile, "rack-3", json!(3)),
                    ],
                ),
                param("muster/inject-agent", vec![source(SourceKind::Default, "", json!(true))]),
            ],
            errors: [("muster/network".to_owned(), "param muster/network: no\u{1b} link".to_owned())].into(),
            write_protected: true,
            ..Made::default()
        };
        let told = draw(&made, false);
        for line in [
            "Image      debian-12, says role web",
            "Protected  yes: no disk may be erased",
            "web   200",
            "old   100       does not exist",
            "muster/cloud-init  (20 KiB)  role web",
            "site/rack          9         the machine  profile rack-3",
            "wrong: param muster/network: no",
        ] {
            assert!(told.contains(line), "{line} is not in\n{told}");
        }
        assert!(!told.contains('\u{1b}') && !told.contains("inject-agent"), "{told}");
        assert!(draw(&made, true).contains("muster/inject-agent  true"));
    }

    #[test]
    fn setup_without_anything_says_so() {
        let told = draw(&Made::default(), false);
        assert!(told.contains("Image      none") && told.contains("no roles"), "{told}");
    }
}
