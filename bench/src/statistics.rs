//! The few statistics a comparison needs: medians, and how sure a ratio is.
//!
//! Rounds are paired (both sides ran next to each other), so the ratio is taken round by round
//! and its interval comes from resampling the rounds. The generator behind it has a fixed seed:
//! the same samples give the same interval.

/// Resamples for one interval.
const RESAMPLES: usize = 4_000;
/// Share of resampled medians below the interval, and above it: 95 % lie inside.
const TAIL: f64 = 0.025;
const SEED: u64 = 0x6d75_7374_6572;

/// How one side compares to another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Interval {
    /// Median of the rounds' ratios.
    pub(crate) median: f64,
    /// Lower end of the 95 % interval.
    pub(crate) low: f64,
    /// Upper end.
    pub(crate) high: f64,
}

/// The middle value, or the mean of the two middle ones; `None` without values.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    let upper = *sorted.get(half)?;
    match sorted.len() % 2 {
        0 => Some(f64::midpoint(*sorted.get(half - 1)?, upper)),
        _ => Some(upper),
    }
}

/// Smallest and largest value.
pub(crate) fn range(values: &[f64]) -> Option<(f64, f64)> {
    let low = values.iter().copied().min_by(f64::total_cmp)?;
    let high = values.iter().copied().max_by(f64::total_cmp)?;
    Some((low, high))
}

/// The ratio of `ours` to `theirs`, round by round; rounds that only one of them has are not
/// used. `None` when no round is left, or one of theirs is zero.
pub(crate) fn paired_ratio(ours: &[f64], theirs: &[f64]) -> Option<Interval> {
    let ratios: Vec<f64> = ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect();
    if ratios.iter().any(|ratio| !ratio.is_finite()) {
        return None;
    }
    let middle = median(&ratios)?;
    let mut random = SplitMix::new(SEED);
    let mut medians = Vec::with_capacity(RESAMPLES);
    for _ in 0..RESAMPLES {
        let drawn: Option<Vec<f64>> =
            ratios.iter().map(|_| ratios.get(random.below(ratios.len())).copied()).collect();
        medians.push(median(&drawn?)?);
    }
    medians.sort_by(f64::total_cmp);
    Some(Interval { median: middle, low: quantile(&medians, TAIL)?, high: quantile(&medians, 1.0 - TAIL)? })
}

/// The value below which `share` of the sorted values lie.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a position among a few thousand values"
)]
fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let position = (sorted.len().saturating_sub(1) as f64 * share).round();
    sorted.get(position as usize).copied()
}

/// Vigna's splitmix64: enough to draw rounds with, and to fill files.
pub(crate) struct SplitMix(u64);

impl SplitMix {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `count`, which is small: the bias of the remainder does not matter.
    fn below(&mut self, count: usize) -> usize {
        let count = count.max(1) as u64;
        usize::try_from(self.next() % count).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(left: f64, right: f64) -> bool {
        (left - right).abs() < 1e-9
    }

    #[test]
    fn the_median_ignores_outliers_and_order() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[9.0, 1.0]), Some(5.0));
        assert_eq!(median(&[1_000.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(range(&[2.0, -1.0, 7.5]), Some((-1.0, 7.5)));
        assert_eq!(range(&[]), None);
    }

    #[test]
    fn equal_rounds_give_a_ratio_without_width() {
        let ratio = paired_ratio(&[2.0, 4.0, 6.0], &[4.0, 8.0, 12.0]).unwrap();
        assert_eq!(ratio, Interval { median: 0.5, low: 0.5, high: 0.5 });
    }

    #[test]
    fn pairing_takes_out_what_both_sides_suffer_together() {
        // Every round is slower than the one before, for both alike.
        let theirs: Vec<f64> = (1..=9).map(f64::from).collect();
        let ours: Vec<f64> = theirs.iter().map(|value| value * 0.8).collect();
        let ratio = paired_ratio(&ours, &theirs).unwrap();
        assert!(close(ratio.median, 0.8) && close(ratio.low, 0.8) && close(ratio.high, 0.8), "{ratio:?}");
    }

    #[test]
    fn noise_around_one_spans_one_and_a_clear_difference_does_not() {
        let theirs = [1.0; 7];
        let noise = paired_ratio(&[0.97, 1.04, 0.99, 1.02, 0.96, 1.03, 1.01], &theirs).unwrap();
        assert!(noise.low < 1.0 && noise.high > 1.0, "{noise:?}");
        let faster = paired_ratio(&[0.57, 0.64, 0.59, 0.62, 0.56, 0.63, 0.61], &theirs).unwrap();
        assert!(faster.low > 0.55 && faster.high < 0.65 && close(faster.median, 0.61), "{faster:?}");
    }

    #[test]
    fn the_same_samples_give_the_same_interval() {
        let (ours, theirs) = ([1.0, 1.5, 2.0, 1.2], [2.0, 2.0, 2.5, 3.0]);
        assert_eq!(paired_ratio(&ours, &theirs), paired_ratio(&ours, &theirs));
    }

    #[test]
    fn a_ratio_needs_a_round_on_both_sides_and_no_zero_below() {
        assert_eq!(paired_ratio(&[1.0], &[]), None);
        assert_eq!(paired_ratio(&[1.0], &[0.0]), None);
        assert_eq!(paired_ratio(&[1.0, 9.0], &[2.0]).unwrap().median, 0.5);
    }
}
