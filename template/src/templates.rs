//! A set of templates in one namespace, shared cheaply.

use crate::error::TemplateError;
use crate::options::Options;
use crate::parse;
use crate::render::Rendering;
use crate::tree::Tree;
use crate::value::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What encloses an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delimiters {
    /// Opens an action; empty is `{{`.
    pub left: String,
    /// Closes an action; empty is `}}`.
    pub right: String,
}

impl Default for Delimiters {
    fn default() -> Delimiters {
        Delimiters { left: "{{".to_owned(), right: "}}".to_owned() }
    }
}

/// Parsed templates by name.
///
/// A clone shares what is parsed, and a template added to the clone is added to it alone: so a large
/// set is parsed once, and each rendering extends its clone by a few of its own.
#[derive(Debug, Clone, Default)]
pub struct Templates {
    /// What is below: shared, and hidden by what is above.
    base: Option<Arc<Templates>>,
    own: Arc<BTreeMap<String, Arc<Tree>>>,
}

impl Templates {
    /// Parses a template and adds it under its name, with all that it defines. A name that is taken
    /// is replaced, but never by a template of nothing but blanks, as in Go.
    ///
    /// # Errors
    ///
    /// When the text is no template, is longer than [`MAX_TEXT`](crate::MAX_TEXT) or has more in it
    /// than [`MAX_TOKENS`](crate::MAX_TOKENS) and [`MAX_NESTING`](crate::MAX_NESTING) allow. Then
    /// nothing is added.
    pub fn add(&mut self, name: &str, text: &str, delimiters: &Delimiters) -> Result<(), TemplateError> {
        for tree in parse::parse(name, text, delimiters)? {
            if !tree.is_blank() || self.tree(&tree.name).is_none() {
                self.own_mut().insert(tree.name.clone(), Arc::new(tree));
            }
        }
        Ok(())
    }

    /// Whether there is a template of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.tree(name).is_some()
    }

    /// The names that a template calls by `{{template "name"}}`, whether they are there or not; none
    /// when there is no such template.
    pub fn called_by(&self, name: &str) -> Option<BTreeSet<String>> {
        self.tree(name).map(|tree| tree.called())
    }

    /// Renders a template.
    ///
    /// # Errors
    ///
    /// When there is no such template, when it cannot be executed with this data, or when a limit is
    /// reached.
    pub fn render(&self, name: &str, dot: Value, options: &Options) -> Result<String, TemplateError> {
        Rendering::new(self.clone(), options.clone()).render(name, dot)
    }

    pub(crate) fn tree(&self, name: &str) -> Option<&Arc<Tree>> {
        let mut layer = self;
        loop {
            if let Some(tree) = layer.own.get(name) {
                return Some(tree);
            }
            layer = layer.base.as_deref()?;
        }
    }

    /// The top layer, which nobody else sees.
    fn own_mut(&mut self) -> &mut BTreeMap<String, Arc<Tree>> {
        if Arc::get_mut(&mut self.own).is_none() {
            let base = std::mem::take(self);
            self.base = Some(Arc::new(base));
        }
        // Just made, or not shared: never copies.
        Arc::make_mut(&mut self.own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(templates: &Templates, name: &str) -> String {
        templates.render(name, Value::Nil, &Options::default()).unwrap()
    }

    #[test]
    fn a_clone_is_extended_alone_and_shares_the_rest() {
        let mut all = Templates::default();
        all.add("a", "first", &Delimiters::default()).unwrap();
        let mut more = all.clone();
        more.add("b", "second", &Delimiters::default()).unwrap();
        more.add("a", "other", &Delimiters::default()).unwrap();
        assert!(!all.contains("b"));
        assert_eq!((rendered(&all, "a"), rendered(&more, "a")), ("first".to_owned(), "other".to_owned()));
        assert!(Arc::ptr_eq(more.base.as_ref().unwrap().tree("a").unwrap(), all.tree("a").unwrap()));
    }

    #[test]
    fn nothing_is_not_put_over_something() {
        let mut all = Templates::default();
        all.add("a", "first", &Delimiters::default()).unwrap();
        all.add("a", " \n", &Delimiters::default()).unwrap();
        assert_eq!(rendered(&all, "a"), "first");
    }
}
