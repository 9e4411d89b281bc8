//! What a server takes upon itself.

/// How much at once, and how large. The defaults are those of `spec/security.md` 6.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Transfers to clients that answered at least once.
    pub transfers: usize,
    /// Transfers to one address, those included that it never answered.
    pub per_client: usize,
    /// Transfers that their client never answered. They have a table of their own, for their
    /// senders' addresses may be anybody's: when it is full, the oldest one makes room.
    pub unanswered: usize,
    /// Requests whose file is looked for at the same time; more are not heard.
    pub asked: usize,
    /// Transfers begun in a second for addresses that answered none lately.
    pub strangers_per_second: u32,
    /// Largest block, in bytes, where the network takes such packets.
    pub max_block: u16,
    /// Most blocks that are sent before an answer is waited for.
    pub max_window: u16,
    /// Threads that send, beside the one that listens.
    pub threads: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            transfers: 2_000,
            per_client: 16,
            unanswered: 512,
            asked: 256,
            strangers_per_second: 1_000,
            max_block: 8_192,
            max_window: 64,
            threads: 2,
        }
    }
}
