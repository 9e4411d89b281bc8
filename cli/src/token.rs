//! `muster token`: bootstrap tokens, which register machines without a person.

use crate::print::{self, Output};
use crate::rest::{Client, Connection, decode};
use anyhow::Result;
use clap::{Subcommand, ValueEnum};
use protocol::rest::{TokenCreate, TokenCreated};

/// Verbs of `muster token`
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a token and print the kernel arguments and boot menus that carry it
    Create(Create),
}

/// Arguments of `muster token create`
#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    /// How long machines may register with it
    #[arg(long, value_enum, default_value_t)]
    lifetime: Lifetime,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
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

/// Runs one verb.
pub(crate) async fn run(command: Command) -> Result<()> {
    match command {
        Command::Create(args) => create(args).await,
    }
}

async fn create(args: Create) -> Result<()> {
    let client = Client::open(&args.connection)?;
    let body = TokenCreate { lifetime: args.lifetime.seconds(), ..TokenCreate::default() };
    let answer = client.post("/api/v3/bootstrap/tokens", &body).await?;
    args.output.show(&answer, || Ok(describe(&decode(&answer)?)))
}

/// What to do with a token, for people.
fn describe(token: &TokenCreated) -> String {
    let print_block = |title: &str, text: &str| format!("{title}\n\n{}\n", text.trim_end());
    [
        print::fields(&[("Token", token.id.clone()), ("Expires", token.expires_at.clone())]) + "\n",
        "Whoever has these lines can register machines until then. They are shown once.\n".to_owned(),
        print_block("Kernel arguments, for any boot loader:", &token.kernel_args),
        print_block("PXELINUX, in pxelinux.cfg/default:", &token.menus.pxelinux),
        print_block("GRUB, in grub.cfg:", &token.menus.grub),
        print_block("iPXE, as a script:", &token.menus.ipxe),
        "Put vmlinuz and initrd where these paths lead: muster media download vmlinuz -o vmlinuz".to_owned(),
    ]
    .join("\n")
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

    #[test]
    fn people_get_lines_to_paste() {
        let token = TokenCreated {
            token: "eyJ".into(),
            id: "t1".into(),
            expires_at: "2026-01-01T00:10:00Z".into(),
            kernel_args: "muster.token=eyJ".into(),
            menus: BootMenus {
                pxelinux: "LABEL muster\n".into(),
                grub: "menuentry\n".into(),
                ipxe: "#!ipxe\n".into(),
            },
        };
        let told = describe(&token);
        assert!(told.contains("any boot loader:\n\nmuster.token=eyJ\n"), "{told}");
        assert!(told.contains("default:\n\nLABEL muster\n"), "{told}");
    }
}
