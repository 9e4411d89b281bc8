//! `.modinfo`: the NUL-separated `key=value` pairs in every kernel module (an ELF64 little-endian object).

use std::str;

/// Most section headers looked at; modules with one section per function have some thousands.
const MAX_SECTIONS: u64 = 65_536;
/// `e_type` of a program header table's `PT_INTERP`: the program needs a dynamic loader.
const PT_INTERP: u32 = 3;
/// `e_machine` of x86-64.
const EM_X86_64: u16 = 62;

/// What a module says about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Modinfo {
    /// `name=`, if it has one.
    pub(crate) name: Option<String>,
    /// `alias=`, in order.
    pub(crate) aliases: Vec<String>,
    /// `depends=`.
    pub(crate) depends: Vec<String>,
    /// `softdep=pre:`.
    pub(crate) pre: Vec<String>,
    /// `softdep=post:`.
    pub(crate) post: Vec<String>,
}

impl Modinfo {
    /// Reads the pairs of a `.modinfo` section. What is not UTF-8 or has no `=` is left out, as modprobe does.
    pub(crate) fn parse(section: &[u8]) -> Self {
        let mut info = Self::default();
        for (key, value) in pairs(section) {
            info.take(key, value);
        }
        info
    }

    /// Takes over one pair.
    pub(crate) fn take(&mut self, key: &str, value: &str) {
        match key {
            "name" => self.name = Some(value.to_owned()),
            "alias" => self.aliases.push(value.to_owned()),
            "depends" => {
                self.depends.extend(value.split(',').filter(|name| !name.is_empty()).map(str::to_owned));
            }
            "softdep" => self.take_softdep(value),
            _ => {}
        }
    }

    fn take_softdep(&mut self, value: &str) {
        let mut list: Option<&mut Vec<String>> = None;
        for word in value.split_whitespace() {
            match (word, &mut list) {
                ("pre:", _) => list = Some(&mut self.pre),
                ("post:", _) => list = Some(&mut self.post),
                (name, Some(list)) => list.push(name.to_owned()),
                // Words before the first marker mean nothing to modprobe either.
                (_, None) => {}
            }
        }
    }
}

/// The `key=value` pairs of a section.
pub(crate) fn pairs(section: &[u8]) -> impl Iterator<Item = (&str, &str)> {
    section.split(|&byte| byte == 0).filter_map(|pair| str::from_utf8(pair).ok()?.split_once('='))
}

/// The bytes of the section `.modinfo` in an ELF64 little-endian file; `None` when it has none.
pub(crate) fn section(elf: &[u8]) -> Option<&[u8]> {
    let header = Elf::parse(elf)?;
    let names = header.section(u64::from(header.names))?;
    let count = header.sections.min(MAX_SECTIONS);
    (0..count).filter_map(|number| header.section(number)).find_map(|section| {
        let start = usize::try_from(names.offset.checked_add(u64::from(section.name))?).ok()?;
        let name = elf.get(start..)?;
        name.starts_with(b".modinfo\0").then(|| section.bytes(elf))?
    })
}

/// Whether bytes are an x86-64 program that needs no dynamic loader, as `/init` must be.
pub(crate) fn is_static_program(elf: &[u8]) -> bool {
    let Some(header) = Elf::parse(elf) else { return false };
    header.machine == EM_X86_64
        && header.programs > 0
        && (0..header.programs).all(|number| header.program_type(number).is_some_and(|t| t != PT_INTERP))
}

/// The fields of an ELF header that are used.
#[derive(Debug)]
struct Elf<'a> {
    bytes: &'a [u8],
    machine: u16,
    program_table: u64,
    programs: u64,
    section_table: u64,
    sections: u64,
    names: u16,
}

#[derive(Debug)]
struct Section {
    name: u32,
    offset: u64,
    length: u64,
}

impl Section {
    fn bytes<'a>(&self, elf: &'a [u8]) -> Option<&'a [u8]> {
        let start = usize::try_from(self.offset).ok()?;
        let end = start.checked_add(usize::try_from(self.length).ok()?)?;
        elf.get(start..end)
    }
}

impl<'a> Elf<'a> {
    /// Bytes of a section header and of a program header.
    const SECTION_LEN: u64 = 64;
    const PROGRAM_LEN: u64 = 56;

    fn parse(bytes: &'a [u8]) -> Option<Self> {
        // Magic, 64 bit, little-endian, version 1.
        if bytes.get(..7)? != b"\x7fELF\x02\x01\x01" {
            return None;
        }
        Some(Self {
            bytes,
            machine: half(bytes, 18)?,
            program_table: long(bytes, 32)?,
            section_table: long(bytes, 40)?,
            programs: u64::from(half(bytes, 56)?),
            sections: u64::from(half(bytes, 60)?),
            names: half(bytes, 62)?,
        })
    }

    fn section(&self, number: u64) -> Option<Section> {
        let at = self.section_table.checked_add(number.checked_mul(Self::SECTION_LEN)?)?;
        let at = usize::try_from(at).ok()?;
        Some(Section {
            name: word(self.bytes, at)?,
            offset: long(self.bytes, at.checked_add(24)?)?,
            length: long(self.bytes, at.checked_add(32)?)?,
        })
    }

    fn program_type(&self, number: u64) -> Option<u32> {
        let at = self.program_table.checked_add(number.checked_mul(Self::PROGRAM_LEN)?)?;
        word(self.bytes, usize::try_from(at).ok()?)
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    array(bytes, at).map(u16::from_le_bytes)
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_le_bytes)
}

fn long(bytes: &[u8], at: usize) -> Option<u64> {
    array(bytes, at).map(u64::from_le_bytes)
}

/// A module as the kernel's build makes it, reduced to what is read here.
#[cfg(test)]
pub(crate) fn elf_with_modinfo(modinfo: &[u8]) -> Vec<u8> {
    const NAMES: &[u8] = b"\0.modinfo\0.shstrtab\0";
    let table = 64 + modinfo.len() + NAMES.len();
    let mut elf = vec![0; 64];
    elf[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    elf[16] = 1;
    elf[18..20].copy_from_slice(&EM_X86_64.to_le_bytes());
    elf[40..48].copy_from_slice(&(table as u64).to_le_bytes());
    elf[60] = 3;
    elf[62] = 2;
    elf.extend_from_slice(modinfo);
    elf.extend_from_slice(NAMES);
    for (name, offset, length) in
        [(0_u32, 0, 0), (1, 64, modinfo.len()), (10, 64 + modinfo.len(), NAMES.len())]
    {
        let mut section = [0; 64];
        section[..4].copy_from_slice(&name.to_le_bytes());
        section[24..32].copy_from_slice(&(offset as u64).to_le_bytes());
        section[32..40].copy_from_slice(&(length as u64).to_le_bytes());
        elf.extend_from_slice(&section);
    }
    elf
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PAIRS: &[u8] = b"license=GPL\0alias=pci:v1d2*\0alias=fs-x\0depends=mii,libphy\0\
        softdep=pre: crypto-crc32c other post: late\0name=e1000\0vermagic=6.1\0";

    #[test]
    fn a_module_tells_its_name_aliases_and_needs() {
        let elf = elf_with_modinfo(PAIRS);
        let info = Modinfo::parse(section(&elf).unwrap());
        assert_eq!(info.name.as_deref(), Some("e1000"));
        assert_eq!(info.aliases, ["pci:v1d2*", "fs-x"]);
        assert_eq!(info.depends, ["mii", "libphy"]);
        assert_eq!(info.pre, ["crypto-crc32c", "other"]);
        assert_eq!(info.post, ["late"]);
    }

    #[test]
    fn a_softdep_without_a_marker_and_an_empty_depends_mean_nothing() {
        assert_eq!(Modinfo::parse(b"softdep=aes\0depends=\0nonsense\0"), Modinfo::default());
    }

    #[test]
    fn what_is_no_program_cannot_be_init() {
        assert!(!is_static_program(b"#!/bin/sh\n"));
        assert!(!is_static_program(&elf_with_modinfo(PAIRS)));
    }

    proptest! {
        #[test]
        fn damaged_modules_never_panic(
            damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut elf = elf_with_modinfo(PAIRS);
            for (at, value) in damage {
                let at = at.index(elf.len());
                elf[at] = value;
            }
            elf.truncate(cut.index(elf.len()) + 1);
            if let Some(section) = section(&elf) {
                prop_assert!(section.len() <= elf.len());
            }
            prop_assert!(!is_static_program(&elf) || elf.len() > 64);
        }
    }
}
