//! The large letters of a bootstrap code on a machine's screen, and where each cell of them
//! lies: drawn by the agent's console, read back from screenshots by the boot tests.
//!
//! A glyph is 5 by 5 cells. On a text screen a cell is one row high and [`CELL_WIDTH`] columns
//! wide, which is square in the usual 8x16 font. The six glyphs stand in two groups of three
//! with a dash between; all of it is [`BANNER_WIDTH`] columns wide and begins at row
//! [`BANNER_ROW`], column [`BANNER_COLUMN`] (both counted from 0).

use crate::code::{ALPHABET, BootstrapCode, CODE_LEN};

/// Rows of a glyph.
pub const ROWS: usize = 5;
/// Cells of a glyph in each row.
pub const CELLS: usize = 5;
/// Text columns of one cell.
pub const CELL_WIDTH: usize = 2;
/// Text columns from the left edge of one glyph to that of the next in its group: five cells
/// and one empty cell.
pub const GLYPH_STEP: usize = (CELLS + 1) * CELL_WIDTH;
/// Text columns from the first glyph of the code to the fourth: three glyphs, and a dash of
/// two cells with one empty cell after it.
pub const GROUP_STEP: usize = 3 * GLYPH_STEP + 3 * CELL_WIDTH;
/// Text columns of a whole code.
pub const BANNER_WIDTH: usize = GROUP_STEP + 3 * GLYPH_STEP - CELL_WIDTH;
/// Screen row of the banner's first line.
pub const BANNER_ROW: usize = 2;
/// Screen column of the banner's left edge.
pub const BANNER_COLUMN: usize = 1;

/// Five rows of five cells; the highest of the low five bits is the leftmost cell.
pub type Glyph = [u8; ROWS];

/// The glyphs in the order of [`ALPHABET`]. Any two differ in at least three cells.
#[rustfmt::skip]
const GLYPHS: [Glyph; 23] = [
    [0b11110, 0b10001, 0b11110, 0b10001, 0b11110], // B
    [0b01111, 0b10000, 0b10000, 0b10000, 0b01111], // C
    [0b11100, 0b10010, 0b10001, 0b10010, 0b11100], // D
    [0b11111, 0b10000, 0b11100, 0b10000, 0b10000], // F
    [0b01111, 0b10000, 0b10011, 0b10001, 0b01111], // G
    [0b10001, 0b10001, 0b11111, 0b10001, 0b10001], // H
    [0b00111, 0b00010, 0b00010, 0b10010, 0b01100], // J
    [0b10001, 0b10010, 0b11100, 0b10010, 0b10001], // K
    [0b11011, 0b10101, 0b10101, 0b10001, 0b10001], // M
    [0b10001, 0b11001, 0b10101, 0b10011, 0b10001], // N
    [0b11110, 0b10001, 0b11110, 0b10000, 0b10000], // P
    [0b01110, 0b10001, 0b10101, 0b10010, 0b01101], // Q
    [0b11110, 0b10001, 0b11110, 0b10100, 0b10011], // R
    [0b11111, 0b00100, 0b00100, 0b00100, 0b00100], // T
    [0b10001, 0b10001, 0b10001, 0b01010, 0b00100], // V
    [0b10001, 0b10001, 0b10101, 0b10101, 0b01010], // W
    [0b10001, 0b01010, 0b00100, 0b01010, 0b10001], // X
    [0b10001, 0b01010, 0b00100, 0b00100, 0b00100], // Y
    [0b11110, 0b00001, 0b01110, 0b10000, 0b11111], // 2
    [0b11110, 0b00001, 0b00110, 0b00001, 0b11110], // 3
    [0b10010, 0b10010, 0b11111, 0b00010, 0b00010], // 4
    [0b11111, 0b00001, 0b00010, 0b00100, 0b00100], // 7
    [0b01110, 0b10001, 0b01111, 0b00001, 0b01110], // 9
];

/// The glyph of a character of [`ALPHABET`].
pub fn glyph(character: u8) -> Option<&'static Glyph> {
    GLYPHS.get(ALPHABET.iter().position(|&known| known == character)?)
}

/// Column, counted from the banner's left edge, of the glyph at `index` (0 to 5).
pub const fn glyph_column(index: usize) -> usize {
    (index / 3) * GROUP_STEP + (index % 3) * GLYPH_STEP
}

/// The code as [`ROWS`] lines of [`BANNER_WIDTH`] columns, `lit` in lit cells, else spaces.
pub fn banner(code: &BootstrapCode, lit: char) -> [String; ROWS] {
    std::array::from_fn(|row| {
        let mut columns = [false; BANNER_WIDTH];
        for (index, character) in code.as_str().bytes().enumerate() {
            let bits = glyph(character).and_then(|glyph| glyph.get(row)).copied().unwrap_or_default();
            for cell in (0..CELLS).filter(|&cell| bits & cell_bit(cell) != 0) {
                light(&mut columns, glyph_column(index) + cell * CELL_WIDTH);
            }
        }
        if row == ROWS / 2 {
            light(&mut columns, 3 * GLYPH_STEP);
            light(&mut columns, 3 * GLYPH_STEP + CELL_WIDTH);
        }
        columns.iter().map(|&on| if on { lit } else { ' ' }).collect()
    })
}

fn light(columns: &mut [bool; BANNER_WIDTH], start: usize) {
    columns.iter_mut().skip(start).take(CELL_WIDTH).for_each(|column| *column = true);
}

const fn cell_bit(cell: usize) -> u8 {
    1 << (CELLS - 1 - cell)
}

/// Reads a code back from a screen: `lit` tells whether the cell at a row and a column of the
/// banner (counted from its top left corner) is filled. `None` when any glyph is not exactly
/// one of ours.
pub fn read(lit: impl Fn(usize, usize) -> bool) -> Option<BootstrapCode> {
    let mut text = String::with_capacity(CODE_LEN);
    for index in 0..CODE_LEN {
        let seen: Glyph = std::array::from_fn(|row| {
            (0..CELLS)
                .filter(|cell| lit(row, glyph_column(index) + cell * CELL_WIDTH))
                .fold(0, |bits, cell| bits | cell_bit(cell))
        });
        let position = GLYPHS.iter().position(|known| *known == seen)?;
        text.push(char::from(*ALPHABET.get(position)?));
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn no_two_letters_can_be_taken_for_each_other() {
        for (index, one) in GLYPHS.iter().enumerate() {
            for (other_index, other) in GLYPHS.iter().enumerate().skip(index + 1) {
                let cells: u32 = one.iter().zip(other).map(|(a, b)| (a ^ b).count_ones()).sum();
                let name = |index: usize| char::from(*ALPHABET.get(index).unwrap());
                assert!(cells >= 3, "{} and {} differ in {cells} cells", name(index), name(other_index));
            }
        }
    }

    #[test]
    fn a_code_is_drawn_in_two_groups() {
        let lines = banner(&"K7P3XB".parse().unwrap(), '#');
        assert_eq!(
            lines.join("\n"),
            [
                "##      ##  ##########  ########          ########    ##      ##  ########  ",
                "##    ##            ##  ##      ##                ##    ##  ##    ##      ##",
                "######            ##    ########    ####      ####        ##      ########  ",
                "##    ##        ##      ##                        ##    ##  ##    ##      ##",
                "##      ##      ##      ##                ########    ##      ##  ########  ",
            ]
            .join("\n")
        );
    }

    proptest! {
        #[test]
        fn a_drawn_code_reads_back(random in proptest::array::uniform6(0u8..253)) {
            let code = BootstrapCode::from_random(random).unwrap();
            let lines = banner(&code, '#');
            prop_assert!(lines.iter().all(|line| line.len() == BANNER_WIDTH));
            let lit = |row: usize, column: usize| lines[row].as_bytes()[column] == b'#';
            prop_assert_eq!(read(lit), Some(code));
        }
    }
}
