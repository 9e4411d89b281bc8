//! What client and server agree on (RFC 2347 to 2349, RFC 7440).

use super::packet;
use tftpd::{OptionType, TransferOption};

/// Size of blocks that every client takes (RFC 1350), in bytes.
pub const DEFAULT_BLOCK: u16 = 512;
/// Smallest and largest sizes of blocks that can be asked for (RFC 2348), in bytes.
pub const BLOCK_SIZES: std::ops::RangeInclusive<u16> = 8..=65_464;
/// Largest block on a network whose packets have 1,500 bytes. It leaves room for the tunnels that
/// there may be on the way to a client, which nobody tells us about.
const USUAL_BLOCK: u16 = 1_428;
/// Bytes of the largest packet on nearly every network.
const USUAL_MTU: usize = 1_500;
/// Bytes of an IPv6 header, the larger one, and of UDP's and of a block's.
const HEADERS: usize = 40 + 8 + packet::BLOCK_HEADER;
/// Seconds that a client can ask to be waited for (RFC 2349).
const TIMEOUTS: std::ops::RangeInclusive<u64> = 1..=255;

/// The largest that a client may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ceiling {
    /// Bytes of a block.
    pub block: u16,
    /// Blocks that are sent before an answer is waited for.
    pub window: u16,
}

/// What holds for one transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreed {
    /// Bytes of every block but the last.
    pub block: u16,
    /// Blocks that are sent before an answer is waited for.
    pub window: u16,
    /// Seconds that a client asked to be waited for.
    pub timeout: Option<u8>,
    /// The OACK that says so; none when nothing was asked for that we know.
    pub acceptance: Option<Vec<u8>>,
}

/// The largest block for a client that is reached by packets of at most `mtu` bytes, where that is
/// known. Nobody gets blocks that have to travel in pieces, for a lost piece is a lost block.
#[must_use]
pub fn largest_block(mtu: Option<usize>, limit: u16) -> u16 {
    let mtu = mtu.unwrap_or(USUAL_MTU);
    let fitting = u16::try_from(mtu.saturating_sub(HEADERS)).unwrap_or(u16::MAX);
    let fitting = if mtu > USUAL_MTU { fitting } else { fitting.min(USUAL_BLOCK) };
    fitting.max(DEFAULT_BLOCK).min(limit).max(*BLOCK_SIZES.start())
}

/// Agrees to what can be done of what was asked, for a file of `len` bytes. What is out of its range
/// is as good as not asked, and of an option that comes twice the first counts.
#[must_use]
pub fn agree(asked: &[TransferOption], len: u64, ceiling: Ceiling) -> Agreed {
    let mut agreed = Agreed { block: DEFAULT_BLOCK, window: 1, timeout: None, acceptance: None };
    let mut accepted: Vec<TransferOption> = Vec::new();
    for option in asked {
        if accepted.iter().any(|known| known.option == option.option) {
            continue;
        }
        let value = match option.option {
            OptionType::BlockSize if option.value >= u64::from(*BLOCK_SIZES.start()) => {
                agreed.block = at_most(option.value, ceiling.block);
                u64::from(agreed.block)
            }
            OptionType::WindowSize if option.value >= 1 => {
                agreed.window = at_most(option.value, ceiling.window);
                u64::from(agreed.window)
            }
            OptionType::Timeout if TIMEOUTS.contains(&option.value) => {
                agreed.timeout = u8::try_from(option.value).ok();
                option.value
            }
            OptionType::TransferSize => len,
            OptionType::BlockSize
            | OptionType::WindowSize
            | OptionType::Timeout
            // Inventions of crate `tftpd`: fractions of a second, and a pause between packets.
            | OptionType::UTimeout
            | OptionType::WindowWait => continue,
        };
        accepted.push(TransferOption { option: option.option, value });
    }
    agreed.acceptance = (!accepted.is_empty()).then(|| packet::acceptance(accepted));
    agreed
}

fn at_most(value: u64, ceiling: u16) -> u16 {
    u16::try_from(value).map_or(ceiling, |value| value.min(ceiling))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CEILING: Ceiling = Ceiling { block: 1_428, window: 64 };

    fn asked(options: &[(OptionType, u64)]) -> Vec<TransferOption> {
        options.iter().map(|&(option, value)| TransferOption { option, value }).collect()
    }

    #[test]
    fn everything_known_is_agreed_to_within_the_ceiling() {
        let options = asked(&[
            (OptionType::BlockSize, 65_464),
            (OptionType::TransferSize, 0),
            (OptionType::Timeout, 6),
            (OptionType::WindowSize, 70_000),
            (OptionType::BlockSize, 8),
        ]);
        let agreed = agree(&options, 5_000_000_000, CEILING);
        assert_eq!((agreed.block, agreed.window, agreed.timeout), (1_428, 64, Some(6)));
        let acceptance = b"\0\x06blksize\x001428\0tsize\x005000000000\0timeout\x006\0windowsize\x0064\0";
        assert_eq!(agreed.acceptance.as_deref(), Some(&acceptance[..]));
    }

    #[test]
    fn who_asks_for_nothing_known_gets_the_plain_protocol() {
        let odd = [
            (OptionType::BlockSize, 7),
            (OptionType::WindowSize, 0),
            (OptionType::Timeout, 0),
            (OptionType::Timeout, 256),
            (OptionType::UTimeout, 5),
            (OptionType::WindowWait, u64::MAX),
        ];
        let plain = Agreed { block: 512, window: 1, timeout: None, acceptance: None };
        assert_eq!(agree(&asked(&odd), 1, CEILING), plain);
        assert_eq!(agree(&[], 1, CEILING), plain);
    }

    #[test]
    fn blocks_fit_into_packets_of_the_way() {
        for (mtu, limit, block) in [
            (None, 8_192, 1_428),
            (Some(1_500), 8_192, 1_428),
            (Some(1_492), 8_192, 1_428),
            (Some(1_400), 8_192, 1_348),
            (Some(9_000), 8_192, 8_192),
            (Some(9_000), 65_464, 8_948),
            (Some(65_536), 8_192, 8_192),
            (Some(65_536), 65_464, 65_464),
            (Some(1_500), 1_024, 1_024),
            (Some(0), 8_192, 512),
        ] {
            assert_eq!(largest_block(mtu, limit), block, "{mtu:?} {limit}");
        }
    }
}
