//! Words of a text and their case: goutils and xstrings, as sprig uses them.

/// One character in upper case, where that is one character.
pub(super) fn upper(c: char) -> char {
    let mut upper = c.to_uppercase();
    upper.next().filter(|_| upper.next().is_none()).unwrap_or(c)
}

/// One character in lower case, where that is one character.
pub(super) fn lower(c: char) -> char {
    let mut lower = c.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(lower), None) => lower,
        // The one exception: Go maps the Turkish capital to a plain i.
        _ if c == 'İ' => 'i',
        _ => c,
    }
}

/// Go's `strings.Title`: every word begins in upper case.
pub(super) fn title(text: &str) -> String {
    let mut before = ' ';
    let titled = text.chars().map(|c| {
        let starts = separates(before);
        before = c;
        if starts { upper(c) } else { c }
    });
    titled.collect()
}

fn separates(c: char) -> bool {
    if c.is_ascii() {
        !c.is_ascii_alphanumeric() && c != '_'
    } else {
        !c.is_alphanumeric() && c.is_whitespace()
    }
}

/// Every word begins in lower case.
pub(super) fn untitle(text: &str) -> String {
    let mut starts = true;
    let untitled = text.chars().map(|c| {
        let first = std::mem::replace(&mut starts, c.is_whitespace());
        if first && !c.is_whitespace() { lower(c) } else { c }
    });
    untitled.collect()
}

/// Without blanks. Goutils goes byte by byte: what is not ASCII comes out as Latin-1.
pub(super) fn without_space(text: &str) -> String {
    let kept: String = text.bytes().map(char::from).filter(|c| !c.is_whitespace()).collect();
    if kept.chars().count() == text.len() { text.to_owned() } else { kept }
}

/// The first letters of all words, byte by byte as goutils.
pub(super) fn initials(text: &str) -> String {
    let mut after_gap = true;
    let bytes = text.bytes().map(char::from);
    bytes.filter(|c| std::mem::replace(&mut after_gap, c.is_whitespace()) && !c.is_whitespace()).collect()
}

/// Upper case becomes lower and lower upper; a word's first letter counts as lower.
pub(super) fn swap_case(text: &str) -> String {
    let swapped = text.chars().map(|c| if c.is_uppercase() { lower(c) } else { upper(c) });
    swapped.collect()
}

fn is_connector(c: char) -> bool {
    c == '-' || c == '_' || c.is_whitespace()
}

/// Xstrings' `ToCamelCase`: `some_words` becomes `SomeWords`; connectors at the ends stay.
pub(super) fn camel(text: &str) -> String {
    let mut camel = String::with_capacity(text.len());
    let mut rest = text.chars();
    let mut now = loop {
        match rest.next() {
            None => {
                // Nothing but connectors: xstrings writes the last one twice.
                camel.extend(text.chars().next_back());
                return camel;
            }
            Some(c) if is_connector(c) => camel.push(c),
            Some(c) => break upper(c),
        }
    };
    for c in rest {
        let before = now;
        now = c;
        if is_connector(now) && is_connector(before) {
            camel.push(before);
        } else if is_connector(before) {
            now = upper(now);
        } else {
            now = lower(now);
            camel.push(before);
        }
    }
    camel.push(now);
    camel
}

/// Kinds of pieces that xstrings cuts a text into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    None,
    Number,
    Upper,
    Alphabet,
    Connector,
    Punctuation,
    Other,
}

/// A letter of a case: marks and letters without case are no alphabet.
fn is_alphabet(c: char) -> bool {
    c.is_alphabetic()
}

fn is_punctuation(c: char) -> bool {
    // Go's category P of ASCII; symbols such as + and $ are others.
    matches!(c, '!'..='#' | '%'..='*' | ',' | '-' | '.' | '/' | ':' | ';' | '?' | '@' | '[' | '\\' | ']' | '_' | '{' | '}')
        || matches!(c, '\u{a1}' | '\u{a7}' | '\u{ab}' | '\u{b6}' | '\u{b7}' | '\u{bb}' | '\u{bf}' | '\u{2010}'..='\u{2027}' | '\u{2030}'..='\u{205e}' | '\u{3001}'..='\u{3003}')
}

fn kind(c: char) -> Piece {
    if is_connector(c) {
        Piece::Connector
    } else if is_punctuation(c) {
        Piece::Punctuation
    } else if c.is_uppercase() {
        Piece::Upper
    } else if is_alphabet(c) {
        Piece::Alphabet
    } else if c.is_numeric() {
        Piece::Number
    } else {
        Piece::Other
    }
}

/// The next piece of a text, and what follows it.
fn next_piece(text: &str) -> (Piece, &str, &str) {
    let Some(first) = text.chars().next() else { return (Piece::None, "", "") };
    let piece = kind(first);
    let run = |of: &dyn Fn(char) -> bool| text.find(|c| !of(c)).unwrap_or(text.len());
    let length = match piece {
        Piece::Upper => upper_piece(text),
        Piece::Alphabet => run(&|c| is_alphabet(c) && !c.is_uppercase()),
        Piece::None | Piece::Number | Piece::Connector | Piece::Punctuation => run(&|c| kind(c) == piece),
        Piece::Other => run(&|c| kind(c) == Piece::Other),
    };
    let (word, rest) = text.split_at_checked(length.max(first.len_utf8())).unwrap_or((text, ""));
    (piece, word, rest)
}

/// Length of `HTTP` in `HTTPServer`, and of `Server`.
fn upper_piece(text: &str) -> usize {
    let uppers = text.find(|c: char| !c.is_uppercase()).unwrap_or(text.len());
    let follows = text.get(uppers..).and_then(|rest| rest.chars().next());
    let begun = text.get(..uppers).unwrap_or_default();
    if begun.chars().count() > 1 {
        let last = begun.chars().next_back().map_or(0, char::len_utf8);
        return if follows.is_some_and(is_alphabet) { uppers - last } else { uppers };
    }
    let lowers = text.get(uppers..).unwrap_or_default();
    uppers + lowers.find(|c: char| !is_alphabet(c) || c.is_uppercase()).unwrap_or(lowers.len())
}

/// Writes a piece in lower case, connectors as the one connector.
fn push_lower(out: &mut String, piece: Piece, word: &str, connector: char) {
    if piece == Piece::Upper || piece == Piece::Connector {
        out.extend(word.chars().map(|c| if is_connector(c) { connector } else { lower(c) }));
    } else {
        out.push_str(word);
    }
}

/// Xstrings' `ToSnakeCase` and `ToKebabCase`: `HTTPServer` becomes `http_server`.
pub(super) fn separated(text: &str, connector: char) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    let (mut piece, mut word, mut rest) = next_piece(text);
    while !rest.is_empty() {
        if piece != Piece::Connector {
            push_lower(&mut out, piece, word, connector);
        }
        let (before, last) = (piece, word);
        (piece, word, rest) = next_piece(rest);
        match before {
            Piece::Number => {
                (piece, word, rest) = take_run(&mut out, (piece, word, rest), connector);
                if !matches!(piece, Piece::None | Piece::Punctuation | Piece::Connector) {
                    out.push(connector);
                }
            }
            Piece::Connector => push_lower(&mut out, before, last, connector),
            Piece::Punctuation => {}
            Piece::None | Piece::Upper | Piece::Alphabet | Piece::Other => {
                if piece != Piece::Number {
                    if !matches!(piece, Piece::Connector | Piece::Punctuation) {
                        out.push(connector);
                    }
                    continue;
                }
                if rest.is_empty() {
                    continue;
                }
                let number = word;
                (piece, word, rest) = next_piece(rest);
                if piece != Piece::Alphabet {
                    // A number belongs to the word before it.
                    out.push_str(number);
                    if !matches!(piece, Piece::Connector | Piece::Punctuation) {
                        out.push(connector);
                    }
                    continue;
                }
                // Unless small letters follow it.
                out.push(connector);
                out.push_str(number);
                (piece, word, rest) = take_run(&mut out, (piece, word, rest), connector);
                if !matches!(piece, Piece::None | Piece::Punctuation | Piece::Connector) {
                    out.push(connector);
                }
            }
        }
    }
    push_lower(&mut out, piece, word, connector);
    out
}

/// Writes numbers and small letters as long as they follow each other.
fn take_run<'t>(
    out: &mut String,
    (mut piece, mut word, mut rest): (Piece, &'t str, &'t str),
    connector: char,
) -> (Piece, &'t str, &'t str) {
    while matches!(piece, Piece::Alphabet | Piece::Number) {
        push_lower(out, piece, word, connector);
        (piece, word, rest) = next_piece(rest);
    }
    (piece, word, rest)
}
