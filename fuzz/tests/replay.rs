//! Every committed seed and finding, on stable, in every run.

use std::collections::BTreeSet;
use std::fs;
use std::panic::catch_unwind;
use std::time::Duration;

/// An unoptimised build may take longer: what is looked for here is the wrong power of the length.
const MAX_TIME: Duration = Duration::from_secs(2);

#[test]
fn every_seed_and_every_finding_holds() {
    let mut failed = Vec::new();
    for (name, target) in fuzz::TARGETS {
        let mut files = 0;
        for file in fs::read_dir(fuzz::corpus().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
        {
            let path = file.unwrap().path();
            let data = fs::read(&path).unwrap();
            files += 1;
            let is_seed = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("seed-"));
            match catch_unwind(|| fuzz::bounded(target, &data, MAX_TIME)) {
                Ok(understood) => assert!(understood || !is_seed, "{} is not understood", path.display()),
                Err(_told) => failed.push(path),
            }
        }
        assert!(files > 0, "{name} has no seeds: write them with cargo run -p fuzz --bin seeds");
    }
    assert!(failed.is_empty(), "the property of its target does not hold for {failed:?}");
}

#[test]
fn targets_hold_for_what_every_fuzzer_tries_first() {
    for (name, target) in fuzz::TARGETS {
        for length in [0, 1, 2, 64, 2_048] {
            for byte in [0, 1, b' ', b'0', b'{', 0x7f, 0x80, 0xff] {
                let data = vec![byte; length];
                let held = catch_unwind(|| fuzz::bounded(target, &data, MAX_TIME));
                assert!(held.is_ok(), "{name} with {length} bytes of {byte:#04x}");
            }
        }
    }
}

#[test]
fn committed_seeds_are_the_generators() {
    let seeds = fuzz::seeds::all();
    let mut expected = BTreeSet::new();
    for seed in &seeds {
        let path = fuzz::corpus().join(seed.target).join(format!("seed-{}", seed.name));
        assert!(
            fs::read(&path).is_ok_and(|bytes| bytes == seed.bytes),
            "{} is not the generator's",
            path.display()
        );
        expected.insert(path);
    }
    for (name, _) in fuzz::TARGETS {
        for file in fs::read_dir(fuzz::corpus().join(name)).unwrap() {
            let path = file.unwrap().path();
            let is_seed = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("seed-"));
            assert!(!is_seed || expected.contains(&path), "{} is nobody's", path.display());
        }
    }
    let bytes: usize = seeds.iter().map(|seed| seed.bytes.len()).sum();
    assert!(bytes < 32 * 1_024, "{bytes} bytes of seeds");
}

#[test]
fn every_target_has_its_program() {
    for (name, _) in fuzz::TARGETS {
        let path = fuzz::corpus().with_file_name("targets").join(format!("{name}.rs"));
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(text.contains(&format!("fuzz::hit(fuzz::{name}, data)")), "{}", path.display());
    }
}
