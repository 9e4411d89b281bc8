//! Objects that a template asks for fields and calls methods of.

use crate::error::TemplateError;
use crate::render::Rendering;
use crate::value::Value;
use std::any::Any;
use std::fmt::Debug;
use thiserror::Error;

/// An object with fields and methods, as `.Machine` with `.Machine.Name` and `.Param "key"`.
///
/// `.X` without arguments is the field or else the method X; with arguments it is the method. A name
/// that is neither is an error always.
pub trait Receiver: Any + Debug + Send + Sync {
    /// What messages call it: `Machine`.
    fn type_name(&self) -> &str;

    /// The value of a field.
    fn field(&self, name: &str) -> Option<Value>;

    /// Calls a method; none when there is no such method.
    ///
    /// The rendering in progress is for work in proportion to data ([`Rendering::work`]) and for
    /// methods that render other templates ([`Rendering::template`], [`Rendering::text`]).
    fn call(&self, name: &str, args: &[Value], rendering: &mut Rendering)
    -> Option<Result<Value, CallError>>;

    /// The object as plain data, for printing, `toJson`, `range` and functions that want a map; none
    /// when it is not to be seen as a whole.
    fn plain(&self) -> Option<Value> {
        None
    }
}

/// Why a method or function failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CallError {
    /// It could not do it: the sentence, which names the parameter or what else was wanted.
    #[error("{0}")]
    Failed(String),
    /// The rendering reached a limit.
    #[error("{0}")]
    Limit(String),
    /// A template that it rendered failed, at a place of its own.
    #[error(transparent)]
    Inside(Box<TemplateError>),
}

impl From<TemplateError> for CallError {
    fn from(error: TemplateError) -> CallError {
        CallError::Inside(Box::new(error))
    }
}

impl CallError {
    /// A failure with a sentence.
    pub fn failed(sentence: impl Into<String>) -> CallError {
        CallError::Failed(sentence.into())
    }
}

impl From<String> for CallError {
    fn from(sentence: String) -> CallError {
        CallError::Failed(sentence)
    }
}
