//! See `fuzz::url_guard`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    fuzz::hit(fuzz::url_guard, data);
});
