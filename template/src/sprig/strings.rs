//! Text: cutting, joining, padding, quoting.
//!
//! Where Go counts bytes, so do we; a cut in the middle of a character yields U+FFFD.

use super::words;
use crate::function::{Args, Function, Param};
use crate::print::text_of;
use crate::printf::sprintf;
use crate::quote;
use crate::receiver::CallError;
use crate::render::Rendering;
use crate::value::{Map, Value};
use std::sync::Arc;

use Param::{Any, Int, Text};

type Outcome = Result<Value, CallError>;

pub(super) static FUNCTIONS: [Function; 45] = [
    Function::new("hello", &[], |_, _| Ok("Hello!".into())),
    Function::new("abbrev", &[Int, Text], |_, a| Ok(abbreviate(a.text(1)?, 0, a.int(0)?).into())),
    Function::new("abbrevboth", &[Int, Int, Text], abbreviate_both),
    Function::new("trunc", &[Int, Text], truncate),
    Function::new("trim", &[Text], |_, a| Ok(a.text(0)?.trim().into())),
    Function::new("upper", &[Text], |_, a| {
        Ok(a.text(0)?.chars().map(words::upper).collect::<String>().into())
    }),
    Function::new("lower", &[Text], |_, a| {
        Ok(a.text(0)?.chars().map(words::lower).collect::<String>().into())
    }),
    Function::new("title", &[Text], |_, a| Ok(words::title(a.text(0)?).into())),
    Function::new("untitle", &[Text], |_, a| Ok(words::untitle(a.text(0)?).into())),
    Function::new("substr", &[Int, Int, Text], substring),
    Function::new("repeat", &[Int, Text], repeat),
    Function::new("trimall", &[Text, Text], trim_all),
    Function::new("trimAll", &[Text, Text], trim_all),
    Function::new("trimSuffix", &[Text, Text], |_, a| {
        let (suffix, text) = (a.text(0)?, a.text(1)?);
        Ok(text.strip_suffix(suffix).unwrap_or(text).into())
    }),
    Function::new("trimPrefix", &[Text, Text], |_, a| {
        let (prefix, text) = (a.text(0)?, a.text(1)?);
        Ok(text.strip_prefix(prefix).unwrap_or(text).into())
    }),
    Function::new("nospace", &[Text], |_, a| Ok(words::without_space(a.text(0)?).into())),
    Function::new("initials", &[Text], |_, a| Ok(words::initials(a.text(0)?).into())),
    Function::new("swapcase", &[Text], |_, a| Ok(words::swap_case(a.text(0)?).into())),
    Function::new("snakecase", &[Text], |_, a| Ok(words::separated(a.text(0)?, '_').into())),
    Function::new("kebabcase", &[Text], |_, a| Ok(words::separated(a.text(0)?, '-').into())),
    Function::new("camelcase", &[Text], |_, a| Ok(words::camel(a.text(0)?).into())),
    Function::new("wrap", &[Int, Text], |r, a| wrap(r, a.text(1)?, a.int(0)?, "", false)),
    Function::new("wrapWith", &[Int, Text, Text], |r, a| wrap(r, a.text(2)?, a.int(0)?, a.text(1)?, true)),
    Function::new("contains", &[Text, Text], |_, a| Ok(a.text(1)?.contains(a.text(0)?).into())),
    Function::new("hasPrefix", &[Text, Text], |_, a| Ok(a.text(1)?.starts_with(a.text(0)?).into())),
    Function::new("hasSuffix", &[Text, Text], |_, a| Ok(a.text(1)?.ends_with(a.text(0)?).into())),
    Function::variadic("quote", &[], Any, quote_all),
    Function::variadic("squote", &[], Any, single_quote_all),
    Function::variadic("cat", &[], Any, cat),
    Function::new("indent", &[Int, Text], |r, a| Ok(indent(r, a.int(0)?, a.text(1)?)?.into())),
    Function::new("nindent", &[Int, Text], |r, a| {
        Ok(format!("\n{}", indent(r, a.int(0)?, a.text(1)?)?).into())
    }),
    Function::new("replace", &[Text, Text, Text], |r, a| {
        Ok(replace(r, a.text(2)?, a.text(0)?, a.text(1)?)?.into())
    }),
    Function::new("plural", &[Text, Text, Int], |_, a| Ok(a.text(usize::from(a.int(2)? != 1))?.into())),
    Function::new("toString", &[Any], |r, a| Ok(text_of(r, a.any(0))?.into())),
    Function::new("toStrings", &[Any], |r, a| Ok(texts(r, a.any(0))?.into_iter().map(Value::from).collect())),
    Function::new("join", &[Text, Any], join),
    Function::new("split", &[Text, Text], |r, a| numbered(r, a.text(1)?, a.text(0)?, -1)),
    Function::new("splitn", &[Text, Int, Text], |r, a| numbered(r, a.text(2)?, a.text(0)?, a.int(1)?)),
    Function::new("splitList", &[Text, Text], |r, a| {
        Ok(split(r, a.text(1)?, a.text(0)?, -1)?.into_iter().map(Value::from).collect())
    }),
    Function::new("sortAlpha", &[Any], sort_alpha),
    Function::new("fail", &[Text], |_, a| Err(CallError::failed(a.text(0)?))),
    Function::new("b64enc", &[Text], |_, a| Ok(super::encoding::base64_encode(a.text(0)?).into())),
    Function::new("b64dec", &[Text], |_, a| super::encoding::base64_decode(a.text(0)?)),
    Function::new("b32enc", &[Text], |_, a| Ok(super::encoding::base32_encode(a.text(0)?).into())),
    Function::new("b32dec", &[Text], |_, a| super::encoding::base32_decode(a.text(0)?)),
];

/// Bytes of a text from one index to another, as Go's `text[from:to]`.
fn cut(text: &str, from: usize, to: usize) -> Result<String, CallError> {
    let bytes = text.as_bytes().get(from..to);
    let bytes = bytes.ok_or_else(|| CallError::Failed(format!("slice bounds out of range [{from}:{to}]")))?;
    Ok(String::from_utf8_lossy(bytes).into_owned())
}

fn index(number: i64) -> Result<usize, CallError> {
    usize::try_from(number).map_err(|_| CallError::Failed(format!("slice bounds out of range [{number}:]")))
}

fn substring(_: &mut Rendering, args: Args<'_>) -> Outcome {
    let (start, end, text) = (args.int(0)?, args.int(1)?, args.text(2)?);
    let Ok(start) = usize::try_from(start) else { return Ok(cut(text, 0, index(end)?)?.into()) };
    let end = usize::try_from(end).ok().filter(|end| *end <= text.len()).unwrap_or(text.len());
    Ok(cut(text, start, end)?.into())
}

fn truncate(_: &mut Rendering, args: Args<'_>) -> Outcome {
    let (count, text) = (args.int(0)?, args.text(1)?);
    let length = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    if text.len() <= length {
        return Ok(text.into());
    }
    let cut = if count < 0 { cut(text, text.len() - length, text.len())? } else { cut(text, 0, length)? };
    Ok(cut.into())
}

fn abbreviate_both(_: &mut Rendering, args: Args<'_>) -> Outcome {
    let (left, right, text) = (args.int(0)?, args.int(1)?, args.text(2)?);
    if right < 4 || (left > 0 && right < 7) {
        return Ok(text.into());
    }
    Ok(abbreviate(text, left, right).into())
}

/// Goutils' `AbbreviateFull`: at most `width` bytes, from about `offset` on.
fn abbreviate(text: &str, offset: i64, width: i64) -> String {
    let slice =
        |from: usize, to: usize| String::from_utf8_lossy(text.as_bytes().get(from..to).unwrap_or_default());
    let Some(width) = usize::try_from(width).ok().filter(|width| *width >= 4 && *width < text.len()) else {
        return text.to_owned();
    };
    let offset = usize::try_from(offset).unwrap_or_default().min(text.len() - (width - 3));
    if offset <= 4 {
        return format!("{}...", slice(0, width - 3));
    }
    if width < 7 {
        return String::new();
    }
    if offset + width - 3 < text.len() {
        // What is left is abbreviated in its turn, to three bytes less.
        return format!("...{}...", slice(offset, offset + width - 6));
    }
    format!("...{}", slice(text.len() - (width - 3), text.len()))
}

fn repeat(rendering: &mut Rendering, args: Args<'_>) -> Outcome {
    let (count, text) = (args.int(0)?, args.text(1)?);
    let count = usize::try_from(count).map_err(|_| CallError::failed("strings: negative Repeat count"))?;
    rendering.check_length(text.len().saturating_mul(count))?;
    Ok(text.repeat(count).into())
}

fn trim_all(_: &mut Rendering, args: Args<'_>) -> Outcome {
    let (set, text) = (args.text(0)?, args.text(1)?);
    Ok(text.trim_matches(|c| set.contains(c)).into())
}

fn indent(rendering: &mut Rendering, spaces: i64, text: &str) -> Result<String, CallError> {
    let spaces = usize::try_from(spaces).map_err(|_| CallError::failed("strings: negative Repeat count"))?;
    let lines = text.matches('\n').count() + 1;
    rendering.check_length(spaces.saturating_mul(lines).saturating_add(text.len()))?;
    let pad = " ".repeat(spaces);
    Ok(format!("{pad}{}", text.replace('\n', &format!("\n{pad}"))))
}

fn replace(rendering: &mut Rendering, text: &str, old: &str, new: &str) -> Result<String, CallError> {
    let found = if old.is_empty() { text.chars().count() + 1 } else { text.matches(old).count() };
    rendering.check_length(found.saturating_mul(new.len()).saturating_add(text.len()))?;
    Ok(text.replace(old, new))
}

fn quote_all(rendering: &mut Rendering, args: Args<'_>) -> Outcome {
    let mut quoted = Vec::with_capacity(args.len());
    for value in args.0.iter().filter(|value| !matches!(value, Value::Nil)) {
        quoted.push(quote::quote(&text_of(rendering, value)?, false));
    }
    Ok(quoted.join(" ").into())
}

fn single_quote_all(rendering: &mut Rendering, args: Args<'_>) -> Outcome {
    let mut quoted = Vec::with_capacity(args.len());
    for value in args.0.iter().filter(|value| !matches!(value, Value::Nil)) {
        quoted.push(format!("'{}'", text_of(rendering, value)?));
    }
    Ok(quoted.join(" ").into())
}

fn cat(rendering: &mut Rendering, args: Args<'_>) -> Outcome {
    let values: Vec<Value> = args.0.iter().filter(|value| !matches!(value, Value::Nil)).cloned().collect();
    let format = vec!["%v"; values.len()].join(" ");
    Ok(sprintf(rendering, &format, &values)?.into())
}

/// Sprig's `strslice`: the items of a list as text without nils, or the one value as text.
pub(super) fn texts(rendering: &mut Rendering, value: &Value) -> Result<Vec<String>, CallError> {
    match value {
        Value::Nil => Ok(Vec::new()),
        Value::List(list) => {
            let items = list.iter().filter(|item| !matches!(item, Value::Nil));
            items.map(|item| text_of(rendering, item)).collect()
        }
        Value::Bool(_)
        | Value::Int(_)
        | Value::Int64(_)
        | Value::Float(_)
        | Value::Text(_)
        | Value::Map(_)
        | Value::Receiver(_) => Ok(vec![text_of(rendering, value)?]),
    }
}

fn join(rendering: &mut Rendering, args: Args<'_>) -> Outcome {
    let separator = args.text(0)?;
    let texts = texts(rendering, args.any(1))?;
    let length: usize = texts.iter().map(String::len).sum();
    rendering.check_length(separator.len().saturating_mul(texts.len()).saturating_add(length))?;
    Ok(texts.join(separator).into())
}

fn sort_alpha(rendering: &mut Rendering, args: Args<'_>) -> Outcome {
    // What is no list is one item, even nil.
    let is_nil = matches!(args.any(0), Value::Nil);
    let mut texts = if is_nil { vec!["<nil>".to_owned()] } else { texts(rendering, args.any(0))? };
    texts.sort_unstable();
    Ok(texts.into_iter().map(Value::from).collect())
}

/// Go's `strings.SplitN`: at most so many parts, all of them when negative.
fn split(rendering: &mut Rendering, text: &str, by: &str, most: i64) -> Result<Vec<String>, CallError> {
    let found = if by.is_empty() { text.chars().count() } else { text.matches(by).count() + 1 };
    let most = usize::try_from(most).unwrap_or(found).min(found);
    rendering.work_on_items(most)?;
    if most == 0 {
        return Ok(Vec::new());
    }
    if !by.is_empty() {
        return Ok(text.splitn(most, by).map(str::to_owned).collect());
    }
    // Without a separator every character is a part.
    let mut parts: Vec<String> = Vec::with_capacity(most);
    let mut rest = text;
    while parts.len() + 1 < most {
        let Some(c) = rest.chars().next() else { break };
        parts.push(c.to_string());
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
    }
    if !rest.is_empty() {
        parts.push(rest.to_owned());
    }
    Ok(parts)
}

fn numbered(rendering: &mut Rendering, text: &str, by: &str, most: i64) -> Outcome {
    let parts = split(rendering, text, by, most)?;
    let entries = parts.into_iter().enumerate();
    let map: Map = entries.map(|(number, part)| (Arc::<str>::from(format!("_{number}")), part)).collect();
    Ok(map.into())
}

/// Goutils' `WrapCustom`: lines of at most so many bytes, broken at blanks.
fn wrap(rendering: &mut Rendering, text: &str, width: i64, line_end: &str, breaks_words: bool) -> Outcome {
    let line_end = if line_end.is_empty() { "\n" } else { line_end };
    let width = usize::try_from(width).unwrap_or_default().max(1);
    rendering
        .check_length((text.len() / width + 1).saturating_mul(line_end.len()).saturating_add(text.len()))?;
    let bytes = text.as_bytes();
    let mut wrapped = Vec::with_capacity(text.len());
    let mut at = 0;
    while bytes.len().saturating_sub(at) > width {
        let rest = bytes.get(at..).unwrap_or_default();
        if rest.first() == Some(&b' ') {
            at += 1;
            continue;
        }
        let blank = rest.get(..=width).and_then(|line| line.iter().rposition(|byte| *byte == b' '));
        let (line, skip) = match blank {
            Some(blank) => (blank, blank + 1),
            None if breaks_words => (width, width),
            None => match rest.iter().skip(width).position(|byte| *byte == b' ') {
                Some(further) => (width + further, width + further + 1),
                None => {
                    wrapped.extend_from_slice(rest);
                    at = bytes.len();
                    continue;
                }
            },
        };
        wrapped.extend_from_slice(rest.get(..line).unwrap_or_default());
        wrapped.extend_from_slice(line_end.as_bytes());
        at += skip;
    }
    wrapped.extend_from_slice(bytes.get(at..).unwrap_or_default());
    Ok(String::from_utf8_lossy(&wrapped).into_owned().into())
}
