//! Health of something at a member: what tests in a row make of it, by the thresholds of its [`HealthCheck`].

use super::{CheckKind, HealthCheck, MAX_MESSAGE};

/// How something stands at a member.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    healthy: bool,
    /// Tests in a row that said the same, and what they said.
    row: u16,
    good: bool,
    /// When it became unhealthy, in milliseconds.
    failed_at: Option<u64>,
    message: String,
}

impl Health {
    /// As it stands before the first test: what is not tested is healthy, all else has to show it.
    pub fn of(check: &HealthCheck) -> Self {
        Self { healthy: check.kind == CheckKind::None, ..Self::default() }
    }

    /// A test passed, or failed with these words. Whether it is healthy now and was not, or the other way round.
    /// `now` in milliseconds.
    pub fn tested(&mut self, check: &HealthCheck, outcome: Result<(), &str>, now: u64) -> bool {
        let good = outcome.is_ok();
        self.row = if self.good == good { self.row.saturating_add(1) } else { 1 };
        self.good = good;
        self.message =
            outcome.err().map(|words| words.chars().take(MAX_MESSAGE).collect()).unwrap_or_default();
        let was = self.healthy;
        if good && self.row >= check.healthy_threshold && self.may_return(check, now) {
            self.healthy = true;
        }
        if !good && self.row >= check.unhealthy_threshold && self.healthy {
            self.healthy = false;
            self.failed_at = Some(now);
        }
        self.healthy != was
    }

    fn may_return(&self, check: &HealthCheck, now: u64) -> bool {
        let held_off = u64::from(check.holdoff) * 1_000;
        self.failed_at.is_none_or(|at| now >= at.saturating_add(held_off))
    }

    /// Whether it is healthy.
    pub const fn healthy(&self) -> bool {
        self.healthy
    }

    /// What the last test said when it failed; else nothing.
    pub fn message(&self) -> &str {
        &self.message
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(healthy: u16, unhealthy: u16, holdoff: u16) -> HealthCheck {
        HealthCheck {
            kind: CheckKind::Tcp,
            healthy_threshold: healthy,
            unhealthy_threshold: unhealthy,
            holdoff,
            ..HealthCheck::default()
        }
    }

    /// What each test, one a second, leaves: `+` passes, `-` fails.
    fn told(check: &HealthCheck, tests: &str) -> String {
        let mut health = Health::of(check);
        let each = tests.chars().zip(0_u64..).map(|(test, second)| {
            let outcome = if test == '+' { Ok(()) } else { Err("no answer") };
            let was = health.healthy();
            assert_eq!(health.tested(check, outcome, second * 1_000), was != health.healthy());
            assert_eq!(health.message(), if test == '+' { "" } else { "no answer" });
            if health.healthy() { 'H' } else { '.' }
        });
        each.collect()
    }

    #[test]
    fn as_many_in_a_row_as_the_thresholds_say_turn_it() {
        for (thresholds, tests, states) in [
            ((2, 3, 0), "++--+---+-++", ".HHHHHH....H"),
            ((1, 1, 0), "+-+-", "H.H."),
            ((3, 1, 0), "++-+++", ".....H"),
            // Held off for five seconds since the third one.
            ((1, 2, 5), "+--++++++", "HH.....HH"),
        ] {
            let (healthy, unhealthy, holdoff) = thresholds;
            assert_eq!(told(&check(healthy, unhealthy, holdoff), tests), states, "{tests}");
        }
    }

    #[test]
    fn what_is_not_tested_is_healthy() {
        assert!(Health::of(&HealthCheck::default()).healthy());
        assert!(!Health::of(&check(1, 1, 0)).healthy());
    }

    #[test]
    fn long_words_are_cut() {
        let mut health = Health::default();
        health.tested(&check(1, 1, 0), Err(&"é".repeat(1_000)), 0);
        assert_eq!(health.message().chars().count(), MAX_MESSAGE);
    }
}
