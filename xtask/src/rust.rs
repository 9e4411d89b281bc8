//! Just enough of Rust's grammar to measure functions and read imports: comments and literals
//! are blanked out, then braces are counted.

/// A function's extent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Function {
    /// Name.
    pub(crate) name: String,
    /// Line of its `fn`, from 1.
    pub(crate) line: usize,
    /// Lines from `fn` to the closing brace, both included.
    pub(crate) lines: usize,
    /// Braces around it: 0 for a free function.
    pub(crate) depth: usize,
    /// Whether it is `async`.
    pub(crate) is_async: bool,
    /// Whether others may call it: `pub`, also `pub(crate)` and the like.
    pub(crate) is_public: bool,
}

/// The source with comments, strings and character literals replaced by spaces; line breaks
/// stay where they are.
pub(crate) fn blank(source: &str) -> String {
    let characters: Vec<char> = source.chars().collect();
    let mut out = String::with_capacity(source.len());
    let mut at = 0;
    while let Some(&character) = characters.get(at) {
        let end = literal_end(&characters, at).unwrap_or(at);
        if end == at {
            out.push(character);
            at += 1;
            continue;
        }
        for &hidden in characters.get(at..end).unwrap_or_default() {
            out.push(if hidden == '\n' { '\n' } else { ' ' });
        }
        at = end;
    }
    out
}

/// The text up to the unit tests, which stand at the end of a file.
pub(crate) fn without_tests(source: &str) -> String {
    source.split("#[cfg(test)]\nmod tests").next().unwrap_or_default().to_owned()
}

/// Where the comment or literal that begins at `at` ends; `None` when none begins there.
fn literal_end(text: &[char], at: usize) -> Option<usize> {
    let here = text.get(at..)?;
    match here {
        ['/', '/', ..] => Some(at + here.iter().position(|&c| c == '\n').unwrap_or(here.len())),
        ['/', '*', ..] => Some(at + block_comment(here)),
        ['"', ..] => Some(at + quoted(here, '"')),
        ['\'', '\\', ..] | ['\'', _, '\'', ..] => Some(at + quoted(here, '\'')),
        ['r', ..] if !is_word(text, at) => raw_string(here.get(1..)?).map(|length| at + 1 + length),
        _ => None,
    }
}

/// Whether the character before `at` belongs to the same identifier; `br"` is a raw string too.
fn is_word(text: &[char], at: usize) -> bool {
    let before = at.checked_sub(1).and_then(|i| text.get(i));
    before.is_some_and(|c| (c.is_alphanumeric() && !matches!(c, 'b' | 'c')) || *c == '_')
}

fn block_comment(text: &[char]) -> usize {
    let (mut depth, mut at) = (0usize, 0);
    while at < text.len() {
        match text.get(at..at + 2) {
            Some(['/', '*']) => (depth, at) = (depth + 1, at + 2),
            Some(['*', '/']) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn quoted(text: &[char], quote: char) -> usize {
    let mut at = 1;
    while let Some(&character) = text.get(at) {
        at += if character == '\\' { 2 } else { 1 };
        if character == quote {
            break;
        }
    }
    at.min(text.len())
}

/// Length of a raw string that begins after its `r`, hashes included.
fn raw_string(text: &[char]) -> Option<usize> {
    let hashes = text.iter().take_while(|&&c| c == '#').count();
    if text.get(hashes) != Some(&'"') {
        return None;
    }
    let mut closing = vec!['"'];
    closing.extend(std::iter::repeat_n('#', hashes));
    let body = text.get(hashes + 1..)?;
    let end = body.windows(closing.len()).position(|window| window == closing);
    Some(end.map_or(text.len(), |end| hashes + 1 + end + closing.len()))
}

/// Every function with a body, in order.
pub(crate) fn functions(blanked: &str) -> Vec<Function> {
    let mut found = Vec::new();
    for (offset, _) in blanked.match_indices("fn ") {
        let (before, after) =
            (blanked.get(..offset).unwrap_or_default(), blanked.get(offset + 3..).unwrap_or_default());
        if before.ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let name: String =
            after.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let Some(length) = (!name.is_empty()).then(|| body_end(after)).flatten() else { continue };
        let body = after.get(..length).unwrap_or_default();
        let opened = before.matches('{').count();
        let header = before.rsplit([';', '{', '}', ']']).next().unwrap_or_default();
        found.push(Function {
            name,
            line: before.matches('\n').count() + 1,
            lines: body.matches('\n').count() + 1,
            depth: opened.saturating_sub(before.matches('}').count()),
            is_async: header.split_whitespace().any(|word| word == "async"),
            is_public: header.split_whitespace().any(|word| word.starts_with("pub")),
        });
    }
    found
}

/// Length up to and including the closing brace of the body; `None` for a declaration.
fn body_end(text: &str) -> Option<usize> {
    let (mut round, mut curly) = (0i32, 0i32);
    for (at, character) in text.char_indices() {
        match character {
            '(' | '[' => round += 1,
            ')' | ']' => round -= 1,
            ';' if round == 0 && curly == 0 => return None,
            '{' => curly += 1,
            '}' => {
                curly -= 1;
                if curly == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
    }
    None
}

/// The rooms of its own crate that a source file names: `store` for `crate::store::Store`,
/// and each first name of `use crate::{...}`, with their lines.
pub(crate) fn rooms_named(blanked: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (offset, _) in blanked.match_indices("crate::") {
        let line = blanked.get(..offset).unwrap_or_default().matches('\n').count() + 1;
        let after = blanked.get(offset + "crate::".len()..).unwrap_or_default();
        match after.strip_prefix('{') {
            Some(group) => found.extend(first_names(group).into_iter().map(|name| (line, name))),
            None => found.push((line, identifier(after))),
        }
    }
    found
}

/// The names that stand at the top of a `use` group, after its opening brace.
fn first_names(group: &str) -> Vec<String> {
    let (mut names, mut depth, mut fresh) = (Vec::new(), 0, true);
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => fresh = true,
            c if fresh && !c.is_whitespace() => {
                names.push(identifier(group.get(at..).unwrap_or_default()));
                fresh = false;
            }
            _ => {}
        }
    }
    names
}

fn identifier(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_in_comments_and_literals_do_not_count() {
        let source = "// {\n/* { /* { */ */ let a = \"{\\\"\"; let b = '{'; let c = r#\"{\"\"#; let d: &'static str; b'\\'';";
        let blanked = blank(source);
        assert!(!blanked.contains('{'), "{blanked}");
        assert!(blanked.contains("&'static str"), "{blanked}");
        assert_eq!(blanked.matches('\n').count(), 1);
    }

    #[test]
    fn functions_are_measured_from_fn_to_brace() {
        let source = "trait T { fn declared(&self) -> [u8; 4]; }\npub async fn one() {\n    call(fn_pointer);\n}\nmod m {\n    fn two() { if x { y } }\n}\n";
        let found = functions(&blank(source));
        let told: Vec<_> =
            found.iter().map(|f| (f.name.as_str(), f.line, f.lines, f.depth, f.is_async)).collect();
        assert_eq!(told, [("one", 2, 3, 0, true), ("two", 6, 1, 1, false)]);
    }

    #[test]
    fn imports_are_read_through_groups() {
        let source = "use crate::{app::{App, store}, keys, http};\nfn f() { crate::store::open() }";
        let names: Vec<_> = rooms_named(&blank(source)).into_iter().map(|(_, name)| name).collect();
        assert_eq!(names, ["app", "keys", "http", "store"]);
    }
}
