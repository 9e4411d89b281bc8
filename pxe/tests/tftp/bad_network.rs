//! Files arrive over a network that loses, doubles and reorders, at a bounded price.

use crate::client::{Wish, fetch};
use crate::relay::Relay;
use crate::{contents, serve};
use pxe::tftp::Limits;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// How many transfers: this many unless the environment says otherwise.
const TRANSFERS: &str = "MUSTER_TRANSFERS";
const FEW: u64 = 60;
/// At once.
const LANES: u64 = 30;
const LEN: usize = 65_536;
/// What is sent again depends on how late threads come: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// Packets that the server sent for so many transfers, of what it would have sent on a good network.
fn price(transfers: u64, block: usize, window: u64) -> f64 {
    // A test that failed left nothing behind.
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let lanes = usize::try_from(LANES).unwrap();
    let (_running, server) = serve("127.0.0.1:0", Limits { per_client: 2 * lanes, ..Limits::default() });
    let expected = contents(LEN);
    let next = Arc::new(AtomicU64::new(0));
    let lanes: Vec<_> = (0..LANES)
        .map(|lane| {
            let (next, expected) = (Arc::clone(&next), expected.clone());
            thread::spawn(move || {
                let relay = Relay::to(server, lane + 1);
                while next.fetch_add(1, Ordering::Relaxed) < transfers {
                    let wish = Wish::sized(&LEN.to_string(), block as u64, window);
                    assert!(fetch(relay.address, &wish).unwrap().file() == expected);
                }
                relay.server_packets()
            })
        })
        .collect();
    let sent: u64 = lanes.into_iter().map(|lane| lane.join().unwrap()).sum();
    // OACK, full blocks, the last one.
    let ideal = transfers * (LEN as u64 / block as u64 + 2);
    sent as f64 / ideal as f64
}

#[test]
fn files_arrive_exact_over_a_bad_network_for_less_than_a_third_more_packets() {
    let transfers = std::env::var(TRANSFERS).map_or(FEW, |text| text.parse().unwrap());
    let price = price(transfers, 1_428, 1);
    assert!(price <= 1.3, "{price:.3} times the packets of a good network");
}

#[test]
fn windows_arrive_exact_too() {
    for (window, most) in [(4, 1.7), (16, 3.2)] {
        let price = price(30, 1_428, window);
        assert!(price <= most, "{price:.3} times the packets of a good network");
    }
}
