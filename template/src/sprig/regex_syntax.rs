//! Go's syntax of regular expressions in that of the `regex` crate: mostly the same, but for
//! classes, which are ASCII in Go, and for characters that only one of the two holds for special.

/// Classes that have a name, as in `[[:alpha:]]`.
const NAMED: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space",
    "upper", "word", "xdigit",
];

/// Translates a pattern.
pub(super) fn translate(pattern: &str) -> Result<String, String> {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut rest = pattern;
    while let Some(c) = rest.chars().next() {
        rest = match c {
            '\\' => escape(rest, &mut out, false)?,
            '[' => class(rest, &mut out)?,
            '{' => repetition(rest, &mut out),
            '(' => group(rest, &mut out)?,
            _ => {
                out.push(c);
                after(rest, c)
            }
        };
    }
    Ok(out)
}

fn after(text: &str, c: char) -> &str {
    text.get(c.len_utf8()..).unwrap_or_default()
}

fn push_literal(out: &mut String, c: char) {
    out.push_str(&regex::escape(c.encode_utf8(&mut [0; 4])));
}

/// An escape at the beginning of a text, in a class or outside; answers what follows it.
fn escape<'t>(text: &'t str, out: &mut String, in_class: bool) -> Result<&'t str, String> {
    let inside = after(text, '\\');
    let c = inside.chars().next().ok_or("trailing backslash at end of expression")?;
    let rest = after(inside, c);
    let (plain, bracketed) = match c {
        'd' => ("[0-9]", "0-9"),
        'D' => ("[^0-9]", "[^0-9]"),
        'w' => ("[0-9A-Za-z_]", "0-9A-Za-z_"),
        'W' => ("[^0-9A-Za-z_]", "[^0-9A-Za-z_]"),
        's' => (r"[\t\n\f\r ]", r"\t\n\f\r "),
        'S' => (r"[^\t\n\f\r ]", r"[^\t\n\f\r ]"),
        'b' if !in_class => (r"(?-u:\b)", ""),
        'B' if !in_class => (r"(?-u:\B)", ""),
        'A' if !in_class => (r"\A", ""),
        'z' if !in_class => (r"\z", ""),
        'Q' if !in_class => {
            let (quoted, rest) = rest.split_once(r"\E").unwrap_or((rest, ""));
            out.push_str(&regex::escape(quoted));
            return Ok(rest);
        }
        'a' | 'f' | 'n' | 'r' | 't' | 'v' | 'x' | 'p' | 'P' => {
            out.extend(['\\', c]);
            return Ok(rest);
        }
        '0'..='7' => return octal(inside, out),
        _ if c.is_ascii() && !c.is_ascii_alphanumeric() => {
            push_literal(out, c);
            return Ok(rest);
        }
        _ => return Err(format!("invalid escape sequence: `\\{c}`")),
    };
    out.push_str(if in_class { bracketed } else { plain });
    Ok(rest)
}

/// `\123`: one to three octal digits after a zero, or three; there are no backreferences.
fn octal<'t>(text: &'t str, out: &mut String) -> Result<&'t str, String> {
    let digits = text.chars().take(3).take_while(|c| c.is_digit(8)).count();
    let (number, rest) = text.split_at_checked(digits).ok_or("invalid escape sequence")?;
    if digits < 2 && !number.starts_with('0') {
        return Err(format!("invalid escape sequence: `\\{number}`"));
    }
    let c = u32::from_str_radix(number, 8).ok().and_then(char::from_u32).ok_or("invalid escape sequence")?;
    push_literal(out, c);
    Ok(rest)
}

/// A class in brackets.
fn class<'t>(text: &'t str, out: &mut String) -> Result<&'t str, String> {
    let missing = || format!("missing closing ]: `{text}`");
    let mut rest = after(text, '[');
    out.push('[');
    if let Some(negated) = rest.strip_prefix('^') {
        out.push('^');
        rest = negated;
    }
    let mut first = true;
    let mut after_dash = false;
    loop {
        let c = rest.chars().next().ok_or_else(missing)?;
        let is_dash = c == '-';
        rest = match c {
            ']' if !first => {
                out.push(']');
                return Ok(after(rest, c));
            }
            '\\' => escape(rest, out, true)?,
            '[' if rest.starts_with("[:") && rest.contains(":]") => {
                let (name, rest) = rest.split_once(":]").ok_or_else(missing)?;
                let known = name.trim_start_matches("[:").trim_start_matches('^');
                if !NAMED.contains(&known) {
                    return Err(format!("invalid character class range: `{name}:]`"));
                }
                out.push_str(name);
                out.push_str(":]");
                rest
            }
            // Special only in Rust, or only to Rust in this place.
            '[' | ']' | '&' | '~' => {
                out.extend(['\\', c]);
                after(rest, c)
            }
            '-' if first || after_dash => {
                out.push_str(r"\-");
                after(rest, c)
            }
            _ => {
                out.push(c);
                after(rest, c)
            }
        };
        after_dash = is_dash && !first && !after_dash;
        first = false;
    }
}

/// `{2,3}`, or a brace that is nothing but a brace.
fn repetition<'t>(text: &'t str, out: &mut String) -> &'t str {
    let rest = after(text, '{');
    let is_number = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    let counts = rest.split_once('}').is_some_and(|(counts, _)| match counts.split_once(',') {
        Some((least, most)) => is_number(least) && (most.is_empty() || is_number(most)),
        None => is_number(counts),
    });
    out.push_str(if counts { "{" } else { r"\{" });
    rest
}

/// A group's beginning: flags that only Rust has are refused.
fn group<'t>(text: &'t str, out: &mut String) -> Result<&'t str, String> {
    let rest = after(text, '(');
    out.push('(');
    let Some(flags) = rest.strip_prefix('?') else { return Ok(rest) };
    let known = flags.find(|c: char| !matches!(c, 'i' | 'm' | 's' | 'U' | '-')).unwrap_or(flags.len());
    let ends = flags.get(known..).is_some_and(|rest| rest.starts_with([')', ':']));
    if ends || flags.starts_with("P<") {
        return Ok(rest);
    }
    Err("invalid or unsupported Perl syntax".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_translated() {
        for (go, rust) in [
            (r"\d+\.\w", r"[0-9]+\.[0-9A-Za-z_]"),
            (r"[\d.-]", r"[0-9.-]"),
            (r"[a[&&b]", r"[a\[\&\&b]"),
            (r"[]a]", r"[\]a]"),
            (r"[-a]", r"[\-a]"),
            ("a{2,3}{x}", r"a{2,3}\{x}"),
            (r"\Qa.b\Ec", r"a\.bc"),
            (r"\<", r"<"),
            (r"[[:alpha:]_]", r"[[:alpha:]_]"),
            (r"(?i)x", r"(?i)x"),
        ] {
            assert_eq!(translate(go).as_deref(), Ok(rust), "{go}");
            assert!(regex::Regex::new(rust).is_ok(), "{rust}");
        }
        for wrong in [r"\y", r"(?x)a", r"(?=a)", r"(?<a>b)", "[a", "[[:alpa:]]", r"a\", r"\1"] {
            assert!(translate(wrong).is_err(), "{wrong}");
        }
    }
}
