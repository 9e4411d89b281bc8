//! Budgets of size: a file, a function and an HTTP handler each fit a reader's head.

use super::{Finding, Tree};
use crate::files::SourceFile;
use crate::rust;
use anyhow::Result;

const FILE_LINES: usize = 700;
const FUNCTION_LINES: usize = 70;
const HANDLER_LINES: usize = 15;
const HANDLERS: &str = "server/src/http/";

/// Functions that may be longer, with the reason: tables and exhaustive matches.
const LONG_FUNCTIONS: [(&str, &str, &str); 0] = [];
/// Public async functions among the handlers that are none, with the reason.
const NOT_HANDLERS: [(&str, &str, &str); 4] = [
    ("server/src/http/body.rs", "read", "reads a body under its limits for the extractors"),
    ("server/src/http/error.rs", "for_operators", "a layer: refusals in the operators' shape"),
    ("server/src/http/error.rs", "for_machines", "a layer: refusals in the machines' shape"),
    ("server/src/http/observe.rs", "observe", "the outermost layer: request id, log line, metrics"),
];

/// Source that people read and write: not data, generated pages or lock files.
fn is_source(path: &str) -> bool {
    let generated = path.starts_with("docs/") || path.ends_with("package-lock.json");
    !generated
        && [".rs", ".ts", ".tsx", ".css", ".mjs", ".js", ".sql", ".py"].iter().any(|end| path.ends_with(end))
}

pub(super) fn check(tree: &Tree<'_>) -> Result<Vec<Finding>> {
    Ok(tree.files.iter().filter(|file| is_source(&file.path)).flat_map(check_file).collect())
}

fn check_file(file: &SourceFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    let lines = file.text.lines().count();
    if lines > FILE_LINES {
        findings.push(Finding {
            place: file.path.clone(),
            problem: format!("{lines} lines, at most {FILE_LINES}"),
            remedy: "split it by noun or verb; each part says in its first line what it is for",
        });
    }
    if file.is_rust() {
        findings.extend(check_functions(file));
    }
    findings
}

fn check_functions(file: &SourceFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    for function in rust::functions(&rust::blank(&file.text)) {
        let listed = |table: &[(&str, &str, &str)]| {
            table.iter().any(|(path, name, _)| *path == file.path && *name == function.name)
        };
        let is_handler = file.path.starts_with(HANDLERS)
            && function.is_async
            && function.is_public
            && function.depth == 0
            && !listed(&NOT_HANDLERS);
        let (limit, remedy) = if is_handler {
            (HANDLER_LINES, "a handler extracts, makes one app call and replies: move the rest into app/")
        } else if listed(&LONG_FUNCTIONS) {
            continue;
        } else {
            (
                FUNCTION_LINES,
                "name its steps as functions; a table or exhaustive match goes on the list in xtask",
            )
        };
        if function.lines > limit {
            findings.push(Finding {
                place: format!("{}:{}", file.path, function.line),
                problem: format!("fn {} has {} lines, at most {limit}", function.name, function.lines),
                remedy,
            });
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: String) -> Vec<String> {
        check_file(&SourceFile { path: path.to_owned(), text }).iter().map(|f| f.problem.clone()).collect()
    }

    #[test]
    fn long_files_functions_and_handlers_are_found() {
        let body = "    x();\n".repeat(69);
        assert_eq!(findings("a.rs", format!("fn f() {{\n{body}}}\n")), ["fn f has 71 lines, at most 70"]);
        assert_eq!(findings("a.rs", "\n".repeat(701)), ["701 lines, at most 700"]);
        let handler = format!("pub async fn h() {{\n{}}}\n", "    x();\n".repeat(14));
        assert_eq!(findings("server/src/http/a.rs", handler.clone()), ["fn h has 16 lines, at most 15"]);
        assert!(findings("server/src/app/a.rs", handler).is_empty());
    }
}
