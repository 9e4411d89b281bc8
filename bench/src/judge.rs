//! Targets: whether what was promised came out, and if not, why not.
//!
//! A ratio reaches its limit when its whole 95 % interval does.

use crate::record::{Metric, Outcome, Ratio, Suite, Target};

/// A ratio that must not be above `limit`. `because` says where it goes when it is.
pub(crate) fn ratio_at_most(
    suite: &Suite,
    text: &str,
    (of, to, metric): (&str, &str, Metric),
    limit: f64,
    because: &str,
) -> Target {
    ratio(suite, text, (of, to, metric), because, |ratio| (ratio.high <= limit, ratio.median <= limit))
}

/// A ratio that must not be below `limit`.
pub(crate) fn ratio_at_least(
    suite: &Suite,
    text: &str,
    (of, to, metric): (&str, &str, Metric),
    limit: f64,
    because: &str,
) -> Target {
    ratio(suite, text, (of, to, metric), because, |ratio| (ratio.low >= limit, ratio.median >= limit))
}

/// A median that must not be above `limit`.
pub(crate) fn value_at_most(
    suite: &Suite,
    text: &str,
    row: (&str, Metric),
    limit: f64,
    because: &str,
) -> Target {
    value(suite, text, row, because, |value| value <= limit)
}

/// A median that must not be below `limit`.
pub(crate) fn value_at_least(
    suite: &Suite,
    text: &str,
    row: (&str, Metric),
    limit: f64,
    because: &str,
) -> Target {
    value(suite, text, row, because, |value| value >= limit)
}

fn value(
    suite: &Suite,
    text: &str,
    (contender, metric): (&str, Metric),
    because: &str,
    reaches: impl Fn(f64) -> bool,
) -> Target {
    let text = text.to_owned();
    match suite.median(contender, metric) {
        None => Target { text, value: "-".to_owned(), outcome: unknown(suite, &[contender]) },
        // What a busy computer makes worse only, and is good enough, is good.
        Some(value) if metric.needs_calm() && !suite.was_calm() && !reaches(value) => {
            Target { value: metric.show(value), ..busy(suite, text) }
        }
        Some(value) => {
            let outcome = if reaches(value) {
                Outcome::Reached
            } else {
                Outcome::NotReached { because: because.to_owned() }
            };
            Target { text, value: metric.show(value), outcome }
        }
    }
}

fn ratio(
    suite: &Suite,
    text: &str,
    (of, to, metric): (&str, &str, Metric),
    because: &str,
    reaches: impl Fn(&Ratio) -> (bool, bool),
) -> Target {
    let text = text.to_owned();
    let Some(ratio) = suite.ratio(of, to, metric) else {
        return Target { text, value: "-".to_owned(), outcome: unknown(suite, &[of, to]) };
    };
    if metric.needs_calm() && !suite.was_calm() {
        return busy(suite, text);
    }
    let value = format!("{:.3}x ({:.3} to {:.3})", ratio.median, ratio.low, ratio.high);
    let because = because.to_owned();
    let outcome = match reaches(ratio) {
        (true, _) => Outcome::Reached,
        (false, true) => {
            Outcome::NotReached { because: format!("the interval goes past the limit; {because}") }
        }
        (false, false) => Outcome::NotReached { because },
    };
    Target { text, value, outcome }
}

/// Why a number is missing.
fn unknown(suite: &Suite, contenders: &[&str]) -> Outcome {
    let reason = suite.not_run.iter().find(|not| contenders.contains(&not.contender.as_str()));
    let because = match reason {
        Some(not) => format!("{}: {}", not.contender, not.reason),
        None => format!("{} was not asked for", contenders.last().unwrap_or(&"the contender")),
    };
    Outcome::Unknown { because }
}

fn busy(suite: &Suite, text: String) -> Target {
    let (load, calm) = (suite.shown_load(), suite.load_of.calm());
    let because = format!("{load}, above {calm}: a wall time is only an upper bound then");
    Target { text, value: "-".to_owned(), outcome: Outcome::Unknown { because } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::NotRun;

    fn suite(ours: &[f64], theirs: &[f64], metric: Metric) -> Suite {
        let mut suite = Suite::default();
        ours.iter().for_each(|&value| suite.add("muster", metric, value));
        theirs.iter().for_each(|&value| suite.add("peer", metric, value));
        suite.compare("muster", "peer", metric);
        suite.compare("peer", "muster", metric);
        suite
    }

    #[test]
    fn a_target_is_reached_by_the_whole_interval_or_not_at_all() {
        let suite = suite(&[0.55, 0.60, 0.64], &[1.0; 3], Metric::Cpu);
        let pair = ("muster", "peer", Metric::Cpu);
        let at = |limit| ratio_at_most(&suite, "t", pair, limit, "modules").outcome;
        assert_eq!(at(0.7), Outcome::Reached);
        assert_eq!(at(0.5), Outcome::NotReached { because: "modules".to_owned() });
        let spans = "the interval goes past the limit; modules".to_owned();
        assert_eq!(at(0.62), Outcome::NotReached { because: spans });
        let back = ("peer", "muster", Metric::Cpu);
        assert_eq!(ratio_at_least(&suite, "t", back, 1.5, "").outcome, Outcome::Reached);
        assert!(matches!(ratio_at_least(&suite, "t", back, 1.7, "").outcome, Outcome::NotReached { .. }));
    }

    #[test]
    fn a_wall_time_under_load_claims_nothing() {
        let mut suite = suite(&[1.0], &[2.0], Metric::Wall);
        let pair = ("muster", "peer", Metric::Wall);
        assert_eq!(ratio_at_most(&suite, "t", pair, 0.6, "").outcome, Outcome::Reached);
        suite.load = 1.6;
        let Outcome::Unknown { because } = ratio_at_most(&suite, "t", pair, 0.6, "").outcome else {
            panic!()
        };
        assert_eq!(because, "load 1.6, above 1.5: a wall time is only an upper bound then");
        suite.load = 9.0;
        let wall = ("muster", Metric::Wall);
        assert!(matches!(value_at_most(&suite, "t", wall, 0.5, "").outcome, Outcome::Unknown { .. }));
        assert!(matches!(value_at_least(&suite, "t", wall, 2.0, "").outcome, Outcome::Unknown { .. }));
    }

    #[test]
    fn what_is_good_enough_under_load_is_good_enough() {
        let mut suite = suite(&[1.0], &[], Metric::Wall);
        suite.load = 9.0;
        let wall = ("muster", Metric::Wall);
        assert_eq!(value_at_most(&suite, "t", wall, 2.0, "").outcome, Outcome::Reached);
        assert_eq!(value_at_least(&suite, "t", wall, 0.5, "").outcome, Outcome::Reached);
    }

    #[test]
    fn a_missing_peer_is_told_with_its_reason() {
        let mut suite = suite(&[1.0], &[], Metric::Cpu);
        let reason = "install it".to_owned();
        suite.not_run.push(NotRun { contender: "peer".to_owned(), reason });
        let target = ratio_at_most(&suite, "t", ("muster", "peer", Metric::Cpu), 1.0, "");
        assert_eq!(target.outcome, Outcome::Unknown { because: "peer: install it".to_owned() });
        let target = value_at_most(&suite, "t", ("muster", Metric::Cpu), 2.0, "");
        assert_eq!((target.value.as_str(), target.outcome), ("1.000", Outcome::Reached));
    }
}
