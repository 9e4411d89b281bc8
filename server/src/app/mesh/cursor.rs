//! Cursors of members' polls: which board they are of, and how far the member knows it. One of another board, such
//! as of the server's last run, is known to nobody: its member is told everything.

use uuid::Uuid;

/// Longest cursor that is looked at, in bytes.
const LONGEST: usize = 64;

/// As a member is told it.
pub(super) fn write(board: Uuid, counter: u64) -> String {
    format!("{}-{counter}", board.simple())
}

/// How far a member knows this board; none when it does not.
pub(super) fn read(text: &str, board: Uuid) -> Option<u64> {
    let (id, counter) = text.split_once('-').filter(|_| text.len() <= LONGEST)?;
    let is_its = id.parse::<Uuid>() == Ok(board);
    counter.parse().ok().filter(|_| is_its)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursor_is_good_for_its_board_only() {
        let (own, other) = (Uuid::from_u128(7), Uuid::from_u128(8));
        for counter in [0, 1, u64::MAX] {
            let text = write(own, counter);
            assert!(text.len() <= LONGEST);
            assert_eq!((read(&text, own), read(&text, other)), (Some(counter), None));
        }
        for text in
            ["", "-", "7-7", &"x".repeat(100_000), "00000000000000000000000000000007-18446744073709551616"]
        {
            assert_eq!(read(text, own), None, "{text:.40}");
        }
    }
}
