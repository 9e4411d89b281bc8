use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const MS: Duration = Duration::from_millis(1);

fn shape(len: u64, block: u16, window: u16) -> Shape {
    Shape { len, block, window }
}

fn send(first: u64, last: u64) -> Step {
    Step::Send(Blocks { first, last })
}

/// A session whose client took a millisecond to answer the OACK.
fn greeted(shape: Shape, now: Instant) -> (Session, Step) {
    let (mut session, step) = Session::new(shape, None, true, now - MS);
    assert_eq!(step, Step::Greet);
    let step = session.acknowledged(0, now);
    (session, step)
}

/// Lets deadlines pass until the session gives up; what it sent meanwhile.
fn silence(session: &mut Session) -> (Vec<Step>, Reason, Duration) {
    let (began, mut steps) = (session.deadline(), Vec::new());
    loop {
        let now = session.deadline();
        assert_eq!(session.expired(now - MS), Step::Wait, "before its time");
        match session.expired(now) {
            Step::GiveUp(reason) => return (steps, reason, now - began),
            step @ (Step::Wait | Step::Greet | Step::Send(_) | Step::Done) => steps.push(step),
        }
        assert!(steps.len() < 100);
    }
}

#[test]
fn file_has_one_block_more_than_full_ones() {
    for (len, blocks, last) in [(0, 1, 0), (1, 1, 1), (511, 1, 511), (512, 2, 0), (513, 2, 1), (1_024, 3, 0)]
    {
        let shape = shape(len, 512, 1);
        assert_eq!((shape.blocks(), shape.extent(blocks).1), (blocks, last), "{len}");
    }
    assert_eq!(shape(1_000, 512, 1).extent(2), (512, 488));
    assert_eq!(shape(1_000, 512, 1).extent(9), (1_000, 0));
}

#[test]
fn windows_follow_each_other() {
    let now = Instant::now();
    let (mut session, step) = greeted(shape(2_300, 512, 2), now);
    assert_eq!(step, send(1, 2));
    assert_eq!(session.acknowledged(2, now), send(3, 4));
    assert_eq!(session.acknowledged(4, now), send(5, 5));
    assert!(session.is_all_sent());
    assert_eq!(session.acknowledged(5, now), Step::Done);
    assert_eq!(session.arrived(), 2_300);
}

#[test]
fn stranger_draws_six_packets_in_half_a_minute() {
    let now = Instant::now();
    let (mut session, first) = Session::new(shape(9_000, 512, 64), Some(255), true, now);
    assert_eq!(first, Step::Greet);
    let (steps, reason, _) = silence(&mut session);
    assert_eq!((steps, reason), (vec![Step::Greet; RETRIES], Reason::NeverHeard));
    assert_eq!(session.deadline() - now, Duration::from_secs(31));

    let (mut session, first) = Session::new(shape(9_000, 512, 1), None, false, now);
    assert_eq!(first, send(1, 1));
    let (steps, reason, _) = silence(&mut session);
    assert_eq!((steps, reason), (vec![send(1, 1); RETRIES], Reason::NeverHeard));
}

#[test]
fn client_that_vanishes_within_a_window_draws_five_single_blocks() {
    let now = Instant::now();
    let (mut session, step) = greeted(shape(90_000, 512, 8), now);
    assert_eq!(step, send(1, 8));
    let (steps, reason, took) = silence(&mut session);
    assert_eq!(steps, [send(8, 8), send(1, 1), send(8, 8), send(1, 1), send(8, 8)]);
    assert_eq!(reason, Reason::Silent);
    assert!(took > Duration::from_secs(15) && took < Duration::from_secs(16), "{took:?}");
}

#[test]
fn client_is_waited_for_in_the_end_as_long_as_it_asked() {
    let now = Instant::now();
    let (mut session, _) = Session::new(shape(9_000, 512, 1), Some(60), true, now);
    session.acknowledged(0, now + MS);
    let (_, reason, took) = silence(&mut session);
    assert_eq!(reason, Reason::Silent);
    assert!(took > Duration::from_secs(67) && took < Duration::from_secs(68), "{took:?}");
}

#[test]
fn timer_follows_the_round_trips() {
    let now = Instant::now();
    let (fast, _) = greeted(shape(9_000, 512, 1), now);
    assert_eq!(fast.deadline() - now, 100 * MS);
    let (mut slow, _) = Session::new(shape(9_000, 512, 1), None, true, now);
    assert_eq!(slow.acknowledged(0, now + 500 * MS), send(1, 1));
    assert_eq!(slow.deadline() - now, 2_000 * MS, "mean and four times half of it later");
}

#[test]
fn nobody_knows_which_of_two_was_answered() {
    let now = Instant::now();
    let (mut session, _) = Session::new(shape(9_000, 512, 1), None, true, now);
    let later = session.deadline();
    assert_eq!(session.expired(later), Step::Greet);
    session.acknowledged(0, later + MS);
    assert_eq!(session.client, Client::Heard);
    session.acknowledged(1, later + 4 * MS);
    assert_eq!(session.client, Client::Measured { mean: 3 * MS, deviation: 3 * MS / 2 });
}

#[test]
fn acknowledgement_that_says_nothing_new_draws_nothing() {
    let now = Instant::now();
    let (mut session, _) = greeted(shape(90_000, 512, 4), now);
    assert_eq!(session.acknowledged(4, now), send(5, 8));
    for old in [0, 1, 4, 4, 9, 40_000, 65_535] {
        assert_eq!(session.acknowledged(old, now + MS), Step::Wait, "{old}");
    }
    assert_eq!(session.acknowledged(8, now + MS), send(9, 12));
}

#[test]
fn middle_of_a_window_moves_it_and_is_believed_after_a_round_trip() {
    let now = Instant::now();
    let (mut session, _) = greeted(shape(90_000, 512, 8), now);
    assert_eq!(session.acknowledged(3, now), send(9, 11));
    assert_eq!(session.deadline() - now, 2 * MS);
    assert_eq!(session.acknowledged(3, now), Step::Wait);
    assert_eq!(session.expired(now + 2 * MS), send(4, 11), "lost");

    let (mut session, _) = greeted(shape(90_000, 512, 8), now);
    assert_eq!(session.acknowledged(3, now), send(9, 11));
    assert_eq!(session.acknowledged(11, now + MS), send(12, 19), "a packet that came twice");
    assert_eq!(session.deadline() - now, 101 * MS);
}

#[test]
fn answer_to_a_probe_says_what_was_lost() {
    let now = Instant::now();
    let (mut session, _) = greeted(shape(90_000, 512, 8), now);
    let later = session.deadline();
    assert_eq!(session.expired(later), send(8, 8));
    assert_eq!(session.acknowledged(0, later), send(1, 8), "all of it, once");
    assert_eq!(session.acknowledged(0, later), Step::Wait);
    let later = session.deadline();
    assert_eq!(session.expired(later), send(1, 1), "nothing new was heard");
    assert_eq!(session.acknowledged(5, later), send(6, 13), "the rest of it, at once");
    assert_eq!(session.acknowledged(13, later), send(14, 21));
}

#[test]
fn windows_that_get_lost_come_in_smaller_pieces() {
    let now = Instant::now();
    let (mut session, _) = greeted(shape(900_000, 512, 64), now);
    assert_eq!(session.piece(), 64);
    let mut block = 0;
    for piece in [32, 16, 8, 4, 4] {
        let later = session.deadline();
        assert_eq!(session.expired(later), send(block + 64, block + 64));
        block += 20;
        assert_eq!(session.acknowledged(wire_number(block), later), send(block + 1, block + 64));
        assert_eq!(session.piece(), piece);
    }
    block += 64;
    assert_eq!(session.acknowledged(wire_number(block), session.deadline()), send(block + 1, block + 64));
    assert_eq!(session.piece(), 5);
    let (session, _) = greeted(shape(900_000, 512, 1), now);
    assert_eq!(session.piece(), 1);
}

#[test]
fn numbers_go_on_after_the_last_one() {
    let now = Instant::now();
    let (mut session, mut step) = greeted(shape(70_000 * 8, 8, 64), now);
    let mut next = 1;
    while let Step::Send(blocks) = step {
        assert_eq!(blocks.first, next);
        next = blocks.last + 1;
        step = session.acknowledged(wire_number(blocks.last), now);
    }
    assert_eq!((step, next), (Step::Done, 70_002));
}

#[test]
fn who_keeps_a_place_for_next_to_nothing_loses_it() {
    let mut now = Instant::now();
    let (mut session, _) = greeted(shape(9_000_000, 512, 1), now);
    for block in 1..=60 {
        now += Duration::from_secs(10);
        let step = session.acknowledged(block, now);
        let last = block == 60;
        assert_eq!(step == Step::GiveUp(Reason::Slow), last, "{block}");
    }
}

#[test]
fn stranger_cannot_answer_for_blocks_that_were_not_sent() {
    let now = Instant::now();
    let (mut session, _) = Session::new(shape(9_000, 512, 8), None, true, now);
    for block in [1, 8, 65_535] {
        assert_eq!(session.acknowledged(block, now), Step::Wait);
    }
    assert_eq!(session.expired(session.deadline()), Step::Greet);
    assert_eq!(session.client, Client::Stranger);
}

/// A client by RFC 7440 on a bad network, simulated: packets in both directions are lost, come twice
/// and late.
struct World {
    now: Instant,
    /// By time and a number of their own: what arrives where.
    packets: BTreeMap<(Instant, u64), Packet>,
    random: u64,
    numbered: u64,
    /// Of 100: how many are lost, doubled, late.
    trouble: u64,
    /// Packets that the session sent.
    sent: u64,
}

#[derive(Clone, Copy)]
enum Packet {
    Greeting,
    Block(u64),
    Ack(u64),
}

impl World {
    fn roll(&mut self, of: u64) -> u64 {
        // Xorshift: any seed but zero.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % of
    }

    fn carry(&mut self, packet: Packet) {
        if self.roll(100) < self.trouble {
            return;
        }
        let copies = if self.roll(100) < self.trouble { 2 } else { 1 };
        for _ in 0..copies {
            let late = if self.roll(100) < self.trouble { MS } else { Duration::ZERO };
            self.numbered += 1;
            let at = self.now + Duration::from_micros(300) + late;
            self.packets.insert((at, self.numbered), packet);
        }
    }

    fn act(&mut self, step: Step) -> Option<Step> {
        match step {
            Step::Wait => {}
            Step::Greet => {
                self.sent += 1;
                self.carry(Packet::Greeting);
            }
            Step::Send(blocks) => {
                for block in blocks.first..=blocks.last {
                    self.sent += 1;
                    self.carry(Packet::Block(block));
                }
            }
            Step::Done | Step::GiveUp(_) => return Some(step),
        }
        None
    }
}

/// What a client has: it takes blocks in order alone, and says so at the end of a window and whenever
/// something else comes.
struct Taker {
    shape: Shape,
    has: u64,
    told: u64,
    greeted: bool,
    heard: Instant,
}

impl Taker {
    fn take(&mut self, packet: Packet, world: &mut World) {
        self.heard = world.now;
        match packet {
            Packet::Greeting if self.has == 0 => {
                self.greeted = true;
                self.tell(world);
            }
            Packet::Block(block) if block == self.has + 1 => {
                self.has = block;
                let is_window = self.has - self.told >= u64::from(self.shape.window);
                if is_window || self.has == self.shape.blocks() {
                    self.tell(world);
                }
            }
            Packet::Greeting | Packet::Block(_) => self.tell(world),
            Packet::Ack(_) => {}
        }
    }

    fn tell(&mut self, world: &mut World) {
        self.told = self.has;
        world.carry(Packet::Ack(self.has));
    }
}

/// Plays a transfer to its end: how it ended, what the client has, and the packets sent.
fn play(shape: Shape, trouble: u64, seed: u64) -> (Step, u64, u64) {
    let now = Instant::now();
    let mut world =
        World { now, packets: BTreeMap::new(), random: seed.max(1), numbered: 0, trouble, sent: 0 };
    let mut taker = Taker { shape, has: 0, told: 0, greeted: false, heard: now };
    let (mut session, step) = Session::new(shape, None, true, now);
    world.act(step);
    loop {
        let arrives = world.packets.first_key_value().map(|((at, _), _)| *at);
        // A client says again after five seconds what it said last.
        let nudge = taker.heard + Duration::from_secs(5);
        let next =
            [arrives, Some(session.deadline()), Some(nudge)].into_iter().flatten().min().unwrap_or(now);
        world.now = next.max(world.now);
        let step = if arrives == Some(next) {
            match world.packets.pop_first().map(|(_, packet)| packet) {
                Some(Packet::Ack(block)) => session.acknowledged(wire_number(block), world.now),
                Some(packet) => {
                    taker.take(packet, &mut world);
                    Step::Wait
                }
                None => Step::Wait,
            }
        } else if next == nudge {
            taker.heard = next;
            if taker.greeted {
                taker.tell(&mut world);
            }
            Step::Wait
        } else {
            session.expired(world.now)
        };
        if let Some(end) = world.act(step) {
            return (end, taker.has, world.sent);
        }
    }
}

/// Of each 100 packets 5 are lost, 5 come twice and 5 late. Who takes blocks in order alone loses the rest
/// of a window with each, which is why boot firmware asks for small ones.
#[test]
fn bad_network_costs_few_packets_more() {
    for (window, most) in [(1, 1.15), (4, 1.45), (8, 1.85), (64, 3.6)] {
        let shape = shape(65_536, 1_428, window);
        let ideal = shape.blocks() + 1;
        let mut sent = 0;
        for seed in 1..=200 {
            let (end, has, packets) = play(shape, 5, seed * 0x9E37_79B9);
            // The client may have it all when its last word is lost five times.
            assert!(end == Step::Done || has == shape.blocks(), "{end:?} {has}");
            sent += packets;
        }
        let ratio = f64::from(u32::try_from(sent).unwrap()) / f64::from(u32::try_from(ideal * 200).unwrap());
        assert!(ratio < most, "window {window}: {ratio:.2} times the ideal");
    }
}

proptest! {
    #[test]
    fn file_arrives_whole_whatever_the_network_does(
        len in 0_u64..40_000, block in 8_u16..1_500, window in 1_u16..=64, trouble in 0_u64..8, seed in any::<u64>(),
    ) {
        let shape = shape(len, block, window);
        let (end, has, sent) = play(shape, trouble, seed);
        prop_assert!(end == Step::Done || has == shape.blocks(), "{:?} {}", end, has);
        let most = (shape.blocks() + 2) * (2 + u64::from(window)) + 100;
        prop_assert!(sent <= most, "{sent} packets for {} blocks", shape.blocks());
    }

    #[test]
    fn nothing_is_sent_beyond_the_window_or_twice_for_one_word(
        len in 0_u64..400_000, window in 1_u16..=64,
        words in proptest::collection::vec((any::<u16>(), 0_u32..300), 1..300),
    ) {
        let shape = shape(len, 512, window);
        let mut now = Instant::now();
        let (mut session, mut step) = Session::new(shape, None, true, now);
        let mut silent = 0;
        let mut seen = BTreeSet::new();
        for (word, millis) in words {
            if let Step::Send(Blocks { first, last }) = step {
                prop_assert!(first >= 1 && first <= last && last <= shape.blocks());
                prop_assert!(last <= session.acked + u64::from(window), "{last}");
            }
            if matches!(step, Step::Done | Step::GiveUp(_)) {
                break;
            }
            now += MS * millis;
            step = if now >= session.deadline() {
                silent += 1;
                session.expired(now)
            } else {
                let before = session.acked;
                // Mostly something near what was sent.
                let block = if word % 4 == 0 { word } else { wire_number(session.acked + u64::from(word % 70)) };
                let step = session.acknowledged(block, now);
                if session.acked > before {
                    silent = 0;
                    prop_assert!(seen.insert(session.acked), "twice");
                }
                step
            };
            prop_assert!(silent <= 2 * RETRIES + 2, "{silent}");
        }
    }
}
