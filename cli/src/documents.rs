//! The commands that our documents show are commands that there are.

use super::Cli;
use clap::Parser;
use std::path::{Path, PathBuf};

/// The page whose tables have commands that can be given; those of others only name verbs.
const TABLES: &str = "dashboard.md";

/// In place of `UUID`, which stands for one.
const SOME_UUID: &str = "5f4dcc3b-5aa7-4d61-9d83-27deb882cf99";

fn documents() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let found = std::fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let pages = found.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    pages.chain([root.join("README.md")]).collect()
}

/// The commands of a page: lines of its examples, and what stands in backquotes in its tables.
fn commands(page: &str, tables: bool) -> Vec<String> {
    let mut found = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if tables && line.starts_with('|') {
            found.extend(
                line.split('`')
                    .skip(1)
                    .step_by(2)
                    .filter(|code| code.starts_with("muster "))
                    .map(str::to_owned),
            );
        }
        let Some(code) = line.strip_prefix("    ").or(Some(line)).filter(|code| code.starts_with("muster "))
        else {
            continue;
        };
        let mut code = code.to_owned();
        while let Some(begun) = code.strip_suffix('\\') {
            code = format!("{begun}{}", lines.next().unwrap_or_default().trim_start());
        }
        found.push(code);
    }
    found
}

/// Words as a shell makes them, up to a comment or to where the output goes; none of what only sketches a command.
fn words(command: &str) -> Option<Vec<String>> {
    let (mut all, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for letter in command.chars().chain([' ']) {
        match (letter, quote) {
            ('\'' | '"', None) => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (letter, Some(open)) if letter == open => quote = None,
            (' ', None) => all.extend(word.take()),
            ('#', None) if word.is_none() => break,
            ('>' | '|', None) => break,
            ('[' | '$' | '`' | '<', None) => return None,
            (letter, _) => word.get_or_insert_default().push(letter),
        }
    }
    let is_sketch = all.iter().any(|word| word.ends_with("..."));
    let all = all.into_iter().map(|word| if word == "UUID" { SOME_UUID.to_owned() } else { word });
    (!is_sketch).then(|| all.collect())
}

#[test]
fn every_command_in_the_documents_can_be_given() {
    let mut tried = 0;
    for path in documents() {
        let page = std::fs::read_to_string(&path).unwrap();
        for command in commands(&page, path.ends_with(TABLES)) {
            let Some(words) = words(&command) else { continue };
            tried += 1;
            if let Err(error) = Cli::try_parse_from(&words) {
                assert!(!error.use_stderr(), "{}: {command}\n{error}", path.display());
            }
        }
    }
    assert!(tried > 100, "only {tried} commands were found");
}

#[test]
fn command_is_split_as_a_shell_does() {
    let split = |text| words(text).unwrap();
    assert_eq!(split(r#"muster a 'b "c" d' "" x='y z'  # why"#), ["muster", "a", r#"b "c" d"#, "", "x=y z"]);
    assert_eq!(split("muster show UUID >> file"), ["muster", "show", SOME_UUID]);
    assert_eq!((words("muster a [B]"), words("muster a ...")), (None, None));
    let page = "| do | `muster a` |\n    muster b \\\n      c\ntext `muster d`\n";
    assert_eq!(commands(page, true), ["muster a", "muster b c"]);
    assert_eq!(commands(page, false), ["muster b c"]);
}
