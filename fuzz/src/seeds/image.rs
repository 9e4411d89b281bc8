//! Small ISO 9660 images by hand (ECMA-119, SUSP 1.12, RRIP 1.12), as the target `iso9660` takes them:
//! the sectors behind the system area, each as its length and what is not zero of it.

/// Sector numbers: volume descriptor, its end, the root, a directory, a file, a continuation area.
const ROOT: u32 = 18;
const BOOT: u32 = 19;
const FILE: u32 = 20;
const CONTINUATION: u32 = 21;
const SECTOR: u32 = 2_048;
const DIRECTORY: u8 = 2;

/// A number in both orders, as the format writes them.
fn both(number: u32) -> [u8; 8] {
    let [a, b, c, d] = number.to_le_bytes();
    [a, b, c, d, d, c, b, a]
}

/// A directory record (9.1).
fn record(name: &[u8], sector: u32, length: u32, flags: u8, system_use: &[u8]) -> Vec<u8> {
    let mut record = vec![0, 0];
    record.extend(both(sector));
    record.extend(both(length));
    record.extend([0; 7]);
    record.extend([flags, 0, 0, 1, 0, 0, 1]);
    record.push(u8::try_from(name.len()).unwrap_or_default());
    record.extend(name);
    if name.len().is_multiple_of(2) {
        record.push(0);
    }
    record.extend(system_use);
    let length = u8::try_from(record.len()).unwrap_or_default();
    if let Some(first) = record.first_mut() {
        *first = length;
    }
    record
}

fn descriptor() -> Vec<u8> {
    let mut sector = b"\x01CD001\x01".to_vec();
    sector.resize(40, b' ');
    sector.extend(b"MUSTER");
    sector.resize(72, b' ');
    sector.resize(80, 0);
    sector.extend(both(22));
    sector.resize(128, 0);
    sector.extend([0, 8, 8, 0]);
    sector.resize(156, 0);
    sector.extend(record(&[0], ROOT, SECTOR, DIRECTORY, &[]));
    sector
}

fn directory(own: u32, entries: &[Vec<u8>]) -> Vec<u8> {
    let mut sector = record(&[0], own, SECTOR, DIRECTORY, &[]);
    sector.extend(record(&[1], ROOT, SECTOR, DIRECTORY, &[]));
    sector.extend(entries.concat());
    sector
}

fn laid_out(sectors: &[Vec<u8>]) -> Vec<u8> {
    let one = |sector: &Vec<u8>| {
        let length = u16::try_from(sector.len()).unwrap_or_default();
        [length.to_le_bytes().as_slice(), sector].concat()
    };
    sectors.iter().flat_map(one).collect()
}

/// One directory and one file, under the names of the standard.
pub(super) fn plain() -> Vec<u8> {
    let boot = record(b"BOOT", BOOT, SECTOR, DIRECTORY, &[]);
    let file = record(b"VMLINUZ.;1", FILE, 6, 0, &[]);
    laid_out(&[
        descriptor(),
        b"\xffCD001\x01".to_vec(),
        directory(ROOT, &[boot]),
        directory(BOOT, &[file]),
        b"kernel".to_vec(),
    ])
}

/// The same with names of Rock Ridge, one of them in a continuation area.
pub(super) fn rock_ridge() -> Vec<u8> {
    let mut elsewhere = b"CE\x1c\x01".to_vec();
    elsewhere.extend([CONTINUATION, 0, 12].map(both).concat());
    let boot = record(b"BOOT", BOOT, SECTOR, DIRECTORY, b"NM\x09\x01\x00boot!");
    let file = record(b"VMLINUZ.;1", FILE, 6, 0, &elsewhere);
    laid_out(&[
        descriptor(),
        b"\xffCD001\x01".to_vec(),
        directory(ROOT, &[boot]),
        directory(BOOT, &[file]),
        b"kernel".to_vec(),
        b"NM\x0c\x01\x00vmlinuz".to_vec(),
    ])
}
