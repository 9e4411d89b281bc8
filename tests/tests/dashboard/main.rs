//! The dashboard in a real Chromium, against the real server: what its operators were promised, sentence by
//! sentence; every page in every look; strangers and hostile machines; and pages that stay alive. Machines
//! are virtual where one boots, simulated elsewhere. Run with two threads on two cores.
//!
//! What is seen on pages stands in `dashboard/e2e/real/`, what happens behind them here.

mod boots;
mod pages;
mod promises;
mod world;
