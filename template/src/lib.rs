//! Go's `text/template` with sprig's generic functions: what boot content is written in.
//!
//! Pure: no I/O, no clock, no randomness, and no knowledge of machines. Templates are hostile or at
//! least careless: text, nesting, output, steps and recursion have limits (`options.rs`), and a
//! thread's stack of 2 MiB is enough.
//!
//! Behaviour is that of Go 1.19 and sprig 3.2.3, byte for byte, held to fixtures that Go made.
//!
//! ```no_run
//! use template::{Options, Templates, Value};
//!
//! let mut templates = Templates::default();
//! templates.add("greet", "Hello {{.name | upper}}!", &Default::default())?;
//! let dot = Value::from(serde_json::json!({"name": "ann"}));
//! assert_eq!(templates.render("greet", dot, &Options::default())?, "Hello ANN!");
//! # Ok::<(), template::TemplateError>(())
//! ```

mod builtins;
mod compare;
mod error;
mod exec;
mod function;
mod lex;
mod number;
mod options;
mod parse;
mod print;
mod printf;
mod quote;
mod receiver;
mod render;
mod sprig;
mod templates;
mod tree;
mod value;

pub use error::{ErrorKind, TemplateError};
pub use options::{Limits, MAX_EXECUTION_DEPTH, MAX_NESTING, MAX_TEXT, MAX_TOKENS, MissingKey, Options};
pub use receiver::{CallError, Receiver};
pub use render::Rendering;
pub use templates::{Delimiters, Templates};
pub use value::{List, MAX_DEPTH, Map, Value};
