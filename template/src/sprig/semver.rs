//! Versions and constraints on them, as Masterminds/semver reads both: `^1.2`, `~1.2.3`,
//! `>=1.2, <2 || 3.x`, `1.2 - 1.4`.

use crate::function::{Args, Function, Param};
use crate::receiver::{CallError, Receiver};
use crate::render::Rendering;
use crate::value::Value;
use std::any::Any;
use std::cmp::Ordering;
use std::fmt::{self, Display, Formatter};

use Param::Text;

pub(super) static FUNCTIONS: [Function; 2] = [
    Function::new("semver", &[Text], |_, a| Ok(Value::receiver(Version::parse(a.text(0)?)?))),
    Function::new("semverCompare", &[Text, Text], |_, a| {
        let constraint = Constraint::parse(a.text(0)?)?;
        Ok(constraint.holds(&Version::parse(a.text(1)?)?).into())
    }),
];

/// A version; missing parts are zero.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Version {
    numbers: [u64; 3],
    pre: String,
    metadata: String,
    original: String,
}

fn invalid() -> CallError {
    CallError::failed("Invalid Semantic Version")
}

/// Whether a text is identifiers with dots between them.
fn is_identifiers(text: &str) -> bool {
    text.split('.')
        .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'))
}

/// Parts of a version as written: up to three numbers or placeholders, pre-release, metadata.
struct Written<'t> {
    numbers: Vec<&'t str>,
    pre: Option<&'t str>,
    metadata: Option<&'t str>,
}

impl<'t> Written<'t> {
    fn parse(text: &'t str) -> Option<Written<'t>> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let (text, metadata) = match text.split_once('+') {
            Some((text, metadata)) => (text, Some(metadata)),
            None => (text, None),
        };
        let (numbers, pre) = match text.split_once('-') {
            Some((numbers, pre)) => (numbers, Some(pre)),
            None => (text, None),
        };
        let numbers: Vec<&str> = numbers.split('.').collect();
        let valid =
            numbers.len() <= 3 && pre.is_none_or(is_identifiers) && metadata.is_none_or(is_identifiers);
        valid.then_some(Written { numbers, pre, metadata })
    }
}

impl Version {
    fn parse(text: &str) -> Result<Version, CallError> {
        let written = Written::parse(text).ok_or_else(invalid)?;
        let mut numbers = [0; 3];
        for (number, text) in numbers.iter_mut().zip(&written.numbers) {
            if !text.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(invalid());
            }
            *number = text.parse().map_err(|_| invalid())?;
        }
        let pre = written.pre.unwrap_or_default();
        let leading_zero =
            |part: &str| part.len() > 1 && part.starts_with('0') && part.bytes().all(|b| b.is_ascii_digit());
        if pre.split('.').any(leading_zero) {
            return Err(CallError::failed("Version segment starts with 0"));
        }
        Ok(Version {
            numbers,
            pre: pre.to_owned(),
            metadata: written.metadata.unwrap_or_default().to_owned(),
            original: text.to_owned(),
        })
    }

    fn compare(&self, other: &Version) -> Ordering {
        self.numbers.cmp(&other.numbers).then_with(|| match (self.pre.is_empty(), other.pre.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => compare_pre(&self.pre, &other.pre),
        })
    }

    fn number(&self, index: usize) -> Value {
        let number = self.numbers.get(index).copied().unwrap_or_default();
        Value::Int64(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl Display for Version {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.numbers;
        write!(f, "{major}.{minor}.{patch}")?;
        if !self.pre.is_empty() {
            write!(f, "-{}", self.pre)?;
        }
        if !self.metadata.is_empty() {
            write!(f, "+{}", self.metadata)?;
        }
        Ok(())
    }
}

fn compare_pre(left: &str, right: &str) -> Ordering {
    let (mut left, mut right) = (left.split('.'), right.split('.'));
    loop {
        let order = match (left.next(), right.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(left), Some(right)) => match (left.parse::<u64>(), right.parse::<u64>()) {
                (Ok(left), Ok(right)) => left.cmp(&right),
                (Ok(_), Err(_)) => Ordering::Less,
                (Err(_), Ok(_)) => Ordering::Greater,
                (Err(_), Err(_)) => left.cmp(right),
            },
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

impl Receiver for Version {
    fn type_name(&self) -> &str {
        "*semver.Version"
    }

    fn field(&self, _: &str) -> Option<Value> {
        None
    }

    fn call(&self, name: &str, args: &[Value], _: &mut Rendering) -> Option<Result<Value, CallError>> {
        let compared = |wanted: fn(Ordering) -> bool| {
            let other = version_of(Args(args).any(0));
            let other = other.ok_or_else(|| CallError::Failed(format!("{name} wants another version")))?;
            Ok(wanted(self.compare(&other)).into())
        };
        match name {
            "Major" => Some(Ok(self.number(0))),
            "Minor" => Some(Ok(self.number(1))),
            "Patch" => Some(Ok(self.number(2))),
            "Prerelease" => Some(Ok(self.pre.clone().into())),
            "Metadata" => Some(Ok(self.metadata.clone().into())),
            "Original" => Some(Ok(self.original.clone().into())),
            "String" => Some(Ok(self.to_string().into())),
            "Equal" => Some(compared(Ordering::is_eq)),
            "LessThan" => Some(compared(Ordering::is_lt)),
            "GreaterThan" => Some(compared(Ordering::is_gt)),
            _ => None,
        }
    }

    fn plain(&self) -> Option<Value> {
        Some(self.to_string().into())
    }
}

fn version_of(value: &Value) -> Option<Version> {
    let Value::Receiver(receiver) = value else { return None };
    let any: &dyn Any = receiver.as_ref();
    any.downcast_ref::<Version>().cloned()
}

/// Alternatives, each of which is conditions that hold together.
struct Constraint(Vec<Vec<Condition>>);

/// What a condition compares by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    Not,
    Greater,
    Less,
    AtLeast,
    AtMost,
    Tilde,
    Caret,
}

/// Longer ones first, for they begin with the shorter.
const OPERATORS: [(&str, Operator); 11] = [
    ("!=", Operator::Not),
    (">=", Operator::AtLeast),
    ("=>", Operator::AtLeast),
    ("<=", Operator::AtMost),
    ("=<", Operator::AtMost),
    ("~>", Operator::Tilde),
    (">", Operator::Greater),
    ("<", Operator::Less),
    ("~", Operator::Tilde),
    ("^", Operator::Caret),
    ("=", Operator::Equal),
];

struct Condition {
    operator: Operator,
    version: Version,
    /// How many numbers were written: fewer than three stand for a range.
    given: usize,
}

impl Constraint {
    fn parse(text: &str) -> Result<Constraint, CallError> {
        let alternatives: Result<Vec<_>, CallError> = text.split("||").map(alternative).collect();
        Ok(Constraint(alternatives?))
    }

    fn holds(&self, version: &Version) -> bool {
        self.0.iter().any(|conditions| conditions.iter().all(|condition| condition.holds(version)))
    }
}

fn improper(text: &str) -> CallError {
    CallError::Failed(format!("improper constraint: {text}"))
}

fn alternative(text: &str) -> Result<Vec<Condition>, CallError> {
    let mut conditions = Vec::new();
    let mut rest = text.trim_start();
    loop {
        let found = OPERATORS.iter().find(|(sign, _)| rest.starts_with(sign));
        let (sign, operator) = found.copied().unwrap_or(("", Operator::Equal));
        rest = rest.get(sign.len()..).unwrap_or_default().trim_start();
        let end = rest.find(|c: char| c == ',' || c == '|' || c.is_whitespace()).unwrap_or(rest.len());
        let (version, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
        let condition = Condition::parse(operator, version).ok_or_else(|| improper(text))?;
        let after = after.trim_start();
        // A hyphen between two versions is a range.
        match after
            .strip_prefix('-')
            .filter(|after| sign.is_empty() && after.starts_with(char::is_whitespace))
        {
            Some(upper) => {
                let upper = upper.trim_start();
                let end = upper.find(|c: char| c == ',' || c.is_whitespace()).unwrap_or(upper.len());
                let (version, after) = upper.split_at_checked(end).unwrap_or((upper, ""));
                conditions.push(Condition { operator: Operator::AtLeast, ..condition });
                conditions.push(Condition::parse(Operator::AtMost, version).ok_or_else(|| improper(text))?);
                rest = after.trim_start();
            }
            None => {
                conditions.push(condition);
                rest = after;
            }
        }
        rest = rest.strip_prefix(',').map_or(rest, str::trim_start);
        if rest.is_empty() {
            return Ok(conditions);
        }
    }
}

impl Condition {
    fn parse(operator: Operator, text: &str) -> Option<Condition> {
        let written = Written::parse(text)?;
        let is_placeholder = |part: &str| matches!(part, "x" | "X" | "*");
        let given =
            written.numbers.iter().position(|part| is_placeholder(part)).unwrap_or(written.numbers.len());
        let mut numbers = [0; 3];
        for (number, text) in numbers.iter_mut().zip(written.numbers.iter().take(given)) {
            *number = text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))?;
        }
        let pre = written.pre.unwrap_or_default().to_owned();
        let version = Version { numbers, pre, metadata: String::new(), original: text.to_owned() };
        Some(Condition { operator, version, given })
    }

    fn holds(&self, version: &Version) -> bool {
        let order = version.compare(&self.version);
        let is_range = self.given < 3;
        // Pre-releases are only meant where one is named.
        if !version.pre.is_empty()
            && self.version.pre.is_empty()
            && (self.operator != Operator::Not || is_range)
        {
            return false;
        }
        match self.operator {
            Operator::Equal if is_range => self.tilde(version, order),
            Operator::Equal => order.is_eq(),
            Operator::Not if is_range => !self.same(version, self.given.max(1)) || self.given == 3,
            Operator::Not => order.is_ne(),
            Operator::Greater if is_range => self.beyond(version),
            Operator::Greater => order.is_gt(),
            Operator::Less => order.is_lt(),
            Operator::AtLeast => order.is_ge(),
            Operator::AtMost if is_range => self.up_to(version),
            Operator::AtMost => order.is_le(),
            Operator::Tilde => self.tilde(version, order),
            Operator::Caret => self.caret(version, order),
        }
    }

    /// Whether the first numbers are the same.
    fn same(&self, version: &Version, count: usize) -> bool {
        version.numbers.iter().zip(&self.version.numbers).take(count).all(|(left, right)| left == right)
    }

    /// `>1` is not met by 1.5.
    fn beyond(&self, version: &Version) -> bool {
        let [major, minor, _] = version.numbers;
        let [least_major, least_minor, _] = self.version.numbers;
        match self.given {
            2 => (major, minor) > (least_major, least_minor),
            1 => major > least_major,
            _ => version.compare(&self.version).is_gt(),
        }
    }

    /// `<=1` is met by 1.5.
    fn up_to(&self, version: &Version) -> bool {
        let [major, minor, _] = version.numbers;
        let [most_major, most_minor, _] = self.version.numbers;
        major < most_major || (major == most_major && (self.given == 1 || minor <= most_minor))
    }

    fn tilde(&self, version: &Version, order: Ordering) -> bool {
        if order.is_lt() {
            return false;
        }
        let is_any = self.version.numbers == [0; 3] && !matches!(self.given, 1 | 2);
        is_any || self.same(version, self.given.clamp(1, 2))
    }

    fn caret(&self, version: &Version, order: Ordering) -> bool {
        let [major, minor, _] = self.version.numbers;
        if order.is_lt() {
            return false;
        }
        if major > 0 || self.given == 1 {
            return self.same(version, 1);
        }
        if minor > 0 || self.given == 2 {
            return self.same(version, 2);
        }
        self.same(version, 3)
    }
}
