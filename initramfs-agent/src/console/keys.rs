//! From the bytes of a keyboard to keys.

/// A key that somebody pressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    /// A printable ASCII character.
    Char(char),
    /// Enter.
    Enter,
    /// Takes the last character back.
    Backspace,
    /// Esc or Ctrl-C: one step back.
    Back,
}

const ESC: u8 = 0x1b;

/// Puts bytes together to keys. Arrow and function keys come as ESC, `[` or `O` and more bytes:
/// they are none of ours, and are passed over whole.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    state: State,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing pending.
    #[default]
    Plain,
    /// ESC came last: a key by itself unless more follows at once.
    Escape,
    /// Inside a sequence, until its final byte.
    Sequence,
}

impl Decoder {
    /// The keys that one read completes; a read of nothing completes a lone Esc.
    pub(super) fn decode(&mut self, bytes: &[u8]) -> Vec<Key> {
        let mut keys = Vec::new();
        if bytes.is_empty() && self.state == State::Escape {
            keys.push(Key::Back);
            self.state = State::Plain;
        }
        for &byte in bytes {
            self.take(byte, &mut keys);
        }
        keys
    }

    fn take(&mut self, byte: u8, keys: &mut Vec<Key>) {
        match (self.state, byte) {
            (State::Escape, b'[' | b'O') => self.state = State::Sequence,
            (State::Escape, byte) => {
                keys.push(Key::Back);
                self.state = State::Plain;
                self.take(byte, keys);
            }
            // ECMA-48 5.4: parameters, then one final byte.
            (State::Sequence, 0x40..=0x7e) => self.state = State::Plain,
            (State::Sequence, _) => {}
            (State::Plain, ESC) => self.state = State::Escape,
            (State::Plain, byte) => keys.extend(key(byte)),
        }
    }
}

fn key(byte: u8) -> Option<Key> {
    match byte {
        b'\r' | b'\n' => Some(Key::Enter),
        0x08 | 0x7f => Some(Key::Backspace),
        // Ctrl-C.
        0x03 => Some(Key::Back),
        b' '..=b'~' => Some(Key::Char(char::from(byte))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_enter_and_corrections_are_keys() {
        let keys = Decoder::default().decode(b"a1\x7f\x08\r\x03\x07");
        let expected =
            [Key::Char('a'), Key::Char('1'), Key::Backspace, Key::Backspace, Key::Enter, Key::Back];
        assert_eq!(keys, expected);
    }

    #[test]
    fn arrows_are_no_keys_and_esc_is_one() {
        let mut decoder = Decoder::default();
        assert_eq!(decoder.decode(b"\x1b[Ax\x1bOP\x1b[15~y"), [Key::Char('x'), Key::Char('y')]);
        assert_eq!(decoder.decode(b"\x1b"), []);
        assert_eq!(decoder.decode(b"[A"), [], "an arrow in two reads");
        assert_eq!(decoder.decode(b"\x1b"), []);
        assert_eq!(decoder.decode(b""), [Key::Back]);
        assert_eq!(decoder.decode(b""), []);
        assert_eq!(decoder.decode(b"\x1bq"), [Key::Back, Key::Char('q')]);
    }
}
