//! See `fuzz::tftp_packet`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    fuzz::hit(fuzz::tftp_packet, data);
});
