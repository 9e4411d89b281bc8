//! `DT_NEEDED`: the libraries that a program or library asks the dynamic loader for, and the loader it asks for.
//!
//! Read from the program headers of an ELF64 little-endian file, as the loader does it.

use std::str;

const MAGIC: &[u8] = b"\x7fELF\x02\x01\x01";
const PROGRAM_LEN: usize = 56;
const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_INTERP: u32 = 3;
const DYNAMIC_LEN: usize = 16;
const DT_NULL: u64 = 0;
const DT_NEEDED: u64 = 1;
const DT_STRTAB: u64 = 5;
/// Most libraries of one file that are looked at.
const MAX_NEEDED: usize = 1_000;

/// What a file needs to run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    /// The dynamic loader's path; libraries name none.
    pub(crate) loader: Option<String>,
    /// Names of libraries, in the order asked for.
    pub(crate) libraries: Vec<String>,
}

/// A program header: which part of the file is what, and where it comes to lie.
#[derive(Debug, Clone, Copy)]
struct Segment {
    kind: u32,
    offset: u64,
    address: u64,
    length: u64,
}

impl Needs {
    /// Reads what an ELF file needs; nothing of any other file, `None` of a broken one.
    pub(crate) fn of(file: &[u8]) -> Option<Self> {
        if !file.starts_with(MAGIC) {
            return Some(Self::default());
        }
        let segments = segments(file)?;
        let find = |kind| segments.iter().find(move |segment| segment.kind == kind);
        let mut needs = Self::default();
        if let Some(interp) = find(PT_INTERP) {
            needs.loader = Some(text(bytes(file, interp)?)?);
        }
        let Some(dynamic) = find(PT_DYNAMIC) else { return Some(needs) };
        let entries: Vec<(u64, u64)> = bytes(file, dynamic)?
            .chunks_exact(DYNAMIC_LEN)
            .map_while(|entry| Some((word(entry, 0)?, word(entry, 8)?)))
            .take_while(|(tag, _)| *tag != DT_NULL)
            .collect();
        let wanted: Vec<u64> =
            entries.iter().filter(|(tag, _)| *tag == DT_NEEDED).map(|(_, value)| *value).collect();
        if wanted.len() > MAX_NEEDED {
            return None;
        }
        if wanted.is_empty() {
            return Some(needs);
        }
        let (_, table) = entries.iter().find(|(tag, _)| *tag == DT_STRTAB)?;
        let strings = at_address(file, &segments, *table)?;
        for offset in wanted {
            needs.libraries.push(text(strings.get(usize::try_from(offset).ok()?..)?)?);
        }
        Some(needs)
    }
}

fn segments(file: &[u8]) -> Option<Vec<Segment>> {
    let table = usize::try_from(word(file, 32)?).ok()?;
    let count = usize::from(half(file, 56)?);
    let one = |number: usize| {
        let start = table.checked_add(number.checked_mul(PROGRAM_LEN)?)?;
        let header = file.get(start..start.checked_add(PROGRAM_LEN)?)?;
        let kind = u32::from_le_bytes(*header.first_chunk()?);
        let (offset, address, length) = (word(header, 8)?, word(header, 16)?, word(header, 32)?);
        Some(Segment { kind, offset, address, length })
    };
    (0..count).map(one).collect()
}

/// The bytes from an address on, to the end of what is loaded there.
fn at_address<'a>(file: &'a [u8], segments: &[Segment], address: u64) -> Option<&'a [u8]> {
    segments.iter().filter(|segment| segment.kind == PT_LOAD).find_map(|segment| {
        let within = usize::try_from(address.checked_sub(segment.address)?).ok()?;
        bytes(file, segment)?.get(within..)
    })
}

fn bytes<'a>(file: &'a [u8], segment: &Segment) -> Option<&'a [u8]> {
    let start = usize::try_from(segment.offset).ok()?;
    file.get(start..start.checked_add(usize::try_from(segment.length).ok()?)?)
}

fn text(bytes: &[u8]) -> Option<String> {
    let end = bytes.iter().position(|&byte| byte == 0)?;
    str::from_utf8(bytes.get(..end)?).ok().map(str::to_owned)
}

fn word(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|word| u64::from_le_bytes(*word))
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|half| u16::from_le_bytes(*half))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_of_this_system_names_its_loader_and_its_c_library() {
        let needs = Needs::of(&std::fs::read("/bin/dash").unwrap()).unwrap();
        assert_eq!(needs.loader.as_deref(), Some("/lib64/ld-linux-x86-64.so.2"));
        assert_eq!(needs.libraries, ["libc.so.6"]);
    }

    #[test]
    fn a_script_needs_nothing_and_a_cut_program_is_no_program() {
        assert_eq!(Needs::of(b"#!/bin/sh\n"), Some(Needs::default()));
        let program = std::fs::read("/bin/dash").unwrap();
        for len in [7, 40, 63, 200, 900] {
            assert_eq!(Needs::of(&program[..len]), None, "{len}");
        }
    }
}
