//! Tasks that run before a task: their order, and that none needs itself
//! (`spec/machine-model.md` 2.5, 3.4.3). Nothing here recurses: chains may be long.

use std::collections::{BTreeMap, BTreeSet};

/// Most needs that are followed for one task. Each object that is written is followed anew, so
/// this bounds what a large bundle of them costs.
pub const MAX_NEEDS: usize = 10_000;

/// Why what a task needs, directly or not, cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NeedsError {
    /// It needs itself.
    #[error("{} is a circle", .0.join(" > "))]
    Circle(Vec<String>),
    /// It needs too much.
    #[error("more than {MAX_NEEDS} others are needed, directly or not")]
    TooMany,
}

/// Whether what `from` needs ends, and soon enough. `needs` says what a task needs; a task that does
/// not exist needs nothing.
///
/// # Errors
/// The first way by which it needs itself, or that there is no end in sight.
pub fn check<'a>(from: &'a str, needs: impl Fn(&'a str) -> &'a [String]) -> Result<(), NeedsError> {
    let mut way: Vec<(&str, &[String])> = vec![(from, needs(from))];
    // Whether a task that was met is still on the way; the others lead to no circle.
    let mut met: BTreeMap<&str, bool> = BTreeMap::from([(from, true)]);
    let mut followed = 0;
    while let Some((name, left)) = way.last_mut() {
        let Some((next, rest)) = left.split_first() else {
            met.insert(name, false);
            way.pop();
            continue;
        };
        *left = rest;
        followed += 1;
        if followed > MAX_NEEDS {
            return Err(NeedsError::TooMany);
        }
        match met.get(next.as_str()) {
            Some(true) => {
                let circle = way.iter().map(|(name, _)| *name).skip_while(|name| name != next);
                return Err(NeedsError::Circle(circle.chain([next.as_str()]).map(str::to_owned).collect()));
            }
            Some(false) => {}
            None => {
                met.insert(next, true);
                way.push((next, needs(next)));
            }
        }
    }
    Ok(())
}

/// What is still to run for `task`, itself at the end: what it needs first, depth first in
/// order, without what is in `present`. A need that is already on the way to itself is left out.
pub fn in_order<'a>(
    task: &'a str,
    present: &BTreeSet<String>,
    needs: impl Fn(&'a str) -> &'a [String],
) -> Vec<&'a str> {
    let mut order: Vec<&str> = Vec::new();
    let mut met: BTreeSet<&str> = BTreeSet::from([task]);
    let mut way: Vec<(&str, &[String])> = vec![(task, needs(task))];
    while let Some((name, left)) = way.last_mut() {
        let Some((next, rest)) = left.split_first() else {
            order.push(name);
            way.pop();
            continue;
        };
        *left = rest;
        if !present.contains(next) && met.insert(next) {
            way.push((next, needs(next)));
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    type Needs = BTreeMap<&'static str, Vec<String>>;

    fn needs(list: &[(&'static str, &[&str])]) -> Needs {
        list.iter().map(|(task, needed)| (*task, needed.iter().map(|n| (*n).to_owned()).collect())).collect()
    }

    fn of<'a>(needs: &'a Needs) -> impl Fn(&'a str) -> &'a [String] {
        |task| needs.get(task).map_or(&[], Vec::as_slice)
    }

    /// The circle, or nothing.
    fn cycle<'a>(from: &'a str, needs: impl Fn(&'a str) -> &'a [String]) -> Option<Vec<String>> {
        match check(from, needs) {
            Ok(()) => None,
            Err(NeedsError::Circle(circle)) => Some(circle),
            Err(NeedsError::TooMany) => panic!("too many"),
        }
    }

    #[test]
    fn circle_is_named_from_where_it_begins() {
        let map = needs(&[("a", &["b", "c"]), ("b", &["c"]), ("c", &["d"]), ("d", &["b"]), ("e", &["b2"])]);
        assert_eq!(cycle("a", of(&map)).unwrap(), ["b", "c", "d", "b"]);
        assert_eq!(cycle("e", of(&map)), None);
        let own = needs(&[("a", &["a"])]);
        assert_eq!(cycle("a", of(&own)).unwrap(), ["a", "a"]);
        let diamond = needs(&[("a", &["b", "c"]), ("b", &["d"]), ("c", &["d"])]);
        assert_eq!(cycle("a", of(&diamond)), None);
    }

    #[test]
    fn needs_come_first_once_and_in_order() {
        let map = needs(&[("s", &["r", "a", "e", "g"]), ("r", &["d", "e", "f"])]);
        let present = BTreeSet::from(["a".to_owned(), "d".to_owned()]);
        assert_eq!(in_order("s", &present, of(&map)), ["e", "f", "r", "g", "s"]);
        assert_eq!(in_order("x", &present, of(&map)), ["x"]);
    }

    #[test]
    fn long_chains_do_not_exhaust_the_stack() {
        let names: Vec<String> = (0..100_000).map(|number| format!("t{number}")).collect();
        let map: BTreeMap<&str, &[String]> = names
            .iter()
            .enumerate()
            .map(|(at, name)| (name.as_str(), names.get(at + 1..at + 2).unwrap_or_default()))
            .collect();
        let needs = |task: &str| map.get(task).copied().unwrap_or_default();
        let short: BTreeSet<String> = BTreeSet::new();
        assert_eq!(in_order("t0", &short, needs).len(), 100_000);
        assert_eq!(check("t0", needs), Err(NeedsError::TooMany));
        assert_eq!(check("t95000", needs), Ok(()));
    }
}
