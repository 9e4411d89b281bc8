//! Writing: a tree of entries in memory, rendered in one sorted pass.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Write};

use thiserror::Error;

use super::path::{PathError, check_path};
use super::{HEADER_LEN, MAGIC, TRAILER, mode, padding};

/// Permission bits of directories that only exist because something lies in them.
const PARENT_MODE: u32 = 0o755;
/// Permission bits of symbolic links, which nothing looks at.
const SYMLINK_MODE: u32 = 0o777;

/// Why an archive cannot be written.
#[derive(Debug, Error)]
pub enum WriteError {
    /// The name is not one an archive may hold.
    #[error("archive entry `{path}`")]
    Path {
        /// The name as given.
        path: String,
        /// What is wrong with it.
        #[source]
        source: PathError,
    },
    /// Two entries, or an entry and a parent directory, want the same name.
    #[error("archive entry `{0}` is already there as something else")]
    Occupied(String),
    /// The format has 32-bit lengths.
    #[error("archive entry `{path}` has {len} bytes, cpio newc holds at most 4294967295")]
    TooLarge {
        /// The entry's name.
        path: String,
        /// Its length in bytes.
        len: usize,
    },
    /// The output could not be written.
    #[error("write the archive")]
    Output(#[from] io::Error),
}

/// What one entry is, beside its name.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Node<'a> {
    Directory { permissions: u32 },
    File { permissions: u32, data: Cow<'a, [u8]> },
    Symlink { target: String },
    CharDevice { permissions: u32, major: u32, minor: u32 },
}

/// The entries of an archive, sorted by path.
///
/// Byte order of whole paths puts every directory before what lies in it, because a path is a prefix of its
/// children's paths; so one pass over the map is also a valid unpacking order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree<'a> {
    entries: BTreeMap<String, Node<'a>>,
}

impl<'a> Tree<'a> {
    /// An empty tree.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a directory; naming an existing one again sets its permission bits.
    ///
    /// # Errors
    /// [`WriteError::Path`] or [`WriteError::Occupied`].
    pub fn directory(&mut self, path: &str, permissions: u32) -> Result<(), WriteError> {
        self.check(path)?;
        match self.entries.get_mut(path) {
            None => {
                self.entries.insert(path.to_owned(), Node::Directory { permissions });
                Ok(())
            }
            Some(node @ Node::Directory { .. }) => {
                *node = Node::Directory { permissions };
                Ok(())
            }
            Some(_) => Err(WriteError::Occupied(path.to_owned())),
        }
    }

    /// Adds a regular file; missing parent directories are added with mode 0755.
    ///
    /// # Errors
    /// [`WriteError::Path`], [`WriteError::Occupied`], or [`WriteError::TooLarge`] over 4 GiB.
    pub fn file(
        &mut self,
        path: &str,
        permissions: u32,
        data: impl Into<Cow<'a, [u8]>>,
    ) -> Result<(), WriteError> {
        let data = data.into();
        if u32::try_from(data.len()).is_err() {
            return Err(WriteError::TooLarge { path: path.to_owned(), len: data.len() });
        }
        self.insert(path, Node::File { permissions, data })
    }

    /// Adds a symbolic link to `target`, which is taken as it is.
    ///
    /// # Errors
    /// [`WriteError::Path`] or [`WriteError::Occupied`].
    pub fn symlink(&mut self, path: &str, target: &str) -> Result<(), WriteError> {
        self.insert(path, Node::Symlink { target: target.to_owned() })
    }

    /// Adds a character device node.
    ///
    /// # Errors
    /// [`WriteError::Path`] or [`WriteError::Occupied`].
    pub fn char_device(
        &mut self,
        path: &str,
        permissions: u32,
        major: u32,
        minor: u32,
    ) -> Result<(), WriteError> {
        self.insert(path, Node::CharDevice { permissions, major, minor })
    }

    /// Writes the archive with its trailer, every entry dated `mtime` (seconds since 1970) and owned by root.
    ///
    /// # Errors
    /// [`WriteError::Output`] when `out` fails.
    pub fn write_to(&self, out: &mut impl Write, mtime: u32) -> Result<(), WriteError> {
        // Inode numbers only have to differ; counting keeps them the same on every run.
        for (inode, (path, node)) in (1_u32..).zip(&self.entries) {
            write_entry(out, inode, mtime, path, node)?;
        }
        write_header(out, &Header { links: 1, ..Header::default() }, TRAILER, &[])?;
        Ok(())
    }

    /// The whole archive in memory; see [`Tree::write_to`].
    ///
    /// # Errors
    /// None that a tree built through this interface can cause.
    pub fn to_bytes(&self, mtime: u32) -> Result<Vec<u8>, WriteError> {
        let mut bytes = Vec::new();
        self.write_to(&mut bytes, mtime)?;
        Ok(bytes)
    }

    fn check(&mut self, path: &str) -> Result<(), WriteError> {
        check_path(path).map_err(|source| WriteError::Path { path: path.to_owned(), source })?;
        for (end, _) in path.match_indices('/') {
            let Some(parent) = path.get(..end) else {
                continue;
            };
            match self.entries.get(parent) {
                Some(Node::Directory { .. }) => {}
                None => {
                    let node = Node::Directory { permissions: PARENT_MODE };
                    self.entries.insert(parent.to_owned(), node);
                }
                // The kernel would follow a link here and write somewhere else.
                Some(_) => return Err(WriteError::Occupied(parent.to_owned())),
            }
        }
        Ok(())
    }

    fn insert(&mut self, path: &str, node: Node<'a>) -> Result<(), WriteError> {
        self.check(path)?;
        if self.entries.contains_key(path) {
            return Err(WriteError::Occupied(path.to_owned()));
        }
        self.entries.insert(path.to_owned(), node);
        Ok(())
    }
}

/// The header words that are not always zero.
#[derive(Debug, Clone, Copy, Default)]
struct Header {
    inode: u32,
    mode: u32,
    links: u32,
    mtime: u32,
    device: (u32, u32),
}

fn write_entry(
    out: &mut impl Write,
    inode: u32,
    mtime: u32,
    path: &str,
    node: &Node<'_>,
) -> Result<(), WriteError> {
    let (mode, links, device, data): (u32, u32, (u32, u32), &[u8]) = match node {
        Node::Directory { permissions } => (mode::DIRECTORY | permissions, 2, (0, 0), &[]),
        Node::File { permissions, data } => (mode::REGULAR | permissions, 1, (0, 0), data),
        Node::Symlink { target } => (mode::SYMLINK | SYMLINK_MODE, 1, (0, 0), target.as_bytes()),
        Node::CharDevice { permissions, major, minor } => {
            (mode::CHARACTER | permissions, 1, (*major, *minor), &[])
        }
    };
    write_header(out, &Header { inode, mode, links, mtime, device }, path, data)
}

fn write_header(out: &mut impl Write, header: &Header, path: &str, data: &[u8]) -> Result<(), WriteError> {
    const ZEROS: [u8; 4] = [0; 4];
    let too_large = || WriteError::TooLarge { path: path.to_owned(), len: data.len() };
    let name_len = path.len() + 1;
    let words = [
        header.inode,
        header.mode,
        0, // owner
        0, // group
        header.links,
        header.mtime,
        u32::try_from(data.len()).map_err(|_| too_large())?,
        0, // device that holds the file
        0,
        header.device.0,
        header.device.1,
        u32::try_from(name_len).map_err(|_| too_large())?,
        0, // checksum, unused by this variant
    ];
    out.write_all(MAGIC)?;
    for word in words {
        write!(out, "{word:08x}")?;
    }
    out.write_all(path.as_bytes())?;
    out.write_all(ZEROS.get(..1 + padding(HEADER_LEN + name_len)).unwrap_or(&ZEROS))?;
    out.write_all(data)?;
    out.write_all(ZEROS.get(..padding(data.len())).unwrap_or(&ZEROS))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_come_before_their_children_whatever_the_order_of_adding() {
        let mut tree = Tree::new();
        tree.file("lib/modules/x.ko", 0o644, b"x".as_slice()).unwrap();
        tree.file("lib-extra", 0o644, b"".as_slice()).unwrap();
        let names: Vec<&String> = tree.entries.keys().collect();
        assert_eq!(names, ["lib", "lib-extra", "lib/modules", "lib/modules/x.ko"]);
    }

    #[test]
    fn a_directory_named_later_keeps_its_own_mode() {
        let mut tree = Tree::new();
        tree.file("root/.profile", 0o600, b"".as_slice()).unwrap();
        tree.directory("root", 0o700).unwrap();
        assert_eq!(tree.entries.get("root"), Some(&Node::Directory { permissions: 0o700 }));
    }

    #[test]
    fn a_name_is_taken_once() {
        let mut tree = Tree::new();
        tree.symlink("bin/sh", "busybox").unwrap();
        for result in [
            tree.file("bin/sh", 0o755, b"".as_slice()),
            tree.directory("bin/sh", 0o755),
            tree.file("bin/sh/under-a-link", 0o644, b"".as_slice()),
        ] {
            let text = result.unwrap_err().to_string();
            assert_eq!(text, "archive entry `bin/sh` is already there as something else");
        }
    }

    #[test]
    fn two_renderings_are_the_same_bytes() {
        let mut tree = Tree::new();
        tree.char_device("dev/console", 0o600, 5, 1).unwrap();
        let bytes = tree.to_bytes(1_700_000_000).unwrap();
        assert_eq!(bytes, tree.clone().to_bytes(1_700_000_000).unwrap());
        assert_ne!(bytes, tree.to_bytes(1).unwrap());
    }
}
