//! The letters that firmware draws in VGA's text mode, learned from the firmware itself: a machine
//! whose boot sector writes every printable character into the corner of the screen.

use std::sync::LazyLock;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};

use super::{Boot, Vm};
use crate::screen::Font;

/// Characters that are learned: printable ASCII.
const PRINTABLE: std::ops::RangeInclusive<char> = ' '..='~';
/// A boot sector under translation: a second, more on a busy machine.
const WRITTEN_WITHIN: Duration = Duration::from_secs(60);

/// VGA's font, learned once.
///
/// # Errors
/// When the machine that shows it does not start.
pub fn font() -> Result<&'static Font> {
    static FONT: LazyLock<Result<Font>> = LazyLock::new(learn);
    FONT.as_ref().map_err(|error| anyhow!("{error:#}"))
}

fn learn() -> Result<Font> {
    let folder = tempfile::tempdir().context("cannot make a folder")?;
    let image = folder.path().join("letters.img");
    std::fs::write(&image, boot_sector()).context("cannot write a boot sector")?;
    let mut vm = Vm::builder("letters").boot(Boot::Usb(image)).memory_mib(64).start()?;
    vm.wait_for_text("WRITTEN", WRITTEN_WITHIN)?;
    Font::learn(&vm.screen()?, PRINTABLE)
}

/// Writes the characters to the screen's memory, then a line to the serial port, and halts.
fn boot_sector() -> Vec<u8> {
    let mut code = Vec::new();
    // mov ax, 0xb800; mov es, ax; xor di, di; cld; mov ax, 0x0720 (grey on black, blank)
    code.extend([0xb8, 0x00, 0xb8, 0x8e, 0xc0, 0x31, 0xff, 0xfc, 0xb8, 0x20, 0x07]);
    // again: stosw; inc al; cmp al, 0x7f; jne again
    code.extend([0xab, 0xfe, 0xc0, 0x3c, 0x7f, 0x75, 0xf9]);
    // mov dx, 0x3f8, then for each byte: mov al, byte; out dx, al
    code.extend([0xba, 0xf8, 0x03]);
    code.extend(b"WRITTEN\r\n".iter().flat_map(|&byte| [0xb0, byte, 0xee]));
    // hlt; jmp to the hlt
    code.extend([0xf4, 0xeb, 0xfd]);
    code.resize(510, 0);
    code.extend([0x55, 0xaa]);
    code.resize(1_024 * 1_024, 0);
    code
}
