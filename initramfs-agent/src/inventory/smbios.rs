//! SMBIOS structures (DMTF DSP0134, version 3.7): memory modules, and whether there is a
//! management controller.
//!
//! The kernel has checked the entry point and offers the table alone. Every length in it is
//! still the firmware's word: structures are cut out within [`MAX_TABLE`] and
//! [`MAX_STRUCTURES`], fields outside of their structure read as absent.

use protocol::inventory::MemoryModule;

/// Largest table that is read, in bytes (`spec/security.md` 6).
pub(crate) const MAX_TABLE: u64 = 64 * 1_024;
/// Most structures that are looked at.
const MAX_STRUCTURES: usize = 4_096;
/// Longest string, in bytes.
const MAX_STRING: usize = 256;
/// Structure type of a memory device (7.18).
const MEMORY_DEVICE: u8 = 17;
/// Structure type of IPMI device information (7.39).
const IPMI_DEVICE: u8 = 38;
/// Structure type that ends the table (7.45).
const END_OF_TABLE: u8 = 127;
/// Head of a structure: type, length, two bytes of handle.
const HEAD: usize = 4;
/// Bytes in a kibibyte and a mebibyte.
const KIB: u64 = 1_024;
const MIB: u64 = 1_024 * KIB;

/// What the table tells.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Smbios {
    /// Modules that are plugged in.
    pub(crate) modules: Vec<MemoryModule>,
    /// Firmware describes an IPMI interface.
    pub(crate) has_bmc: bool,
}

/// Reads a table; what is broken ends it.
pub(crate) fn parse(table: &[u8]) -> Smbios {
    let mut found = Smbios::default();
    for structure in (Structures { rest: table }).take(MAX_STRUCTURES) {
        match structure.kind {
            MEMORY_DEVICE => found.modules.extend(module(&structure)),
            IPMI_DEVICE => found.has_bmc = true,
            _ => {}
        }
    }
    found
}

/// One structure: its formatted part with the head, and its strings.
struct Structure<'a> {
    kind: u8,
    formatted: &'a [u8],
    strings: &'a [u8],
}

/// Cuts a table into structures.
struct Structures<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Structures<'a> {
    type Item = Structure<'a>;

    fn next(&mut self) -> Option<Structure<'a>> {
        let (&kind, &length) = (self.rest.first()?, self.rest.get(1)?);
        let length = usize::from(length);
        if length < HEAD || kind == END_OF_TABLE {
            return None;
        }
        let (formatted, behind) = self.rest.split_at_checked(length)?;
        // Strings end with an empty one; a structure without any has two zero bytes.
        let end = behind.windows(2).position(|pair| pair == [0, 0])?;
        let (strings, next) = behind.split_at_checked(end + 2)?;
        self.rest = next;
        Some(Structure { kind, formatted, strings })
    }
}

impl Structure<'_> {
    fn byte(&self, at: usize) -> Option<u8> {
        self.formatted.get(at).copied()
    }

    fn word(&self, at: usize) -> Option<u16> {
        Some(u16::from_le_bytes(*self.formatted.get(at..)?.first_chunk()?))
    }

    fn double_word(&self, at: usize) -> Option<u32> {
        Some(u32::from_le_bytes(*self.formatted.get(at..)?.first_chunk()?))
    }

    /// The string whose number, counted from 1, is at `at`; empty when there is none.
    fn text(&self, at: usize) -> String {
        let number = self.byte(at).map_or(0, usize::from);
        let Some(index) = number.checked_sub(1) else { return String::new() };
        let bytes = self.strings.split(|&byte| byte == 0).nth(index).unwrap_or_default();
        let bytes = bytes.get(..MAX_STRING).unwrap_or(bytes);
        String::from_utf8_lossy(bytes).trim().to_owned()
    }
}

/// A memory device (7.18); `None` for an empty slot.
fn module(device: &Structure<'_>) -> Option<MemoryModule> {
    // No bytes, in whatever unit, is an empty slot as well.
    let size_bytes = size(device).filter(|bytes| *bytes > 0)?;
    let speed = |at: usize, extended: usize| match device.word(at)? {
        0 => None,
        u16::MAX => device.double_word(extended).map(|speed| speed & 0x7fff_ffff),
        speed => Some(u32::from(speed)),
    };
    // What it runs at; boards before 2.7 tell only what it is made for.
    let speed_mts = speed(0x20, 0x58).or_else(|| speed(0x15, 0x54)).unwrap_or_default();
    Some(MemoryModule {
        slot: device.text(0x10),
        size_bytes,
        kind: kind(device.byte(0x12).unwrap_or_default()).to_owned(),
        speed_mts,
        manufacturer: device.text(0x17),
        part_number: device.text(0x1a),
        serial: device.text(0x18),
    })
}

/// Size in bytes (7.18.4): zero is an empty slot, all ones is unknown.
fn size(device: &Structure<'_>) -> Option<u64> {
    match device.word(0x0c)? {
        0 | u16::MAX => None,
        0x7fff => Some(u64::from(device.double_word(0x1c)? & 0x7fff_ffff) * MIB),
        kib if kib & 0x8000 != 0 => Some(u64::from(kib & 0x7fff) * KIB),
        mib => Some(u64::from(mib) * MIB),
    }
}

/// Memory type (7.18.2), as people write it; empty for those that say nothing.
fn kind(number: u8) -> &'static str {
    match number {
        0x07 => "RAM",
        0x0f => "SDRAM",
        0x12 => "DDR",
        0x13 => "DDR2",
        0x14 => "DDR2 FB-DIMM",
        0x18 => "DDR3",
        0x1a => "DDR4",
        0x1b => "LPDDR",
        0x1c => "LPDDR2",
        0x1d => "LPDDR3",
        0x1e => "LPDDR4",
        0x1f => "NVDIMM",
        0x20 => "HBM",
        0x21 => "HBM2",
        0x22 => "DDR5",
        0x23 => "LPDDR5",
        0x24 => "HBM3",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A structure of this type with these bytes behind its head, and these strings.
    fn structure(kind: u8, body: &[u8], strings: &[&str]) -> Vec<u8> {
        let mut bytes = vec![kind, u8::try_from(HEAD + body.len()).unwrap(), 0x34, 0x12];
        bytes.extend(body);
        for text in strings {
            bytes.extend(text.as_bytes());
            bytes.push(0);
        }
        if strings.is_empty() {
            bytes.push(0);
        }
        bytes.push(0);
        bytes
    }

    /// A memory device of version 3.2 and later (0x5c bytes) with numbers at offsets.
    fn device(numbers: &[(usize, &[u8])], strings: &[&str]) -> Vec<u8> {
        let mut body = vec![0; 0x5c - HEAD];
        for (at, bytes) in numbers {
            body.get_mut(at - HEAD..at - HEAD + bytes.len()).unwrap().copy_from_slice(bytes);
        }
        structure(MEMORY_DEVICE, &body, strings)
    }

    fn modules(table: &[u8]) -> Vec<MemoryModule> {
        parse(table).modules
    }

    #[test]
    fn a_module_says_what_it_is() {
        let numbers: &[(usize, &[u8])] = &[
            (0x0c, &[0xff, 0x7f]),
            (0x10, &[1]),
            (0x12, &[0x22]),
            (0x15, &5_600_u16.to_le_bytes()),
            (0x17, &[2]),
            (0x18, &[3]),
            (0x1a, &[4]),
            (0x1c, &65_536_u32.to_le_bytes()),
            (0x20, &4_800_u16.to_le_bytes()),
        ];
        let table = device(numbers, &["DIMM_A1", "Samsung ", "4C02A1B2", "M321R8GA0BB0-CQKZJ"]);
        let expected = MemoryModule {
            slot: "DIMM_A1".to_owned(),
            size_bytes: 64 * 1_024 * MIB,
            kind: "DDR5".to_owned(),
            speed_mts: 4_800,
            manufacturer: "Samsung".to_owned(),
            part_number: "M321R8GA0BB0-CQKZJ".to_owned(),
            serial: "4C02A1B2".to_owned(),
        };
        assert_eq!(modules(&table), [expected]);
    }

    #[test]
    fn sizes_have_three_ways_to_be_told_and_two_not_to_be() {
        let sized = |size: u16| {
            let table = device(&[(0x0c, &size.to_le_bytes()), (0x1c, &[0, 0, 1, 0])], &["A"]);
            modules(&table).first().map(|module| module.size_bytes)
        };
        assert_eq!(sized(16_384), Some(16_384 * MIB));
        assert_eq!(sized(0x8000 | 512), Some(512 * KIB));
        assert_eq!(sized(0x7fff), Some(65_536 * MIB));
        assert_eq!((sized(0), sized(0xffff)), (None, None), "an empty slot is no module");
    }

    #[test]
    fn a_board_of_2_1_knows_no_speed_it_runs_at() {
        // The first 0x1b bytes only: no extended size, no configured speed.
        let mut table = device(&[(0x0c, &[0, 4]), (0x12, &[0x13]), (0x15, &667_u16.to_le_bytes())], &["A"]);
        let body: Vec<u8> = table.get(HEAD..0x1b).unwrap().to_vec();
        table = structure(MEMORY_DEVICE, &body, &["A"]);
        let found = modules(&table);
        let module = found.first().unwrap();
        assert_eq!((module.kind.as_str(), module.speed_mts, module.size_bytes), ("DDR2", 667, 1_024 * MIB));
    }

    #[test]
    fn speeds_beyond_a_word_are_extended() {
        let numbers: &[(usize, &[u8])] =
            &[(0x0c, &[0, 4]), (0x20, &[0xff, 0xff]), (0x58, &70_000_u32.to_le_bytes())];
        assert_eq!(modules(&device(numbers, &[])).first().unwrap().speed_mts, 70_000);
    }

    #[test]
    fn what_stands_behind_the_end_does_not_count() {
        let mut table = structure(IPMI_DEVICE, &[1; 14], &[]);
        assert!(parse(&table).has_bmc);
        table = [structure(END_OF_TABLE, &[], &[]), table].concat();
        assert_eq!(parse(&table), Smbios::default());
    }

    #[test]
    fn a_structure_that_lies_about_its_length_ends_the_table() {
        let module = device(&[(0x0c, &[0, 4])], &["A"]);
        for broken in [&[17, 3, 0, 0, 0, 0][..], &[17, 255, 0, 0, 0, 0], &[1, 4, 0, 0, 65, 0]] {
            let table = [&module, broken, &module].concat();
            assert_eq!(modules(&table).len(), 1, "{broken:?}");
        }
    }

    #[test]
    fn a_string_number_too_high_is_no_string() {
        let table = device(&[(0x0c, &[0, 4]), (0x10, &[9])], &["A"]);
        assert_eq!(modules(&table).first().unwrap().slot, "");
    }

    proptest! {
        #[test]
        fn no_table_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let found = parse(&bytes);
            prop_assert!(found.modules.iter().all(|module| module.slot.len() <= 3 * MAX_STRING));
        }
    }
}
