//! `muster vip`: virtual addresses and routes in mesh networks, and who holds them.

use crate::machine;
use crate::object::{self, Collection, With};
use crate::print;
use crate::rest::{Client, decode};
use anyhow::Result;
use clap::Subcommand;
use protocol::cidr::Cidr;
use protocol::mesh::CheckKind;
use protocol::model::{Kind, Vip, VipState};
use serde_json::{Map, Value, json};
use std::net::IpAddr;

const VIPS: Collection = Collection::of(Kind::Vips);

/// Verbs of `muster vip`
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List virtual addresses and routes, and who holds them
    #[command(visible_alias = "ls")]
    List(object::List),
    /// Show one of them, with each machine that may hold it and what is wrong there
    Show(object::Show),
    /// Make one
    Create(Box<With<Parts, object::Create>>),
    /// Change one; whoever holds it lets it go when it may no longer
    #[command(visible_alias = "update")]
    Set(Box<With<Parts, object::Set>>),
    /// Delete them; nobody holds them any more
    Delete(object::Delete),
}

/// What a virtual address or route is made of
#[derive(Debug, clap::Args)]
pub(crate) struct Parts {
    /// The mesh network that it is in
    #[arg(long, value_name = "NAME")]
    mesh: Option<String>,
    /// A virtual address such as 10.20.128.1, or a network behind its holder such as 192.168.7.0/24
    #[arg(long, value_parser = prefix)]
    prefix: Option<Cidr>,
    /// Machine that may hold it, by name or UUID; several by commas, or repeat it
    #[arg(long = "machine", value_name = "MACHINE", value_delimiter = ',')]
    machines: Vec<String>,
    /// Machine role: all of its machines may hold it; "" for none
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,
    /// Whether anybody may hold it
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    enabled: Option<bool>,
    #[command(flatten)]
    check: Check,
}

/// When a machine is healthy
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Health")]
struct Check {
    /// tcp:HOST:PORT or tcp::PORT (something listens), an http:// or https:// URL (it answers 200 to 399),
    /// exec:COMMAND (it ends with 0), or none: always healthy
    #[arg(long, value_name = "CHECK", value_parser = check)]
    check: Option<Tried>,
    /// Seconds between two tests; with --unhealthy also how fast it moves
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u16).range(1..=300))]
    interval: Option<u16>,
    /// Seconds that a test may take
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u16).range(1..=60))]
    timeout: Option<u16>,
    /// Good tests in a row that make a machine healthy
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=100))]
    healthy: Option<u16>,
    /// Bad tests in a row that make it unhealthy
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=100))]
    unhealthy: Option<u16>,
    /// Seconds after which a machine that became unhealthy may hold it again
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u16).range(0..=3_600))]
    holdoff: Option<u16>,
}

/// What is tried to see whether a machine is healthy.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Tried {
    kind: CheckKind,
    target: String,
}

/// An address by itself is that address alone.
fn prefix(text: &str) -> Result<Cidr, String> {
    let whole = match text.parse() {
        Ok(IpAddr::V4(_)) => format!("{text}/32"),
        Ok(IpAddr::V6(_)) => format!("{text}/128"),
        Err(_) => text.to_owned(),
    };
    whole
        .parse()
        .map_err(|_| "it is an address, or an address and a prefix length such as 192.168.7.0/24".to_owned())
}

fn check(text: &str) -> Result<Tried, String> {
    let tried = |kind, target: &str| Ok(Tried { kind, target: target.to_owned() });
    match text.split_once(':') {
        None if text == "none" => tried(CheckKind::None, ""),
        Some(("tcp", target)) if target.contains(':') => tried(CheckKind::Tcp, target),
        Some(("http" | "https", rest)) if rest.starts_with("//") => tried(CheckKind::Http, text),
        Some(("exec", command)) if !command.trim().is_empty() => tried(CheckKind::Exec, command),
        _ => Err("a check is tcp:HOST:PORT, tcp::PORT, an http:// or https:// URL, exec:COMMAND or none"
            .to_owned()),
    }
}

impl Check {
    /// What was said of it, over what there is.
    fn over(&self, there: Option<Value>) -> Option<Value> {
        let tried = self.check.as_ref();
        let said = [
            ("Type", tried.map(|tried| json!(tried.kind))),
            ("Target", tried.map(|tried| json!(tried.target))),
            ("Interval", self.interval.map(Value::from)),
            ("Timeout", self.timeout.map(Value::from)),
            ("HealthyThreshold", self.healthy.map(Value::from)),
            ("UnhealthyThreshold", self.unhealthy.map(Value::from)),
            ("Holdoff", self.holdoff.map(Value::from)),
        ];
        if said.iter().all(|(_, value)| value.is_none()) {
            return None;
        }
        let mut check = there.unwrap_or_else(|| json!({}));
        for (field, value) in said {
            if let Some(value) = value {
                check[field] = value;
            }
        }
        Some(check)
    }

    fn is_said(&self) -> bool {
        self.over(None).is_some()
    }
}

impl Parts {
    /// The fields that were said; of the check, over what `there` is.
    async fn fields(&self, client: &Client, there: Option<Value>) -> Result<Map<String, Value>> {
        let mut machines = Vec::new();
        for key in &self.machines {
            machines.push(machine::id(client, key).await?);
        }
        let fields = [
            ("MeshNetwork", self.mesh.as_ref().map(|mesh| json!(mesh))),
            ("Prefix", self.prefix.map(|prefix| json!(prefix))),
            ("Machines", (!machines.is_empty()).then(|| json!(machines))),
            ("Role", self.role.as_ref().map(|role| json!(role))),
            ("Enabled", self.enabled.map(Value::from)),
            ("Check", self.check.over(there)),
        ];
        Ok(fields.into_iter().filter_map(|(field, value)| Some((field.to_owned(), value?))).collect())
    }
}

/// Runs one verb.
pub(crate) async fn run(command: Command) -> Result<()> {
    match command {
        Command::List(args) => list(args).await,
        Command::Show(args) => object::run(VIPS, object::Command::Show(args)).await,
        Command::Create(args) => create(*args).await,
        Command::Set(args) => set(*args).await,
        Command::Delete(args) => object::run(VIPS, object::Command::Delete(args)).await,
    }
}

async fn create(With { parts, verb: create }: With<Parts, object::Create>) -> Result<()> {
    let fields = parts.fields(&create.call.client()?, None).await?;
    object::create_with(VIPS, create, object::adding(fields)).await
}

async fn set(With { parts, verb: set }: With<Parts, object::Set>) -> Result<()> {
    let client = set.call.client()?;
    // A check is replaced as a whole: what nothing was said of stays.
    let there = match parts.check.is_said() {
        true => Some(client.get(&VIPS.path_of(&set.key)).await?["Check"].take()),
        false => None,
    };
    let fields = parts.fields(&client, there).await?;
    object::set_with(VIPS, set, object::adding(fields)).await
}

async fn list(args: object::List) -> Result<()> {
    let answer = args.fetch(VIPS).await?;
    args.call.show(&answer, || Ok(draw_list(&decode::<Vec<Vip>>(&answer)?)))
}

const fn state(state: VipState) -> &'static str {
    match state {
        VipState::Nobody => "nobody",
        VipState::Held => "held",
        VipState::Disabled => "disabled",
    }
}

fn draw_list(vips: &[Vip]) -> String {
    let row = |vip: &Vip| {
        let holder = vip.members.iter().find(|member| member.machine == vip.holder);
        let healthy = vip.members.iter().filter(|member| member.healthy).count();
        let check = match vip.check.kind {
            CheckKind::None => "none".to_owned(),
            CheckKind::Http => vip.check.target.clone(),
            CheckKind::Tcp => format!("tcp:{}", vip.check.target),
            CheckKind::Exec => format!("exec:{}", vip.check.target),
        };
        vec![
            vip.name.clone(),
            vip.mesh_network.clone(),
            vip.prefix.clone(),
            state(vip.state).to_owned(),
            holder.map_or_else(|| vip.holder.clone(), |member| member.name.clone()),
            format!("{healthy} of {}", vip.members.len()),
            check,
        ]
    };
    let header = ["NAME", "MESH NETWORK", "PREFIX", "STATE", "HOLDER", "HEALTHY", "CHECK"];
    print::table(&header, vips.iter().map(row).collect(), "no virtual addresses: `muster vip create NAME`")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use protocol::model::VipMember;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        parts: Parts,
    }

    fn parse(words: &[&str]) -> Result<Parts, clap::Error> {
        Line::try_parse_from([&["create"][..], words].concat()).map(|line| line.parts)
    }

    #[test]
    fn list_tells_who_holds_what() {
        let mut web = Vip {
            name: "web".to_owned(),
            mesh_network: "home".to_owned(),
            prefix: "10.20.0.200/32".to_owned(),
            holder: "b".to_owned(),
            state: VipState::Held,
            members: ["a", "b"]
                .map(|id| VipMember {
                    machine: id.to_owned(),
                    name: format!("{id}-1"),
                    ..VipMember::default()
                })
                .into(),
            ..Vip::default()
        };
        web.members[1].healthy = true;
        assert!(
            draw_list(&[web.clone()])
                .ends_with("web   home          10.20.0.200/32  held   b-1     1 of 2   none")
        );
        web.holder.clear();
        web.state = VipState::Nobody;
        assert!(draw_list(&[web]).ends_with("nobody          1 of 2   none"));
        assert!(draw_list(&[]).contains("muster vip create"));
    }

    #[test]
    fn address_alone_is_that_address_and_no_more() {
        for (text, read) in [
            ("10.20.128.1", "10.20.128.1/32"),
            ("fd00::1", "fd00::1/128"),
            ("192.168.7.0/24", "192.168.7.0/24"),
        ] {
            assert_eq!(prefix(text).unwrap().to_string(), read);
        }
        assert!(prefix("10.20.0.0/33").unwrap_err().contains("such as 192.168.7.0/24"));
    }

    #[test]
    fn checks_are_read_as_they_are_spoken_of() {
        let read = |text| check(text).map(|tried| (tried.kind, tried.target));
        assert_eq!(read("tcp::443"), Ok((CheckKind::Tcp, ":443".into())));
        assert_eq!(read("tcp:10.0.0.1:80"), Ok((CheckKind::Tcp, "10.0.0.1:80".into())));
        assert_eq!(read("https://a/b"), Ok((CheckKind::Http, "https://a/b".into())));
        assert_eq!(read("exec:test -e /a:b"), Ok((CheckKind::Exec, "test -e /a:b".into())));
        assert_eq!(read("none"), Ok((CheckKind::None, String::new())));
        for wrong in ["", "tcp", "tcp:80", "http:a", "exec: ", "udp::53", "none:"] {
            assert!(read(wrong).unwrap_err().starts_with("a check is tcp:HOST:PORT"), "{wrong}");
        }
    }

    #[test]
    fn what_is_said_of_a_check_leaves_the_rest_of_it() {
        assert_eq!(parse(&[]).unwrap().check.over(Some(json!({"Interval": 5}))), None);
        let there = json!({"Type": "tcp", "Target": ":80", "Interval": 5, "Timeout": 3});
        let slower = parse(&["--interval", "9"]).unwrap();
        assert_eq!(
            slower.check.over(Some(there)),
            Some(json!({"Type": "tcp", "Target": ":80", "Interval": 9, "Timeout": 3}))
        );
        let none = parse(&["--check", "none"]).unwrap();
        assert_eq!(none.check.over(None), Some(json!({"Type": "", "Target": ""})));
        for words in [["--interval", "0"], ["--timeout", "61"], ["--healthy", "0"], ["--holdoff", "3601"]] {
            assert_eq!(parse(&words).unwrap_err().exit_code(), 2, "{words:?}");
        }
    }
}
