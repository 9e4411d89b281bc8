//! What a rendering may cost, and how it takes absent keys.

/// Most bytes of one template's text.
pub const MAX_TEXT: usize = 1_024 * 1_024;
/// Most words of one template's text: what its tree takes in memory follows from it.
pub const MAX_TOKENS: usize = 200_000;
/// How deep parentheses and blocks may be nested in one template's text.
pub const MAX_NESTING: usize = 64;
/// How deep nested blocks, parentheses and templates may be executed in each other, all counted
/// together: a thread's stack of 2 MiB is enough for them.
pub const MAX_EXECUTION_DEPTH: usize = 250;

/// How a template is rendered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// What a map's absent key is.
    pub missing_key: MissingKey,
    /// What it may cost.
    pub limits: Limits,
}

/// Go's option `missingkey`: what becomes of a key that a map does not have. An absent field of an
/// object is an error always.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MissingKey {
    /// No value: false in `if`, printed as `<no value>`.
    #[default]
    Default,
    /// The rendering fails.
    Error,
}

/// What a rendering may cost altogether, including the templates it calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of output, and of any single text on the way to it.
    pub output: usize,
    /// Most steps. A step is a node or operand executed, an item that `range` gives, or sixteen bytes
    /// of text or sixteen items that a function is given; an item that a function makes costs four,
    /// and what is not linear costs more.
    pub steps: u64,
    /// How deep templates may call templates.
    pub templates: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { output: 4 * 1_024 * 1_024, steps: 5_000_000, templates: 100 }
    }
}
