//! Builds the server again when the dashboard was built: rust-embed names the files it found,
//! and would not see one that is new.

use std::path::Path;

fn main() {
    let built = Path::new("../dashboard/dist");
    // A missing path would run this at every build; its parent changes when it appears.
    let watched = if built.exists() { "../dashboard/dist" } else { "../dashboard" };
    println!("cargo::rerun-if-changed={watched}");
}
