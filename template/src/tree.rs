//! What a template's text means, as a tree.

use crate::function::Function;
use crate::number::Number;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A range of bytes of the text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// A parsed template.
#[derive(Debug)]
pub(crate) struct Tree {
    /// The name it is called by.
    pub(crate) name: String,
    /// The name of the text that it stands in: another one when it was defined there.
    pub(crate) file: Arc<str>,
    /// The text that it stands in, for text nodes and messages.
    pub(crate) source: Arc<str>,
    pub(crate) nodes: Vec<Node>,
}

/// A piece of a template.
#[derive(Debug)]
pub(crate) enum Node {
    /// Text as it is.
    Text(Span),
    /// A pipeline, whose value is printed when it declares nothing.
    Action(Pipe),
    /// `if` with any number of `else if`.
    If { arms: Vec<(Pipe, Vec<Node>)>, otherwise: Vec<Node> },
    /// `with`: the value becomes dot.
    With(Box<Block>),
    /// `range`: each item becomes dot.
    Range(Box<Block>),
    /// Another template, by its name.
    Template { span: Span, name: String, dot: Option<Pipe> },
    /// Ends the innermost `range`.
    Break,
    /// The next item of the innermost `range`.
    Continue,
}

/// A pipeline with what is executed for its value, and what otherwise.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) pipe: Pipe,
    pub(crate) body: Vec<Node>,
    pub(crate) otherwise: Vec<Node>,
}

/// Commands, each of which gets the value of the one before as its last argument.
#[derive(Debug)]
pub(crate) struct Pipe {
    pub(crate) span: Span,
    /// Variables that get the value, with their dollar sign.
    pub(crate) variables: Vec<Arc<str>>,
    /// Whether the variables exist already (`=`) or are declared here (`:=`).
    pub(crate) assigns: bool,
    pub(crate) commands: Vec<Command>,
}

/// An operand with arguments.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) span: Span,
    pub(crate) first: Arg,
    pub(crate) args: Vec<Arg>,
}

/// An operand.
#[derive(Debug)]
pub(crate) enum Arg {
    Dot,
    Nil,
    Bool(bool),
    Number(Number),
    Text(Arc<str>),
    Function(&'static Function),
    /// `.a.b`
    Fields(Vec<Arc<str>>),
    /// `$x.a.b`
    Variable(Arc<str>, Vec<Arc<str>>),
    /// `(pipeline).a.b`
    Chain(Box<Arg>, Vec<Arc<str>>),
    /// `(pipeline)`
    Pipe(Pipe),
}

impl Tree {
    /// A piece of the text it stands in.
    pub(crate) fn text(&self, span: Span) -> &str {
        self.source.get(span.start..span.end).unwrap_or_default()
    }

    /// Whether it is nothing but blanks.
    pub(crate) fn is_blank(&self) -> bool {
        self.nodes.iter().all(|node| match node {
            Node::Text(span) => self.text(*span).trim().is_empty(),
            Node::Action(_)
            | Node::If { .. }
            | Node::With(_)
            | Node::Range(_)
            | Node::Template { .. }
            | Node::Break
            | Node::Continue => false,
        })
    }

    /// The names of the templates it calls.
    pub(crate) fn called(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        let mut lists = vec![self.nodes.as_slice()];
        while let Some(nodes) = lists.pop() {
            for node in nodes {
                match node {
                    Node::Template { name, .. } => {
                        names.insert(name.clone());
                    }
                    Node::If { arms, otherwise } => {
                        lists.extend(arms.iter().map(|(_, body)| body.as_slice()));
                        lists.push(otherwise);
                    }
                    Node::With(block) | Node::Range(block) => {
                        lists.push(&block.body);
                        lists.push(&block.otherwise);
                    }
                    Node::Text(_) | Node::Action(_) | Node::Break | Node::Continue => {}
                }
            }
        }
        names
    }
}
