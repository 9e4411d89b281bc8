//! See `fuzz::tftp_session`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    fuzz::hit(fuzz::tftp_session, data);
});
