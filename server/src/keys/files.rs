//! Files that hold secrets: mode 0600, written whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// Largest key file that is read, in bytes: the biggest we write is a few kilobytes.
const MAX_FILE: u64 = 256 * 1_024;

/// Makes a directory that only its owner may enter.
pub(crate) fn private_dir(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Reads a whole file, or `None` when there is none.
pub(crate) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("larger than {MAX_FILE} bytes")));
    }
    Ok(Some(bytes))
}

/// Writes a file that others may read or not, by `mode`: a temporary file, synced, renamed over the
/// old one, and the directory synced, so that a power cut leaves the old file or the new one.
pub(crate) fn write(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let directory = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let temporary = directory.join(format!(".{}.new", name.to_string_lossy()));
    // What a crash left behind is of no use; the data directory's lock keeps others out.
    match fs::remove_file(&temporary) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    File::open(directory)?.sync_all()
}

/// Reads a secret file, or makes one with mode 0600 from `make` the first time.
pub(crate) fn read_or_create<E: From<io::Error>>(
    path: &Path,
    make: impl FnOnce() -> Result<Vec<u8>, E>,
) -> Result<Vec<u8>, E> {
    if let Some(bytes) = read(path)? {
        return Ok(bytes);
    }
    let bytes = make()?;
    write(path, &bytes, 0o600)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn secret_is_made_once_and_is_its_owners_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        let first = read_or_create::<io::Error>(&path, || Ok(b"one".to_vec())).unwrap();
        let second = read_or_create::<io::Error>(&path, || Ok(b"two".to_vec())).unwrap();
        assert_eq!((first.as_slice(), second.as_slice()), (&b"one"[..], &b"one"[..]));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn rest_of_an_interrupted_write_is_no_obstacle() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        fs::write(directory.path().join(".secret.new"), b"half").unwrap();
        write(&path, b"whole", 0o600).unwrap();
        assert_eq!(read(&path).unwrap().unwrap(), b"whole");
    }

    #[test]
    fn file_of_absurd_size_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        File::create(&path).unwrap().set_len(MAX_FILE + 1).unwrap();
        assert!(read(&path).is_err());
    }
}
