//! Which names an archive may hold: relative, plain, bounded.

use thiserror::Error;

use super::TRAILER;

/// Longest path in bytes, without the terminating NUL. The kernel drops entries over `PATH_MAX` (4,096).
pub const MAX_PATH_LEN: usize = 4_095;
/// Longest component of a path in bytes (`NAME_MAX`).
pub const MAX_NAME_LEN: usize = 255;

/// Why a path cannot be in an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PathError {
    /// No bytes at all.
    #[error("empty path")]
    Empty,
    /// Starts with a slash.
    #[error("absolute path, give it relative to the root of the archive")]
    Absolute,
    /// Has an empty, `.` or `..` component, so it could leave the directory it is unpacked in.
    #[error("path with an empty, `.` or `..` component")]
    NotPlain,
    /// Has a control character in it.
    #[error("path with a control character")]
    Control,
    /// The name that ends an archive.
    #[error("path `{TRAILER}`, which ends an archive")]
    Trailer,
    /// Longer than [`MAX_PATH_LEN`].
    #[error("path of {0} bytes, at most {MAX_PATH_LEN}")]
    TooLong(usize),
    /// A component longer than [`MAX_NAME_LEN`].
    #[error("path component of {0} bytes, at most {MAX_NAME_LEN}")]
    NameTooLong(usize),
}

/// Accepts a relative path of plain components and gives it back.
///
/// # Errors
/// [`PathError`] for everything that could be read as another place than it says.
pub fn check_path(path: &str) -> Result<&str, PathError> {
    if path.is_empty() {
        return Err(PathError::Empty);
    }
    if path.len() > MAX_PATH_LEN {
        return Err(PathError::TooLong(path.len()));
    }
    if path.starts_with('/') {
        return Err(PathError::Absolute);
    }
    if path.chars().any(char::is_control) {
        return Err(PathError::Control);
    }
    if path == TRAILER {
        return Err(PathError::Trailer);
    }
    for name in path.split('/') {
        if matches!(name, "" | "." | "..") {
            return Err(PathError::NotPlain);
        }
        if name.len() > MAX_NAME_LEN {
            return Err(PathError::NameTooLong(name.len()));
        }
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_paths_pass() {
        for path in ["init", "lib/modules/6.1.0-56-amd64/muster.index", "a b", ".hidden", "..x"] {
            assert_eq!(check_path(path), Ok(path));
        }
    }

    #[test]
    fn paths_that_could_leave_the_root_are_refused() {
        let long = "x/".repeat(2_048) + "x";
        let name = "n".repeat(256);
        for (path, why) in [
            ("", PathError::Empty),
            ("/etc/passwd", PathError::Absolute),
            ("../etc", PathError::NotPlain),
            ("a/../../etc", PathError::NotPlain),
            ("a//b", PathError::NotPlain),
            ("a/", PathError::NotPlain),
            (".", PathError::NotPlain),
            (TRAILER, PathError::Trailer),
            ("a\0b", PathError::Control),
            ("a\nb", PathError::Control),
            (long.as_str(), PathError::TooLong(4_097)),
            (name.as_str(), PathError::NameTooLong(256)),
        ] {
            assert_eq!(check_path(path), Err(why), "{path:?}");
        }
    }
}
