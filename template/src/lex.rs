//! Words of a template's text: what `text/template/parse/lex.go` tells apart, asked one by one.

use crate::tree::Span;

/// A word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) span: Span,
}

/// Kinds of words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Text outside of actions, already trimmed.
    Text,
    LeftDelimiter,
    RightDelimiter,
    Space,
    /// `=`
    Assign,
    /// `:=`
    Declare,
    Pipe,
    LeftParen,
    RightParen,
    Comma,
    /// Any other printable ASCII character.
    Other,
    Dot,
    /// With its dot.
    Field,
    /// With its dollar sign.
    Variable,
    Identifier,
    Bool,
    Nil,
    Number,
    Complex,
    /// In single quotes.
    Char,
    /// In double quotes.
    Quoted,
    /// In backquotes.
    Raw,
    Block,
    Break,
    Continue,
    Define,
    Else,
    End,
    If,
    Range,
    Template,
    With,
    /// The end of the text.
    Eof,
}

/// What is wrong with the text, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Flaw {
    pub(crate) span: Span,
    pub(crate) problem: String,
}

const COMMENT_LEFT: &str = "/*";
const COMMENT_RIGHT: &str = "*/";
/// Length of a trim marker with its blank.
const MARKER: usize = 2;

/// The reader of words.
#[derive(Debug)]
pub(crate) struct Lexer<'t> {
    text: &'t str,
    left: &'t str,
    right: &'t str,
    at: usize,
    start: usize,
    inside: bool,
    parens: usize,
    /// Where the action began that is being read.
    action: usize,
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

fn has_left_marker(rest: &str) -> bool {
    rest.strip_prefix('-').is_some_and(|rest| rest.starts_with(is_space))
}

fn has_right_marker(rest: &str) -> bool {
    let mut chars = rest.chars();
    chars.next().is_some_and(is_space) && chars.next() == Some('-')
}

impl<'t> Lexer<'t> {
    pub(crate) fn new(text: &'t str, left: &'t str, right: &'t str) -> Lexer<'t> {
        let left = if left.is_empty() { "{{" } else { left };
        let right = if right.is_empty() { "}}" } else { right };
        Lexer { text, left, right, at: 0, start: 0, inside: false, parens: 0, action: 0 }
    }

    /// The next word; the end of the text again and again.
    pub(crate) fn next(&mut self) -> Result<Token, Flaw> {
        if self.inside { self.inside_action() } else { self.outside() }
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn accept(&mut self, set: &str) -> bool {
        let accepted = self.peek().is_some_and(|c| set.contains(c));
        if accepted {
            self.at += 1;
        }
        accepted
    }

    fn accept_run(&mut self, set: &str) {
        while self.accept(set) {}
    }

    fn token(&mut self, kind: Kind) -> Result<Token, Flaw> {
        let span = Span { start: self.start, end: self.at };
        self.start = self.at;
        Ok(Token { kind, span })
    }

    fn flaw<T>(&self, problem: impl Into<String>) -> Result<T, Flaw> {
        let end = self.rest().find('\n').map_or(self.text.len(), |line| self.at + line);
        Err(Flaw { span: Span { start: self.action, end: end.max(self.action) }, problem: problem.into() })
    }

    /// Text up to an action, or past a comment.
    fn outside(&mut self) -> Result<Token, Flaw> {
        loop {
            let Some(found) = self.rest().find(self.left) else {
                self.at = self.text.len();
                let kind = if self.at > self.start { Kind::Text } else { Kind::Eof };
                return self.token(kind);
            };
            let opening = self.at + found;
            let after = opening + self.left.len();
            let trims = has_left_marker(self.text.get(after..).unwrap_or_default());
            let text = self.text.get(self.start..opening).unwrap_or_default();
            let kept = if trims { text.trim_end_matches(is_space) } else { text };
            if !kept.is_empty() {
                self.at = self.start + kept.len();
                let token = self.token(Kind::Text);
                // The blanks that were trimmed are read again next time, as nothing.
                self.start = opening;
                self.at = opening;
                return token;
            }
            (self.action, self.at) = (opening, after);
            let contents = after + if trims { MARKER } else { 0 };
            if self.text.get(contents..).unwrap_or_default().starts_with(COMMENT_LEFT) {
                self.at = contents;
                self.comment()?;
                continue;
            }
            self.start = opening;
            let token = self.token(Kind::LeftDelimiter);
            (self.at, self.start) = (contents, contents);
            (self.inside, self.parens) = (true, 0);
            return token;
        }
    }

    fn comment(&mut self) -> Result<(), Flaw> {
        self.at += COMMENT_LEFT.len();
        let Some(found) = self.rest().find(COMMENT_RIGHT) else { return self.flaw("unclosed comment") };
        self.at += found + COMMENT_RIGHT.len();
        let Some(trims) = self.at_right_delimiter() else {
            return self.flaw("comment ends before closing delimiter");
        };
        self.past_right_delimiter(trims);
        self.start = self.at;
        Ok(())
    }

    /// Whether an action ends here, and trims what follows.
    fn at_right_delimiter(&self) -> Option<bool> {
        let rest = self.rest();
        if has_right_marker(rest) && rest.get(MARKER..).is_some_and(|rest| rest.starts_with(self.right)) {
            return Some(true);
        }
        rest.starts_with(self.right).then_some(false)
    }

    fn past_right_delimiter(&mut self, trims: bool) {
        self.at += self.right.len() + if trims { MARKER } else { 0 };
        if trims {
            self.at = self.text.len() - self.rest().trim_start_matches(is_space).len();
        }
    }

    fn inside_action(&mut self) -> Result<Token, Flaw> {
        if let Some(trims) = self.at_right_delimiter() {
            if self.parens > 0 {
                return self.flaw("unclosed left paren");
            }
            self.past_right_delimiter(trims);
            self.inside = false;
            return self.token(Kind::RightDelimiter);
        }
        let Some(c) = self.bump() else { return self.flaw("unclosed action") };
        match c {
            _ if is_space(c) => self.space(),
            '=' => self.token(Kind::Assign),
            ':' if self.accept("=") => self.token(Kind::Declare),
            ':' => self.flaw("expected :="),
            '|' => self.token(Kind::Pipe),
            ',' => self.token(Kind::Comma),
            '"' => self.quoted('"', Kind::Quoted, "unterminated quoted string"),
            '\'' => self.quoted('\'', Kind::Char, "unterminated character constant"),
            '`' => self.raw(),
            '$' => self.field_or_variable(Kind::Variable, Kind::Variable),
            '.' if !self.peek().is_some_and(|c| c.is_ascii_digit()) => {
                self.field_or_variable(Kind::Field, Kind::Dot)
            }
            '.' | '+' | '-' | '0'..='9' => {
                self.at = self.start;
                self.number()
            }
            '(' => {
                self.parens += 1;
                self.token(Kind::LeftParen)
            }
            ')' => match self.parens.checked_sub(1) {
                Some(fewer) => {
                    self.parens = fewer;
                    self.token(Kind::RightParen)
                }
                None => self.flaw("unexpected right paren"),
            },
            _ if is_word(c) => self.identifier(),
            _ if c.is_ascii_graphic() => self.token(Kind::Other),
            _ => self.flaw(format!("unrecognized character in action: U+{:04X}", u32::from(c))),
        }
    }

    /// A run of blanks, but for the one that belongs to a trim marker.
    fn space(&mut self) -> Result<Token, Flaw> {
        while self.peek().is_some_and(is_space) {
            // Every blank is one byte long.
            self.at += 1;
        }
        self.at -= 1;
        if self.at_right_delimiter() == Some(true) {
            if self.at == self.start {
                return self.inside_action();
            }
        } else {
            self.at += 1;
        }
        self.token(Kind::Space)
    }

    /// What may follow a name without a blank.
    fn at_terminator(&self) -> bool {
        match self.peek() {
            None | Some('.' | ',' | '|' | ':' | ')' | '(') => true,
            Some(c) => is_space(c) || self.rest().starts_with(self.right),
        }
    }

    fn bad_character<T>(&self) -> Result<T, Flaw> {
        let c = self.peek().map(u32::from).unwrap_or_default();
        self.flaw(format!("bad character U+{c:04X}"))
    }

    fn words(&mut self) -> Result<(), Flaw> {
        while let Some(c) = self.peek().filter(|c| is_word(*c)) {
            self.at += c.len_utf8();
        }
        if self.at_terminator() { Ok(()) } else { self.bad_character() }
    }

    fn field_or_variable(&mut self, named: Kind, alone: Kind) -> Result<Token, Flaw> {
        if self.at_terminator() {
            return self.token(alone);
        }
        self.words()?;
        self.token(named)
    }

    fn identifier(&mut self) -> Result<Token, Flaw> {
        self.words()?;
        let kind = match self.text.get(self.start..self.at).unwrap_or_default() {
            "block" => Kind::Block,
            "break" => Kind::Break,
            "continue" => Kind::Continue,
            "define" => Kind::Define,
            "else" => Kind::Else,
            "end" => Kind::End,
            "if" => Kind::If,
            "range" => Kind::Range,
            "nil" => Kind::Nil,
            "template" => Kind::Template,
            "with" => Kind::With,
            "true" | "false" => Kind::Bool,
            _ => Kind::Identifier,
        };
        self.token(kind)
    }

    fn quoted(&mut self, quote: char, kind: Kind, unterminated: &str) -> Result<Token, Flaw> {
        loop {
            match self.bump() {
                Some('\\') if self.peek().is_some_and(|c| c != '\n') => {
                    self.bump();
                }
                None | Some('\\' | '\n') => return self.flaw(unterminated),
                Some(c) if c == quote => return self.token(kind),
                Some(_) => {}
            }
        }
    }

    fn raw(&mut self) -> Result<Token, Flaw> {
        match self.rest().find('`') {
            Some(length) => {
                self.at += length + 1;
                self.token(Kind::Raw)
            }
            None => self.flaw("unterminated raw quoted string"),
        }
    }

    fn number(&mut self) -> Result<Token, Flaw> {
        let good = self.scan_number();
        let mut kind = Kind::Number;
        let mut complex = true;
        if good && self.peek().is_some_and(|c| c == '+' || c == '-') {
            kind = Kind::Complex;
            complex = self.scan_number() && self.text.get(..self.at).is_some_and(|text| text.ends_with('i'));
        }
        if good && complex {
            return self.token(kind);
        }
        let text = self.text.get(self.start..self.at).unwrap_or_default();
        self.flaw(format!("bad number syntax: {text:?}"))
    }

    /// Not strict: what is no number is found when it is converted.
    fn scan_number(&mut self) -> bool {
        const DECIMAL: &str = "0123456789_";
        const HEXADECIMAL: &str = "0123456789abcdefABCDEF_";
        self.accept("+-");
        let mut digits = DECIMAL;
        if self.accept("0") {
            if self.accept("xX") {
                digits = HEXADECIMAL;
            } else if self.accept("oO") {
                digits = "01234567_";
            } else if self.accept("bB") {
                digits = "01_";
            }
        }
        self.accept_run(digits);
        if self.accept(".") {
            self.accept_run(digits);
        }
        let has_exponent =
            (digits == DECIMAL && self.accept("eE")) || (digits == HEXADECIMAL && self.accept("pP"));
        if has_exponent {
            self.accept("+-");
            self.accept_run(DECIMAL);
        }
        self.accept("i");
        match self.peek().filter(|c| is_word(*c)) {
            Some(c) => {
                self.at += c.len_utf8();
                false
            }
            None => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Result<Vec<(Kind, &str)>, String> {
        let mut lexer = Lexer::new(text, "", "");
        let mut words = Vec::new();
        loop {
            let token = lexer.next().map_err(|flaw| flaw.problem)?;
            if token.kind == Kind::Eof {
                return Ok(words);
            }
            words.push((token.kind, text.get(token.span.start..token.span.end).unwrap()));
        }
    }

    #[test]
    fn trim_markers_need_a_blank() {
        let trimmed = words("a \n{{- 3 -}} \n b").unwrap();
        assert_eq!(trimmed.first(), Some(&(Kind::Text, "a")));
        assert_eq!(trimmed.last(), Some(&(Kind::Text, "b")));
        let minus = words("a {{-3}} b").unwrap();
        assert!(minus.contains(&(Kind::Number, "-3")) && minus.contains(&(Kind::Text, "a ")), "{minus:?}");
    }

    #[test]
    fn a_comment_is_nothing_and_trims() {
        assert_eq!(words("a {{- /* {{ */ -}} b").unwrap(), [(Kind::Text, "a"), (Kind::Text, "b")]);
        assert_eq!(words("{{/* a").unwrap_err(), "unclosed comment");
        assert_eq!(words("{{/* a */ }}").unwrap_err(), "comment ends before closing delimiter");
    }

    #[test]
    fn names_end_where_go_ends_them() {
        let kinds: Vec<_> = words("{{$x.a.b|f (.c)}}").unwrap().into_iter().map(|(kind, _)| kind).collect();
        use Kind::*;
        assert_eq!(
            kinds,
            [
                LeftDelimiter,
                Variable,
                Field,
                Field,
                Pipe,
                Identifier,
                Space,
                LeftParen,
                Field,
                RightParen,
                RightDelimiter
            ]
        );
        assert_eq!(words("{{$x+2}}").unwrap_err(), "bad character U+002B");
        assert_eq!(words("{{(1}}").unwrap_err(), "unclosed left paren");
        assert_eq!(words("{{1)}}").unwrap_err(), "unexpected right paren");
    }

    #[test]
    fn other_delimiters_are_as_good() {
        let mut lexer = Lexer::new("{{a}} <% b %>", "<%", "%>");
        let first = lexer.next().unwrap();
        assert_eq!((first.kind, first.span), (Kind::Text, Span { start: 0, end: 6 }));
        assert_eq!(lexer.next().unwrap().kind, Kind::LeftDelimiter);
    }
}
