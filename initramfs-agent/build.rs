//! Link settings of the static binary.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=link.ld");
    let features = std::env::var("CARGO_CFG_TARGET_FEATURE").unwrap_or_default();
    if features.split(',').any(|feature| feature == "crt-static") {
        // Relative relocations as bitmaps (DT_RELR) instead of 24 bytes each: 160 KB less of
        // 4.5 MB. The binary relocates itself, with the glibc it is linked with: 2.36 or later,
        // as in Debian 12.
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
        // Equal functions folded into one (40 KB), and no tables for unwinding (530 KB).
        let folder = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
        println!("cargo::rustc-link-arg-bins=-Wl,--icf=all,--no-eh-frame-hdr,-T,{folder}/link.ld");
    }
}
