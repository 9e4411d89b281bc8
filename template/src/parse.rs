//! Words into trees: the grammar of `text/template/parse/parse.go`.

use crate::error::{ErrorKind, TemplateError};
use crate::function;
use crate::lex::{Flaw, Kind, Lexer, Token};
use crate::number::Number;
use crate::options::{MAX_NESTING, MAX_TEXT, MAX_TOKENS};
use crate::quote;
use crate::templates::Delimiters;
use crate::tree::{Arg, Block, Command, Node, Pipe, Span, Tree};
use std::sync::Arc;

/// The trees of a text: those it defines, and its own last.
pub(crate) fn parse(name: &str, text: &str, delimiters: &Delimiters) -> Result<Vec<Tree>, TemplateError> {
    if text.len() > MAX_TEXT {
        let problem = format!("{} bytes of text, at most {MAX_TEXT} are allowed", text.len());
        return Err(TemplateError::whole(name, ErrorKind::Limit, problem));
    }
    let mut parser = Parser {
        lexer: Lexer::new(text, &delimiters.left, &delimiters.right),
        text,
        pushed: Vec::new(),
        tokens: 0,
        nesting: 0,
        last: Span::default(),
        action: 0,
        scope: Scope::default(),
        trees: Vec::new(),
        file: Arc::from(name),
        source: Arc::from(text),
    };
    match parser.file() {
        Ok(()) => Ok(parser.trees),
        Err(Fault { flaw, kind }) => {
            Err(TemplateError::at(name, text, (flaw.span.start, flaw.span.end), kind, flaw.problem))
        }
    }
}

/// What ends parsing.
struct Fault {
    flaw: Flaw,
    kind: ErrorKind,
}

impl From<Flaw> for Fault {
    fn from(flaw: Flaw) -> Fault {
        Fault { flaw, kind: ErrorKind::Syntax }
    }
}

/// What names mean where we are: each defined template has its own.
struct Scope {
    variables: Vec<Arc<str>>,
    ranges: usize,
}

impl Default for Scope {
    fn default() -> Scope {
        Scope { variables: vec![Arc::from("$")], ranges: 0 }
    }
}

struct Parser<'t> {
    lexer: Lexer<'t>,
    text: &'t str,
    /// Words that were read too far, the next one last.
    pushed: Vec<Token>,
    tokens: usize,
    nesting: usize,
    /// The last word that was no blank.
    last: Span,
    /// Where the present action begins.
    action: usize,
    scope: Scope,
    trees: Vec<Tree>,
    file: Arc<str>,
    source: Arc<str>,
}

/// How a list of nodes ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    End,
    Else,
    ElseIf,
}

/// A node, or the end of the list it would stand in.
enum Item {
    Node(Node),
    Ending(Ending),
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "a grammar says which words may come; every other word is refused"
)]
impl<'t> Parser<'t> {
    fn next(&mut self) -> Result<Token, Fault> {
        let token = match self.pushed.pop() {
            Some(token) => token,
            None => {
                self.tokens += 1;
                if self.tokens > MAX_TOKENS {
                    return self.limit(format!("more than {MAX_TOKENS} words"));
                }
                self.lexer.next()?
            }
        };
        if token.kind != Kind::Space {
            self.last = token.span;
        }
        Ok(token)
    }

    fn next_solid(&mut self) -> Result<Token, Fault> {
        loop {
            let token = self.next()?;
            if token.kind != Kind::Space {
                return Ok(token);
            }
        }
    }

    fn push(&mut self, token: Token) {
        self.pushed.push(token);
    }

    fn peek(&mut self) -> Result<Token, Fault> {
        let last = self.last;
        let token = self.next()?;
        self.push(token);
        self.last = last;
        Ok(token)
    }

    /// The next word but blanks, which are skipped for good.
    fn peek_solid(&mut self) -> Result<Token, Fault> {
        let last = self.last;
        let token = self.next_solid()?;
        self.push(token);
        self.last = last;
        Ok(token)
    }

    fn str(&self, token: Token) -> &'t str {
        self.text.get(token.span.start..token.span.end).unwrap_or_default()
    }

    /// Fails at the present action.
    fn fail<T>(&self, problem: impl Into<String>) -> Result<T, Fault> {
        let span = Span { start: self.action, end: self.last.end.max(self.action) };
        Err(Flaw { span, problem: problem.into() }.into())
    }

    fn limit<T>(&self, problem: String) -> Result<T, Fault> {
        let span = Span { start: self.last.start, end: self.last.end };
        Err(Fault { flaw: Flaw { span, problem }, kind: ErrorKind::Limit })
    }

    fn unexpected<T>(&self, token: Token, context: &str) -> Result<T, Fault> {
        let word: String = self.str(token).chars().take(40).collect();
        match token.kind {
            Kind::Eof => self.fail(format!("unexpected end of the text in {context}")),
            _ => self.fail(format!("unexpected {word:?} in {context}")),
        }
    }

    fn expect(&mut self, kind: Kind, context: &str) -> Result<(), Fault> {
        let token = self.next_solid()?;
        if token.kind == kind { Ok(()) } else { self.unexpected(token, context) }
    }

    /// Goes one level deeper while something is parsed.
    fn nested<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        if self.nesting >= MAX_NESTING {
            return self.limit(format!("blocks and parentheses are nested more than {MAX_NESTING} deep"));
        }
        self.nesting += 1;
        let parsed = inner(self);
        self.nesting -= 1;
        parsed
    }

    fn file(&mut self) -> Result<(), Fault> {
        let mut nodes = Vec::new();
        loop {
            let token = self.next()?;
            match token.kind {
                Kind::Eof => break,
                Kind::LeftDelimiter => {
                    self.action = token.span.start;
                    let first = self.next_solid()?;
                    if first.kind == Kind::Define {
                        self.definition()?;
                        continue;
                    }
                    self.push(first);
                    match self.action()? {
                        Item::Node(node) => nodes.push(node),
                        Item::Ending(Ending::End) => return self.fail("unexpected {{end}}"),
                        Item::Ending(Ending::Else | Ending::ElseIf) => {
                            return self.fail("unexpected {{else}}");
                        }
                    }
                }
                Kind::Text => nodes.push(Node::Text(token.span)),
                _ => return self.unexpected(token, "input"),
            }
        }
        let name = self.file.as_ref().to_owned();
        self.add(name, nodes)
    }

    /// Keeps a tree, unless it is blank and there is another of its name.
    fn add(&mut self, name: String, nodes: Vec<Node>) -> Result<(), Fault> {
        let tree = Tree { name, file: Arc::clone(&self.file), source: Arc::clone(&self.source), nodes };
        match self.trees.iter_mut().find(|other| other.name == tree.name) {
            None => self.trees.push(tree),
            Some(other) if other.is_blank() => *other = tree,
            Some(_) if tree.is_blank() => {}
            Some(_) => return self.fail(format!("multiple definition of template {:?}", tree.name)),
        }
        Ok(())
    }

    fn definition(&mut self) -> Result<(), Fault> {
        let name = self.name("define clause")?;
        self.expect(Kind::RightDelimiter, "define clause")?;
        self.defined(name, "define clause")
    }

    /// The body of a defined template, which knows no variables of what is around it.
    fn defined(&mut self, name: String, context: &str) -> Result<(), Fault> {
        let outer = std::mem::take(&mut self.scope);
        let (nodes, ending) = self.nested(Self::list)?;
        if ending != Ending::End {
            return self.fail(format!("unexpected {{{{else}}}} in {context}"));
        }
        self.add(name, nodes)?;
        self.scope = outer;
        Ok(())
    }

    /// Nodes up to `end` or `else`.
    fn list(&mut self) -> Result<(Vec<Node>, Ending), Fault> {
        let mut nodes = Vec::new();
        let opened = self.action;
        loop {
            let token = self.next()?;
            match token.kind {
                Kind::Text => nodes.push(Node::Text(token.span)),
                Kind::LeftDelimiter => {
                    self.action = token.span.start;
                    match self.action()? {
                        Item::Node(node) => nodes.push(node),
                        Item::Ending(ending) => return Ok((nodes, ending)),
                    }
                }
                Kind::Eof => {
                    let end = self.text.get(opened..).and_then(|rest| rest.find('\n'));
                    let span = Span { start: opened, end: end.map_or(self.text.len(), |line| opened + line) };
                    return Err(Flaw {
                        span,
                        problem: "unexpected end of the text: {{end}} is missing".to_owned(),
                    }
                    .into());
                }
                _ => return self.unexpected(token, "input"),
            }
        }
    }

    /// An action; its left delimiter is past.
    fn action(&mut self) -> Result<Item, Fault> {
        let token = self.next_solid()?;
        let node = match token.kind {
            Kind::Block => self.block()?,
            Kind::Break => self.jump("{{break}}", Node::Break)?,
            Kind::Continue => self.jump("{{continue}}", Node::Continue)?,
            Kind::Else => return self.otherwise(),
            Kind::End => {
                self.expect(Kind::RightDelimiter, "end")?;
                return Ok(Item::Ending(Ending::End));
            }
            Kind::If => self.nested(Self::conditional)?,
            Kind::Range => {
                let (block, _) = self.nested(|parser| parser.control("range"))?;
                Node::Range(Box::new(block))
            }
            Kind::With => {
                let (block, _) = self.nested(|parser| parser.control("with"))?;
                Node::With(Box::new(block))
            }
            Kind::Template => self.template()?,
            _ => {
                self.push(token);
                Node::Action(self.pipeline("command", Kind::RightDelimiter)?)
            }
        };
        Ok(Item::Node(node))
    }

    fn jump(&mut self, context: &str, node: Node) -> Result<Node, Fault> {
        self.expect(Kind::RightDelimiter, context)?;
        if self.scope.ranges == 0 {
            return self.fail(format!("{context} outside {{{{range}}}}"));
        }
        Ok(node)
    }

    fn otherwise(&mut self) -> Result<Item, Fault> {
        let next = self.peek_solid()?;
        if next.kind == Kind::If {
            return Ok(Item::Ending(Ending::ElseIf));
        }
        self.expect(Kind::RightDelimiter, "else")?;
        Ok(Item::Ending(Ending::Else))
    }

    /// `if` with all its arms; one `end` ends them all.
    fn conditional(&mut self) -> Result<Node, Fault> {
        let variables = self.scope.variables.len();
        let mut arms = Vec::new();
        let mut otherwise = Vec::new();
        loop {
            let (block, ending) = self.control_arm("if")?;
            arms.push((block.pipe, block.body));
            if ending == Ending::ElseIf {
                self.expect(Kind::If, "else")?;
                continue;
            }
            otherwise.extend(block.otherwise);
            break;
        }
        self.scope.variables.truncate(variables);
        Ok(Node::If { arms, otherwise })
    }

    fn control(&mut self, context: &str) -> Result<(Block, Ending), Fault> {
        let variables = self.scope.variables.len();
        let (block, ending) = self.control_arm(context)?;
        if ending == Ending::ElseIf {
            return self.fail(format!("unexpected {{{{else if}}}} in {context}"));
        }
        self.scope.variables.truncate(variables);
        Ok((block, ending))
    }

    /// A pipeline, the list it controls, and the list after a plain `else`.
    fn control_arm(&mut self, context: &str) -> Result<(Block, Ending), Fault> {
        let pipe = self.pipeline(context, Kind::RightDelimiter)?;
        let ranges = usize::from(context == "range");
        self.scope.ranges += ranges;
        let (body, mut ending) = self.list()?;
        self.scope.ranges -= ranges;
        let mut otherwise = Vec::new();
        if ending == Ending::Else {
            (otherwise, ending) = self.list()?;
            if ending != Ending::End {
                return self.fail("expected {{end}}; found {{else}}");
            }
        }
        Ok((Block { pipe, body, otherwise }, ending))
    }

    fn name(&mut self, context: &str) -> Result<String, Fault> {
        let token = self.next_solid()?;
        match token.kind {
            Kind::Quoted | Kind::Raw => self.literal(token),
            _ => self.unexpected(token, context),
        }
    }

    fn literal(&self, token: Token) -> Result<String, Fault> {
        if token.kind == Kind::Raw {
            return Ok(quote::unquote_raw(self.str(token)));
        }
        quote::unquote(self.str(token)).or_else(|problem| self.fail(problem))
    }

    fn block(&mut self) -> Result<Node, Fault> {
        let start = self.action;
        let name = self.name("block clause")?;
        let dot = self.pipeline("block clause", Kind::RightDelimiter)?;
        let span = Span { start, end: self.last.end };
        self.defined(name.clone(), "block clause")?;
        Ok(Node::Template { span, name, dot: Some(dot) })
    }

    fn template(&mut self) -> Result<Node, Fault> {
        let start = self.action;
        let name = self.name("template clause")?;
        let next = self.next_solid()?;
        let mut dot = None;
        if next.kind != Kind::RightDelimiter {
            self.push(next);
            dot = Some(self.pipeline("template clause", Kind::RightDelimiter)?);
        }
        Ok(Node::Template { span: Span { start, end: self.last.end }, name, dot })
    }

    /// Declarations and commands up to a closing word, which is taken too.
    fn pipeline(&mut self, context: &str, end: Kind) -> Result<Pipe, Fault> {
        let start = self.peek_solid()?.span.start;
        let (variables, assigns) = self.declarations(context)?;
        let mut commands = Vec::new();
        let mut last = self.last.end;
        loop {
            let token = self.next_solid()?;
            match token.kind {
                kind if kind == end => break,
                Kind::Bool
                | Kind::Char
                | Kind::Complex
                | Kind::Dot
                | Kind::Field
                | Kind::Identifier
                | Kind::Number
                | Kind::Nil
                | Kind::Raw
                | Kind::Quoted
                | Kind::Variable
                | Kind::LeftParen => {
                    self.push(token);
                    let command = self.command()?;
                    last = command.span.end;
                    commands.push(command);
                }
                _ => return self.unexpected(token, context),
            }
        }
        let span = Span { start, end: last.max(start) };
        let pipe = Pipe { span, variables, assigns, commands };
        self.check(&pipe, context)?;
        Ok(pipe)
    }

    fn check(&self, pipe: &Pipe, context: &str) -> Result<(), Fault> {
        if pipe.commands.is_empty() {
            return self.fail(format!("missing value for {context}"));
        }
        for (index, command) in pipe.commands.iter().enumerate().skip(1) {
            match command.first {
                Arg::Bool(_) | Arg::Dot | Arg::Nil | Arg::Number(_) | Arg::Text(_) => {
                    return self.fail(format!("non executable command in pipeline stage {}", index + 1));
                }
                Arg::Function(_) | Arg::Fields(_) | Arg::Variable(..) | Arg::Chain(..) | Arg::Pipe(_) => {}
            }
        }
        Ok(())
    }

    /// `$x :=`, `$x =` or, for a range, `$i, $x :=`.
    fn declarations(&mut self, context: &str) -> Result<(Vec<Arc<str>>, bool), Fault> {
        let mut variables: Vec<Arc<str>> = Vec::new();
        loop {
            let variable = self.peek_solid()?;
            if variable.kind != Kind::Variable {
                return Ok((variables, false));
            }
            self.next_solid()?;
            // A blank after it tells an argument from a field, and has to come back.
            let after = self.peek()?;
            let next = self.peek_solid()?;
            match next.kind {
                Kind::Assign | Kind::Declare => {
                    self.next_solid()?;
                    self.declare(&mut variables, variable);
                    return Ok((variables, next.kind == Kind::Assign));
                }
                Kind::Comma => {
                    self.next_solid()?;
                    self.declare(&mut variables, variable);
                    if context != "range" || variables.len() > 1 {
                        return self.fail(format!("too many declarations in {context}"));
                    }
                    match self.peek_solid()?.kind {
                        Kind::Variable | Kind::RightDelimiter | Kind::RightParen => {}
                        _ => return self.fail("range can only initialize variables"),
                    }
                }
                _ => {
                    if after.kind == Kind::Space {
                        self.push(after);
                    }
                    self.push(variable);
                    return Ok((variables, false));
                }
            }
        }
    }

    fn declare(&mut self, variables: &mut Vec<Arc<str>>, token: Token) {
        let name: Arc<str> = Arc::from(self.str(token));
        variables.push(Arc::clone(&name));
        self.scope.variables.push(name);
    }

    fn command(&mut self) -> Result<Command, Fault> {
        let start = self.peek_solid()?.span.start;
        let mut operands = Vec::new();
        let mut end = start;
        loop {
            self.peek_solid()?;
            if let Some(operand) = self.operand()? {
                operands.push(operand);
                end = self.last.end;
            }
            let token = self.next()?;
            match token.kind {
                Kind::Space => {}
                Kind::RightDelimiter | Kind::RightParen => {
                    self.push(token);
                    break;
                }
                Kind::Pipe => break,
                _ => return self.unexpected(token, "operand"),
            }
        }
        let mut operands = operands.into_iter();
        let Some(first) = operands.next() else { return self.fail("empty command") };
        Ok(Command { span: Span { start, end }, first, args: operands.collect() })
    }

    /// A term and the fields that are asked of it.
    fn operand(&mut self) -> Result<Option<Arg>, Fault> {
        let Some(term) = self.term()? else { return Ok(None) };
        let mut fields: Vec<Arc<str>> = Vec::new();
        while self.peek()?.kind == Kind::Field {
            let token = self.next()?;
            fields.push(self.field(token));
        }
        if fields.is_empty() {
            return Ok(Some(term));
        }
        match term {
            Arg::Fields(mut all) => {
                all.extend(fields);
                Ok(Some(Arg::Fields(all)))
            }
            Arg::Variable(name, mut all) => {
                all.extend(fields);
                Ok(Some(Arg::Variable(name, all)))
            }
            Arg::Function(_) | Arg::Pipe(_) | Arg::Chain(..) => Ok(Some(Arg::Chain(Box::new(term), fields))),
            Arg::Bool(_) | Arg::Text(_) | Arg::Number(_) | Arg::Nil | Arg::Dot => {
                self.fail("unexpected . after a term that has no fields")
            }
        }
    }

    fn field(&self, token: Token) -> Arc<str> {
        Arc::from(self.str(token).trim_start_matches('.'))
    }

    fn term(&mut self) -> Result<Option<Arg>, Fault> {
        let token = self.next_solid()?;
        let term = match token.kind {
            Kind::Identifier => match function::find(self.str(token)) {
                Ok(function) => Arg::Function(function),
                Err(problem) => return self.fail(problem),
            },
            Kind::Dot => Arg::Dot,
            Kind::Nil => Arg::Nil,
            Kind::Variable => {
                let name = self.str(token);
                match self.scope.variables.iter().find(|known| &***known == name) {
                    Some(known) => Arg::Variable(Arc::clone(known), Vec::new()),
                    None => return self.fail(format!("undefined variable {name:?}")),
                }
            }
            Kind::Field => Arg::Fields(vec![self.field(token)]),
            Kind::Bool => Arg::Bool(self.str(token) == "true"),
            Kind::Char | Kind::Complex | Kind::Number => match Number::parse(token.kind, self.str(token)) {
                Ok(number) => Arg::Number(number),
                Err(problem) => return self.fail(problem),
            },
            Kind::LeftParen => {
                Arg::Pipe(self.nested(|parser| parser.pipeline("parenthesized pipeline", Kind::RightParen))?)
            }
            Kind::Quoted | Kind::Raw => Arg::Text(Arc::from(self.literal(token)?)),
            _ => {
                self.push(token);
                return Ok(None);
            }
        };
        Ok(Some(term))
    }
}
