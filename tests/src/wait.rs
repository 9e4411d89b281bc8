//! Waiting for the outside world, always with a deadline.
//!
//! The one place of the suite that sleeps: between two looks at something that cannot wake us.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// Looks until `look` finds something or `within` is over.
///
/// # Errors
/// What `look` fails with, at once; after the deadline, an error that names `what`.
pub fn until<T>(what: &str, within: Duration, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let end = Instant::now() + within;
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if Instant::now() >= end {
            bail!("{what}: not within {:.1} s", within.as_secs_f64());
        }
        std::thread::sleep(PAUSE);
    }
}

/// Checks for the whole of `during` that something does not happen.
///
/// # Errors
/// What `look` fails with: it fails when it sees what must not be.
pub fn throughout(during: Duration, mut look: impl FnMut() -> Result<()>) -> Result<()> {
    let end = Instant::now() + during;
    while Instant::now() < end {
        look()?;
        std::thread::sleep(PAUSE);
    }
    Ok(())
}
