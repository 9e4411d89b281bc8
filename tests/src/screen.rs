//! What a machine's screen shows: QEMU's screenshots as text cells, the large letters of a
//! code read back from them, and PNG files for people.

use std::collections::HashMap;

use anyhow::{Context as _, Result, bail};
use protocol::code::BootstrapCode;
use protocol::glyphs;

/// Largest picture that is looked at, in pixels on a side.
const MAX_SIDE: usize = 4_096;
/// How much brighter than the background a pixel of a lit cell is, of 255.
const LIT: u8 = 64;

/// A screenshot.
#[derive(Clone, PartialEq, Eq)]
pub struct Screen {
    width: usize,
    height: usize,
    /// Three bytes a pixel, row by row.
    pixels: Vec<u8>,
}

impl std::fmt::Debug for Screen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Screen({}x{})", self.width, self.height)
    }
}

/// The letters of VGA's text mode, by their picture.
#[derive(Debug)]
pub struct Font {
    letters: HashMap<Vec<bool>, char>,
}

impl Font {
    /// Learns the letters from a screen that shows these characters from its upper left corner on.
    ///
    /// # Errors
    /// When two of them look alike: it shows something else.
    pub fn learn(screen: &Screen, characters: impl IntoIterator<Item = char>) -> Result<Self> {
        let (columns, _) = screen.text_size();
        let mut letters = HashMap::new();
        for (index, character) in characters.into_iter().enumerate() {
            let picture = screen.cell(index / columns, index % columns);
            if let Some(other) = letters.insert(picture, character) {
                bail!("{other:?} and {character:?} look alike");
            }
        }
        Ok(Self { letters })
    }
}

impl Screen {
    /// What it says, row by row; what is none of the font's letters becomes a replacement
    /// character.
    #[must_use]
    pub fn text(&self, font: &Font) -> Vec<String> {
        let (columns, rows) = self.text_size();
        let letter = |row: usize, column: usize| {
            let picture = self.cell(row, column);
            font.letters.get(&picture).copied().unwrap_or(char::REPLACEMENT_CHARACTER)
        };
        let line = |row: usize| (0..columns).map(|column| letter(row, column)).collect::<String>();
        (0..rows).map(|row| line(row).trim_end().to_owned()).collect()
    }

    /// Which pixels of a cell are bright.
    fn cell(&self, row: usize, column: usize) -> Vec<bool> {
        let (width, height) = self.cell_size();
        let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        pixels.map(|(x, y)| self.brightness(column * width + x, row * height + y) >= LIT).collect()
    }

    /// Reads a binary PPM (`P6`), the format of QEMU's `screendump`.
    ///
    /// # Errors
    /// When it is something else, or larger than 4,096 pixels on a side.
    pub fn from_ppm(bytes: &[u8]) -> Result<Self> {
        let mut rest = bytes;
        let mut word = || -> Option<&str> {
            let start = rest.iter().position(|byte| !byte.is_ascii_whitespace())?;
            let text = rest.get(start..)?;
            let end = text.iter().position(u8::is_ascii_whitespace)?;
            rest = text.get(end + 1..)?;
            std::str::from_utf8(text.get(..end)?).ok()
        };
        if word() != Some("P6") {
            bail!("the screenshot is not a binary PPM");
        }
        let mut number = || word()?.parse::<usize>().ok();
        let (width, height) = (number().context("no width")?, number().context("no height")?);
        if number() != Some(255) || width == 0 || height == 0 || width > MAX_SIDE || height > MAX_SIDE {
            bail!("the screenshot has an impossible size or depth");
        }
        let pixels = rest.get(..width * height * 3).context("the screenshot is cut off")?.to_vec();
        Ok(Self { width, height, pixels })
    }

    /// Width and height of a text cell in pixels: 9x16 in VGA's 720x400 text mode, 8x16 on a
    /// framebuffer.
    #[must_use]
    pub fn cell_size(&self) -> (usize, usize) {
        if (self.width, self.height) == (720, 400) { (9, 16) } else { (8, 16) }
    }

    /// Columns and rows of text.
    #[must_use]
    pub fn text_size(&self) -> (usize, usize) {
        let (width, height) = self.cell_size();
        (self.width / width, self.height / height)
    }

    /// The code shown in large letters, wherever on the screen.
    #[must_use]
    pub fn find_code(&self) -> Option<BootstrapCode> {
        let (columns, rows) = self.text_size();
        let cells: Vec<Vec<bool>> =
            (0..rows).map(|row| (0..columns).map(|column| self.is_lit(row, column)).collect()).collect();
        let lit = |row: usize, column: usize| {
            cells.get(row).and_then(|cells| cells.get(column)).copied().unwrap_or_default()
        };
        let tops = 0..(rows + 1).saturating_sub(glyphs::ROWS);
        tops.flat_map(|top| {
            let lefts = 0..(columns + 1).saturating_sub(glyphs::BANNER_WIDTH);
            lefts.map(move |left| (top, left))
        })
        .find_map(|(top, left)| glyphs::read(|row, column| lit(top + row, left + column)))
    }

    /// Whether at least nine tenths of a cell are bright: a full block.
    fn is_lit(&self, row: usize, column: usize) -> bool {
        let cell = self.cell(row, column);
        cell.iter().filter(|bright| **bright).count() * 10 >= cell.len() * 9
    }

    fn brightness(&self, x: usize, y: usize) -> u8 {
        let start = (y * self.width + x) * 3;
        let pixel = self.pixels.get(start..start + 3).unwrap_or_default();
        pixel.iter().copied().max().unwrap_or_default()
    }

    /// The picture as PNG (RFC 2083), stored without compression: no library needed.
    #[must_use]
    pub fn to_png(&self) -> Vec<u8> {
        let side = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
        let mut header = [side(self.width), side(self.height)].concat();
        // 8 bits, RGB, deflate, no filter, not interlaced.
        header.extend([8, 2, 0, 0, 0]);
        let mut rows = Vec::with_capacity(self.pixels.len() + self.height);
        for row in self.pixels.chunks(self.width * 3) {
            rows.push(0);
            rows.extend(row);
        }
        let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
        chunk(&mut png, b"IHDR", &header);
        chunk(&mut png, b"IDAT", &stored_zlib(&rows));
        chunk(&mut png, b"IEND", &[]);
        png
    }
}

fn chunk(png: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) {
    png.extend(u32::try_from(data.len()).unwrap_or(u32::MAX).to_be_bytes());
    let start = png.len();
    png.extend(kind);
    png.extend(data);
    let sum = crc32(png.get(start..).unwrap_or_default());
    png.extend(sum.to_be_bytes());
}

/// A zlib stream (RFC 1950) of stored blocks (RFC 1951 3.2.4).
fn stored_zlib(data: &[u8]) -> Vec<u8> {
    let mut out = vec![0x78, 0x01];
    let blocks = data.chunks(usize::from(u16::MAX));
    let last = blocks.len().saturating_sub(1);
    for (index, block) in blocks.enumerate() {
        let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
        out.push(u8::from(index == last));
        out.extend(length.to_le_bytes());
        out.extend((!length).to_le_bytes());
        out.extend(block);
    }
    let (low, high) = data.iter().fold((1_u32, 0_u32), |(low, high), &byte| {
        let low = (low + u32::from(byte)) % 65_521;
        (low, (high + low) % 65_521)
    });
    out.extend((high << 16 | low).to_be_bytes());
    out
}

fn crc32(data: &[u8]) -> u32 {
    !data.iter().fold(u32::MAX, |sum, &byte| {
        (0..8).fold(sum ^ u32::from(byte), |sum, _| (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A text screen with a code drawn at a cell, as the agent draws it.
    fn drawn(size: (usize, usize), cell: (usize, usize), at: (usize, usize), code: &str) -> Screen {
        let mut screen = Screen { width: size.0, height: size.1, pixels: vec![0; size.0 * size.1 * 3] };
        for (row, line) in glyphs::banner(&code.parse().unwrap(), '#').iter().enumerate() {
            for (column, _) in line.match_indices('#') {
                let (left, top) = ((at.1 + column) * cell.0, (at.0 + row) * cell.1);
                for y in top..top + cell.1 {
                    let start = (y * size.0 + left) * 3;
                    screen.pixels[start..start + cell.0 * 3].fill(170);
                }
            }
        }
        screen
    }

    #[test]
    fn a_code_is_read_from_a_bios_and_a_uefi_screen() {
        let code = "K7P-3XB".parse().unwrap();
        assert_eq!(drawn((720, 400), (9, 16), (2, 1), "K7P3XB").find_code(), Some(code));
        assert_eq!(drawn((800, 600), (8, 16), (20, 13), "K7P3XB").find_code(), Some(code));
        assert_eq!(drawn((1280, 800), (8, 16), (2, 1), "K7P3XB").find_code(), Some(code));
    }

    #[test]
    fn a_damaged_letter_is_no_code() {
        let mut screen = drawn((720, 400), (9, 16), (2, 1), "K7P3XB");
        screen.pixels[720 * 3 * 40..720 * 3 * 60].fill(0);
        assert_eq!(screen.find_code(), None);
        let bright = Screen { pixels: vec![200; 720 * 400 * 3], ..screen };
        assert_eq!(bright.find_code(), None);
    }

    #[test]
    fn a_screenshot_survives_ppm() {
        let screen = drawn((720, 400), (9, 16), (2, 1), "K7P3XB");
        let mut ppm = b"P6\n720 400\n255\n".to_vec();
        ppm.extend(&screen.pixels);
        assert_eq!(Screen::from_ppm(&ppm).unwrap(), screen);
        for damaged in [&ppm[..100], b"P5\n1 1\n255\n000", b"P6\n99999 1\n255\n", b""] {
            assert!(Screen::from_ppm(damaged).is_err());
        }
    }

    #[test]
    fn checksums_are_those_of_png() {
        assert_eq!(crc32(b"IEND"), 0xae42_6082);
        // Adler-32 of "Wikipedia".
        assert!(stored_zlib(b"Wikipedia").ends_with(&[0x11, 0xe6, 0x03, 0x98]));
    }
}
