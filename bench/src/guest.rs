//! Ramdisks of the harness's own: a program compiled here, alone or around the agent.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use initrd::cpio::Tree;
use initrd::segment::{Compression, Segments};

use crate::measure::Call;
use crate::stage::{read, write};

const HELLO: &str = include_str!("../guest/hello.rs");
const WATCH: &str = include_str!("../guest/watch.rs");
/// What [`HELLO`] says.
pub(crate) const HELLO_LINE: &str = "bench: hello";
/// What stands before the fields that [`WATCH`] prints.
pub(crate) const MEMORY_LINE: &str = "bench: memory ";
/// Kernel argument that starts [`WATCH`] instead of the agent.
pub(crate) const WATCH_ARG: &str = "rdinit=/bench-watch";

/// The smallest ramdisk: a static program as `/init`, compressed.
pub(crate) fn hello_ramdisk(folder: &Path) -> Result<PathBuf> {
    let program = compile(folder, "hello", HELLO)?;
    let mut tree = Tree::new();
    tree.directory("dev", 0o755)?;
    tree.char_device("dev/console", 0o600, 5, 1)?;
    tree.char_device("dev/null", 0o666, 1, 3)?;
    tree.file("init", 0o755, program.as_slice())?;
    let mut segments = Segments::new();
    segments.push(&tree.to_bytes(0)?, Compression::Zstd)?;
    let path = folder.join("hello.img");
    write(&path, segments.into_bytes())?;
    Ok(path)
}

/// Our ramdisk and a second one behind it that watches the agent.
pub(crate) fn watched_ramdisk(folder: &Path, ramdisk: &Path) -> Result<PathBuf> {
    let program = compile(folder, "watch", WATCH)?;
    let mut tree = Tree::new();
    tree.file("bench-watch", 0o755, program.as_slice())?;
    let path = folder.join("watched.img");
    write(&path, joined(read(ramdisk)?, &tree.to_bytes(0)?))?;
    Ok(path)
}

/// Two ramdisks as a boot loader hands them over: the second starts on a multiple of four bytes.
pub(crate) fn joined(mut first: Vec<u8>, second: &[u8]) -> Vec<u8> {
    first.resize(first.len().next_multiple_of(4), 0);
    first.extend_from_slice(second);
    first
}

/// Compiles a program that needs nothing around it.
fn compile(folder: &Path, name: &str, source: &str) -> Result<Vec<u8>> {
    let file = folder.join(format!("{name}.rs"));
    let program = folder.join(name);
    write(&file, source)?;
    let flags = ["--edition=2024", "-Copt-level=2", "-Cstrip=symbols", "-Ctarget-feature=+crt-static"];
    let call = Call::new("rustc").args(flags).args(["--target", "x86_64-unknown-linux-gnu", "-o"]);
    call.arg(&program).arg(&file).measured(folder, "rustc").context("compile a program for the machine")?;
    read(&program)
}
