//! Extended headers of pax (POSIX.1-2017, `pax Extended Header`), with GNU's and star's additions.

use super::sparse::{self, Fragment};
use super::{LayerError, MAX_NAME};

/// Most extended attributes of an entry, and most bytes of them.
const MAX_XATTRS: usize = 256;
const MAX_XATTR_BYTES: usize = 1_024 * 1_024;
/// Most numbers of a map in an extended header.
const MAX_NUMBERS: usize = 1 << 17;
const NANOS_DIGITS: usize = 9;
const XATTR: &[u8] = b"SCHILY.xattr.";

/// A time, in seconds since 1970 and nanoseconds after them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Time {
    pub(super) seconds: i64,
    pub(super) nanos: u32,
}

impl Time {
    pub(super) const fn seconds(seconds: i64) -> Self {
        Self { seconds, nanos: 0 }
    }

    /// Seconds with a fraction, as pax writes them.
    fn parse(text: &[u8]) -> Option<Self> {
        let (negative, text) = match text.split_first() {
            Some((b'-', rest)) => (true, rest),
            _ => (false, text),
        };
        let mut parts = text.splitn(2, |&byte| byte == b'.');
        let seconds = i64::try_from(sparse::decimal(parts.next()?)?).ok()?;
        let mut fraction = parts.next().unwrap_or_default().to_vec();
        if !fraction.iter().all(u8::is_ascii_digit) {
            return None;
        }
        fraction.resize(NANOS_DIGITS, b'0');
        let nanos = u32::try_from(sparse::decimal(&fraction)?).ok()?;
        Some(match (negative, nanos) {
            (false, nanos) => Self { seconds, nanos },
            (true, 0) => Self::seconds(-seconds),
            (true, nanos) => Self { seconds: -seconds - 1, nanos: 1_000_000_000 - nanos },
        })
    }
}

/// What extended headers say of an entry.
#[derive(Debug, Clone, Default)]
pub(super) struct Pax {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    pub(super) mtime: Option<Time>,
    /// Extended attributes: names and values.
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) sparse: Option<Sparse>,
}

/// What they say of a sparse file.
#[derive(Debug, Clone, Default)]
pub(super) struct Sparse {
    pub(super) name: Option<Vec<u8>>,
    pub(super) real_size: Option<u64>,
    /// Version 1.0.
    pub(super) map_in_data: bool,
    /// Offsets and lengths of versions 0.0 and 0.1, one after another.
    numbers: Vec<u64>,
}

impl Sparse {
    pub(super) fn fragments(&self) -> Result<Vec<Fragment>, LayerError> {
        sparse::pairs(&self.numbers)
    }
}

impl Pax {
    /// Takes records: `LENGTH KEY=VALUE\n`, where the length counts itself.
    pub(super) fn extend(&mut self, mut records: &[u8]) -> Result<(), LayerError> {
        while !records.is_empty() {
            let digits = records.iter().position(|&byte| byte == b' ').ok_or(wrong())?;
            let length = records.get(..digits).and_then(sparse::decimal);
            let length = length.and_then(|length| usize::try_from(length).ok()).ok_or(wrong())?;
            let (record, rest) = records.split_at_checked(length).ok_or(wrong())?;
            let record = record.get(digits + 1..).and_then(|r| r.strip_suffix(b"\n")).ok_or(wrong())?;
            let equals = record.iter().position(|&byte| byte == b'=').ok_or(wrong())?;
            let (key, value) = record.split_at_checked(equals).ok_or(wrong())?;
            self.take(key, value.get(1..).unwrap_or_default())?;
            records = rest;
        }
        Ok(())
    }

    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<(), LayerError> {
        if let Some(sparse) = key.strip_prefix(b"GNU.sparse.") {
            return self.take_sparse(sparse, value);
        }
        if let Some(name) = key.strip_prefix(XATTR) {
            self.xattrs.retain(|(known, _)| known != name);
            self.xattrs.push((name.to_vec(), value.to_vec()));
            let bytes: usize = self.xattrs.iter().map(|(name, value)| name.len() + value.len()).sum();
            let many = self.xattrs.len() > MAX_XATTRS || bytes > MAX_XATTR_BYTES;
            return if many { Err(LayerError::Archive("an entry has too many attributes")) } else { Ok(()) };
        }
        // An empty value takes back what was said before.
        match key {
            b"path" => self.path = name(value)?,
            b"linkpath" => self.link = name(value)?,
            b"size" => self.size = number(value)?.filter(|&size| i64::try_from(size).is_ok()),
            b"uid" => self.uid = number(value)?,
            b"gid" => self.gid = number(value)?,
            b"mtime" if value.is_empty() => self.mtime = None,
            b"mtime" => self.mtime = Some(Time::parse(value).ok_or(LayerError::Field("time"))?),
            // Other times, names of owners, and what is not for us.
            _ => {}
        }
        Ok(())
    }

    fn take_sparse(&mut self, key: &[u8], value: &[u8]) -> Result<(), LayerError> {
        let sparse = self.sparse.get_or_insert_default();
        match key {
            b"name" => sparse.name = name(value)?,
            b"size" | b"realsize" => sparse.real_size = number(value)?,
            b"major" => sparse.map_in_data = value == b"1",
            b"minor" if value != b"0" && value != b"1" => return Err(sparse::wrong()),
            b"offset" | b"numbytes" => sparse.numbers.extend(number(value)?),
            b"map" => {
                let numbers =
                    value.split(|&byte| byte == b',').map(|text| sparse::decimal(text).ok_or(wrong()));
                sparse.numbers = numbers.take(MAX_NUMBERS + 1).collect::<Result<_, _>>()?;
            }
            _ => {}
        }
        if sparse.numbers.len() > MAX_NUMBERS { Err(sparse::wrong()) } else { Ok(()) }
    }

    /// Maps belong to one file.
    pub(super) fn forget_sparse(&mut self) {
        self.sparse = None;
    }

    /// What holds for an entry: what is said of it, else what is said of all.
    pub(super) fn overlaid(&self, own: Self) -> Self {
        let mut xattrs = own.xattrs;
        for (name, value) in &self.xattrs {
            if !xattrs.iter().any(|(known, _)| known == name) {
                xattrs.push((name.clone(), value.clone()));
            }
        }
        Self {
            path: own.path.or_else(|| self.path.clone()),
            link: own.link.or_else(|| self.link.clone()),
            size: own.size.or(self.size),
            uid: own.uid.or(self.uid),
            gid: own.gid.or(self.gid),
            mtime: own.mtime.or(self.mtime),
            xattrs,
            sparse: own.sparse,
        }
    }
}

fn name(value: &[u8]) -> Result<Option<Vec<u8>>, LayerError> {
    if value.len() > MAX_NAME || value.contains(&0) {
        return Err(LayerError::Field("name"));
    }
    Ok(Some(value.to_vec()).filter(|value| !value.is_empty()))
}

fn number(value: &[u8]) -> Result<Option<u64>, LayerError> {
    if value.is_empty() { Ok(None) } else { sparse::decimal(value).map(Some).ok_or(wrong()) }
}

fn wrong() -> LayerError {
    LayerError::Archive("an extended header is damaged")
}
