//! What renderings may cost, and what must not be in paths and command lines.

use template::{Limits, MissingKey, Options};

/// Most bytes of a rendered file.
pub const MAX_FILE: usize = 8 * 1_024 * 1_024;
/// Most steps of one rendering: well below two seconds.
const MAX_STEPS: u64 = 2_000_000;
/// How deep templates call templates.
const MAX_CALLS: usize = 64;
/// Longest path of a rendered file, in bytes.
pub(super) const MAX_PATH: usize = 1_024;
/// Longest kernel command line, in bytes: what kernels read of one (`spec/security.md` 3.4).
const MAX_COMMAND_LINE: usize = 2_047;

/// The options of a file's text, or of its path.
pub(super) fn options(missing_key: MissingKey) -> Options {
    Options { missing_key, limits: Limits { output: MAX_FILE, steps: MAX_STEPS, templates: MAX_CALLS } }
}

/// A kernel command line as it may stand in a boot menu: one line, no longer than kernels read.
pub(super) fn command_line(line: &str) -> Result<&str, String> {
    if let Some(control) = line.chars().find(|c| c.is_control()) {
        return Err(format!("the kernel command line has {control:?} in it; write it as one line"));
    }
    if line.len() > MAX_COMMAND_LINE {
        return Err(format!(
            "the kernel command line has {} bytes, at most {MAX_COMMAND_LINE} are allowed",
            line.len()
        ));
    }
    Ok(line)
}

/// The path of a file as everybody asks for it: no slash in front, none doubled.
///
/// # Errors
/// Why nothing can lie there, as a fragment.
pub fn file_path(path: &str) -> Result<String, String> {
    if path.len() > MAX_PATH {
        return Err(format!("the path has {} bytes, at most {MAX_PATH} are allowed", path.len()));
    }
    if let Some(control) = path.chars().find(|c| c.is_control()) {
        return Err(format!("the path has {control:?} in it"));
    }
    let steps: Vec<&str> = path.split('/').filter(|step| !matches!(*step, "" | ".")).collect();
    if steps.contains(&"..") {
        return Err("the path leads upwards by ..".to_owned());
    }
    if steps.is_empty() {
        return Err("the path is empty".to_owned());
    }
    Ok(steps.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_has_one_spelling() {
        for path in ["a/b", "/a/b", "//a///b", "./a/./b", "a/b/"] {
            assert_eq!(file_path(path).as_deref(), Ok("a/b"), "{path}");
        }
        for path in ["", "/", ".", "..", "a/../b", "../etc/passwd", "a\0b", "a\nb", &"a".repeat(1_025)] {
            assert!(file_path(path).is_err(), "{path:?}");
        }
    }

    #[test]
    fn command_line_is_one_short_line() {
        assert_eq!(command_line("quiet splash"), Ok("quiet splash"));
        assert!(command_line("quiet\nkernel evil").unwrap_err().contains("'\\n'"));
        assert!(command_line("quiet\0").is_err() && command_line("a\rb").is_err());
        assert!(command_line(&"a".repeat(2_047)).is_ok());
        assert!(command_line(&"a".repeat(2_048)).unwrap_err().contains("2048 bytes"));
    }
}
