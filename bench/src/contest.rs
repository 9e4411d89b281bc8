//! Contests: every contender does the same work, side by side, round after round.
//!
//! Rounds go forth and back (A B, B A, A B ...), so that what changes slowly on the computer
//! hits all alike. Nothing is dropped: a contender that cannot run, or fails, is told with its
//! reason.

use anyhow::Result;
use harness::output;

use crate::computer;
use crate::record::{Metric, NotRun, Sample, Suite};
use crate::stage::Stage;

/// What takes part. A driver ends what it started, by process id, when it is dropped.
pub(crate) trait Driver {
    /// Its name in tables.
    fn name(&self) -> &str;

    /// `Err` with the reason why it cannot run here, such as a package that is not installed.
    fn available(&self) -> Result<(), String>;

    /// Makes everything that is not to be measured.
    ///
    /// # Errors
    /// When it cannot; it then takes no part.
    fn setup(&mut self) -> Result<()>;

    /// Its version, where it has one of its own. Asked after [`Driver::setup`].
    ///
    /// # Errors
    /// When it does not say.
    fn version(&self) -> Result<Option<String>> {
        Ok(None)
    }

    /// Does the work once. The result is checked before a sample is given back.
    ///
    /// # Errors
    /// When the work fails or its result is wrong.
    fn run(&mut self) -> Result<Sample>;
}

/// Lets them compete for so many rounds and adds these metrics of what came out to the suite.
pub(crate) fn contest(
    stage: &Stage,
    suite: &mut Suite,
    rounds: usize,
    metrics: &[Metric],
    drivers: Vec<Box<dyn Driver + '_>>,
) -> Result<()> {
    let mut field = Vec::new();
    for mut driver in drivers {
        if !stage.is_wanted(driver.name()) {
            continue;
        }
        match prepare(driver.as_mut()) {
            Ok(version) => {
                suite.inputs.extend(version.map(|version| (driver.name().to_owned(), version)));
                field.push(driver);
            }
            Err(reason) => give_up(stage, suite, driver.name(), &reason)?,
        }
    }
    for round in 0..rounds {
        let mut failed = Vec::new();
        for place in order(round, field.len()) {
            let Some(driver) = field.get_mut(place) else { continue };
            suite.load = suite.load.max(computer::load()?);
            let name = driver.name().to_owned();
            match driver.run() {
                Ok(mut sample) => {
                    sample.retain(|metric, _| metrics.contains(metric));
                    stage.tell(&shown(round, rounds, &name, &sample))?;
                    for (metric, value) in sample {
                        suite.add(&name, metric, value);
                    }
                }
                Err(error) => {
                    let reason = format!("failed in round {}: {error:#}", round + 1);
                    give_up(stage, suite, &name, &reason)?;
                    failed.push(name);
                }
            }
        }
        field.retain(|driver| !failed.iter().any(|name| name == driver.name()));
    }
    Ok(())
}

/// Makes a contender ready and asks for its version; `Err` with the reason why it is not.
pub(crate) fn prepare(driver: &mut (impl Driver + ?Sized)) -> Result<Option<String>, String> {
    driver.available()?;
    let ready = driver.setup().and_then(|()| driver.version());
    ready.map_err(|error| format!("{error:#}"))
}

/// The places of a field in a round: forth, then back.
fn order(round: usize, count: usize) -> Vec<usize> {
    let forth = 0..count;
    if round.is_multiple_of(2) { forth.collect() } else { forth.rev().collect() }
}

fn shown(round: usize, rounds: usize, name: &str, sample: &Sample) -> String {
    let values: Vec<String> =
        sample.iter().map(|(metric, value)| format!("{} {}", metric.title(), metric.show(*value))).collect();
    format!("  {}/{rounds} {name}: {}", round + 1, values.join(" | "))
}

/// Tells and notes why a contender takes no part; whatever a program said becomes one line.
pub(crate) fn give_up(stage: &Stage, suite: &mut Suite, name: &str, reason: &str) -> Result<()> {
    let line = reason.split_whitespace().collect::<Vec<_>>().join(" ");
    // A record is kept: it names no folder of this computer's.
    let reason = line.replace(&output::target_dir().display().to_string(), "target");
    stage.tell(&format!("  {name}: not run: {reason}"))?;
    suite.not_run.push(NotRun { contender: name.to_owned(), reason });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    struct Runner<'a> {
        name: &'static str,
        missing: bool,
        fails_in: usize,
        ran: usize,
        log: &'a RefCell<Vec<&'static str>>,
    }

    impl Driver for Runner<'_> {
        fn name(&self) -> &str {
            self.name
        }

        fn available(&self) -> Result<(), String> {
            if self.missing { Err("install the package runner".to_owned()) } else { Ok(()) }
        }

        fn setup(&mut self) -> Result<()> {
            Ok(())
        }

        fn run(&mut self) -> Result<Sample> {
            self.ran += 1;
            self.log.borrow_mut().push(self.name);
            anyhow::ensure!(self.ran != self.fails_in, "out of breath");
            Ok(Sample::from([(Metric::Cpu, 1.0), (Metric::Wall, 2.0)]))
        }
    }

    fn hold(stage: &Stage) -> (Suite, Vec<&'static str>) {
        let log = RefCell::new(Vec::new());
        let runner =
            |name, missing, fails_in| Box::new(Runner { name, missing, fails_in, ran: 0, log: &log });
        let mut suite = Suite::default();
        let field: Vec<Box<dyn Driver + '_>> =
            vec![runner("a", false, 0), runner("b", false, 2), runner("c", true, 0), runner("d", false, 0)];
        contest(stage, &mut suite, 3, &[Metric::Cpu], field).unwrap();
        (suite, log.into_inner())
    }

    #[test]
    fn rounds_go_forth_and_back_and_nothing_is_dropped_in_silence() {
        let (suite, log) = hold(&Stage::silent(&[]));
        assert_eq!(log, ["a", "b", "d", "d", "b", "a", "a", "d"]);
        assert_eq!(suite.samples("a", Metric::Cpu).unwrap().len(), 3);
        assert_eq!(suite.samples("b", Metric::Cpu).unwrap().len(), 1);
        assert_eq!(suite.samples("a", Metric::Wall), None, "nobody asked for it");
        let told: Vec<_> = suite.not_run.iter().map(|not| (&*not.contender, &*not.reason)).collect();
        assert_eq!(told, [("c", "install the package runner"), ("b", "failed in round 2: out of breath")]);
    }

    #[test]
    fn only_the_peers_that_were_asked_for_run() {
        let (_, log) = hold(&Stage::silent(&["d"]));
        assert_eq!(log, ["d", "d", "d"]);
    }
}
