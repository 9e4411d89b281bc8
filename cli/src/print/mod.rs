//! What reaches the terminal: tables for people, JSON and YAML for programs.

mod age;

pub(crate) use age::since;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;
use std::io::Write;

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Format {
    /// Columns for people
    #[default]
    Table,
    /// The REST object as JSON
    Json,
    /// The same as YAML
    Yaml,
}

/// The flag that every command with a result has.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(crate) struct Output {
    /// How to print the result
    #[arg(short = 'o', long = "output", value_enum, default_value_t, value_name = "FORMAT")]
    format: Format,
}

impl Output {
    /// Prints the REST object as asked; `table` draws it for people.
    pub(crate) fn show(self, value: &Value, table: impl FnOnce() -> Result<String>) -> Result<()> {
        let text = match self.format {
            Format::Table => table()?,
            Format::Json => {
                serde_json::to_string_pretty(value).context("the answer cannot be written as JSON")?
            }
            Format::Yaml => {
                serde_yaml_ng::to_string(value).context("the answer cannot be written as YAML")?
            }
        };
        line(text.trim_end())
    }
}

/// Writes one line (or block) to standard output.
pub(crate) fn line(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}")?;
    Ok(out.flush()?)
}

/// Writes one line for the person at the terminal, beside the result.
pub(crate) fn note(text: &str) -> Result<()> {
    Ok(writeln!(std::io::stderr(), "{text}")?)
}

/// A table without rules, one line a row; `nothing` is said when there are no rows.
pub(crate) fn table(header: &[&str], rows: Vec<Vec<String>>, nothing: &str) -> String {
    if rows.is_empty() {
        return nothing.to_owned();
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.to_vec());
    for row in rows {
        table.add_row(row.iter().map(|cell| one_line(cell)).collect::<Vec<_>>());
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// Pairs under each other.
pub(crate) fn fields(pairs: &[(&str, String)]) -> String {
    let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let lines = pairs.iter().map(|(name, value)| format!("{name:width$}  {}", one_line(value)));
    lines.collect::<Vec<_>>().join("\n")
}

/// A machine's make in one line; boards without a serial number are common.
pub(crate) fn hardware(vendor: &str, product: &str, serial: &str) -> String {
    let make = format!("{vendor} {product}");
    match (make.trim(), serial) {
        ("", "") => "unknown".to_owned(),
        (make, "") => format!("{make}, no serial number"),
        (make, serial) => format!("{make}, S/N {serial}"),
    }
}

/// A number of things: `1 processor`, `2 processors`.
pub(crate) fn count(number: u32, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}

/// Outside text with control characters replaced, so that no firmware string moves the cursor, and with
/// those that turn the direction of reading round.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || turns(c) { '?' } else { c }).collect()
}

/// A line of a file or log: the same, with its tabs.
pub(crate) fn text_line(text: &str) -> String {
    text.split('\t').map(one_line).collect::<Vec<_>>().join("\t")
}

/// Marks, embeddings, overrides and isolates of the bidirectional algorithm (Unicode TR 9).
const fn turns(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Bytes in the unit a person would choose.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut shown = count;
    let mut rest = 0;
    for unit in UNITS {
        if shown < 1_024 || unit == "TiB" {
            let tenths = rest * 10 / 1_024;
            let is_short = shown < 10 && unit != "B";
            return if is_short { format!("{shown}.{tenths} {unit}") } else { format!("{shown} {unit}") };
        }
        rest = shown % 1_024;
        shown /= 1_024;
    }
    format!("{count} B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_in_columns_and_hostile_text_is_tamed() {
        let rows =
            vec![vec!["a".to_owned(), "x\u{1b}[2J".to_owned()], vec!["bbbb".to_owned(), "y".to_owned()]];
        assert_eq!(table(&["NAME", "SERIAL"], rows, "none"), "NAME  SERIAL\na     x?[2J\nbbbb  y");
        assert_eq!(table(&["NAME"], Vec::new(), "no machines yet"), "no machines yet");
        assert_eq!(one_line("safe\u{202e}gnp.exe\tx\u{2066}"), "safe?gnp.exe?x?");
        assert_eq!(text_line("a\tb\u{1b}[2J\u{202e}"), "a\tb?[2J?");
    }

    #[test]
    fn what_a_board_does_not_tell_is_said_so() {
        assert_eq!(
            hardware("Dell Inc.", "PowerEdge R650", "7XK21M3"),
            "Dell Inc. PowerEdge R650, S/N 7XK21M3"
        );
        assert_eq!(hardware("QEMU", "", ""), "QEMU, no serial number");
        assert_eq!(hardware("", "", ""), "unknown");
        assert_eq!(
            (count(1, "processor"), count(0, "disk")),
            ("1 processor".to_owned(), "0 disks".to_owned())
        );
    }

    #[test]
    fn sizes_are_short() {
        for (count, shown) in
            [(0, "0 B"), (1_023, "1023 B"), (1_536, "1.5 KiB"), (34_800_000, "33 MiB"), (2 << 40, "2.0 TiB")]
        {
            assert_eq!(bytes(count), shown);
        }
    }
}
