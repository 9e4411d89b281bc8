//! Functions of templates: their names, what they want, and the table in which they are found.

use crate::receiver::CallError;
use crate::render::Rendering;
use crate::value::{Map, Value};
use crate::{builtins, sprig};
use std::collections::HashMap;
use std::fmt::{self, Debug, Formatter};
use std::sync::LazyLock;

/// What a function wants in one place. Go's types: a literal fits where it can be converted without
/// loss, any other value only where it has the type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Param {
    /// `interface{}`
    Any,
    /// `string`
    Text,
    /// `int`
    Int,
    /// `float64`
    Float,
    /// `bool`
    Bool,
    /// `map[string]interface{}`
    Map,
}

impl Param {
    /// Go's name of the type.
    pub(crate) fn type_name(self) -> &'static str {
        match self {
            Param::Any => "interface {}",
            Param::Text => "string",
            Param::Int => "int",
            Param::Float => "float64",
            Param::Bool => "bool",
            Param::Map => "map[string]interface {}",
        }
    }
}

/// How a call goes.
#[derive(Clone, Copy)]
pub(crate) enum Body {
    /// Ends at the first false argument.
    And,
    /// Ends at the first true argument.
    Or,
    /// Gets all arguments.
    Plain(fn(&mut Rendering, Args<'_>) -> Result<Value, CallError>),
}

/// A function.
pub(crate) struct Function {
    pub(crate) name: &'static str,
    pub(crate) params: &'static [Param],
    /// What any number of further arguments must be; none when there may be no further one.
    pub(crate) rest: Option<Param>,
    pub(crate) body: Body,
}

impl Debug for Function {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl Function {
    /// A function of so many arguments.
    pub(crate) const fn new(
        name: &'static str,
        params: &'static [Param],
        body: fn(&mut Rendering, Args<'_>) -> Result<Value, CallError>,
    ) -> Function {
        Function { name, params, rest: None, body: Body::Plain(body) }
    }

    /// A function of so many arguments or more.
    pub(crate) const fn variadic(
        name: &'static str,
        params: &'static [Param],
        rest: Param,
        body: fn(&mut Rendering, Args<'_>) -> Result<Value, CallError>,
    ) -> Function {
        Function { name, params, rest: Some(rest), body: Body::Plain(body) }
    }

    /// What the argument at an index must be.
    pub(crate) fn param(&self, index: usize) -> Param {
        self.params.get(index).copied().or(self.rest).unwrap_or(Param::Any)
    }
}

static FUNCTIONS: LazyLock<HashMap<&'static str, &'static Function>> = LazyLock::new(|| {
    // Sprig's functions hide those of Go that have their name.
    let all = builtins::FUNCTIONS.iter().chain(sprig::tables().into_iter().flatten());
    all.map(|function| (function.name, function)).collect()
});

/// The function of a name, or why there is none.
pub(crate) fn find(name: &str) -> Result<&'static Function, String> {
    FUNCTIONS.get(name).copied().ok_or_else(|| match sprig::why_absent(name) {
        Some(reason) => format!("function {name:?} is left out: {reason}"),
        None => format!("function {name:?} not defined"),
    })
}

/// The arguments of a call, which have been held against the function's parameters.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Args<'a>(pub(crate) &'a [Value]);

impl<'a> Args<'a> {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn any(&self, index: usize) -> &'a Value {
        self.0.get(index).unwrap_or(&Value::Nil)
    }

    /// The arguments from an index on.
    pub(crate) fn from(&self, index: usize) -> &'a [Value] {
        self.0.get(index..).unwrap_or_default()
    }

    pub(crate) fn text(&self, index: usize) -> Result<&'a str, CallError> {
        self.any(index).as_text().ok_or_else(|| self.wrong(index, "string"))
    }

    pub(crate) fn int(&self, index: usize) -> Result<i64, CallError> {
        if let Value::Int(number) = self.any(index) { Ok(*number) } else { Err(self.wrong(index, "int")) }
    }

    pub(crate) fn float(&self, index: usize) -> Result<f64, CallError> {
        if let Value::Float(number) = self.any(index) {
            Ok(*number)
        } else {
            Err(self.wrong(index, "float64"))
        }
    }

    pub(crate) fn truth(&self, index: usize) -> Result<bool, CallError> {
        if let Value::Bool(truth) = self.any(index) { Ok(*truth) } else { Err(self.wrong(index, "bool")) }
    }

    /// A map; Go reads a nil one like an empty one.
    pub(crate) fn map(&self, index: usize) -> Result<Map, CallError> {
        map_of(self.any(index)).ok_or_else(|| self.wrong(index, "map[string]interface {}"))
    }

    fn wrong(&self, index: usize, wanted: &str) -> CallError {
        let got = self.any(index).type_name();
        CallError::Failed(format!("wrong type of argument {}; expected {wanted}; got {got}", index + 1))
    }
}

/// What can stand where a map is wanted.
pub(crate) fn map_of(value: &Value) -> Option<Map> {
    match value {
        Value::Nil => Some(Map::new()),
        Value::Map(map) => Some(map.clone()),
        Value::Receiver(receiver) => match receiver.plain() {
            Some(Value::Map(map)) => Some(map),
            Some(_) | None => None,
        },
        Value::Bool(_)
        | Value::Int(_)
        | Value::Int64(_)
        | Value::Float(_)
        | Value::Text(_)
        | Value::List(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_says_why() {
        assert!(find("env").unwrap_err().contains("left out"));
        assert_eq!(find("nope").unwrap_err(), "function \"nope\" not defined");
        assert_eq!(find("slice").unwrap().params.len(), 1);
    }
}
