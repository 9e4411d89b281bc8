//! URLs apart and together, as Go's `net/url` does it.

use crate::receiver::CallError;
use crate::value::{Map, Value};
use std::fmt::Write;

fn failed(problem: impl std::fmt::Display) -> CallError {
    CallError::Failed(format!("unable to parse url: {problem}"))
}

/// The parts of a URL under the names that sprig gives them.
pub(super) fn parse(text: &str) -> Result<Map, CallError> {
    if text.bytes().any(|byte| byte < b' ' || byte == 0x7f) {
        return Err(failed("invalid control character in URL"));
    }
    let (text, fragment) = text.split_once('#').unwrap_or((text, ""));
    let (scheme, rest) = scheme_of(text)?;
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let parts = Map::new();
    for key in ["host", "hostname", "path", "opaque", "userinfo"] {
        parts.insert(key, "");
    }
    parts.insert("scheme", scheme.to_ascii_lowercase());
    parts.insert("query", query);
    parts.insert("fragment", unescape(fragment)?);
    if !scheme.is_empty() && !rest.starts_with('/') && !rest.is_empty() {
        parts.insert("opaque", rest);
        return Ok(parts);
    }
    if scheme.is_empty() && rest.split('/').next().is_some_and(|first| first.contains(':')) {
        return Err(failed("first path segment in URL cannot contain colon"));
    }
    let mut path = rest;
    let authority = rest.strip_prefix("//").filter(|_| !scheme.is_empty() || !rest.starts_with("///"));
    if let Some(after) = authority {
        let end = after.find('/').unwrap_or(after.len());
        let (authority, after) = after.split_at_checked(end).unwrap_or((after, ""));
        path = after;
        let (userinfo, host) = authority.rsplit_once('@').unwrap_or(("", authority));
        parts.insert("userinfo", userinfo_of(userinfo)?);
        let host = host_of(host)?;
        parts.insert("hostname", hostname(&host));
        parts.insert("host", host);
    }
    parts.insert("path", unescape(path)?);
    Ok(parts)
}

/// What is before a colon, when it can be a scheme.
fn scheme_of(text: &str) -> Result<(&str, &str), CallError> {
    for (at, c) in text.char_indices() {
        match c {
            'a'..='z' | 'A'..='Z' => {}
            '0'..='9' | '+' | '-' | '.' if at > 0 => {}
            ':' if at == 0 => return Err(failed("missing protocol scheme")),
            ':' => return Ok((text.get(..at).unwrap_or_default(), text.get(at + 1..).unwrap_or_default())),
            _ => break,
        }
    }
    Ok(("", text))
}

/// Percent escapes resolved; text must come out.
fn unescape(text: &str) -> Result<String, CallError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = after.first_chunk::<2>().and_then(|digits| std::str::from_utf8(digits).ok());
        let digits = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.ok_or_else(|| failed("invalid URL escape"))?);
        rest = after.get(2..).unwrap_or_default();
    }
    String::from_utf8(bytes).map_err(|_| failed("its escapes must yield UTF-8"))
}

/// Escapes all but letters, digits and the marks that are allowed.
fn escape(text: &str, allowed: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        let c = char::from(byte);
        if c.is_ascii_alphanumeric()
            || (c.is_ascii() && (matches!(c, '-' | '_' | '.' | '~') || allowed.contains(c)))
        {
            escaped.push(c);
        } else {
            let written = write!(escaped, "%{byte:02X}");
            debug_assert!(written.is_ok(), "a String takes everything");
        }
    }
    escaped
}

const IN_PATH: &str = "$&+,/:;=@";
const IN_USERINFO: &str = "$&+,;=";
const IN_FRAGMENT: &str = "$&+,/:;=?@!()*'";
const IN_HOST: &str = "!$&'()*+,;=:[]<>\"";

fn userinfo_of(text: &str) -> Result<String, CallError> {
    let valid =
        text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(&byte));
    if !valid {
        return Err(failed("net/url: invalid userinfo"));
    }
    match text.split_once(':') {
        Some((name, password)) => Ok(format!(
            "{}:{}",
            escape(&unescape(name)?, IN_USERINFO),
            escape(&unescape(password)?, IN_USERINFO)
        )),
        None => Ok(escape(&unescape(text)?, IN_USERINFO)),
    }
}

fn host_of(text: &str) -> Result<String, CallError> {
    let port = match text.rfind(']') {
        Some(end) => text.get(end + 1..).unwrap_or_default(),
        None if text.starts_with('[') => return Err(failed("missing ']' in host")),
        None => text.rfind(':').and_then(|colon| text.get(colon..)).unwrap_or_default(),
    };
    let digits = port.strip_prefix(':').unwrap_or(port);
    if (!port.is_empty() && !port.starts_with(':')) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(failed(format!("invalid port {port:?} after host")));
    }
    if let Some(wrong) =
        text.chars().find(|c| matches!(c, ' ' | '"' | '\\' | '^' | '`' | '{' | '|' | '}') && *c != '"')
    {
        return Err(failed(format!("invalid character {wrong:?} in host name")));
    }
    unescape(text)
}

fn hostname(host: &str) -> &str {
    if let Some((inside, _)) = host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return inside;
    }
    host.rsplit_once(':')
        .filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()))
        .map_or(host, |(name, _)| name)
}

/// A URL of the parts that `parse` gives; absent ones are empty.
pub(super) fn join(parts: &Map) -> Result<String, CallError> {
    let part = |key: &str| match parts.get(key) {
        None => Ok(String::new()),
        Some(Value::Text(text)) => Ok(text.as_ref().to_owned()),
        Some(other) => Err(CallError::Failed(format!(
            "unable to parse {key} key, must be of type string, but {} found",
            other.type_name()
        ))),
    };
    let (scheme, host, path, opaque) = (part("scheme")?, part("host")?, part("path")?, part("opaque")?);
    let (query, fragment, userinfo) = (part("query")?, part("fragment")?, userinfo_of(&part("userinfo")?)?);
    let mut url = String::new();
    if !scheme.is_empty() {
        url.push_str(&scheme);
        url.push(':');
    }
    if opaque.is_empty() {
        if !scheme.is_empty() || !host.is_empty() || !userinfo.is_empty() {
            if !host.is_empty() || !path.is_empty() || !userinfo.is_empty() {
                url.push_str("//");
            }
            if !userinfo.is_empty() {
                url.push_str(&userinfo);
                url.push('@');
            }
            url.push_str(&escape(&host, IN_HOST));
        }
        let path = if path == "*" { path } else { escape(&path, IN_PATH) };
        if !path.is_empty() && !path.starts_with('/') && !host.is_empty() {
            url.push('/');
        }
        if url.is_empty() && path.split('/').next().is_some_and(|first| first.contains(':')) {
            url.push_str("./");
        }
        url.push_str(&path);
    } else {
        url.push_str(&opaque);
    }
    if !query.is_empty() {
        url.push('?');
        url.push_str(&query);
    }
    if !fragment.is_empty() {
        url.push('#');
        url.push_str(&escape(&fragment, IN_FRAGMENT));
    }
    Ok(url)
}
