//! The remote terminal: what an operator's side, the server and the machine's side say to each other
//! over two websockets that meet in the server.
//!
//! Bytes of the terminal are binary messages of at most [`MAX_BYTES`], everything else is one JSON object
//! in a text message of at most [`MAX_TEXT`], told apart by its `Type`. The operator's first message is
//! [`OperatorSays::Open`]; the server's first to the machine is [`MachineHears::Start`]. What this version
//! does not know is passed over, so that either side may be the newer one.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Most bytes of the terminal in one message.
pub const MAX_BYTES: usize = 16 * 1_024;
/// Longest text message, in bytes.
pub const MAX_TEXT: usize = 2 * 1_024;
/// Bytes that may be on their way to the operator's side before it says that it has seen some.
pub const WINDOW: u64 = 256 * 1_024;
/// Longest sentence of the machine's side that is passed on, in characters.
pub const MAX_SENTENCE: usize = 300;

/// Where the machine's side of a terminal connects, a websocket, with the secret of its ticket as
/// `Authorization: Bearer`.
pub fn machine_path(id: Uuid) -> String {
    format!("/api/v3/agent/terminal/{id}")
}

/// What a text message says; none for one that is too long or says nothing that its reader takes.
pub fn read<T: DeserializeOwned>(text: &str) -> Option<T> {
    if text.len() > MAX_TEXT { None } else { serde_json::from_str(text).ok() }
}

/// A terminal's size in characters, within what programs can do with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", from = "AnySize")]
pub struct Size {
    /// Columns.
    cols: u16,
    /// Rows.
    rows: u16,
}

/// A size as somebody writes it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct AnySize {
    cols: u32,
    rows: u32,
}

impl Default for AnySize {
    fn default() -> Self {
        Self { cols: 80, rows: 24 }
    }
}

impl Default for Size {
    fn default() -> Self {
        AnySize::default().into()
    }
}

impl From<AnySize> for Size {
    fn from(any: AnySize) -> Self {
        Self::new(any.cols, any.rows)
    }
}

impl Size {
    /// This size, or the nearest that a terminal may have: 2 to 500 columns, 1 to 300 rows.
    pub fn new(cols: u32, rows: u32) -> Self {
        let within =
            |value: u32, least: u16, most: u16| u16::try_from(value).unwrap_or(most).clamp(least, most);
        Self { cols: within(cols, 2, 500), rows: within(rows, 1, 300) }
    }

    /// Columns.
    pub const fn cols(self) -> u16 {
        self.cols
    }

    /// Rows.
    pub const fn rows(self) -> u16 {
        self.rows
    }
}

/// What an operator's side says.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "Type", rename_all = "lowercase", rename_all_fields = "PascalCase")]
pub enum OperatorSays {
    /// The first message: open one.
    Open {
        /// The session's token against foreign pages; empty where no cookie speaks.
        #[serde(default)]
        csrf: String,
        /// How large it is shown.
        #[serde(default)]
        size: Size,
    },
    /// It is shown larger or smaller now.
    Resize {
        /// Its new size.
        size: Size,
    },
    /// So many bytes of the terminal were shown: the server is never more than [`WINDOW`] ahead, so that
    /// Ctrl-C ends a flood at once.
    Seen {
        /// Bytes since the last word of this.
        bytes: u64,
    },
    /// Anything this version does not know.
    #[serde(other)]
    Other,
}

impl std::fmt::Debug for OperatorSays {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Open { csrf: _, size } => {
                f.debug_struct("Open").field("size", size).finish_non_exhaustive()
            }
            Self::Resize { size } => f.debug_struct("Resize").field("size", size).finish(),
            Self::Seen { bytes } => f.debug_struct("Seen").field("bytes", bytes).finish(),
            Self::Other => f.write_str("Other"),
        }
    }
}

/// What the server says to an operator's side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "Type", rename_all = "lowercase", rename_all_fields = "PascalCase")]
pub enum OperatorHears {
    /// How far it is; a sentence to show.
    Waiting {
        /// The sentence.
        message: String,
    },
    /// The machine's side is there.
    Opened {
        /// The terminal, and its recording.
        uuid: Uuid,
    },
    /// Something to know while it goes on.
    Notice {
        /// The sentence.
        message: String,
    },
    /// It is over; nothing follows.
    Ended {
        /// Why, in a word.
        reason: End,
        /// Why, in a sentence.
        message: String,
    },
    /// Anything this version does not know.
    #[serde(other)]
    Other,
}

/// What the server says to the machine's side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "Type", rename_all = "lowercase", rename_all_fields = "PascalCase")]
pub enum MachineHears {
    /// The first message: start a shell.
    Start {
        /// Who opened it.
        user: String,
        /// From where.
        source: String,
        /// How large it is shown.
        #[serde(default)]
        size: Size,
    },
    /// It is shown larger or smaller now.
    Resize {
        /// Its new size.
        size: Size,
    },
    /// Anything this version does not know.
    #[serde(other)]
    Other,
}

/// What the machine's side says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "Type", rename_all = "lowercase", rename_all_fields = "PascalCase")]
pub enum MachineSays {
    /// The shell has ended, with a code or by a signal.
    Exited {
        /// Its exit code.
        #[serde(default)]
        code: Option<i32>,
        /// The signal that ended it.
        #[serde(default)]
        signal: Option<i32>,
    },
    /// There is no shell.
    Failed {
        /// Why, in a sentence.
        message: String,
    },
    /// Anything this version does not know.
    #[serde(other)]
    Other,
}

/// Why a terminal ended, or was not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The shell ended.
    Exited,
    /// Who opened it left.
    Left,
    /// Somebody else ended it.
    Stopped,
    /// Nothing was typed for long.
    Idle,
    /// It lasted as long as one may.
    TooLong,
    /// The machine's side went away.
    MachineLost,
    /// The machine has no shell to give.
    MachineFailed,
    /// The machine's side never came.
    NoAnswer,
    /// Terminals are off for this machine.
    Off,
    /// The machine is offline.
    Offline,
    /// It has a terminal open already.
    Busy,
    /// The password must be entered again.
    Confirm,
    /// The right to it is missing, or gone.
    Forbidden,
    /// The log-in has ended.
    LoggedOut,
    /// What happens can be recorded no more.
    Unrecorded,
    /// A side said what nobody understands.
    NotUnderstood,
    /// The operator's side takes nothing in any more.
    TooSlow,
    /// The server stops.
    ServerStops,
    /// A defect of the server.
    Failed,
    /// Anything this version does not know.
    #[serde(other)]
    Other,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_are_brought_within_bounds_whatever_is_written() {
        for (text, cols, rows) in [
            (r#"{"Cols":132,"Rows":50}"#, 132, 50),
            (r#"{"Cols":0,"Rows":0}"#, 2, 1),
            (r#"{"Cols":4294967295,"Rows":65535}"#, 500, 300),
            ("{}", 80, 24),
        ] {
            let size: Size = serde_json::from_str(text).unwrap();
            assert_eq!((size.cols(), size.rows()), (cols, rows), "{text}");
        }
        assert!(serde_json::from_str::<Size>(r#"{"Cols":-1}"#).is_err());
        assert!(serde_json::from_str::<Size>(r#"{"Cols":4294967296}"#).is_err());
    }

    #[test]
    fn messages_are_what_the_wire_says_and_unknown_ones_are_told_apart() {
        let open = OperatorSays::Open { csrf: "secret".into(), size: Size::new(100, 30) };
        let text = r#"{"Type":"open","Csrf":"secret","Size":{"Cols":100,"Rows":30}}"#;
        assert_eq!(serde_json::to_string(&open).unwrap(), text);
        assert_eq!(serde_json::from_str::<OperatorSays>(text).unwrap(), open);
        assert!(!format!("{open:?}").contains("secret"));
        let ended = OperatorHears::Ended { reason: End::NoAnswer, message: "m".into() };
        let text = r#"{"Type":"ended","Reason":"no_answer","Message":"m"}"#;
        assert_eq!(serde_json::to_string(&ended).unwrap(), text);
        let exited: MachineSays = serde_json::from_str(r#"{"Type":"exited","Code":3}"#).unwrap();
        assert_eq!(exited, MachineSays::Exited { code: Some(3), signal: None });
        let newer: MachineSays = serde_json::from_str(r#"{"Type":"hologram","Depth":3}"#).unwrap();
        assert_eq!(newer, MachineSays::Other);
        let newer: OperatorHears =
            serde_json::from_str(r#"{"Type":"ended","Reason":"bored","Message":""}"#).unwrap();
        assert_eq!(newer, OperatorHears::Ended { reason: End::Other, message: String::new() });
    }

    #[test]
    fn texts_that_are_too_long_are_not_read() {
        let of_length = |length: usize| {
            let text = r#"{"Type":"exited","Code":3}"#;
            format!("{text}{}", " ".repeat(length - text.len()))
        };
        let exited = MachineSays::Exited { code: Some(3), signal: None };
        assert_eq!(read(&of_length(MAX_TEXT)), Some(exited));
        assert_eq!(read::<MachineSays>(&of_length(MAX_TEXT + 1)), None);
    }

    proptest! {
        #[test]
        fn no_message_panics(text in ".{0,300}") {
            let _seen = read::<OperatorSays>(&text).is_some();
            let _seen = read::<MachineSays>(&text).is_some();
            let _seen = read::<MachineHears>(&text).is_some();
        }

        #[test]
        fn every_size_that_is_written_is_one_that_terminals_have_and_is_read_back(cols: u32, rows: u32) {
            let text = format!(r#"{{"Type":"resize","Size":{{"Cols":{cols},"Rows":{rows}}}}}"#);
            let Some(resize @ MachineHears::Resize { size }) = read(&text) else { panic!("not understood") };
            prop_assert!((2..=500).contains(&size.cols()) && (1..=300).contains(&size.rows()));
            prop_assert_eq!(read(&serde_json::to_string(&resize).unwrap()), Some(resize));
        }
    }
}
