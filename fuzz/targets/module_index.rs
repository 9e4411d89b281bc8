//! See `fuzz::module_index`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    fuzz::hit(fuzz::module_index, data);
});
