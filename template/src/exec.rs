//! Executes trees: the walk and the evaluation of `text/template/exec.go`.

use crate::error::{ErrorKind, TemplateError};
use crate::function::{Args, Body, Function, Param};
use crate::options::MissingKey;
use crate::print::text_of;
use crate::receiver::CallError;
use crate::render::Rendering;
use crate::tree::{Arg, Block, Command, Node, Pipe, Span, Tree};
use crate::value::Value;
use std::sync::Arc;

/// A value, or what Go calls an invalid one: an absent key, a template without data. Unlike nil it
/// has every field, which is absent again.
type Operand = Option<Value>;

/// An error in a box: results are on the stack once for each level of nesting.
pub(crate) type Fault = Box<TemplateError>;

/// What comes after a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Next,
    Break,
    Continue,
}

/// The execution of one template.
pub(crate) struct Execution<'r> {
    rendering: &'r mut Rendering,
    tree: &'r Tree,
    out: &'r mut String,
    /// Variables in the order of their declaration; the last of a name counts.
    variables: Vec<(Arc<str>, Operand)>,
    /// What is being executed, for messages.
    at: Span,
}

impl<'r> Execution<'r> {
    pub(crate) fn new(rendering: &'r mut Rendering, tree: &'r Tree, out: &'r mut String) -> Execution<'r> {
        Execution { rendering, tree, out, variables: Vec::new(), at: Span::default() }
    }

    /// Executes the template.
    pub(crate) fn run(&mut self, dot: Operand) -> Result<(), Fault> {
        // Data that is nil is no data.
        let dot = dot.filter(|dot| !matches!(dot, Value::Nil));
        self.variables.push((Arc::from("$"), dot.clone()));
        self.list(&dot, &self.tree.nodes).map(|_| ())
    }

    fn fault(&self, error: CallError) -> Fault {
        let kind = match error {
            CallError::Failed(_) => ErrorKind::Execution,
            CallError::Limit(_) => ErrorKind::Limit,
            CallError::Inside(inside) => return inside,
        };
        let span = (self.at.start, self.at.end);
        Box::new(TemplateError::at(&self.tree.file, &self.tree.source, span, kind, error.to_string()))
    }

    fn fail<T>(&self, problem: impl Into<String>) -> Result<T, Fault> {
        Err(self.fault(CallError::Failed(problem.into())))
    }

    fn pay(&mut self, result: Result<(), CallError>) -> Result<(), Fault> {
        result.map_err(|error| self.fault(error))
    }

    fn work(&mut self, steps: u64) -> Result<(), Fault> {
        let paid = self.rendering.work(steps);
        self.pay(paid)
    }

    /// Goes one level deeper while something is executed.
    fn nested<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        let entered = self.rendering.enter();
        self.pay(entered)?;
        let result = inner(self);
        self.rendering.leave();
        result
    }

    fn write(&mut self, text: &str) -> Result<(), Fault> {
        let paid = self.rendering.work_on_text(text.len());
        self.pay(paid)?;
        let fits = self.rendering.check_length(self.out.len().saturating_add(text.len()));
        self.pay(fits)?;
        self.out.push_str(text);
        Ok(())
    }

    fn list(&mut self, dot: &Operand, nodes: &[Node]) -> Result<Flow, Fault> {
        for node in nodes {
            self.work(1)?;
            let flow = match node {
                Node::Text(span) => {
                    let tree = self.tree;
                    self.write(tree.text(*span))?;
                    Flow::Next
                }
                Node::Action(pipe) => {
                    self.action(dot, pipe)?;
                    Flow::Next
                }
                Node::If { arms, otherwise } => {
                    self.nested(|deeper| deeper.conditional(dot, arms, otherwise))?
                }
                Node::With(block) => self.nested(|deeper| deeper.with(dot, block))?,
                Node::Range(block) => self.nested(|deeper| deeper.range(dot, block))?,
                Node::Template { span, name, dot: pipe } => {
                    self.template(dot, *span, name, pipe.as_ref())?;
                    Flow::Next
                }
                Node::Break => Flow::Break,
                Node::Continue => Flow::Continue,
            };
            if flow != Flow::Next {
                return Ok(flow);
            }
        }
        Ok(Flow::Next)
    }

    fn action(&mut self, dot: &Operand, pipe: &Pipe) -> Result<(), Fault> {
        let value = self.pipeline(dot, pipe)?;
        if !pipe.variables.is_empty() {
            return Ok(());
        }
        self.at = pipe.span;
        match value {
            None => self.write("<no value>"),
            Some(Value::Text(text)) => self.write(&text),
            Some(value) => {
                let text = text_of(self.rendering, &value).map_err(|error| self.fault(error))?;
                self.write(&text)
            }
        }
    }

    fn conditional(
        &mut self,
        dot: &Operand,
        arms: &[(Pipe, Vec<Node>)],
        otherwise: &[Node],
    ) -> Result<Flow, Fault> {
        let mark = self.variables.len();
        let mut chosen = otherwise;
        for (pipe, body) in arms {
            if is_true(&self.pipeline(dot, pipe)?) {
                chosen = body;
                break;
            }
        }
        let flow = self.list(dot, chosen)?;
        self.variables.truncate(mark);
        Ok(flow)
    }

    fn with(&mut self, dot: &Operand, block: &Block) -> Result<Flow, Fault> {
        let mark = self.variables.len();
        let value = self.pipeline(dot, &block.pipe)?;
        let flow =
            if is_true(&value) { self.list(&value, &block.body)? } else { self.list(dot, &block.otherwise)? };
        self.variables.truncate(mark);
        Ok(flow)
    }

    fn range(&mut self, dot: &Operand, block: &Block) -> Result<Flow, Fault> {
        let mark = self.variables.len();
        let value = self.pipeline(dot, &block.pipe)?;
        let flow = match self.items(value, block.pipe.span)? {
            Items::List(list) if !list.is_empty() => {
                let items = list.iter().zip(0_i64..);
                self.iterate(block, items.map(|(item, index)| (Value::Int(index), item.clone())))?
            }
            Items::Map(map) if !map.is_empty() => {
                let entries = map.entries();
                self.work(u64::try_from(entries.len()).unwrap_or(u64::MAX))?;
                self.iterate(block, entries.into_iter().map(|(key, item)| (Value::Text(key), item)))?
            }
            Items::List(_) | Items::Map(_) => self.list(dot, &block.otherwise)?,
        };
        self.variables.truncate(mark);
        Ok(flow)
    }

    fn items(&mut self, value: Operand, span: Span) -> Result<Items, Fault> {
        self.at = span;
        match value {
            None | Some(Value::Nil) => Ok(Items::List(Vec::new().into())),
            Some(Value::List(list)) => Ok(Items::List(list)),
            Some(Value::Map(map)) => Ok(Items::Map(map)),
            Some(Value::Receiver(receiver)) => match receiver.plain() {
                Some(Value::List(list)) => Ok(Items::List(list)),
                Some(Value::Map(map)) => Ok(Items::Map(map)),
                Some(_) | None => self.fail(format!("range can't iterate over a {}", receiver.type_name())),
            },
            Some(
                value @ (Value::Bool(_) | Value::Int(_) | Value::Int64(_) | Value::Float(_) | Value::Text(_)),
            ) => self.fail(format!("range can't iterate over a value of type {}", value.type_name())),
        }
    }

    fn iterate(&mut self, block: &Block, items: impl Iterator<Item = (Value, Value)>) -> Result<Flow, Fault> {
        let mark = self.variables.len();
        for (key, item) in items {
            self.at = block.pipe.span;
            self.work(1)?;
            let dot = Some(item);
            match block.pipe.variables.as_slice() {
                [] => {}
                [item] => self.assign(item, dot.clone())?,
                [index, item, ..] => {
                    self.assign(index, Some(key))?;
                    self.assign(item, dot.clone())?;
                }
            }
            let flow = self.list(&dot, &block.body)?;
            self.variables.truncate(mark);
            if flow == Flow::Break {
                break;
            }
        }
        Ok(Flow::Next)
    }

    fn assign(&mut self, name: &str, value: Operand) -> Result<(), Fault> {
        match self.variables.iter_mut().rev().find(|(known, _)| **known == *name) {
            Some((_, old)) => {
                *old = value;
                Ok(())
            }
            None => self.fail(format!("undefined variable: {name}")),
        }
    }

    fn template(&mut self, dot: &Operand, span: Span, name: &str, pipe: Option<&Pipe>) -> Result<(), Fault> {
        self.at = span;
        let Some(tree) = self.rendering.templates().tree(name).map(Arc::clone) else {
            return self.fail(format!("template {name:?} not defined"));
        };
        let dot = match pipe {
            Some(pipe) => self.pipeline(dot, pipe)?,
            None => None,
        };
        self.at = span;
        let entered = self.rendering.enter_template();
        self.pay(entered)?;
        let result = Execution::new(self.rendering, &tree, self.out).run(dot);
        self.rendering.leave_template();
        result
    }

    fn pipeline(&mut self, dot: &Operand, pipe: &Pipe) -> Result<Operand, Fault> {
        let mut value = None;
        for command in &pipe.commands {
            // A value found to be nil is nothing from here on.
            let found = self.command(dot, command, value)?.filter(|found| !matches!(found, Value::Nil));
            value = Some(found);
        }
        let value = value.flatten();
        for name in &pipe.variables {
            if pipe.assigns {
                self.assign(name, value.clone())?;
            } else {
                self.variables.push((Arc::clone(name), value.clone()));
            }
        }
        Ok(value)
    }

    /// A command. `last` is the value of the command before it in the pipeline.
    fn command(&mut self, dot: &Operand, command: &Command, last: Option<Operand>) -> Result<Operand, Fault> {
        self.at = command.span;
        self.work(1)?;
        let has_args = !command.args.is_empty() || last.is_some();
        match &command.first {
            Arg::Fields(names) => self.chain(dot, dot.clone(), names, &command.args, last),
            Arg::Chain(inner, names) => {
                let receiver = self.chained(dot, inner)?;
                self.at = command.span;
                self.chain(dot, receiver, names, &command.args, last)
            }
            Arg::Function(function) => self.call(dot, function, &command.args, last),
            Arg::Variable(name, names) if !names.is_empty() => {
                let value = self.variable(name)?;
                self.chain(dot, value, names, &command.args, last)
            }
            Arg::Pipe(_)
            | Arg::Variable(..)
            | Arg::Bool(_)
            | Arg::Dot
            | Arg::Nil
            | Arg::Number(_)
            | Arg::Text(_)
                if has_args =>
            {
                self.fail("can't give argument to non-function")
            }
            Arg::Pipe(pipe) => self.nested(|deeper| deeper.pipeline(dot, pipe)),
            Arg::Variable(name, _) => self.variable(name),
            Arg::Nil => self.fail("nil is not a command"),
            Arg::Dot => Ok(dot.clone()),
            Arg::Bool(_) | Arg::Number(_) | Arg::Text(_) => {
                self.literal(&command.first, Param::Any).map(Some)
            }
        }
    }

    fn variable(&self, name: &str) -> Result<Operand, Fault> {
        match self.variables.iter().rev().find(|(known, _)| **known == *name) {
            Some((_, value)) => Ok(value.clone()),
            None => self.fail(format!("undefined variable: {name}")),
        }
    }

    /// The first part of `(pipeline).Field`.
    fn chained(&mut self, dot: &Operand, inner: &Arg) -> Result<Operand, Fault> {
        match inner {
            Arg::Pipe(pipe) => self.nested(|deeper| deeper.pipeline(dot, pipe)),
            Arg::Function(function) => self.call(dot, function, &[], None),
            Arg::Nil => self.fail("indirection through explicit nil"),
            Arg::Chain(..)
            | Arg::Fields(_)
            | Arg::Variable(..)
            | Arg::Bool(_)
            | Arg::Dot
            | Arg::Number(_)
            | Arg::Text(_) => self.operand(dot, inner),
        }
    }

    /// `.a.b.c` with arguments for the last.
    fn chain(
        &mut self,
        dot: &Operand,
        mut receiver: Operand,
        names: &[Arc<str>],
        args: &[Arg],
        last: Option<Operand>,
    ) -> Result<Operand, Fault> {
        let Some((name, before)) = names.split_last() else { return Ok(receiver) };
        for name in before {
            receiver = self.field(dot, receiver, name, &[], None)?;
        }
        self.field(dot, receiver, name, args, last)
    }

    fn field(
        &mut self,
        dot: &Operand,
        receiver: Operand,
        name: &str,
        args: &[Arg],
        last: Option<Operand>,
    ) -> Result<Operand, Fault> {
        let has_args = !args.is_empty() || last.is_some();
        match receiver {
            None if self.rendering.options().missing_key == MissingKey::Error => {
                self.fail(format!("nil data; no entry for key {name:?}"))
            }
            None => Ok(None),
            Some(Value::Nil) => self.fail(format!("nil pointer evaluating interface {{}}.{name}")),
            Some(Value::Map(_)) if has_args => self.fail(format!("{name} is not a method but has arguments")),
            Some(Value::Map(map)) => match map.get(name) {
                Some(value) => Ok(Some(value)),
                None if self.rendering.options().missing_key == MissingKey::Error => {
                    self.fail(format!("map has no entry for key {name:?}"))
                }
                None => Ok(None),
            },
            Some(Value::Receiver(receiver)) => {
                let field = receiver.field(name);
                if let Some(value) = field {
                    if has_args {
                        return self.fail(format!("{name} has arguments but cannot be invoked as function"));
                    }
                    return Ok(Some(value));
                }
                let at = self.at;
                let mut values = Vec::with_capacity(args.len() + 1);
                for arg in args {
                    values.push(self.arg(dot, arg, Param::Any)?);
                }
                values.extend(last.map(Option::unwrap_or_default));
                self.at = at;
                match receiver.call(name, &values, self.rendering) {
                    Some(Ok(value)) => Ok(Some(value)),
                    Some(Err(error)) => Err(self.fault(error)),
                    None => {
                        self.fail(format!("can't evaluate field {name} in type {}", receiver.type_name()))
                    }
                }
            }
            Some(
                value @ (Value::Bool(_)
                | Value::Int(_)
                | Value::Int64(_)
                | Value::Float(_)
                | Value::Text(_)
                | Value::List(_)),
            ) => self.fail(format!("can't evaluate field {name} in type {}", value.type_name())),
        }
    }

    fn call(
        &mut self,
        dot: &Operand,
        function: &Function,
        args: &[Arg],
        last: Option<Operand>,
    ) -> Result<Operand, Fault> {
        let count = args.len() + usize::from(last.is_some());
        let wanted = function.params.len();
        if count < wanted || (count > wanted && function.rest.is_none()) {
            let least = if function.rest.is_some() { "at least " } else { "" };
            return self.fail(format!(
                "wrong number of args for {}: want {least}{wanted} got {count}",
                function.name
            ));
        }
        let at = self.at;
        let result = match function.body {
            Body::And => self.short_cut(dot, args, last, false)?,
            Body::Or => self.short_cut(dot, args, last, true)?,
            Body::Plain(body) => {
                let mut values = Vec::with_capacity(count);
                for (index, arg) in args.iter().enumerate() {
                    values.push(self.arg(dot, arg, function.param(index))?);
                }
                self.at = at;
                if let Some(last) = last {
                    values.push(self.validated(last, function.param(args.len()))?);
                }
                self.apply(body, &values).map_err(|error| self.fault(error))?
            }
        };
        self.at = at;
        Ok(Some(result))
    }

    /// Calls a function, and pays for what goes in and comes out of it.
    fn apply(
        &mut self,
        body: fn(&mut Rendering, Args<'_>) -> Result<Value, CallError>,
        values: &[Value],
    ) -> Result<Value, CallError> {
        for value in values {
            // An item read is as cheap as a byte; a map is looked into, and pays where it is walked.
            self.rendering.work_on_text(size(value))?;
        }
        let result = body(self.rendering, Args(values))?;
        match &result {
            Value::Text(text) => {
                self.rendering.check_length(text.len())?;
                self.rendering.work_on_text(text.len())?;
            }
            // Lists and maps that somebody else holds were not made here.
            Value::List(list) if list.is_fresh() => self.rendering.work_on_items(list.len())?,
            Value::Map(map) if map.is_fresh() => self.rendering.work_on_items(map.len())?,
            Value::List(_)
            | Value::Map(_)
            | Value::Nil
            | Value::Bool(_)
            | Value::Int(_)
            | Value::Int64(_)
            | Value::Float(_)
            | Value::Receiver(_) => {}
        }
        Ok(result)
    }

    /// `and` and `or`: the first argument that settles it, or the last.
    fn short_cut(
        &mut self,
        dot: &Operand,
        args: &[Arg],
        last: Option<Operand>,
        settles: bool,
    ) -> Result<Value, Fault> {
        let mut value = Value::Nil;
        for arg in args {
            value = self.arg(dot, arg, Param::Any)?;
            if value.is_true() == settles {
                return Ok(value);
            }
        }
        Ok(last.map_or(value, Option::unwrap_or_default))
    }

    /// An argument, as a parameter wants it.
    fn arg(&mut self, dot: &Operand, arg: &Arg, param: Param) -> Result<Value, Fault> {
        match arg {
            Arg::Nil => match param {
                Param::Any | Param::Map => Ok(Value::Nil),
                Param::Text | Param::Int | Param::Float | Param::Bool => {
                    self.fail(format!("cannot assign nil to {}", param.type_name()))
                }
            },
            Arg::Bool(_) | Arg::Number(_) | Arg::Text(_) => self.literal(arg, param),
            Arg::Dot
            | Arg::Fields(_)
            | Arg::Variable(..)
            | Arg::Pipe(_)
            | Arg::Function(_)
            | Arg::Chain(..) => {
                let at = self.at;
                let value = self.operand(dot, arg)?;
                self.at = at;
                self.validated(value, param)
            }
        }
    }

    /// An operand that is no command of its own.
    fn operand(&mut self, dot: &Operand, arg: &Arg) -> Result<Operand, Fault> {
        self.work(1)?;
        match arg {
            Arg::Dot => Ok(dot.clone()),
            Arg::Fields(names) => self.chain(dot, dot.clone(), names, &[], None),
            Arg::Variable(name, names) => {
                let value = self.variable(name)?;
                self.chain(dot, value, names, &[], None)
            }
            Arg::Pipe(pipe) => self.nested(|deeper| deeper.pipeline(dot, pipe)),
            Arg::Function(function) => self.call(dot, function, &[], None),
            Arg::Chain(inner, names) => {
                let receiver = self.chained(dot, inner)?;
                self.chain(dot, receiver, names, &[], None)
            }
            Arg::Nil => Ok(Some(Value::Nil)),
            Arg::Bool(_) | Arg::Number(_) | Arg::Text(_) => self.literal(arg, Param::Any).map(Some),
        }
    }

    /// A literal takes the type that is wanted, where that loses nothing.
    fn literal(&self, arg: &Arg, param: Param) -> Result<Value, Fault> {
        match (arg, param) {
            (Arg::Bool(truth), Param::Any | Param::Bool) => Ok(Value::Bool(*truth)),
            (Arg::Text(text), Param::Any | Param::Text) => Ok(Value::Text(Arc::clone(text))),
            (Arg::Number(number), Param::Float) => Ok(Value::Float(number.float)),
            (Arg::Number(number), Param::Any) if number.is_float => Ok(Value::Float(number.float)),
            (Arg::Number(number), Param::Any | Param::Int) => match number.int {
                Some(int) => Ok(Value::Int(int)),
                None if param == Param::Any => self.fail(format!("{} overflows int", number.text)),
                None => self.fail(format!("expected integer; found {}", number.text)),
            },
            (Arg::Number(number), _) => {
                self.fail(format!("expected {}; found {}", param.type_name(), number.text))
            }
            (Arg::Bool(truth), _) => self.fail(format!("expected {}; found {truth}", param.type_name())),
            (Arg::Text(text), _) => self.fail(format!("expected {}; found {text:?}", param.type_name())),
            _ => self.fail(format!("expected {}", param.type_name())),
        }
    }

    /// A value where a parameter wants its type.
    fn validated(&self, value: Operand, param: Param) -> Result<Value, Fault> {
        let fits = match (&value, param) {
            (_, Param::Any)
            | (None | Some(Value::Map(_)), Param::Map)
            | (Some(Value::Text(_)), Param::Text)
            | (Some(Value::Int(_)), Param::Int)
            | (Some(Value::Float(_)), Param::Float)
            | (Some(Value::Bool(_)), Param::Bool) => true,
            (Some(Value::Receiver(receiver)), Param::Map) => matches!(receiver.plain(), Some(Value::Map(_))),
            _ => false,
        };
        match value {
            _ if fits => Ok(value.unwrap_or_default()),
            None => self.fail(format!("invalid value; expected {}", param.type_name())),
            Some(value) => self.fail(format!(
                "wrong type for value; expected {}; got {}",
                param.type_name(),
                if matches!(value, Value::Nil) { "interface {}" } else { value.type_name() }
            )),
        }
    }
}

/// What a `range` goes through.
enum Items {
    List(crate::value::List),
    Map(crate::value::Map),
}

/// Bytes of a text, items of a list.
fn size(value: &Value) -> usize {
    match value {
        Value::Text(text) => text.len(),
        Value::List(list) => list.len(),
        Value::Nil
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Int64(_)
        | Value::Float(_)
        | Value::Map(_)
        | Value::Receiver(_) => 0,
    }
}

fn is_true(value: &Operand) -> bool {
    value.as_ref().is_some_and(Value::is_true)
}
