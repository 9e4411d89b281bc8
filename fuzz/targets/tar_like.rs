//! See `fuzz::tar_like`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    fuzz::hit(fuzz::tar_like, data);
});
