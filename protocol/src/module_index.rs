//! `muster.index`: which kernel modules an image carries and what they are for.
//!
//! Made when the image is built, from the modules themselves, and read by the agent at boot in
//! place of `modules.dep`, `modules.alias` and `modules.softdep`. A text of lines, in this order:
//!
//! ```text
//! muster-modules 1 6.1.0-56-amd64
//! b NAME                          built into the kernel
//! m NAME PATH DEPENDS PRE POST    a module; three lists of names joined by commas, or -
//! a PATTERN NAME                  PATTERN stands for NAME; it may hold * ? [..]
//! ```
//!
//! `PATH` is relative to `/lib/modules/VERSION`. Names have `_` where the kernel also takes `-`.
//! Lists name modules of the same index only: whoever builds it has resolved them.
//!
//! A pattern can only match if what stands before its first wildcard begins the modalias, so
//! patterns are kept by that prefix, and a lookup costs one search per byte of the modalias
//! instead of one comparison per pattern (40,000 in a Debian kernel).

use crate::inventory::clean_text;
use std::collections::{BTreeMap, BTreeSet};

/// Name of the index in `/lib/modules/VERSION`.
pub const FILE_NAME: &str = "muster.index";
/// Name of the zstd dictionary beside it that the modules were compressed with; images may have none.
pub const DICTIONARY_NAME: &str = "muster.dict";
/// Longest dictionary, in bytes.
pub const MAX_DICTIONARY_LEN: usize = 1_024 * 1_024;
/// Longest index that is read, in bytes. Debian's whole kernel needs about 3 MB.
pub const MAX_INDEX_LEN: usize = 16 * 1_024 * 1_024;
/// Most modules and built-ins.
pub const MAX_MODULES: usize = 20_000;
/// Most aliases.
pub const MAX_ALIASES: usize = 200_000;
/// Longest pattern and longest modalias looked up, in bytes.
pub const MAX_ALIAS_LEN: usize = 4_096;

/// First word of the first line.
const MAGIC: &str = "muster-modules";
/// The only version so far.
pub const VERSION: &str = "1";
/// Stands for an empty list.
const NONE: &str = "-";
/// Longest name or kernel version, in bytes (the kernel allows 55 and 64).
const MAX_NAME_LEN: usize = 64;
/// Longest path, in bytes.
const MAX_PATH_LEN: usize = 512;

/// Why an index cannot be read or made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    /// Longer than [`MAX_INDEX_LEN`].
    #[error("module index has {0} bytes, at most {MAX_INDEX_LEN} are read")]
    TooLong(usize),
    /// First line is something else.
    #[error("not a module index of version {VERSION}; the image and the agent do not belong together")]
    Header,
    /// A line that is none of the known kinds, counted from 1.
    #[error("module index line {0} is malformed")]
    Line(usize),
    /// More than the limits above.
    #[error("module index names more than {limit} {what}")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How many there may be.
        limit: usize,
    },
    /// A name that is empty, too long, or has other characters than letters, digits and `_`.
    #[error("`{0}` is not a module name")]
    Name(String),
    /// A path that leaves the module directory or cannot be written in a line.
    #[error("`{0}` is not a path of a module")]
    Path(String),
    /// A pattern with blanks, without bytes or with too many.
    #[error("`{0}` is not a module alias")]
    Pattern(String),
    /// The same module twice.
    #[error("module `{0}` is there twice")]
    Twice(String),
    /// A dependency or alias on a module that is not in the index.
    #[error("`{user}` needs module `{name}`, which the index does not have")]
    Unknown {
        /// The module or pattern that names it.
        user: String,
        /// The missing module.
        name: String,
    },
}

/// One loadable module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// Canonical name.
    pub name: String,
    /// Path below `/lib/modules/VERSION`, with the suffix of its compression.
    pub path: String,
    /// Modules whose symbols it uses.
    pub depends: Vec<String>,
    /// Modules that should be there before it, if they can.
    pub pre: Vec<String>,
    /// Modules that should follow it, if they can.
    pub post: Vec<String>,
}

/// One module to load, in the order given by [`ModuleIndex::load_order`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step<'a> {
    /// The module.
    pub module: &'a Module,
    /// Whether the wanted module cannot work without it. When another fails, go on.
    pub required: bool,
}

/// Modules, built-ins and aliases of one kernel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModuleIndex {
    kernel: String,
    modules: BTreeMap<String, Module>,
    builtin: BTreeSet<String>,
    /// One flat set: the agent keeps it for as long as the machine runs, and maps inside maps took six times
    /// the memory.
    aliases: BTreeSet<Alias>,
}

/// A pattern's literal prefix, what follows it, and the module it stands for; sorted in this order.
type Alias = (Box<str>, Box<str>, Box<str>);

/// The spelling of a module's name under which it is kept: `-` becomes `_`.
pub fn canonical_name(name: &str) -> String {
    name.replace('-', "_")
}

impl ModuleIndex {
    /// An empty index for the kernel of this version (`uname -r`).
    ///
    /// # Errors
    /// [`IndexError::Name`] when that is no version.
    pub fn new(kernel: &str) -> Result<Self, IndexError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._+~-".contains(c);
        if kernel.is_empty() || kernel.len() > MAX_NAME_LEN || !kernel.chars().all(plain) {
            return Err(IndexError::Name(quoted(kernel)));
        }
        Ok(Self { kernel: kernel.to_owned(), ..Self::default() })
    }

    /// Adds a built-in module.
    ///
    /// # Errors
    /// [`IndexError::Name`] or [`IndexError::TooMany`].
    pub fn add_builtin(&mut self, name: &str) -> Result<(), IndexError> {
        self.room_for_module()?;
        self.builtin.insert(module_name(name)?);
        Ok(())
    }

    /// Adds a module; its lists may name modules that are added later.
    ///
    /// # Errors
    /// [`IndexError`] when a name or the path is malformed or the module is there already.
    pub fn add_module(&mut self, module: Module) -> Result<(), IndexError> {
        self.room_for_module()?;
        let name = module_name(&module.name)?;
        let names = |list: &[String]| -> Result<Vec<String>, IndexError> {
            list.iter().map(|name| module_name(name)).collect()
        };
        let module = Module {
            path: module_path(&module.path)?,
            depends: names(&module.depends)?,
            pre: names(&module.pre)?,
            post: names(&module.post)?,
            name: name.clone(),
        };
        match self.modules.insert(name.clone(), module) {
            None => Ok(()),
            Some(_) => Err(IndexError::Twice(name)),
        }
    }

    /// Adds a pattern that stands for a module already added.
    ///
    /// # Errors
    /// [`IndexError`] when the pattern is malformed or the module unknown.
    pub fn add_alias(&mut self, pattern: &str, module: &str) -> Result<(), IndexError> {
        if self.aliases.len() >= MAX_ALIASES {
            return Err(IndexError::TooMany { what: "aliases", limit: MAX_ALIASES });
        }
        let pattern = canonical_pattern(pattern)?;
        let name = module_name(module)?;
        if !self.modules.contains_key(&name) {
            return Err(IndexError::Unknown { user: quoted(&pattern), name });
        }
        let (prefix, rest) = split_literal(&pattern);
        self.aliases.insert((prefix.into(), rest.into(), name.into()));
        Ok(())
    }

    /// Version of the kernel the modules are for.
    pub fn kernel(&self) -> &str {
        &self.kernel
    }

    /// Number of loadable modules.
    pub fn module_count(&self) -> usize {
        self.modules.len()
    }

    /// A loadable module by name, in either spelling.
    pub fn module(&self, name: &str) -> Option<&Module> {
        self.modules.get(&canonical_name(name))
    }

    /// Whether the kernel has this module built in.
    pub fn is_builtin(&self, name: &str) -> bool {
        self.builtin.contains(&canonical_name(name))
    }

    /// Names of the modules for a modalias (`/sys/.../modalias`, or a name such as
    /// `fs-ext4`), sorted. A module's own name stands for it too.
    pub fn matching(&self, modalias: &str) -> Vec<&str> {
        let modalias = canonical_name(modalias);
        let mut found = BTreeSet::new();
        if modalias.len() <= MAX_ALIAS_LEN {
            let ends = modalias.char_indices().map(|(at, _)| at).chain([modalias.len()]);
            for (prefix, rest) in ends.filter_map(|end| modalias.split_at_checked(end)) {
                let first: Alias = (prefix.into(), "".into(), "".into());
                let same = self.aliases.range(first..).take_while(|(known, ..)| **known == *prefix);
                for (_, pattern, name) in same {
                    if glob(pattern.as_bytes(), rest.as_bytes()) {
                        found.insert(&**name);
                    }
                }
            }
        }
        found.extend(self.modules.get_key_value(&modalias).map(|(name, _)| name.as_str()));
        found.into_iter().collect()
    }

    /// What to load for a module, in order, itself included; empty when it is not in the index.
    pub fn load_order(&self, name: &str) -> Vec<Step<'_>> {
        enum Todo<'a> {
            Enter(&'a str),
            Load(&'a Module),
        }
        let Some(wanted) = self.module(name) else { return Vec::new() };
        let required = self.hard_closure(wanted);
        let mut steps = Vec::new();
        let mut entered = BTreeSet::new();
        // An explicit stack: the depth comes from a file.
        let mut stack = vec![Todo::Enter(&wanted.name)];
        while let Some(todo) = stack.pop() {
            match todo {
                Todo::Load(module) => {
                    steps.push(Step { module, required: required.contains(module.name.as_str()) });
                }
                Todo::Enter(name) => {
                    let Some(module) = self.modules.get(name) else { continue };
                    if entered.insert(name) {
                        stack.extend(module.post.iter().rev().map(|n| Todo::Enter(n)));
                        stack.push(Todo::Load(module));
                        stack.extend(module.depends.iter().rev().map(|n| Todo::Enter(n)));
                        stack.extend(module.pre.iter().rev().map(|n| Todo::Enter(n)));
                    }
                }
            }
        }
        steps
    }

    /// Gives every module the path that `rename` makes of its own, for an archive that stores them otherwise.
    ///
    /// # Errors
    /// [`IndexError`] for a path that an index cannot hold.
    pub fn rename_paths(&self, rename: impl Fn(&str) -> String) -> Result<Self, IndexError> {
        let mut renamed = Self { modules: BTreeMap::new(), ..self.clone() };
        for module in self.modules.values() {
            renamed.add_module(Module { path: rename(&module.path), ..module.clone() })?;
        }
        Ok(renamed)
    }

    /// The index as text; [`ModuleIndex::parse`] reads it back.
    pub fn render(&self) -> String {
        let mut text = format!("{MAGIC} {VERSION} {}\n", self.kernel);
        for name in &self.builtin {
            line(&mut text, &["b", name]);
        }
        for module in self.modules.values() {
            let [depends, pre, post] =
                [&module.depends, &module.pre, &module.post].map(|list| list.join(","));
            let [depends, pre, post] = [&depends, &pre, &post].map(|list| match list.as_str() {
                "" => NONE,
                list => list,
            });
            line(&mut text, &["m", &module.name, &module.path, depends, pre, post]);
        }
        for (prefix, rest, name) in &self.aliases {
            line(&mut text, &["a", &format!("{prefix}{rest}"), name]);
        }
        text
    }

    /// Reads an index.
    ///
    /// # Errors
    /// [`IndexError`] names the line, the limit or the missing module.
    pub fn parse(text: &str) -> Result<Self, IndexError> {
        if text.len() > MAX_INDEX_LEN {
            return Err(IndexError::TooLong(text.len()));
        }
        let mut lines = text.lines();
        let header: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
        let [MAGIC, VERSION, kernel] = header.as_slice() else { return Err(IndexError::Header) };
        let mut index = Self::new(kernel)?;
        for (number, line) in (2_usize..).zip(lines) {
            let mut words = line.split(' ');
            let mut word = || words.next().ok_or(IndexError::Line(number));
            match word()? {
                "b" => index.add_builtin(word()?)?,
                "a" => index.add_alias(word()?, word()?)?,
                "m" => index.add_module(Module {
                    name: word()?.to_owned(),
                    path: word()?.to_owned(),
                    depends: list(word()?),
                    pre: list(word()?),
                    post: list(word()?),
                })?,
                _ => return Err(IndexError::Line(number)),
            }
            if words.next().is_some() {
                return Err(IndexError::Line(number));
            }
        }
        index.check()?;
        Ok(index)
    }

    /// Checks that every list names modules of this index; [`ModuleIndex::parse`] does it too.
    ///
    /// # Errors
    /// [`IndexError::Unknown`] for the first that does not.
    pub fn check(&self) -> Result<(), IndexError> {
        for module in self.modules.values() {
            for name in module.depends.iter().chain(&module.pre).chain(&module.post) {
                if !self.modules.contains_key(name) {
                    let user = module.name.clone();
                    return Err(IndexError::Unknown { user, name: name.clone() });
                }
            }
        }
        Ok(())
    }

    fn room_for_module(&self) -> Result<(), IndexError> {
        if self.modules.len() + self.builtin.len() >= MAX_MODULES {
            return Err(IndexError::TooMany { what: "modules", limit: MAX_MODULES });
        }
        Ok(())
    }

    /// The module and everything it cannot do without.
    fn hard_closure<'a>(&'a self, wanted: &'a Module) -> BTreeSet<&'a str> {
        let mut closure = BTreeSet::new();
        let mut stack = vec![wanted.name.as_str()];
        while let Some(name) = stack.pop() {
            if let Some(module) = self.modules.get(name)
                && closure.insert(name)
            {
                stack.extend(module.depends.iter().map(String::as_str));
            }
        }
        closure
    }
}

fn line(text: &mut String, words: &[&str]) {
    text.push_str(&words.join(" "));
    text.push('\n');
}

fn list(word: &str) -> Vec<String> {
    match word {
        NONE => Vec::new(),
        names => names.split(',').map(str::to_owned).collect(),
    }
}

fn module_name(name: &str) -> Result<String, IndexError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if name.is_empty() || name == NONE || name.len() > MAX_NAME_LEN || !name.chars().all(plain) {
        return Err(IndexError::Name(quoted(name)));
    }
    Ok(canonical_name(name))
}

fn module_path(path: &str) -> Result<String, IndexError> {
    let plain = |c: char| c.is_ascii_graphic();
    let safe = |part: &str| !matches!(part, "" | "." | "..");
    if path.len() > MAX_PATH_LEN || !path.chars().all(plain) || !path.split('/').all(safe) {
        return Err(IndexError::Path(quoted(path)));
    }
    Ok(path.to_owned())
}

/// What of a name an error repeats.
fn quoted(text: &str) -> String {
    clean_text(text).chars().take(MAX_NAME_LEN).collect()
}

/// `-` becomes `_` outside brackets, where it would be a range.
fn canonical_pattern(pattern: &str) -> Result<String, IndexError> {
    let plain = |c: char| c.is_ascii_graphic();
    if pattern.is_empty() || pattern.len() > MAX_ALIAS_LEN || !pattern.chars().all(plain) {
        return Err(IndexError::Pattern(quoted(pattern)));
    }
    let mut in_set = false;
    let canonical = pattern.chars().map(|c| {
        match c {
            '[' => in_set = true,
            ']' => in_set = false,
            _ => {}
        }
        if c == '-' && !in_set { '_' } else { c }
    });
    Ok(canonical.collect())
}

/// What stands before the first wildcard, and the rest.
fn split_literal(pattern: &str) -> (&str, &str) {
    let at = pattern.find(['*', '?', '[']).unwrap_or(pattern.len());
    pattern.split_at(at)
}

/// `fnmatch(3)` without flags: `*`, `?`, `[a-z]`, `[!a-z]`. Only the last `*` is ever retried,
/// so the cost is at most the product of both lengths.
fn glob(mut pattern: &[u8], mut text: &[u8]) -> bool {
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        if let Some((b'*', after)) = pattern.split_first() {
            retry = Some((after, text));
            pattern = after;
            continue;
        }
        if let Some((_, rest)) = text.split_first() {
            if let Some(after) = match_one(pattern, text) {
                (pattern, text) = (after, rest);
                continue;
            }
        } else if pattern.is_empty() {
            return true;
        }
        // One more byte goes to the last star.
        match retry {
            Some((after, [_, rest @ ..])) => {
                retry = Some((after, rest));
                (pattern, text) = (after, rest);
            }
            _ => return false,
        }
    }
}

/// Matches the first byte of `text`; gives back the pattern that is left.
fn match_one<'p>(pattern: &'p [u8], text: &[u8]) -> Option<&'p [u8]> {
    let (&byte, (&first, after)) = (text.first()?, pattern.split_first()?);
    match first {
        b'?' => Some(after),
        b'[' => match_set(after, byte),
        literal => (literal == byte).then_some(after),
    }
}

/// Matches a set whose `[` is gone; an unclosed one matches nothing.
fn match_set(set: &[u8], byte: u8) -> Option<&[u8]> {
    let (negated, body) = match set {
        [b'!' | b'^', body @ ..] => (true, body),
        body => (false, body),
    };
    // A `]` right at the start belongs to the set.
    let end = 1 + body.get(1..)?.iter().position(|&b| b == b']')?;
    let (mut members, after) = (body.get(..end)?, body.get(end + 1..)?);
    let mut found = false;
    while let Some((&low, rest)) = members.split_first() {
        let (high, rest) = match rest {
            [b'-', high, rest @ ..] => (*high, rest),
            rest => (low, rest),
        };
        found |= (low..=high).contains(&byte);
        members = rest;
    }
    (found != negated).then_some(after)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn module(name: &str, depends: &[&str], pre: &[&str], post: &[&str]) -> Module {
        let list = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect();
        Module {
            name: name.to_owned(),
            path: format!("kernel/drivers/{name}.ko.zst"),
            depends: list(depends),
            pre: list(pre),
            post: list(post),
        }
    }

    fn sample() -> ModuleIndex {
        let mut index = ModuleIndex::new("6.1.0-56-amd64").unwrap();
        index.add_builtin("unix").unwrap();
        for module in [
            module("e1000", &[], &[], &[]),
            module("crc32c-generic", &[], &[], &[]),
            module("libcrc32c", &[], &["crc32c_generic"], &[]),
            module("xfs", &["libcrc32c"], &[], &[]),
            module("hid", &[], &[], &[]),
            module("ipmi-si", &["hid"], &[], &["e1000"]),
        ] {
            index.add_module(module).unwrap();
        }
        index.add_alias("pci:v00008086d0000100Esv*sd*bc*sc*i*", "e1000").unwrap();
        index.add_alias("acpi*:IPI0001:*", "ipmi_si").unwrap();
        index.add_alias("fs-xfs", "xfs").unwrap();
        index.add_alias("usb:v0A[0-5]*", "hid").unwrap();
        index
    }

    fn order(index: &ModuleIndex, name: &str) -> Vec<(String, bool)> {
        index.load_order(name).iter().map(|s| (s.module.name.clone(), s.required)).collect()
    }

    #[test]
    fn a_modalias_finds_its_modules() {
        let index = sample();
        for (modalias, names) in [
            ("pci:v00008086d0000100Esv00001AF4sd00001100bc02sc00i00", vec!["e1000"]),
            ("pci:v00008086d0000100Fsv00001AF4sd00001100bc02sc00i00", vec![]),
            ("acpi:IPI0001:", vec!["ipmi_si"]),
            ("acpiX:IPI0001:PNP0000:", vec!["ipmi_si"]),
            ("fs-xfs", vec!["xfs"]),
            ("fs_xfs", vec!["xfs"]),
            ("fs-xfs2", vec![]),
            ("crc32c-generic", vec!["crc32c_generic"]),
            ("usb:v0A3x", vec!["hid"]),
            ("usb:v0A7x", vec![]),
            ("", vec![]),
        ] {
            assert_eq!(index.matching(modalias), names, "{modalias}");
        }
    }

    #[test]
    fn dependencies_come_first_and_wishes_are_not_required() {
        let index = sample();
        let pairs =
            |names: &[(&str, bool)]| names.iter().map(|(n, r)| ((*n).to_owned(), *r)).collect::<Vec<_>>();
        assert_eq!(
            order(&index, "xfs"),
            pairs(&[("crc32c_generic", false), ("libcrc32c", true), ("xfs", true)])
        );
        assert_eq!(order(&index, "ipmi-si"), pairs(&[("hid", true), ("ipmi_si", true), ("e1000", false)]));
        assert_eq!(order(&index, "unix"), pairs(&[]));
    }

    #[test]
    fn modules_that_need_each_other_end() {
        let mut index = ModuleIndex::new("6").unwrap();
        index.add_module(module("a", &["b"], &["b"], &["b"])).unwrap();
        index.add_module(module("b", &["a"], &[], &[])).unwrap();
        assert_eq!(order(&index, "a").len(), 2);
    }

    #[test]
    fn an_index_survives_its_text() {
        let index = sample();
        let text = index.render();
        assert_eq!(ModuleIndex::parse(&text).unwrap(), index);
        assert!(text.starts_with("muster-modules 1 6.1.0-56-amd64\nb unix\nm crc32c_generic "));
        assert!(text.contains("\nm ipmi_si kernel/drivers/ipmi-si.ko.zst hid - e1000\n"));
    }

    #[test]
    fn what_cannot_be_used_is_refused_when_it_is_read() {
        let header = "muster-modules 1 6.1";
        for (text, error) in [
            (String::new(), IndexError::Header),
            ("muster-modules 2 6.1".to_owned(), IndexError::Header),
            (format!("{header}\nx y"), IndexError::Line(2)),
            (format!("{header}\nb a b"), IndexError::Line(2)),
            (format!("{header}\nm a p.ko -"), IndexError::Line(2)),
            (format!("{header}\nm a ../../x.ko - - -"), IndexError::Path("../../x.ko".to_owned())),
            (format!("{header}\nm a /x.ko - - -"), IndexError::Path("/x.ko".to_owned())),
            (format!("{header}\nb a/b"), IndexError::Name("a/b".to_owned())),
            (
                format!("{header}\nm a a.ko b - -"),
                IndexError::Unknown { user: "a".to_owned(), name: "b".to_owned() },
            ),
            (
                format!("{header}\na pci:* b"),
                IndexError::Unknown { user: "pci:*".to_owned(), name: "b".to_owned() },
            ),
        ] {
            assert_eq!(ModuleIndex::parse(&text), Err(error), "{text}");
        }
    }

    #[test]
    fn patterns_match_as_fnmatch_does() {
        for (pattern, text, matches) in [
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c", "abcd", false),
            ("a*b*c", "axbxbxc", true),
            ("?", "", false),
            ("[!a]", "b", true),
            ("[!a]", "a", false),
            ("[]a]", "]", true),
            ("[a-", "a", false),
            ("**a", "ba", true),
            ("", "", true),
            ("", "a", false),
        ] {
            assert_eq!(glob(pattern.as_bytes(), text.as_bytes()), matches, "{pattern} {text}");
        }
    }

    #[test]
    fn a_pattern_made_to_be_slow_is_not() {
        let pattern = format!("{}b", "*a".repeat(2_000));
        let start = std::time::Instant::now();
        assert!(!glob(pattern.as_bytes(), "a".repeat(4_096).as_bytes()));
        assert!(start.elapsed().as_secs() < 5);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(muster-modules 1 6\n)?([bma] [ -~]{0,20}\n){0,6}") {
            if let Ok(index) = ModuleIndex::parse(&text) {
                prop_assert_eq!(ModuleIndex::parse(&index.render()).unwrap(), index);
            }
        }

        #[test]
        fn a_pattern_without_wildcards_matches_itself_only(a in "[a-z_]{1,8}", b in "[a-z_]{1,8}") {
            prop_assert_eq!(glob(a.as_bytes(), b.as_bytes()), a == b);
        }
    }
}
