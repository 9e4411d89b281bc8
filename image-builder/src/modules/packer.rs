//! Packing modules one by one, with a dictionary of what they have in common.
//!
//! A module by itself is small, and most of it looks like any other: section names, symbols of the kernel, the
//! code that every driver has. What they share is told to zstd once, as a dictionary that the image carries.

use std::fmt;
use std::io;

use zstd::bulk::Compressor;
use zstd::zstd_safe::{CParameter, Strategy};

/// Bytes of the dictionary.
const DICTIONARY_LEN: usize = 384 * 1024;
/// Bytes of each module that it is made from: headers, symbols and the first code.
const SAMPLE_LEN: usize = 32 * 1024;
/// Fewer modules than this have too little in common.
const MIN_MODULES: usize = 100;
/// Level 15 with the optimal parser of level 16, smaller tables and a short search: packed once a kernel, unpacked at
/// every boot.
///
/// Measured on the 603 modules of Debian's generic kernel (100 MB), each by itself, in CPU seconds to pack (on a busy
/// machine, a quarter less on a quiet one) and megabytes with the dictionary. Without a dictionary: level 9 1.8/24.5 ·
/// 12 3.9/24.5 · 15 9.7/23.9 · 17 16.8/22.7 · 19 28/22.3. With one of 256 KiB: 19 28/20.7 · this parser with the
/// level's own tables 15/21.0 · with tables of 2^17 and 2^18 10/21.1. With one of 384 KiB: 2^17 and 2^18 11/21.0 ·
/// these 13/20.9. In groups of 4 MB instead: 19 44/19.7, and every driver would cost the unpacking of its group.
const SETTINGS: &[CParameter] = &[
    CParameter::CompressionLevel(15),
    CParameter::Strategy(Strategy::ZSTD_btopt),
    CParameter::HashLog(17),
    CParameter::ChainLog(19),
    CParameter::SearchLog(3),
    CParameter::TargetLength(64),
    CParameter::MinMatch(3),
];

/// What the output depends on beside the modules, in a word for names of kept results.
pub(crate) fn settings() -> String {
    format!("{} {DICTIONARY_LEN} {SAMPLE_LEN} {SETTINGS:?}", zstd::zstd_safe::version_number())
}

/// A part of a module that the dictionary is made from.
pub(crate) fn sample(module: &[u8]) -> Vec<u8> {
    module.get(..SAMPLE_LEN).unwrap_or(module).to_vec()
}

/// Makes the dictionary of these samples; an empty one, which means none, when they are few.
pub(crate) fn dictionary(samples: &[Vec<u8>]) -> io::Result<Vec<u8>> {
    if samples.len() < MIN_MODULES {
        return Ok(Vec::new());
    }
    zstd::dict::from_samples(samples, DICTIONARY_LEN)
}

/// Packs one module after the other.
pub(crate) struct Packer {
    compressor: Compressor<'static>,
}

impl fmt::Debug for Packer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Packer")
    }
}

impl Packer {
    pub(crate) fn new(dictionary: &[u8]) -> io::Result<Self> {
        let mut compressor = Compressor::with_dictionary(zstd::DEFAULT_COMPRESSION_LEVEL, dictionary)?;
        for setting in SETTINGS {
            compressor.set_parameter(*setting)?;
        }
        Ok(Self { compressor })
    }

    pub(crate) fn pack(&mut self, module: &[u8]) -> io::Result<Vec<u8>> {
        self.compressor.compress(module)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    /// Modules that resemble each other and are not the same.
    fn modules() -> Vec<Vec<u8>> {
        let words = ["probe", "remove", "ioctl", "interrupt", "firmware", "queue", "descriptor", "timeout"];
        let module = |number: usize| {
            let lines = (0..200).map(|line| {
                let at = |step: usize| words.get((number * step + line * 7 + step) % words.len()).unwrap();
                format!("driver_{}_{}_{}\0", at(1), at(3), at(number % 5 + 1))
            });
            lines.collect::<String>().into_bytes()
        };
        (0..MIN_MODULES).map(module).collect()
    }

    #[test]
    fn modules_are_smaller_with_what_they_have_in_common_and_come_back_whole() {
        let modules = modules();
        let dictionary = dictionary(&modules).unwrap();
        assert!(!dictionary.is_empty() && dictionary.len() <= DICTIONARY_LEN);
        let module = modules.first().unwrap();
        let packed = Packer::new(&dictionary).unwrap().pack(module).unwrap();
        assert!(packed.len() < Packer::new(&[]).unwrap().pack(module).unwrap().len());
        let mut back = Vec::new();
        let decoder = zstd::Decoder::with_dictionary(packed.as_slice(), &dictionary);
        decoder.unwrap().read_to_end(&mut back).unwrap();
        assert_eq!(&back, module);
    }

    #[test]
    fn the_same_modules_give_the_same_bytes_whatever_was_packed_before() {
        let modules = modules();
        let made = dictionary(&modules).unwrap();
        assert_eq!(made, dictionary(&modules).unwrap());
        let mut used = Packer::new(&made).unwrap();
        used.pack(modules.last().unwrap()).unwrap();
        let first = modules.first().unwrap();
        assert_eq!(used.pack(first).unwrap(), Packer::new(&made).unwrap().pack(first).unwrap());
    }

    #[test]
    fn a_handful_of_modules_has_no_dictionary() {
        assert!(dictionary(&[b"one".to_vec()]).unwrap().is_empty());
    }
}
