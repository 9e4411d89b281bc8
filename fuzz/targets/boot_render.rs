//! See `fuzz::boot_render`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    fuzz::hit(fuzz::boot_render, data);
});
