//! Random sequences of API calls never reach a state that the machine page forbids.
//!
//! Each sequence is up to 20 calls about two machines and the content they refer to; after each
//! call every check of [`checks`] looks at what GET shows before and after it. The checks are
//! written against the page and the recorded behaviour, not against our code. A sequence that
//! breaks one is made shorter as long as it still does, and printed with the seed.
//!
//! `MUSTER_SEQUENCES` says how many (150), `MUSTER_SEED` which (a new one each time).

mod calls;
mod checks;
mod world;

use calls::sequence;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use world::World;

/// Sequences in `make check`; the suite machine-model runs 10,000.
const SHORT: u32 = 150;
/// Servers at work at the same time, each with a part of the sequences.
const WORKERS: u32 = 2;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

#[test]
#[expect(clippy::print_stdout, reason = "the seed and the tally are what one needs when it breaks")]
fn no_sequence_of_calls_reaches_a_state_that_the_page_forbids() {
    let seed = number("MUSTER_SEED").unwrap_or_else(|| {
        SystemTime::now().duration_since(UNIX_EPOCH).map(|now| now.as_secs()).unwrap_or_default()
    });
    let sequences = number("MUSTER_SEQUENCES").map_or(SHORT, |many| u32::try_from(many).unwrap());
    println!("{sequences} sequences, MUSTER_SEED={seed}");
    let begun = Instant::now();
    let workers =
        (0..WORKERS).map(|worker| std::thread::spawn(move || run(seed, worker, sequences.div_ceil(WORKERS))));
    let workers: Vec<_> = workers.collect();
    let mut tally = checks::Tally::default();
    for worker in workers {
        tally.add(&worker.join().unwrap_or_else(|_| panic!("a sequence broke a rule; MUSTER_SEED={seed}")));
    }
    println!("{} s; {tally}", begun.elapsed().as_secs());
    tally.assert_is_telling(sequences);
}

/// Runs a part of the sequences on a server of their own.
fn run(seed: u64, worker: u32, sequences: u32) -> checks::Tally {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut world = runtime.block_on(World::begin());
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..12].copy_from_slice(&worker.to_le_bytes());
    let config =
        Config { cases: sequences, failure_persistence: None, max_shrink_iters: 400, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let world = std::cell::RefCell::new(&mut world);
    let outcome = runner.run(&sequence(), |calls| {
        let mut world = world.borrow_mut();
        runtime.block_on(world.play(&calls)).map_err(TestCaseError::fail)
    });
    if let Err(error) = outcome {
        panic!("worker {worker}: {error}");
    }
    world.into_inner().tally.clone()
}
