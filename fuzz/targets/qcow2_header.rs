//! See `fuzz::qcow2_header`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    fuzz::hit(fuzz::qcow2_header, data);
});
