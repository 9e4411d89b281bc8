//! Errors with their place: template, line, column and the action that failed.

use std::fmt::{self, Display, Formatter};
use thiserror::Error;

/// Most characters of an action that a message repeats.
const MAX_ACTION: usize = 120;
/// Most characters of what is wrong.
const MAX_PROBLEM: usize = 500;
/// Most characters of a template's name that a message repeats.
const MAX_NAME: usize = 120;

/// A template could not be parsed or rendered.
///
/// Displayed as `template "default.ipxe", line 3: .Param "x": the parameter is not set`.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct TemplateError {
    /// The template in whose text it is.
    pub template: String,
    /// Line, from 1; 0 when there is no place in the text.
    pub line: u32,
    /// Column in characters, from 1; 0 when there is no place in the text.
    pub column: u32,
    /// The text of the action, cut when it is long, without control characters.
    pub action: Option<String>,
    /// What kind of failure it is.
    pub kind: ErrorKind,
    /// What is wrong.
    pub problem: String,
}

/// Kinds of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The text is not a template.
    Syntax,
    /// The template could not be executed with this data.
    Execution,
    /// A limit was reached.
    Limit,
}

impl Display for TemplateError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let name: String = self.template.chars().take(MAX_NAME).collect();
        write!(f, "template {:?}", tame(&name))?;
        if self.line > 0 {
            write!(f, ", line {}", self.line)?;
        }
        if let Some(action) = &self.action {
            write!(f, ": {action}")?;
        }
        write!(f, ": {}", self.problem)
    }
}

impl TemplateError {
    /// An error at a range of bytes of a template's text.
    pub(crate) fn at(
        template: &str,
        text: &str,
        (start, end): (usize, usize),
        kind: ErrorKind,
        problem: String,
    ) -> TemplateError {
        let before = text.get(..start).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        let action = text.get(start..end).map(shown).filter(|action| !action.is_empty());
        TemplateError {
            template: template.to_owned(),
            line: line.try_into().unwrap_or(u32::MAX),
            column: column.try_into().unwrap_or(u32::MAX),
            action,
            kind,
            problem: cut(&problem, MAX_PROBLEM),
        }
    }

    /// An error without a place in the text.
    pub(crate) fn whole(template: &str, kind: ErrorKind, problem: impl Into<String>) -> TemplateError {
        TemplateError {
            template: template.to_owned(),
            line: 0,
            column: 0,
            action: None,
            kind,
            problem: cut(&problem.into(), MAX_PROBLEM),
        }
    }
}

fn shown(action: &str) -> String {
    cut(action.trim(), MAX_ACTION)
}

/// At most so many characters, fit for a terminal.
fn cut(text: &str, most: usize) -> String {
    let mut cut: String = text.chars().take(most).collect();
    if text.chars().nth(most).is_some() {
        cut.push('…');
    }
    tame(&cut)
}

/// A sentence for a terminal: what it would obey is a blank.
fn tame(sentence: &str) -> String {
    let obeyed = |c: char| c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c);
    sentence.chars().map(|c| if obeyed(c) { ' ' } else { c }).collect()
}
