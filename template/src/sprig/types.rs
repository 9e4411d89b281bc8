//! Types and emptiness: `default`, `empty`, `ternary`, `typeOf`, `kindOf`.

use crate::function::{Function, Param};
use crate::value::Value;

use Param::{Any, Bool, Text};

pub(super) static FUNCTIONS: [Function; 8] = [
    Function::variadic("default", &[Any], Any, |_, a| {
        let given = a.any(1);
        Ok(if given.is_true() { given.clone() } else { a.any(0).clone() })
    }),
    Function::new("empty", &[Any], |_, a| Ok((!a.any(0).is_true()).into())),
    Function::new("ternary", &[Any, Any, Bool], |_, a| Ok(a.any(usize::from(!a.truth(2)?)).clone())),
    Function::new("typeOf", &[Any], |_, a| Ok(a.any(0).type_name().into())),
    Function::new("typeIs", &[Text, Any], |_, a| Ok((a.text(0)? == a.any(1).type_name()).into())),
    Function::new("typeIsLike", &[Text, Any], |_, a| {
        let name = a.any(1).type_name();
        Ok((a.text(0)? == name || Some(a.text(0)?) == name.strip_prefix('*')).into())
    }),
    Function::new("kindOf", &[Any], |_, a| Ok(kind(a.any(0)).into())),
    Function::new("kindIs", &[Text, Any], |_, a| Ok((a.text(0)? == kind(a.any(1))).into())),
];

/// Go's kind of a value.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Nil => "invalid",
        Value::Bool(_) => "bool",
        Value::Int(_) => "int",
        Value::Int64(_) => "int64",
        Value::Float(_) => "float64",
        Value::Text(_) => "string",
        Value::List(_) => "slice",
        Value::Map(_) => "map",
        Value::Receiver(_) => "struct",
    }
}
