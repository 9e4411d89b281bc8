//! See `fuzz::dhcp4`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    fuzz::hit(fuzz::dhcp4, data);
});
