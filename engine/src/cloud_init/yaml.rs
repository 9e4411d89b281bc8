//! YAML as cloud-init reads it: what a role's template yields, within limits.
//!
//! cloud-init's reader is PyYAML, which knows YAML 1.1: `yes` and `off` are booleans and `0644` is octal.
//! Readers of YAML 1.2 take them for texts, so plain scalars are resolved here. Where PyYAML makes a time of
//! day or a date of a plain scalar we keep the text: that is what authors mean.
//!
//! A few kilobytes of aliases can stand for gigabytes, so whatever they stand for is counted before it is
//! copied.

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, Tag};
use serde_json::{Map, Number, Value};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Longest document, in bytes.
pub const MAX_DOCUMENT: usize = 1_024 * 1_024;
/// How deep lists and maps may lie in each other.
pub const MAX_DEPTH: usize = 64;
/// Most values of a document, with what its aliases stand for.
pub const MAX_VALUES: usize = 100_000;
/// How many values aliases may stand for, for each one that is written (`spec/security.md` 6), and what
/// every document may have.
const MAX_EXPANSION: usize = 10;
const FREE_EXPANSION: usize = 10_000;
/// Most bytes of its texts, with what its aliases stand for.
const MAX_EXPANDED: usize = 4 * MAX_DOCUMENT;
/// Longest key, in bytes: half of what YAML takes without an explicit mark.
const MAX_KEY: usize = 512;
/// As much of a key as a message shows, in characters.
const MAX_SHOWN: usize = 64;
/// The prefix of YAML's own tags.
const CORE: &str = "tag:yaml.org,2002:";

/// Why a text is no document of configuration. Never with values in it, which may be secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum YamlError {
    /// Longer than [`MAX_DOCUMENT`].
    #[error("{0} bytes are more than the {MAX_DOCUMENT} that a document may have")]
    TooLong(usize),
    /// No YAML.
    #[error("line {line}: {why}")]
    Syntax {
        /// Counted from 1.
        line: usize,
        /// In words.
        why: String,
    },
    /// YAML that is not understood here.
    #[error("line {line}: {what} is not understood; {instead}")]
    Unknown {
        /// Counted from 1.
        line: usize,
        /// What.
        what: String,
        /// What to write.
        instead: &'static str,
    },
    /// A key that comes twice in one map.
    #[error("line {line}: the key {key:?} is there twice")]
    Twice {
        /// Counted from 1.
        line: usize,
        /// Which.
        key: String,
    },
    /// Deeper than [`MAX_DEPTH`].
    #[error("line {0}: lists and maps lie more than {MAX_DEPTH} deep in each other")]
    Depth(usize),
    /// Aliases stand for more than [`MAX_EXPANSION`] times what is written.
    #[error(
        "line {0}: aliases stand for more than {MAX_EXPANSION} times what is written and more than \
         {FREE_EXPANSION} values; write out what they stand for"
    )]
    Expansion(usize),
    /// More than [`MAX_VALUES`] or [`MAX_EXPANDED`].
    #[error(
        "line {0}: more than {MAX_VALUES} values or {MAX_EXPANDED} bytes, with what aliases stand for; \
         write less"
    )]
    Size(usize),
    /// Something else than a map at the top.
    #[error("the document is no map of keys, such as `packages: [nginx]`")]
    NoMap,
}

/// Reads one document: a map. An empty one is an empty map.
///
/// # Errors
/// [`YamlError`], with the line.
pub fn read(text: &str) -> Result<Map<String, Value>, YamlError> {
    if text.len() > MAX_DOCUMENT {
        return Err(YamlError::TooLong(text.len()));
    }
    let mut reader = Reader::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| syntax(&error))?;
        reader.take(event, line_of(&span))?;
    }
    match reader.document.map(|node| node.value) {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(map)) => Ok(map),
        Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => Err(YamlError::NoMap),
    }
}

fn line_of(span: &Span) -> usize {
    span.start.line()
}

fn syntax(error: &ScanError) -> YamlError {
    YamlError::Syntax { line: error.marker().line(), why: error.info().to_owned() }
}

/// A value that is complete.
#[derive(Debug, Clone)]
struct Node {
    value: Value,
    /// How many values it has in it, itself among them.
    values: usize,
    /// Bytes of its texts.
    bytes: usize,
    /// How deep it goes: 1 for a scalar.
    depth: usize,
}

impl Node {
    fn scalar(value: Value) -> Self {
        let bytes = value.as_str().map_or(0, str::len);
        Self { value, values: 1, bytes, depth: 1 }
    }
}

/// A list or map that is being read.
#[derive(Debug)]
struct Open {
    within: Within,
    anchor: usize,
    values: usize,
    bytes: usize,
    depth: usize,
}

#[derive(Debug)]
enum Within {
    List(Vec<Value>),
    /// With the key whose value comes next.
    Map(Map<String, Value>, Option<String>),
}

#[derive(Debug, Default)]
struct Reader {
    open: Vec<Open>,
    anchors: BTreeMap<usize, Node>,
    document: Option<Node>,
    documents: usize,
    /// Values that are written, and those that aliases stood for, so far.
    written: usize,
    aliased: usize,
    /// What was made so far, what anchors keep included.
    values: usize,
    bytes: usize,
}

impl Reader {
    fn take(&mut self, event: Event<'_>, line: usize) -> Result<(), YamlError> {
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) => {
                self.documents += 1;
                match self.documents {
                    1 => Ok(()),
                    _ => Err(unknown(line, "a second document", "leave the line --- out")),
                }
            }
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor).cloned() else {
                    let instead = "an anchor must be complete before it is named";
                    return Err(unknown(line, "this alias", instead));
                };
                self.expand(&node, line)?;
                self.charge(&node, line)?;
                self.place(node, line)
            }
            Event::Scalar(text, style, anchor, tag) => {
                let value = scalar(text, style, tag.as_deref(), line)?;
                let node = Node::scalar(value);
                self.written += 1;
                self.charge(&node, line)?;
                self.keep(anchor, &node, line)?;
                self.place(node, line)
            }
            Event::SequenceStart(anchor, tag) => {
                collection_tag(tag.as_deref(), "seq", line)?;
                self.begin(Within::List(Vec::new()), anchor, line)
            }
            Event::MappingStart(anchor, tag) => {
                collection_tag(tag.as_deref(), "map", line)?;
                self.begin(Within::Map(Map::new(), None), anchor, line)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(line),
        }
    }

    fn begin(&mut self, within: Within, anchor: usize, line: usize) -> Result<(), YamlError> {
        if self.open.len() >= MAX_DEPTH {
            return Err(YamlError::Depth(line));
        }
        // A list or map cannot be a key.
        if let Some(Open { within: Within::Map(_, None), .. }) = self.open.last() {
            return Err(unknown(line, "a list or map as a key", "use a text"));
        }
        self.open.push(Open { within, anchor, values: 0, bytes: 0, depth: 0 });
        Ok(())
    }

    fn end(&mut self, line: usize) -> Result<(), YamlError> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let value = match open.within {
            Within::List(list) => Value::Array(list),
            Within::Map(map, _) => Value::Object(map),
        };
        let node = Node { value, values: open.values + 1, bytes: open.bytes, depth: open.depth + 1 };
        self.written += 1;
        self.spend(1, 0, line)?;
        self.keep(open.anchor, &node, line)?;
        self.place(node, line)
    }

    /// What an alias stands for, against what was written so far.
    fn expand(&mut self, node: &Node, line: usize) -> Result<(), YamlError> {
        self.aliased = self.aliased.saturating_add(node.values);
        let limit = self.written.saturating_mul(MAX_EXPANSION).max(FREE_EXPANSION);
        if self.aliased > limit { Err(YamlError::Expansion(line)) } else { Ok(()) }
    }

    fn charge(&mut self, node: &Node, line: usize) -> Result<(), YamlError> {
        self.spend(node.values, node.bytes, line)
    }

    fn spend(&mut self, values: usize, bytes: usize, line: usize) -> Result<(), YamlError> {
        self.values = self.values.saturating_add(values);
        self.bytes = self.bytes.saturating_add(bytes);
        if self.values > MAX_VALUES || self.bytes > MAX_EXPANDED {
            Err(YamlError::Size(line))
        } else {
            Ok(())
        }
    }

    /// Keeps a copy for aliases, which costs as much as it takes.
    fn keep(&mut self, anchor: usize, node: &Node, line: usize) -> Result<(), YamlError> {
        if anchor > 0 {
            self.charge(node, line)?;
            self.anchors.insert(anchor, node.clone());
        }
        Ok(())
    }

    /// Puts a complete value where it belongs.
    fn place(&mut self, node: Node, line: usize) -> Result<(), YamlError> {
        if self.open.len() + node.depth > MAX_DEPTH {
            return Err(YamlError::Depth(line));
        }
        let Some(open) = self.open.last_mut() else {
            self.document = Some(node);
            return Ok(());
        };
        open.values = open.values.saturating_add(node.values);
        open.bytes = open.bytes.saturating_add(node.bytes);
        open.depth = open.depth.max(node.depth);
        match &mut open.within {
            Within::List(list) => list.push(node.value),
            Within::Map(map, next) => match next.take() {
                Some(key) => drop(map.insert(key, node.value)),
                None => {
                    let key = key_of(node.value, line)?;
                    if map.contains_key(&key) {
                        return Err(YamlError::Twice { line, key: key.chars().take(MAX_SHOWN).collect() });
                    }
                    *next = Some(key);
                }
            },
        }
        Ok(())
    }
}

fn unknown(line: usize, what: &str, instead: &'static str) -> YamlError {
    YamlError::Unknown { line, what: what.to_owned(), instead }
}

/// The text of a key. One that means something else than a text is refused: readers differ over it.
fn key_of(value: Value, line: usize) -> Result<String, YamlError> {
    let key = match value {
        Value::String(key) => key,
        Value::Bool(_) | Value::Number(_) | Value::Null => {
            return Err(unknown(line, "a key that is no text", "put it in quotes"));
        }
        Value::Array(_) | Value::Object(_) => {
            return Err(unknown(line, "a list or map as a key", "use a text"));
        }
    };
    if key == "<<" {
        return Err(unknown(line, "the merge key <<", "write the keys out"));
    }
    if key.len() > MAX_KEY {
        return Err(unknown(line, "a key of this length", "at most 512 bytes are taken"));
    }
    Ok(key)
}

fn collection_tag(tag: Option<&Tag>, own: &str, line: usize) -> Result<(), YamlError> {
    match tag {
        None => Ok(()),
        Some(tag) if tag.handle == CORE && tag.suffix == own => Ok(()),
        Some(tag) => Err(of_tag(tag, line)),
    }
}

fn of_tag(tag: &Tag, line: usize) -> YamlError {
    let instead = "leave it out; binary contents go into write_files with encoding: b64";
    let shown: String = format!("{}{}", tag.handle, tag.suffix).chars().take(MAX_SHOWN).collect();
    YamlError::Unknown { line, what: format!("the tag {shown:?}"), instead }
}

fn scalar(
    text: Cow<'_, str>,
    style: ScalarStyle,
    tag: Option<&Tag>,
    line: usize,
) -> Result<Value, YamlError> {
    let plain = match tag {
        None => style == ScalarStyle::Plain,
        Some(tag)
            if tag.handle.is_empty() && tag.suffix == "!" || tag.handle == "!" && tag.suffix.is_empty() =>
        {
            false
        }
        Some(tag) if tag.handle == CORE => match tag.suffix.as_str() {
            "str" => false,
            "int" | "bool" | "float" | "null" => true,
            _ => return Err(of_tag(tag, line)),
        },
        Some(tag) => return Err(of_tag(tag, line)),
    };
    Ok(if plain { resolve(&text) } else { Value::String(text.into_owned()) })
}

/// What a plain scalar means in YAML 1.1.
pub(super) fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => return Value::Bool(true),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Value::Bool(false);
        }
        _ => {}
    }
    whole(text).or_else(|| fraction(text)).map_or_else(|| Value::String(text.to_owned()), Value::Number)
}

/// A whole number: decimal, octal with a 0 in front, hexadecimal or binary, with underscores anywhere.
fn whole(text: &str) -> Option<Number> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let (radix, digits) = if let Some(hexadecimal) = digits.strip_prefix("0x") {
        (16, hexadecimal)
    } else if let Some(binary) = digits.strip_prefix("0b") {
        (2, binary)
    } else if let Some(octal) = digits.strip_prefix('0').filter(|rest| !rest.is_empty()) {
        (8, octal)
    } else {
        (10, digits)
    };
    let bare: String = digits.chars().filter(|c| *c != '_').collect();
    if bare.is_empty() || !bare.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    let sign = if negative { "-" } else { "" };
    let signed = format!("{sign}{bare}");
    match i64::from_str_radix(&signed, radix) {
        Ok(number) => Some(number.into()),
        Err(_) => u64::from_str_radix(&signed, radix).ok().map(Number::from),
    }
}

/// A number with a point, as PyYAML wants one: `1.5`, `.5` without a sign, `1.5e+3`.
fn fraction(text: &str) -> Option<Number> {
    let bare: String = text.chars().filter(|c| *c != '_').collect();
    let unsigned = bare.strip_prefix(['-', '+']).unwrap_or(&bare);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (before, after) = mantissa.split_once('.')?;
    let is_number = digits(before)
        && digits(after)
        && !(before.is_empty() && (after.is_empty() || unsigned.len() < bare.len()));
    let is_exponent = exponent.is_none_or(|text| {
        text.strip_prefix(['-', '+']).is_some_and(|number| !number.is_empty() && digits(number))
    });
    if !is_number || !is_exponent || text.starts_with('_') {
        return None;
    }
    bare.parse::<f64>().ok().and_then(Number::from_f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(text: &str) -> String {
        read(text).unwrap_err().to_string()
    }

    #[test]
    fn plain_scalars_mean_what_they_mean_to_cloud_init() {
        for (text, value) in [
            ("yes", json!(true)),
            ("Off", json!(false)),
            ("~", Value::Null),
            ("0644", json!(420)),
            ("0x1F", json!(31)),
            ("0b101", json!(5)),
            ("1_000", json!(1000)),
            ("-7", json!(-7)),
            ("18446744073709551615", json!(18_446_744_073_709_551_615_u64)),
            ("1.5", json!(1.5)),
            ("1.5e+3", json!(1500.0)),
            (".5", json!(0.5)),
            ("-.5", json!("-.5")),
            ("1e3", json!("1e3")),
            ("0o17", json!("0o17")),
            ("089", json!("089")),
            ("12:30:45", json!("12:30:45")),
            ("2032-09-01", json!("2032-09-01")),
            ("1.2.3", json!("1.2.3")),
            (".", json!(".")),
            ("y", json!("y")),
            ("99999999999999999999999", json!("99999999999999999999999")),
            ("'yes'", json!("yes")),
            ("\"0644\"", json!("0644")),
            ("!!str 5", json!("5")),
            ("!!int \"5\"", json!(5)),
        ] {
            assert_eq!(
                read(&format!("k: {text}")).unwrap(),
                *json!({"k": value}).as_object().unwrap(),
                "{text}"
            );
        }
    }

    #[test]
    fn documents_are_maps_with_blocks_and_aliases() {
        let text =
            "#cloud-config\nusers:\n  - &me {name: eve, groups: [a, b]}\n  - *me\nruncmd:\n- |\n  a\n   b\n";
        assert_eq!(
            Value::Object(read(text).unwrap()),
            json!({"users": [{"name": "eve", "groups": ["a", "b"]}, {"name": "eve", "groups": ["a", "b"]}],
                   "runcmd": ["a\n b\n"]})
        );
        assert!(read("").unwrap().is_empty() && read("#cloud-config\n").unwrap().is_empty());
        for text in ["- a", "just text", "5"] {
            assert_eq!(read(text), Err(YamlError::NoMap), "{text}");
        }
    }

    #[test]
    fn what_is_not_understood_is_told_with_its_line() {
        assert!(told("a: 1\nb: [1").starts_with("line "), "{}", told("a: 1\nb: [1"));
        assert_eq!(told("a: 1\na: 2"), "line 2: the key \"a\" is there twice");
        assert!(told("a: 1\n---\nb: 2").contains("a second document"));
        assert!(told("x: &x {a: 1}\ny: {<<: *x}").contains("the merge key <<"));
        assert!(told("a: !!binary aGk=").contains("encoding: b64"));
        assert!(told("a: !!python/object:os.system x").contains("is not understood"));
        assert!(told("1: a").contains("put it in quotes"));
        assert!(told("? [a]\n: b").contains("a list or map as a key"));
        assert!(told("a: *nobody").starts_with("line 1"));
        assert!(told(&format!("{}: x", "k".repeat(600))).contains("a key of this length"));
    }

    #[test]
    fn bombs_are_counted_before_they_go_off() {
        let mut lines = vec!["a0: &a0 [x,x,x,x,x,x,x,x,x,x]".to_owned()];
        for at in 1..12 {
            let of = vec![format!("*a{}", at - 1); 10].join(",");
            lines.push(format!("a{at}: &a{at} [{of}]"));
        }
        assert!(matches!(read(&lines.join("\n")), Err(YamlError::Expansion(4))));
        let many = format!("a: [{}]", "1,".repeat(MAX_VALUES));
        assert!(matches!(read(&many), Err(YamlError::Size(1))));
        let long = format!("a: &a {}\nb: [{}]", "x".repeat(100_000), vec!["*a"; 100].join(","));
        assert!(matches!(read(&long), Err(YamlError::Size(2))));
        let deep = format!("a: {}1{}", "[".repeat(70), "]".repeat(70));
        assert!(matches!(read(&deep), Err(YamlError::Depth(1))));
        let mut chain = "a0: &a0 [1]\n".to_owned();
        for at in 1..70 {
            chain.push_str(&format!("a{at}: &a{at} [*a{}]\n", at - 1));
        }
        assert!(matches!(read(&chain), Err(YamlError::Depth(_))));
        let kept = format!("a: {}{}{}", "&x [".repeat(60), "1,".repeat(50_000), "]".repeat(60));
        assert!(read(&kept).is_err());
        assert!(matches!(read(&"a".repeat(MAX_DOCUMENT + 1)), Err(YamlError::TooLong(_))));
        assert!(read("a: &a [*a]").is_err());
    }
}
