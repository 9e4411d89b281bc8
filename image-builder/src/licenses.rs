//! `licenses.txt`: under which terms everything in the media is, and where its source is to be had.
//!
//! Debian's packages come with their copyright file as it is, crates with the texts that their licence wants to
//! be carried along. A text that comes again is only referred to.

use std::collections::BTreeMap;

use crate::build::Ingredient;
use crate::crates::Linked;
use crate::terms::Licences;

/// Our own terms, which are also those of most crates.
const APACHE: &str = include_str!("../../LICENSE");

/// The document about these packages and the agent.
pub(crate) fn document(ingredients: &[&Ingredient], linked: &Linked) -> String {
    let mut text = String::from(
        "Licences of everything in these boot media\n\n\
         Muster is under the Apache License 2.0, at the end. The rest comes from others: packages of Debian,\n\
         unchanged, and crates that are linked into the agent. Each follows with its terms and its source.\n",
    );
    heading(&mut text, "Packages of Debian", '=');
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    for ingredient in ingredients {
        let listed = &ingredient.listed;
        let (name, version) = (listed.package.name.as_str(), listed.package.version.as_str());
        heading(&mut text, &format!("{name} {version}"), '-');
        let licences = Licences::read(&ingredient.terms);
        let (source, source_version) = &listed.source;
        add(&mut text, &format!("In:      {}", ingredient.files.join(", ")));
        add(
            &mut text,
            &format!("Licence: {}", licences.map_or("as it says below".to_owned(), |found| found.spdx())),
        );
        add(&mut text, &format!("Source:  {}", source_page(source, source_version)));
        add(&mut text, &format!("         apt-get source {source}={source_version}\n"));
        match seen.get(ingredient.terms.as_str()) {
            Some(other) => add(&mut text, &format!("The terms are those of {other}.")),
            None => {
                seen.insert(&ingredient.terms, name);
                add(&mut text, ingredient.terms.trim_end());
            }
        }
    }
    crates(&mut text, linked);
    heading(&mut text, "Apache License 2.0", '=');
    add(&mut text, APACHE.trim_matches('\n'));
    text
}

fn crates(text: &mut String, linked: &Linked) {
    heading(text, "Linked into muster-agent and muster-installer", '=');
    if linked.crates.is_empty() {
        add(
            text,
            "The agent is of another version than the program that built these media: its crates are not known.",
        );
    }
    if let Some(version) = &linked.rustc {
        add(
            text,
            &format!("Rust's standard library {version}: MIT OR Apache-2.0, https://www.rust-lang.org/"),
        );
    }
    if let Some(version) = &linked.glibc {
        add(text, &format!("GNU C Library {version}: LGPL-2.1-or-later, {}", source_page("glibc", version)));
    }
    for one in linked.crates.iter().filter(|one| one.checksum.is_some()) {
        let numbers: Vec<String> = one.texts.iter().map(|number| format!("text {}", number + 1)).collect();
        let own = if numbers.is_empty() { String::new() } else { format!(" ({})", numbers.join(", ")) };
        let (name, version) = (&one.name, &one.version);
        add(
            text,
            &format!("{name} {version}: {}{own}, https://crates.io/crates/{name}/{version}", one.license),
        );
    }
    for (number, terms) in (1..).zip(&linked.texts) {
        heading(text, &format!("Text {number}"), '-');
        add(text, terms);
    }
}

/// Where Debian keeps every version of a source for ever.
pub(crate) fn source_page(source: &str, version: &str) -> String {
    format!("https://snapshot.debian.org/package/{source}/{}/", percent(version))
}

/// Writes everything but letters, digits and `._~-` as a URL does.
pub(crate) fn percent(text: &str) -> String {
    let one = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'~' | b'-' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(one).collect()
}

fn heading(text: &mut String, title: &str, line: char) {
    let rule: String = title.chars().map(|_| line).collect();
    text.push_str(&format!("\n{title}\n{rule}\n\n"));
}

fn add(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::tests::ingredient;

    #[test]
    fn every_package_is_named_with_its_source_and_a_repeated_text_is_referred_to() {
        let ingredients = [ingredient("a", "free form"), ingredient("b", "free form")];
        let text = document(&ingredients.iter().collect::<Vec<_>>(), &Linked::default());
        assert!(
            text.contains("\na 1:2+b1\n--------\n\nIn:      muster.iso\nLicence: as it says below\n"),
            "{text}"
        );
        assert!(text.contains("Source:  https://snapshot.debian.org/package/a-src/1%3A2/\n"), "{text}");
        assert!(text.contains("apt-get source a-src=1:2\n"), "{text}");
        assert_eq!(text.matches("free form").count(), 1);
        assert!(text.contains("The terms are those of a.\n"));
        assert!(text.contains("its crates are not known"));
        assert!(text.contains("TERMS AND CONDITIONS FOR USE, REPRODUCTION, AND DISTRIBUTION"));
    }
}
