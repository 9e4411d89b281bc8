//! What a template's text means.

use std::collections::BTreeSet;

/// A parsed template.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) name: String,
    pub(crate) nodes: Vec<Node>,
}

/// A piece of a template.
#[derive(Debug)]
pub(crate) enum Node {
    /// Text as it is.
    Text(String),
}

impl Tree {
    /// Whether it is nothing but blanks.
    pub(crate) fn is_blank(&self) -> bool {
        self.nodes.iter().all(|Node::Text(text)| text.trim().is_empty())
    }

    /// The names of the templates it calls.
    pub(crate) fn called(&self) -> BTreeSet<String> {
        BTreeSet::new()
    }
}
