//! One rendering in progress: what it may still cost, and what methods may do in it.

use crate::error::{ErrorKind, TemplateError};
use crate::options::Options;
use crate::receiver::CallError;
use crate::templates::{Delimiters, Templates};
use crate::tree::Node;
use crate::value::Value;

/// A rendering in progress. Methods of objects get it, to render other templates within the same
/// limits and to pay for work in proportion to data.
#[derive(Debug)]
pub struct Rendering {
    templates: Templates,
    options: Options,
    steps_left: u64,
    output_left: usize,
    depth: usize,
}

impl Rendering {
    pub(crate) fn new(templates: Templates, options: Options) -> Rendering {
        let (steps_left, output_left) = (options.limits.steps, options.limits.output);
        Rendering { templates, options, steps_left, output_left, depth: 0 }
    }

    /// The options it runs under.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The templates it sees.
    pub fn templates(&self) -> &Templates {
        &self.templates
    }

    /// Pays steps for work in proportion to data; call it before the work.
    ///
    /// # Errors
    ///
    /// When there are not so many left.
    pub fn work(&mut self, steps: u64) -> Result<(), CallError> {
        self.steps_left = self.steps_left.checked_sub(steps).ok_or_else(|| {
            CallError::Limit(format!(
                "more than {} steps: a loop or a text is too large",
                self.options.limits.steps
            ))
        })?;
        Ok(())
    }

    /// Renders a template of the set into text, as `{{template}}` would.
    ///
    /// # Errors
    ///
    /// As [`Templates::render`], and when templates are nested too deep.
    pub fn template(&mut self, name: &str, dot: Value) -> Result<String, CallError> {
        Ok(self.render(name, dot)?)
    }

    /// Renders a text that is a template itself, as a param may be. `name` is what errors call it; it
    /// sees the templates of the set, and nobody sees it afterwards.
    ///
    /// # Errors
    ///
    /// As [`Templates::add`] and [`Rendering::template`].
    pub fn text(&mut self, name: &str, text: &str, dot: Value) -> Result<String, CallError> {
        let outer = self.templates.clone();
        self.templates.add(name, text, &Delimiters::default())?;
        let rendered = self.render(name, dot);
        self.templates = outer;
        Ok(rendered?)
    }

    pub(crate) fn render(&mut self, name: &str, _dot: Value) -> Result<String, TemplateError> {
        let limit = |problem: String| TemplateError::whole(name, ErrorKind::Limit, problem);
        let Some(tree) = self.templates.tree(name).cloned() else {
            return Err(TemplateError::whole(name, ErrorKind::Execution, "there is no such template"));
        };
        if self.depth >= self.options.limits.templates {
            return Err(limit(format!("templates call each other more than {} deep", self.depth)));
        }
        let mut output = String::new();
        for Node::Text(text) in &tree.nodes {
            self.output_left = self
                .output_left
                .checked_sub(text.len())
                .ok_or_else(|| limit(format!("more than {} bytes of output", self.options.limits.output)))?;
            output.push_str(text);
        }
        Ok(output)
    }
}
