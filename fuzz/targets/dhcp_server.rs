//! See `fuzz::dhcp_server`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    fuzz::hit(fuzz::dhcp_server, data);
});
