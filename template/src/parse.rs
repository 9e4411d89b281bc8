//! Text into trees.

use crate::error::{ErrorKind, TemplateError};
use crate::options::MAX_TEXT;
use crate::templates::Delimiters;
use crate::tree::{Node, Tree};

/// The trees of a text: its own, and those it defines.
pub(crate) fn parse(name: &str, text: &str, delimiters: &Delimiters) -> Result<Vec<Tree>, TemplateError> {
    if text.len() > MAX_TEXT {
        let problem = format!("{} bytes of text, at most {MAX_TEXT} are allowed", text.len());
        return Err(TemplateError::whole(name, ErrorKind::Limit, problem));
    }
    if let Some(start) = text.find(&delimiters.left) {
        let problem = "actions are not understood yet".to_owned();
        return Err(TemplateError::at(name, text, (start, text.len()), ErrorKind::Syntax, problem));
    }
    Ok(vec![Tree { name: name.to_owned(), nodes: vec![Node::Text(text.to_owned())] }])
}
