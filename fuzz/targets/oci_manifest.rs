//! See `fuzz::oci_manifest`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    fuzz::hit(fuzz::oci_manifest, data);
});
