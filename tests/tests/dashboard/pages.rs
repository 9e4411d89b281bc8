//! Every page in every look, by mouse and by keyboard, alone and among others.

use tests::media::{Media, Profile};
use tests::muster::{Server, ServerBuilder};

use crate::world::World;

/// Four days: how long the site of the pictures has been there.
const AGE: i64 = 4 * 86_400;

fn with_media(name: &str) -> ServerBuilder {
    Server::builder(name).media(Media::of(Profile::Cloud).unwrap().folder())
}

#[test]
fn every_page_is_readable_in_every_look() {
    World::of(with_media("dashboard-tour").clock_at(-AGE)).play("real/tour.mjs");
}

#[test]
fn the_bootstrap_flow_needs_no_mouse() {
    World::of(with_media("dashboard-keyboard")).play("real/keyboard.mjs");
}

#[test]
fn pages_stay_alive() {
    World::of(Server::builder("dashboard-live")).play("real/live.mjs");
}

#[test]
fn strangers_get_nowhere() {
    World::of(Server::builder("dashboard-strangers")).play("real/strangers.mjs");
}
