//! The least a machine can boot into: a static program of about a megabyte that says hello on
//! the console and waits. What a kernel needs until it runs this is the floor for every ramdisk.

use std::fs::OpenOptions;
use std::io::Write as _;

fn main() {
    let console = OpenOptions::new().write(true).open("/dev/console");
    if let Err(error) = console.and_then(|mut console| console.write_all(b"bench: hello\n")) {
        // Nobody can be told; the harness gives up after its deadline.
        drop(error);
    }
    loop {
        std::thread::park();
    }
}
