//! What a list is asked for: filters, order, part and shape, from the pairs of a query
//! (`spec/machine-model.md` 5.4). Total on any text.
//!
//! `Field=value` and `Field=Eq(value)` are the same; several filters must all hold. A name that is
//! no index is looked up in the object's params, where it has some.

mod holds;

use crate::index::{self, Index, ValueType};
use crate::natural;
use crate::problem::{Problem, ProblemKind};
use crate::time::Timestamp;
use protocol::model::{Kind, ZERO_TIME};
use regex::{Regex, RegexBuilder};
use serde_json::Value;
use std::net::IpAddr;
use uuid::Uuid;

/// Most filters of a query.
pub const MAX_FILTERS: usize = 64;
/// Largest compiled regular expression, in bytes.
const MAX_REGEX: usize = 256 * 1_024;
/// Most words of a search.
const MAX_WORDS: usize = 8;
/// Longest word of a search, in characters.
const MAX_WORD: usize = 128;
/// Longest place to go on from, in bytes.
const MAX_CURSOR: usize = 4_096;
/// Between the names of a list where their order is looked at.
pub const NAMES: &str = ",";
/// Deepest nesting of a regular expression.
const REGEX_NEST: u32 = 32;

/// What a list is asked for.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// All of these must hold.
    pub filters: Vec<Filter>,
    /// Indexes to order by, the first one first; by key when there is none.
    pub sort: Vec<&'static Index>,
    /// Last one first.
    pub reverse: bool,
    /// Most objects; none for all.
    pub limit: Option<usize>,
    /// How many to leave out at the beginning.
    pub offset: usize,
    /// Leave out the machine that the server itself is.
    pub exclude_self: bool,
    /// Words to search for in whatever a machine is known by: all must be there, in lower case. SQL
    /// looks for them (`crate::machine::search`), so [`Query::matches`] does not.
    pub search: Vec<String>,
    /// Where to go on: the place that the part before named.
    pub after: Option<String>,
    /// What is shown of each.
    pub shape: Shape,
}

/// What is shown of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shape {
    /// Fields to leave out.
    pub slim: Vec<String>,
    /// The params to keep; all when none are named.
    pub params: Option<Vec<String>>,
    /// Show what every source of params gives, not the object's own.
    pub aggregate: bool,
    /// Leave out what only the server sets.
    pub reduced: bool,
}

/// One condition.
#[derive(Debug, Clone)]
pub struct Filter {
    /// Of what.
    pub subject: Subject,
    /// Which.
    pub test: Test,
}

/// What a filter looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// An indexed field.
    Index(&'static Index),
    /// A param of the object.
    Param(String),
}

/// What must hold.
#[derive(Debug, Clone)]
pub enum Test {
    /// The same; for a list: all of them are in it.
    Eq(Vec<Operand>),
    /// The opposite of `Eq`.
    Ne(Vec<Operand>),
    /// Less.
    Lt(Operand),
    /// Less or the same.
    Lte(Operand),
    /// More.
    Gt(Operand),
    /// More or the same.
    Gte(Operand),
    /// From the first to the second, both included.
    Between(Operand, Operand),
    /// The opposite of `Between`.
    Except(Operand, Operand),
    /// One of them.
    In(Vec<Operand>),
    /// None of them.
    Nin(Vec<Operand>),
    /// Matches.
    Re(Regex),
}

/// A value that a filter compares with.
#[derive(Debug, Clone, PartialEq)]
pub enum Operand {
    /// Text.
    Text(String),
    /// True or false.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// A UUID; none for an empty one.
    Uuid(Option<Uuid>),
    /// An address; none for an empty one.
    Address(Option<IpAddr>),
    /// A time; what has not happened comes before all others.
    Time(Timestamp),
    /// Of a param: any JSON, and the text it was written as.
    Json(Value, String),
}

/// Reads the pairs of a list's query, decoded.
///
/// # Errors
/// [`ProblemKind::BadList`] with all that is wrong.
pub fn parse<'a>(kind: Kind, pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Query, Problem> {
    let mut reader = Reader { kind, query: Query::default(), wrong: Vec::new() };
    for (name, value) in pairs {
        if let Err(message) = reader.pair(name, value)
            && !reader.wrong.contains(&message)
        {
            reader.wrong.push(message);
        }
    }
    if reader.wrong.is_empty() {
        return Ok(reader.query);
    }
    Err(Problem {
        kind: ProblemKind::BadList,
        model: kind.prefix(),
        key: String::new(),
        messages: reader.wrong,
    })
}

/// Reads what a query says of one object's shape; the rest is for others.
///
/// # Errors
/// [`ProblemKind::BadList`] for a flag that is neither true nor false.
pub fn parse_shape<'a>(
    kind: Kind,
    pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<Shape, Problem> {
    let words = ["slim", "params", "aggregate", "reduced"];
    parse(kind, pairs.into_iter().filter(|(name, _)| words.contains(name))).map(|query| query.shape)
}

struct Reader {
    kind: Kind,
    query: Query,
    wrong: Vec<String>,
}

impl Reader {
    fn pair(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "limit" => self.query.limit = Some(count(name, value)?).filter(|limit| *limit > 0),
            "offset" => self.query.offset = count(name, value)?,
            "sort" => self.sort(value)?,
            "reverse" => self.query.reverse = flag(name, value)?,
            "exclude-self" => self.query.exclude_self = flag(name, value)?,
            "q" if self.kind == Kind::Machines => self.search(value)?,
            "after" if matches!(self.kind, Kind::Machines | Kind::Jobs) => self.after(value)?,
            "slim" => self.query.shape.slim.extend(words(value)),
            "params" => self.query.shape.params.get_or_insert_default().extend(words(value)),
            "aggregate" => self.query.shape.aggregate = flag(name, value)?,
            "reduced" => self.query.shape.reduced = flag(name, value)?,
            // Understood, and without an effect here.
            "decode" | "expand" | "commented" | "group-by" | "range-only" | "filter" | "raw" | "force"
            | "token" | "Token" | "" => {}
            _ => self.filter(name, value)?,
        }
        Ok(())
    }

    fn sort(&mut self, value: &str) -> Result<(), String> {
        for name in words(value) {
            let index = index::find(self.kind, &name)
                .ok_or_else(|| format!("{} have no index {:?} to sort by", self.kind, cut(&name)))?;
            if index.unordered() {
                return Err(format!("{} cannot be sorted by {name}, which is a list", self.kind));
            }
            if !self.query.sort.contains(&index) {
                self.query.sort.push(index);
            }
        }
        Ok(())
    }

    fn search(&mut self, value: &str) -> Result<(), String> {
        let words: Vec<_> = value.split_whitespace().map(str::to_lowercase).collect();
        if words.len() + self.query.search.len() > MAX_WORDS {
            return Err(format!("q has more than {MAX_WORDS} words; search for fewer"));
        }
        if let Some(word) = words.iter().find(|word| word.chars().count() > MAX_WORD) {
            return Err(format!("q has a word of more than {MAX_WORD} characters: {:?}", cut(word)));
        }
        self.query.search.extend(words);
        Ok(())
    }

    fn after(&mut self, value: &str) -> Result<(), String> {
        if value.len() > MAX_CURSOR {
            return Err("after is not what a list named as its next part".to_owned());
        }
        self.query.after = Some(value.to_owned()).filter(|after| !after.is_empty());
        Ok(())
    }

    fn filter(&mut self, name: &str, value: &str) -> Result<(), String> {
        if self.query.filters.len() >= MAX_FILTERS {
            return Err(format!("the query has more than {MAX_FILTERS} filters; ask for less at once"));
        }
        let param = name.strip_prefix("Params.");
        let subject = match (param, index::find(self.kind, name)) {
            (None, Some(index)) => Subject::Index(index),
            (param, _) if index::has_params(self.kind) => Subject::Param(param.unwrap_or(name).to_owned()),
            _ => return Err(format!("{} have no index {:?}", self.kind, cut(name))),
        };
        let test = test(&subject, value)?;
        self.query.filters.push(Filter { subject, test });
        Ok(())
    }
}

/// A flag as Go and Python write it.
///
/// # Errors
/// A sentence, for any other text.
pub fn flag(name: &str, value: &str) -> Result<bool, String> {
    boolean(value).ok_or_else(|| format!("{name} must be true or false, not {:?}", cut(value)))
}

/// True or false as Go and Python write it; none for any other text.
pub fn boolean(value: &str) -> Option<bool> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

fn count(name: &str, value: &str) -> Result<usize, String> {
    value.parse().map_err(|_| format!("{name} must be a number from 0 on, not {:?}", cut(value)))
}

fn words(value: &str) -> impl Iterator<Item = String> {
    value.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned)
}

fn cut(text: &str) -> String {
    text.chars().take(80).collect()
}

/// `Name(arguments)` of a known function; everything else is a value.
fn function(value: &str) -> (&str, &str) {
    let known = ["Eq", "Ne", "Lt", "Lte", "Gt", "Gte", "Between", "Except", "In", "Nin", "Re"];
    match value.strip_suffix(')').and_then(|value| value.split_once('(')) {
        Some((name, arguments)) if known.contains(&name) => (name, arguments),
        Some(_) | None => ("Eq", value),
    }
}

fn test(subject: &Subject, value: &str) -> Result<Test, String> {
    let (name, arguments) = function(value);
    let ordered = !matches!(subject, Subject::Index(index) if index.is_list());
    if !ordered && !matches!(name, "Eq" | "Ne" | "In" | "Nin") {
        return Err(format!("{name} does not go with {}, which is a list", subject.name()));
    }
    let one = || subject.operand(arguments);
    let many =
        || arguments.split(',').map(|each| subject.operand(each.trim())).collect::<Result<Vec<_>, _>>();
    let equals = || if ordered { one().map(|operand| vec![operand]) } else { many() };
    let two = || match arguments.split_once(',') {
        Some((low, high)) => Ok((subject.operand(low.trim())?, subject.operand(high.trim())?)),
        None => Err(format!("{name} takes two values: {name}(LOW,HIGH)")),
    };
    Ok(match name {
        "Ne" => Test::Ne(equals()?),
        "Lt" => Test::Lt(one()?),
        "Lte" => Test::Lte(one()?),
        "Gt" => Test::Gt(one()?),
        "Gte" => Test::Gte(one()?),
        "Between" => two().map(|(low, high)| Test::Between(low, high))?,
        "Except" => two().map(|(low, high)| Test::Except(low, high))?,
        "In" => Test::In(many()?),
        "Nin" => Test::Nin(many()?),
        "Re" => Test::Re(expression(subject, arguments)?),
        _ => Test::Eq(equals()?),
    })
}

fn expression(subject: &Subject, text: &str) -> Result<Regex, String> {
    if let Subject::Index(index) = subject
        && !index.regex()
    {
        return Err(format!("Re does not go with {}, which holds no text", index.name));
    }
    RegexBuilder::new(text)
        .size_limit(MAX_REGEX)
        .dfa_size_limit(MAX_REGEX)
        .nest_limit(REGEX_NEST)
        .build()
        .map_err(|_| format!("{:?} is no regular expression, or too large a one", cut(text)))
}

impl Subject {
    /// As queries name it.
    fn name(&self) -> &str {
        match self {
            Self::Index(index) => index.name,
            Self::Param(name) => name,
        }
    }

    fn operand(&self, text: &str) -> Result<Operand, String> {
        let Self::Index(index) = self else {
            let json = serde_json::from_str(text).unwrap_or_else(|_| Value::from(text));
            return Ok(Operand::Json(json, text.to_owned()));
        };
        let wrong = |what: &str| format!("{} is {what}, and {:?} is none", index.name, cut(text));
        match index.values {
            ValueType::Text | ValueType::List | ValueType::Names => Ok(Operand::Text(text.to_owned())),
            ValueType::Natural => Ok(Operand::Text(natural::key(text))),
            ValueType::Boolean => {
                boolean(text).map(Operand::Boolean).ok_or_else(|| wrong("true or false, a boolean"))
            }
            ValueType::Integer => text.parse().map(Operand::Integer).map_err(|_| wrong("a whole number")),
            ValueType::Uuid => {
                optional(text, |text| text.parse().ok()).map(Operand::Uuid).ok_or_else(|| wrong("a UUID"))
            }
            ValueType::Address => optional(text, |text| text.parse().ok())
                .map(Operand::Address)
                .ok_or_else(|| wrong("an IP address")),
            ValueType::Time => {
                moment(text).map(Operand::Time).ok_or_else(|| wrong("a time such as 2026-11-22T01:21:41Z"))
            }
        }
    }
}

/// Empty for nothing, else what `read` makes of it.
fn optional<T>(text: &str, read: impl Fn(&str) -> Option<T>) -> Option<Option<T>> {
    if text.is_empty() { Some(None) } else { read(text).map(Some) }
}

/// A time; nothing and Go's zero time are the first one.
fn moment(text: &str) -> Option<Timestamp> {
    if text.is_empty() || text == ZERO_TIME { Some(Timestamp::EPOCH) } else { text.parse().ok() }
}

#[cfg(test)]
mod tests;
