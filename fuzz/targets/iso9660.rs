//! See `fuzz::iso9660`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    fuzz::hit(fuzz::iso9660, data);
});
