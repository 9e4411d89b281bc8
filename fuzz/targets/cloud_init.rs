//! See `fuzz::cloud_init`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    fuzz::hit(fuzz::cloud_init, data);
});
