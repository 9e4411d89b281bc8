//! The server's address as a QR code of half blocks: two modules to a character cell.
//!
//! The address only, never the code: a photo of the screen gives nothing away. Upper case,
//! because QR's alphanumeric mode is much denser and scheme and host know no case.

use qrcode::{Color, EcLevel, QrCode};

/// Light border in modules. Readers want four; two work on a black screen.
const QUIET: usize = 2;

/// The lines of the QR code for `url`, or `None` when it needs more room than `columns` by
/// `rows` cells.
pub(crate) fn lines(url: &str, columns: usize, rows: usize) -> Option<Vec<String>> {
    let code = QrCode::with_error_correction_level(url.to_ascii_uppercase(), EcLevel::L).ok()?;
    let modules = code.width();
    let side = modules + 2 * QUIET;
    if side > columns || side.div_ceil(2) > rows {
        return None;
    }
    let colors = code.to_colors();
    // Outside the symbol everything is light: border, and the half row below an odd side.
    let light = |row: usize, column: usize| {
        let inside = |at: usize| at.checked_sub(QUIET).filter(|&at| at < modules);
        match (inside(row), inside(column)) {
            (Some(row), Some(column)) => colors.get(row * modules + column) != Some(&Color::Dark),
            _ => true,
        }
    };
    let cell = |row: usize, column: usize| {
        let below = row + 1 < side && light(row + 1, column);
        match (light(row, column), below) {
            (true, true) => '\u{2588}',
            (true, false) => '\u{2580}',
            (false, true) => '\u{2584}',
            (false, false) => ' ',
        }
    };
    Some((0..side).step_by(2).map(|row| (0..side).map(|column| cell(row, column)).collect()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_usual_address_fits_beside_the_facts() {
        for url in ["https://10.0.2.2:8092", "https://muster.dc1.example.com:8092"] {
            let lines = lines(url, 29, 15).unwrap();
            assert!(lines.len() <= 15 && lines.iter().all(|line| line.chars().count() <= 29), "{url}");
        }
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        assert_eq!(lines(&format!("https://{}:8092", "a".repeat(80)), 29, 15), None);
    }

    #[test]
    fn the_symbol_reads_back_as_drawn() {
        // Three finder patterns: dark corners inside the light border.
        let lines = lines("https://10.0.2.2:8092", 29, 15).unwrap();
        let first: String = lines.first().unwrap().clone();
        assert!(first.chars().all(|c| c == '\u{2588}'), "the border is light: {first}");
        let second: Vec<char> = lines.get(1).unwrap().chars().collect();
        assert_eq!(
            second.get(2..9).unwrap().iter().collect::<String>(),
            " \u{2584}\u{2584}\u{2584}\u{2584}\u{2584} "
        );
    }
}
