//! `muster token`: bootstrap tokens, which register machines without a person.

use crate::print;
use crate::rest::{Call, decode, encode};
use anyhow::{Context, Result};
use clap::{Subcommand, ValueEnum};
use protocol::cidr::Cidr;
use protocol::ids::MacAddr;
use protocol::rest::{BootLink, Token, TokenCreate, TokenCreated, TokenRevoke, TokenRevoked};
use serde_json::Value;

const TOKENS: &str = "/api/v3/bootstrap/tokens";
/// How much of the list is asked for at once: the most that the server gives.
const PAGE: usize = 500;

/// Verbs of `muster token`
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a token and print the command, kernel arguments and boot menus that carry it
    Create(Box<Create>),
    /// List the tokens that were made and what became of them; never the tokens themselves
    #[command(visible_alias = "ls")]
    List(Call),
    /// End tokens before their time, at once and for good
    Revoke(Revoke),
}

/// Arguments of `muster token create`
#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    /// How long machines may register with it
    #[arg(long, value_enum, default_value_t)]
    lifetime: Lifetime,
    /// Network that machines must call from; repeat it or separate several by commas
    #[arg(long, value_name = "NETWORK", value_delimiter = ',', help_heading = "Machines")]
    cidr: Vec<Cidr>,
    /// Hardware address of which a machine must have one
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',', help_heading = "Machines")]
    mac: Vec<MacAddr>,
    /// SMBIOS system UUID of which a machine must have one
    #[arg(long, value_name = "UUID", value_delimiter = ',', help_heading = "Machines")]
    uuid: Vec<String>,
    /// SMBIOS serial number of which a machine must have one
    #[arg(long, value_name = "SERIAL", value_delimiter = ',', help_heading = "Machines")]
    serial: Vec<String>,
    /// Most machines it registers
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Machines")]
    max_uses: Option<u32>,
    /// Let each machine show a code and wait for an operator all the same
    #[arg(long, conflicts_with_all = ["role", "mesh"], help_heading = "Machines")]
    require_approval: bool,
    /// Role that its machines begin with
    #[arg(long, value_name = "ROLE", value_delimiter = ',', help_heading = "Where they begin")]
    role: Vec<String>,
    /// Mesh network that its machines begin in
    #[arg(long, value_name = "NAME", help_heading = "Where they begin")]
    mesh: Option<String>,
    /// Where boot loaders find the kernel: a path on your boot server, or an http or tftp URL. Else
    /// muster/vmlinuz
    #[arg(long, value_name = "PATH|URL", help_heading = "Boot menus")]
    kernel: Option<String>,
    /// Where boot loaders find the initial ramdisk. Else muster/initrd
    #[arg(long, value_name = "PATH|URL", help_heading = "Boot menus")]
    initrd: Option<String>,
    /// Print this alone, to be pasted or written into a file
    #[arg(long, value_enum, value_name = "MENU", conflicts_with = "format", help_heading = "Boot menus")]
    menu: Option<Menu>,
    #[command(flatten)]
    call: Call,
}

/// Arguments of `muster token revoke`
#[derive(Debug, clap::Args)]
pub(crate) struct Revoke {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    call: Call,
}

/// What to revoke.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// Tokens, by their ids in `muster token list`
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    /// Everything this user made so far
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Everything the server made before this time: RFC 3339, or `now` for all
    #[arg(long, value_name = "TIME")]
    before: Option<String>,
    /// Everything this key sealed; the key is erased
    #[arg(long, value_name = "KEY")]
    kid: Option<String>,
}

/// What a boot server, or a Linux that runs, wants to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Menu {
    /// The command that installs the agent on a Linux that runs already
    Command,
    /// The kernel arguments, for any boot loader
    Args,
    /// An entry for pxelinux.cfg/default
    Pxelinux,
    /// An entry for grub.cfg
    Grub,
    /// An iPXE script
    Ipxe,
    /// An iPXE script that loads kernel and ramdisk from the Muster server
    IpxeFromServer,
}

impl Menu {
    /// The text, as the server made it.
    fn of(self, token: &TokenCreated) -> Result<&str> {
        Ok(match self {
            Self::Command => &token.command,
            Self::Args => &token.kernel_args,
            Self::Pxelinux => &token.menus.pxelinux,
            Self::Grub => &token.menus.grub,
            Self::Ipxe => &token.menus.ipxe,
            Self::IpxeFromServer => token.menus.ipxe_from_server.as_deref().context(
                "the server's door for boot files is shut (muster serve --http-listen): take --menu ipxe, and put \
                 vmlinuz and initrd on a boot server of your own",
            )?,
        }
        .trim_end())
    }
}

/// The lifetimes the server gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Lifetime {
    /// 10 minutes
    #[default]
    #[value(name = "10m")]
    TenMinutes,
    /// 1 day
    #[value(name = "1d")]
    Day,
    /// 7 days
    #[value(name = "7d")]
    Week,
    /// 30 days
    #[value(name = "30d")]
    Month,
    /// 90 days
    #[value(name = "90d")]
    Quarter,
    /// 365 days
    #[value(name = "365d")]
    Year,
}

impl Lifetime {
    fn seconds(self) -> u64 {
        const DAY: u64 = 86_400;
        match self {
            Self::TenMinutes => 600,
            Self::Day => DAY,
            Self::Week => 7 * DAY,
            Self::Month => 30 * DAY,
            Self::Quarter => 90 * DAY,
            Self::Year => 365 * DAY,
        }
    }
}

impl Create {
    fn body(&self) -> TokenCreate {
        TokenCreate {
            lifetime: self.lifetime.seconds(),
            cidr: self.cidr.clone(),
            mac: self.mac.clone(),
            max_uses: self.max_uses,
            uuid: self.uuid.clone(),
            serial: self.serial.clone(),
            roles: self.role.clone(),
            mesh_network: self.mesh.clone().unwrap_or_default(),
            require_approval: self.require_approval,
            kernel: self.kernel.clone().unwrap_or_default(),
            initrd: self.initrd.clone().unwrap_or_default(),
        }
    }
}

/// Runs one verb.
pub(crate) async fn run(command: Command) -> Result<()> {
    match command {
        Command::Create(args) => create(*args).await,
        Command::List(call) => list(call).await,
        Command::Revoke(args) => revoke(args).await,
    }
}

async fn create(args: Create) -> Result<()> {
    let client = args.call.client()?;
    let answer = client.post(TOKENS, &args.body()).await?;
    let Some(menu) = args.menu else {
        return args.call.show(&answer, || Ok(describe(&decode(&answer)?)));
    };
    let token: TokenCreated = decode(&answer)?;
    print::line(menu.of(&token)?)?;
    print::note(&format!("token {}, good until {}", token.id, token.expires_at))
}

async fn list(call: Call) -> Result<()> {
    let client = call.client()?;
    let mut all: Vec<Token> = Vec::new();
    loop {
        let after = all.last().map(|last| format!("&after={}", encode(&last.id))).unwrap_or_default();
        let page: Vec<Token> = decode(&client.get(&format!("{TOKENS}?limit={PAGE}{after}")).await?)?;
        let whole = page.len() >= PAGE;
        all.extend(page);
        if !whole {
            break;
        }
    }
    call.show(&serde_json::to_value(&all)?, || Ok(draw_list(&all)))
}

fn draw_list(tokens: &[Token]) -> String {
    let rows = tokens.iter().map(|token| {
        vec![
            token.id.clone(),
            token.state.to_string(),
            uses(token),
            token.last_used_at.as_deref().map(print::since).unwrap_or_default(),
            token.expires_at.clone(),
            token.by.clone(),
            token.kid.clone(),
            terms(token),
        ]
    });
    let header = ["ID", "STATE", "USES", "LAST USE", "EXPIRES", "BY", "KEY", "TERMS"];
    print::table(&header, rows.collect(), "no tokens yet: `muster token create` makes one")
}

fn uses(token: &Token) -> String {
    match token.constraints.max_uses {
        Some(most) => format!("{} of {most}", token.uses),
        None => token.uses.to_string(),
    }
}

/// Whom a token admits and where those begin, in the words of `muster token create`.
fn terms(token: &Token) -> String {
    fn join<T: ToString>(list: &[T]) -> String {
        list.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    }
    let constraints = &token.constraints;
    let mut terms = [
        ("cidr", join(&constraints.cidr)),
        ("mac", join(&constraints.mac)),
        ("uuid", join(&constraints.uuid)),
        ("serial", join(&constraints.serial)),
        ("role", join(&token.roles)),
        ("mesh", token.mesh_network.clone()),
    ]
    .into_iter()
    .filter(|(_, value)| !value.is_empty())
    .map(|(name, value)| format!("{name} {value}"))
    .collect::<Vec<_>>();
    if token.require_approval {
        terms.push("require-approval".to_owned());
    }
    terms.join("; ")
}

async fn revoke(args: Revoke) -> Result<()> {
    let client = args.call.client()?;
    let mut answers = Vec::new();
    match args.which.request() {
        Some(request) => answers.push(client.post(&format!("{TOKENS}/revoke"), &request).await?),
        None => {
            for id in &args.which.ids {
                answers.push(client.delete(&format!("{TOKENS}/{}", encode(id))).await?);
            }
        }
    }
    let answer = Value::Array(answers);
    args.call.show(&answer, || Ok(describe_revoked(&decode::<Vec<TokenRevoked>>(&answer)?)))
}

impl Which {
    /// The one thing that covers many tokens, unless single ones are named.
    fn request(&self) -> Option<TokenRevoke> {
        let user = self.user.clone().map(TokenRevoke::User);
        let before = self.before.clone().map(TokenRevoke::Before);
        let kid = self.kid.clone().map(TokenRevoke::Kid);
        user.or(before).or(kid)
    }
}

/// What was revoked, for people.
fn describe_revoked(revoked: &[TokenRevoked]) -> String {
    let ended = |one: &TokenRevoked| match one.ended {
        0 => "no live token was among them".to_owned(),
        1 => "1 live token ended".to_owned(),
        many => format!("{many} live tokens ended"),
    };
    let line = |one: &TokenRevoked| format!("revoked {}: {}", one.revoked, ended(one));
    revoked.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// What to do with a token, for people.
fn describe(token: &TokenCreated) -> String {
    let print_block = |title: &str, text: &str| format!("{title}\n\n{}\n", text.trim_end());
    let from_server = token.menus.ipxe_from_server.as_deref();
    [
        print::fields(&[("Id", token.id.clone()), ("Expires", token.expires_at.clone())]) + "\n",
        format!(
            "Whoever has these lines can register machines until then. They are shown once.\n\
             To end it before its time: muster token revoke {}\n",
            token.id
        ),
        print_block("On a Linux that runs already, pasted into a shell:", &token.command),
        print_block("Kernel arguments, for any boot loader:", &token.kernel_args),
        print_block("PXELINUX, in pxelinux.cfg/default:", &token.menus.pxelinux),
        print_block("GRUB, in grub.cfg:", &token.menus.grub),
        print_block("iPXE, as a script:", &token.menus.ipxe),
    ]
    .into_iter()
    .chain(from_server.map(|script| print_block("iPXE, with kernel and ramdisk from here:", script)))
    .chain([print_block(
        "Put these files where the menus look for them, by TFTP, HTTP or NFS:",
        &fetching(token),
    )])
    .collect::<Vec<_>>()
    .join("\n")
}

/// How the kernel and the ramdisk get onto a boot server.
fn fetching(token: &TokenCreated) -> String {
    let files = &token.files;
    if files.is_empty() {
        return "This server has no boot media: muster media build --help".to_owned();
    }
    if files.iter().any(|file| !file.url.starts_with("http://")) {
        let line = |file: &BootLink| format!("muster media download {0} -o {0}", file.name);
        return files.iter().map(line).collect::<Vec<_>>().join("\n");
    }
    let fetch = |file: &BootLink| format!("curl -fO {}  # {}\n", file.url, print::bytes(file.size));
    let sum = |file: &BootLink| format!("{}  {}\n", file.sha256, file.name);
    let (fetch, sums) =
        (files.iter().map(fetch).collect::<String>(), files.iter().map(sum).collect::<String>());
    format!("{fetch}sha256sum -c <<END\n{sums}END")
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::rest::{BootMenus, TOKEN_LIFETIMES};

    #[test]
    fn lifetimes_are_the_servers() {
        let offered: Vec<u64> =
            Lifetime::value_variants().iter().map(|lifetime| lifetime.seconds()).collect();
        assert_eq!(offered, TOKEN_LIFETIMES);
    }

    fn parse(line: &[&str]) -> Result<Command, clap::Error> {
        #[derive(Debug, clap::Parser)]
        struct Line {
            #[command(subcommand)]
            command: Command,
        }
        let line = ["token"].iter().chain(line);
        <Line as clap::Parser>::try_parse_from(line).map(|line| line.command)
    }

    #[test]
    fn every_flag_of_create_reaches_the_server() {
        let line = [
            "create",
            "--lifetime",
            "1d",
            "--cidr",
            "10.0.0.0/8,fd00::/8",
            "--mac",
            "52:54:00:12:34:56",
            "--max-uses",
            "3",
            "--uuid",
            "u",
            "--serial",
            "s,t",
            "--role",
            "web",
            "--role",
            "db",
            "--mesh",
            "home",
            "--kernel",
            "http://boot/vmlinuz",
        ];
        let Command::Create(create) = parse(&line).unwrap() else { panic!("create") };
        let body = serde_json::to_value(create.body()).unwrap();
        let expected = serde_json::json!({
            "Lifetime": 86_400, "Cidr": ["10.0.0.0/8", "fd00::/8"], "Mac": ["52:54:00:12:34:56"], "MaxUses": 3,
            "Uuid": ["u"], "Serial": ["s", "t"], "Roles": ["web", "db"], "MeshNetwork": "home",
            "Kernel": "http://boot/vmlinuz",
        });
        assert_eq!(body, expected);
        let Command::Create(create) = parse(&["create", "--require-approval"]).unwrap() else {
            panic!("create")
        };
        assert!(create.body().require_approval);
    }

    #[test]
    fn wrong_flags_are_refused_before_anyone_is_asked() {
        for (line, told) in [
            (
                vec!["create", "--cidr", "10.0.0.0"],
                "write an address and a prefix length, such as 10.20.0.0/16",
            ),
            (vec!["create", "--mac", "x"], "six octets such as 52:54:00:12:34:56"),
            (vec!["create", "--max-uses", "0"], "0 is not in 1.."),
            (vec!["create", "--menu", "grub", "-o", "json"], "cannot be used with"),
            (vec!["create", "--require-approval", "--role", "web"], "cannot be used with"),
            (vec!["revoke"], "required arguments were not provided"),
            (vec!["revoke", "AAAA", "--user", "eve"], "cannot be used with"),
            (vec!["revoke", "--user", "eve", "--kid", "k1"], "cannot be used with"),
        ] {
            let error = parse(&line).unwrap_err().to_string();
            assert!(error.contains(told), "{line:?}: {error}");
        }
    }

    #[test]
    fn revocation_asks_for_exactly_what_was_named() {
        for (line, expected) in [
            (["--user", "eve"], Some(TokenRevoke::User("eve".into()))),
            (["--before", "now"], Some(TokenRevoke::Before("now".into()))),
            (["--kid", "k1"], Some(TokenRevoke::Kid("k1".into()))),
            (["one", "two"], None),
        ] {
            let Command::Revoke(revoke) = parse(&["revoke", line[0], line[1]]).unwrap() else {
                panic!("revoke")
            };
            assert_eq!(revoke.which.request(), expected);
            assert_eq!(revoke.which.ids.len(), if expected.is_none() { 2 } else { 0 });
        }
    }

    #[test]
    fn list_tells_state_uses_and_terms() {
        let token: Token = serde_json::from_value(serde_json::json!({
            "Id": "AAAAAAAAAAAAAAAA", "By": "user:admin", "IssuedAt": "2026-01-01T00:00:00.000Z",
            "ExpiresAt": "2026-01-02T00:00:00.000Z", "Kid": "k1", "State": "used_up", "Uses": 2,
            "LastUsedAt": null, "Constraints": { "Cidr": ["10.0.0.0/8"], "MaxUses": 2 }, "Roles": ["web", "db"],
            "MeshNetwork": "", "RequireApproval": false,
        }))
        .unwrap();
        let told = draw_list(&[token]);
        let row = told.lines().nth(1).unwrap();
        let cells: Vec<&str> = row.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
        assert_eq!(
            cells,
            [
                "AAAAAAAAAAAAAAAA",
                "used up",
                "2 of 2",
                "2026-01-02T00:00:00.000Z",
                "user:admin",
                "k1",
                "cidr 10.0.0.0/8; role web,db"
            ]
        );
        assert!(draw_list(&[]).contains("muster token create"));
    }

    #[test]
    fn people_learn_what_ended() {
        let one = |ended| TokenRevoked {
            revoked: "all tokens of key k1".into(),
            ended,
            kept_until: "2027-01-01T00:00:00.000Z".into(),
        };
        assert_eq!(
            describe_revoked(&[one(0), one(1), one(3)]),
            "revoked all tokens of key k1: no live token was among them\n\
             revoked all tokens of key k1: 1 live token ended\n\
             revoked all tokens of key k1: 3 live tokens ended"
        );
    }

    fn created() -> TokenCreated {
        let file = |name: &str| BootLink {
            name: name.into(),
            url: format!("http://10.0.0.5:8091/muster/{name}"),
            size: 8_388_608,
            sha256: "ab".repeat(32),
        };
        TokenCreated {
            token: "eyJ".into(),
            id: "t1".into(),
            expires_at: "2026-01-01T00:10:00Z".into(),
            command: "curl <<'T' | sudo sh\nheader = \"eyJ\"\nT\n".into(),
            kernel_args: "muster.token=eyJ".into(),
            menus: BootMenus {
                pxelinux: "LABEL muster\n".into(),
                grub: "menuentry\n".into(),
                ipxe: "#!ipxe\n".into(),
                ipxe_from_server: Some("#!ipxe\nhere\n".into()),
            },
            files: vec![file("vmlinuz"), file("initrd")],
        }
    }

    #[test]
    fn people_get_lines_to_paste() {
        let told = describe(&created());
        assert!(told.contains("a shell:\n\ncurl <<'T' | sudo sh\nheader = \"eyJ\"\nT\n"), "{told}");
        assert!(told.contains("any boot loader:\n\nmuster.token=eyJ\n"), "{told}");
        assert!(told.contains("default:\n\nLABEL muster\n"), "{told}");
        assert!(told.contains("ramdisk from here:\n\n#!ipxe\nhere\n"), "{told}");
        let fetching = format!(
            "TFTP, HTTP or NFS:\n\n\
             curl -fO http://10.0.0.5:8091/muster/vmlinuz  # 8.0 MiB\n\
             curl -fO http://10.0.0.5:8091/muster/initrd  # 8.0 MiB\n\
             sha256sum -c <<END\n{0}  vmlinuz\n{0}  initrd\nEND\n",
            "ab".repeat(32)
        );
        assert!(told.ends_with(&fetching), "{told}");
    }

    #[test]
    fn files_come_by_our_own_client_where_plain_http_is_shut_and_not_at_all_without_media() {
        let mut token = created();
        for file in &mut token.files {
            file.url = format!("https://10.0.0.5:8092/media/{}", file.name);
        }
        token.menus.ipxe_from_server = None;
        let told = describe(&token);
        assert!(told.ends_with("muster media download initrd -o initrd\n"), "{told}");
        assert!(!told.contains("from here"), "{told}");
        token.files.clear();
        assert!(describe(&token).contains("no boot media: muster media build"));
    }

    #[test]
    fn one_menu_is_printed_as_it_is_or_refused_with_the_way_out() {
        let mut token = created();
        let texts: Vec<&str> = Menu::value_variants().iter().map(|menu| menu.of(&token).unwrap()).collect();
        let command = "curl <<'T' | sudo sh\nheader = \"eyJ\"\nT";
        assert_eq!(
            texts,
            [command, "muster.token=eyJ", "LABEL muster", "menuentry", "#!ipxe", "#!ipxe\nhere"]
        );
        token.menus.ipxe_from_server = None;
        let error = Menu::IpxeFromServer.of(&token).unwrap_err().to_string();
        assert!(error.contains("--menu ipxe"), "{error}");
    }
}
