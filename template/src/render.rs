//! One rendering in progress: what it may still cost, and what methods may do in it.

use crate::error::{ErrorKind, TemplateError};
use crate::exec::Execution;
use crate::options::{MAX_EXECUTION_DEPTH, Options};
use crate::receiver::CallError;
use crate::sprig::Regexes;
use crate::templates::{Delimiters, Templates};
use crate::value::Value;
use std::sync::Arc;

/// Bytes of text that are one step.
const TEXT_PER_STEP: usize = 16;

/// A rendering in progress. Methods of objects get it, to render other templates within the same
/// limits and to pay for work in proportion to data.
#[derive(Debug)]
pub struct Rendering {
    templates: Templates,
    options: Options,
    steps_left: u64,
    /// How many templates are being executed in each other.
    templates_deep: usize,
    /// How many blocks, pipelines and templates are being executed in each other.
    depth: usize,
    /// Regular expressions that were compiled.
    regexes: Regexes,
}

impl Rendering {
    pub(crate) fn new(templates: Templates, options: Options) -> Rendering {
        let steps_left = options.limits.steps;
        Rendering { templates, options, steps_left, templates_deep: 0, depth: 0, regexes: Regexes::default() }
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
        match self.steps_left.checked_sub(steps) {
            Some(left) => {
                self.steps_left = left;
                Ok(())
            }
            None => {
                // Nothing is left for those who go on after an error.
                self.steps_left = 0;
                let limit = self.options.limits.steps;
                Err(CallError::Limit(format!("takes more than {limit} steps: make loops and texts smaller")))
            }
        }
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
        // Reading a text takes more than copying it.
        self.work(u64::try_from(text.len()).unwrap_or(u64::MAX))?;
        let mut extended = self.templates.clone();
        extended.add(name, text, &Delimiters::default())?;
        let outer = std::mem::replace(&mut self.templates, extended);
        let rendered = self.render(name, dot);
        self.templates = outer;
        Ok(rendered?)
    }

    pub(crate) fn render(&mut self, name: &str, dot: Value) -> Result<String, TemplateError> {
        let Some(tree) = self.templates.tree(name).map(Arc::clone) else {
            return Err(TemplateError::whole(name, ErrorKind::Execution, "there is no such template"));
        };
        let mut output = String::new();
        let entered = self.enter_template();
        entered.map_err(|error| TemplateError::whole(name, ErrorKind::Limit, error.to_string()))?;
        let rendered = Execution::new(self, &tree, &mut output).run(Some(dot));
        self.leave_template();
        rendered.map(|()| output).map_err(|fault| *fault)
    }

    /// Pays for text that is read or written.
    pub(crate) fn work_on_text(&mut self, bytes: usize) -> Result<(), CallError> {
        self.work(u64::try_from(bytes / TEXT_PER_STEP).unwrap_or(u64::MAX))
    }

    /// Pays for items that are made.
    pub(crate) fn work_on_items(&mut self, items: usize) -> Result<(), CallError> {
        self.work(u64::try_from(items).unwrap_or(u64::MAX).saturating_mul(4))
    }

    /// Refuses a text that is longer than the output may be.
    pub(crate) fn check_length(&self, bytes: usize) -> Result<(), CallError> {
        let limit = self.options.limits.output;
        if bytes > limit {
            return Err(CallError::Limit(format!("makes more than {limit} bytes of text")));
        }
        Ok(())
    }

    pub(crate) fn regexes(&mut self) -> &mut Regexes {
        &mut self.regexes
    }

    pub(crate) fn enter_template(&mut self) -> Result<(), CallError> {
        let limit = self.options.limits.templates;
        if self.templates_deep >= limit {
            return Err(CallError::Limit(format!("templates call each other more than {limit} deep")));
        }
        self.enter()?;
        self.templates_deep += 1;
        Ok(())
    }

    pub(crate) fn leave_template(&mut self) {
        self.templates_deep -= 1;
        self.leave();
    }

    /// One level deeper into the stack.
    pub(crate) fn enter(&mut self) -> Result<(), CallError> {
        if self.depth >= MAX_EXECUTION_DEPTH {
            return Err(CallError::Limit(format!(
                "blocks, parentheses and templates are nested more than {MAX_EXECUTION_DEPTH} deep"
            )));
        }
        self.depth += 1;
        Ok(())
    }

    pub(crate) fn leave(&mut self) {
        self.depth -= 1;
    }
}
