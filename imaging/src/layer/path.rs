//! Paths of archives, made relative to their root.

use super::{MAX_DEPTH, MAX_NAME, Problem};

/// Longest name in a folder, in bytes (Linux' `NAME_MAX`).
const MAX_PART: usize = 255;

/// A path beneath the root: parts divided by `/`, none of them empty, `.` or `..`. The root itself is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Path(Vec<u8>);

impl Path {
    /// Reads where an entry goes. The root may be written `/`, as some builders do; any other absolute path was not made
    /// for an archive, and is refused.
    pub(super) fn entry(bytes: &[u8]) -> Result<Self, Problem> {
        let path = Self::parse(bytes)?;
        if bytes.starts_with(b"/") && !path.is_root() { Err(Problem::Absolute) } else { Ok(path) }
    }

    /// Reads a path beneath the root; `/` and `./` before it mean nothing.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Problem> {
        if bytes.is_empty() || bytes.len() > MAX_NAME || bytes.contains(&0) {
            return Err(Problem::Path);
        }
        let mut path = Vec::with_capacity(bytes.len());
        let mut depth = 0;
        for part in bytes.split(|&byte| byte == b'/') {
            match part {
                b"" | b"." => continue,
                b".." => return Err(Problem::Traversal),
                part if part.len() > MAX_PART || depth == MAX_DEPTH => return Err(Problem::Path),
                part => {
                    if depth > 0 {
                        path.push(b'/');
                    }
                    path.extend_from_slice(part);
                    depth += 1;
                }
            }
        }
        Ok(Self(path))
    }

    pub(super) fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn components(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|&byte| byte == b'/').filter(|part| !part.is_empty())
    }

    /// Its last part; empty for the root.
    pub(super) fn name(&self) -> &[u8] {
        self.0.rsplit(|&byte| byte == b'/').next().unwrap_or_default()
    }

    /// Its last part, which the root has not.
    pub(super) fn file_name(&self) -> Result<&[u8], Problem> {
        if self.is_root() { Err(Problem::Path) } else { Ok(self.name()) }
    }

    /// The folder that it is in; the root for itself.
    pub(super) fn folder(&self) -> Self {
        let before = self.0.iter().rposition(|&byte| byte == b'/').unwrap_or_default();
        Self(self.0.get(..before).unwrap_or_default().to_vec())
    }

    /// What has this name in it.
    pub(super) fn join(&self, name: &[u8]) -> Self {
        if self.is_root() { Self(name.to_vec()) } else { Self([self.as_bytes(), b"/", name].concat()) }
    }

    /// Whether it is another path, or below it.
    pub(super) fn is_within(&self, other: &Self) -> bool {
        match self.0.strip_prefix(other.as_bytes()) {
            Some(rest) => rest.is_empty() || other.is_root() || rest.starts_with(b"/"),
            None => false,
        }
    }
}
