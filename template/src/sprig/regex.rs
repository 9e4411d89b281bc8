//! Regular expressions, in time linear to the text; each search is paid for.

use super::regex_syntax::translate;
use crate::function::{Args, Function, Param};
use crate::receiver::CallError;
use crate::render::Rendering;
use crate::value::Value;
use regex::{Captures, NoExpand, Regex, RegexBuilder, Replacer};
use std::collections::HashMap;

use Param::{Int, Text};

type Outcome = Result<Value, CallError>;

/// Sizes of a compiled expression in bytes, and what a byte of text costs in steps at each: large
/// ones are slow.
const SIZES: [(usize, u64); 3] = [(32 * 1_024, 1), (128 * 1_024, 8), (512 * 1_024, 32)];
/// Bytes that a search may remember what it found out about an expression.
const CACHE_SIZE: usize = 512 * 1_024;
/// How deep groups may be nested.
const MAX_NESTING: u32 = 64;
/// Longest pattern in bytes.
const MAX_PATTERN: usize = 4_096;
/// What compiling costs in steps.
const COMPILING: u64 = 10_000;
/// Expressions that a rendering remembers.
const MAX_KEPT: usize = 32;

pub(super) static FUNCTIONS: [Function; 13] = [
    Function::new("regexMatch", &[Text, Text], |r, a| match is_match(r, a) {
        // Sprig takes what is no expression for one that never matches.
        Err(CallError::Failed(_)) => Ok(false.into()),
        other => other,
    }),
    Function::new("mustRegexMatch", &[Text, Text], is_match),
    Function::new("regexFind", &[Text, Text], find),
    Function::new("mustRegexFind", &[Text, Text], find),
    Function::new("regexFindAll", &[Text, Text, Int], find_all),
    Function::new("mustRegexFindAll", &[Text, Text, Int], find_all),
    Function::new("regexReplaceAll", &[Text, Text, Text], replace_all),
    Function::new("mustRegexReplaceAll", &[Text, Text, Text], replace_all),
    Function::new("regexReplaceAllLiteral", &[Text, Text, Text], replace_all_literal),
    Function::new("mustRegexReplaceAllLiteral", &[Text, Text, Text], replace_all_literal),
    Function::new("regexSplit", &[Text, Text, Int], split),
    Function::new("mustRegexSplit", &[Text, Text, Int], split),
    Function::new("regexQuoteMeta", &[Text], |_, a| Ok(quote_meta(a.text(0)?).into())),
];

/// Compiled expressions of a rendering.
#[derive(Debug, Default)]
pub(crate) struct Regexes {
    kept: HashMap<String, (Regex, u64)>,
}

/// An expression and what a byte of text costs it.
struct Search {
    regex: Regex,
    cost: u64,
}

impl Search {
    fn of(rendering: &mut Rendering, pattern: &str) -> Result<Search, CallError> {
        if let Some((regex, cost)) = rendering.regexes().kept.get(pattern) {
            return Ok(Search { regex: regex.clone(), cost: *cost });
        }
        if pattern.len() > MAX_PATTERN {
            return Err(CallError::Limit(format!(
                "a regular expression of {} bytes: at most {MAX_PATTERN} are allowed",
                pattern.len()
            )));
        }
        let translated = translate(pattern).map_err(|problem| invalid(pattern, &problem))?;
        let mut found = Err(CallError::Failed(String::new()));
        for (size, cost) in SIZES {
            rendering.work(COMPILING * cost)?;
            found = compile(&translated, size, pattern).map(|regex| Search { regex, cost });
            if !matches!(found, Err(CallError::Limit(_))) {
                break;
            }
        }
        let search = found?;
        let kept = &mut rendering.regexes().kept;
        if kept.len() >= MAX_KEPT {
            kept.clear();
        }
        kept.insert(pattern.to_owned(), (search.regex.clone(), search.cost));
        Ok(search)
    }

    /// Pays for searching a text from a position on.
    fn pay(&self, rendering: &mut Rendering, text: &str, from: usize) -> Result<(), CallError> {
        let bytes = u64::try_from(text.len().saturating_sub(from)).unwrap_or(u64::MAX);
        rendering.work(bytes.saturating_mul(self.cost).saturating_add(4))
    }

    /// The places of up to so many matches, all of them when negative.
    fn places(
        &self,
        rendering: &mut Rendering,
        text: &str,
        most: i64,
    ) -> Result<Vec<(usize, usize)>, CallError> {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let mut places = Vec::new();
        let mut matches = self.regex.find_iter(text);
        let mut from = 0;
        while places.len() < most {
            // Each search may read the whole rest.
            self.pay(rendering, text, from)?;
            let Some(found) = matches.next() else { break };
            places.push((found.start(), found.end()));
            from = found.end();
        }
        Ok(places)
    }
}

fn compile(translated: &str, size: usize, pattern: &str) -> Result<Regex, CallError> {
    let built = RegexBuilder::new(translated)
        .size_limit(size)
        .dfa_size_limit(CACHE_SIZE)
        .nest_limit(MAX_NESTING)
        .build();
    built.map_err(|error| {
        if matches!(error, regex::Error::CompiledTooBig(_)) {
            return CallError::Limit(format!("the regular expression {:?} is too large", shown(pattern)));
        }
        invalid(pattern, &error.to_string())
    })
}

fn invalid(pattern: &str, problem: &str) -> CallError {
    let problem = problem.lines().last().unwrap_or_default().trim_start_matches("error: ");
    CallError::Failed(format!("{:?} is no regular expression: {problem}", shown(pattern)))
}

fn shown(pattern: &str) -> String {
    pattern.chars().take(80).collect()
}

fn is_match(rendering: &mut Rendering, args: Args<'_>) -> Outcome {
    let search = Search::of(rendering, args.text(0)?)?;
    search.pay(rendering, args.text(1)?, 0)?;
    Ok(search.regex.is_match(args.text(1)?).into())
}

fn find(rendering: &mut Rendering, args: Args<'_>) -> Outcome {
    let search = Search::of(rendering, args.text(0)?)?;
    search.pay(rendering, args.text(1)?, 0)?;
    Ok(search.regex.find(args.text(1)?).map_or("", |found| found.as_str()).into())
}

fn find_all(rendering: &mut Rendering, args: Args<'_>) -> Outcome {
    let search = Search::of(rendering, args.text(0)?)?;
    let text = args.text(1)?;
    let places = search.places(rendering, text, args.int(2)?)?;
    Ok(places.into_iter().map(|(start, end)| Value::from(text.get(start..end).unwrap_or_default())).collect())
}

fn replace_all(rendering: &mut Rendering, args: Args<'_>) -> Outcome {
    let template = args.text(2)?;
    replaced(rendering, args, |captures: &Captures<'_>, out: &mut String| captures.expand(template, out))
}

fn replace_all_literal(rendering: &mut Rendering, args: Args<'_>) -> Outcome {
    let mut literal = NoExpand(args.text(2)?);
    replaced(rendering, args, |captures: &Captures<'_>, out: &mut String| {
        literal.replace_append(captures, out)
    })
}

fn replaced(
    rendering: &mut Rendering,
    args: Args<'_>,
    mut append: impl FnMut(&Captures<'_>, &mut String),
) -> Outcome {
    let search = Search::of(rendering, args.text(0)?)?;
    let text = args.text(1)?;
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    let mut matches = search.regex.captures_iter(text);
    loop {
        // Groups are found by a slower search than places.
        search.pay(rendering, text, from)?;
        search.pay(rendering, text, from)?;
        let Some(captures) = matches.next() else { break };
        let Some(whole) = captures.get(0) else { break };
        out.push_str(text.get(from..whole.start()).unwrap_or_default());
        append(&captures, &mut out);
        rendering.check_length(out.len())?;
        from = whole.end();
    }
    out.push_str(text.get(from..).unwrap_or_default());
    Ok(out.into())
}

/// Go's `Regexp.Split`.
fn split(rendering: &mut Rendering, args: Args<'_>) -> Outcome {
    let (pattern, text, most) = (args.text(0)?, args.text(1)?, args.int(2)?);
    let search = Search::of(rendering, pattern)?;
    if most == 0 {
        return Ok(Value::from(Vec::new()));
    }
    if !pattern.is_empty() && text.is_empty() {
        return Ok(Value::from(vec![Value::from("")]));
    }
    let most_parts = usize::try_from(most).unwrap_or(usize::MAX);
    let mut parts: Vec<Value> = Vec::new();
    let (mut begin, mut end) = (0, 0);
    for (start, stop) in search.places(rendering, text, most)? {
        if parts.len() + 1 == most_parts {
            break;
        }
        end = start;
        if stop != 0 {
            parts.push(text.get(begin..end).unwrap_or_default().into());
        }
        begin = stop;
    }
    if end != text.len() {
        parts.push(text.get(begin..).unwrap_or_default().into());
    }
    Ok(parts.into())
}

/// Go's `regexp.QuoteMeta`, which escapes less than Rust's.
fn quote_meta(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted
}
