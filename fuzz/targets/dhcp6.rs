//! See `fuzz::dhcp6`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    fuzz::hit(fuzz::dhcp6, data);
});
