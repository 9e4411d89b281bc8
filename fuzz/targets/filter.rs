//! See `fuzz::filter`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    fuzz::hit(fuzz::filter, data);
});
