//! What the Machines page promises, with simulated machines.

use tests::media::{Media, Profile};
use tests::muster::Server;

use crate::world::World;

#[test]
fn the_machines_page_keeps_its_promises() {
    let media = Media::of(Profile::Cloud).unwrap();
    let server = Server::builder("dashboard-machines").media(media.folder()).movable_clock();
    World::of(server).play("real/machines.mjs");
}

#[test]
fn the_bootstrap_dialog_keeps_its_promises() {
    let media = Media::of(Profile::Cloud).unwrap();
    let server = Server::builder("dashboard-bootstrap").media(media.folder()).movable_clock();
    World::of(server).play("real/bootstrap.mjs");
}
