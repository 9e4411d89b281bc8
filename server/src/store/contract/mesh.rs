//! The store's promises about numbers in mesh networks.

use super::{START, conflict, insert, machine};
use crate::store::{Conflict, Store};
use engine::change::{Change, Changes};
use engine::mesh::Standing;
use protocol::ids::MachineId;
use std::collections::BTreeSet;
use uuid::Uuid;

const HOME: &str = "home";

fn id(number: u128) -> MachineId {
    MachineId(Uuid::from_u128(number))
}

fn joins(mesh: &str, number: u32, machine: u128) -> Change {
    Change::JoinMesh { mesh: mesh.to_owned(), number, machine: id(machine) }
}

async fn does(store: &Store, changes: impl IntoIterator<Item = Change>) -> Option<Conflict> {
    conflict(store.commit(&changes.into_iter().fold(Changes::new(START), Changes::and)).await)
}

async fn standing(store: &Store) -> (Option<u32>, u32) {
    let Standing { released, highest } = store.mesh_standing(HOME).await.unwrap();
    (released, highest)
}

pub(super) async fn number_in_a_mesh_is_had_once(store: Store) {
    assert_eq!(standing(&store).await, (None, 0));
    assert_eq!(does(&store, [joins(HOME, 1, 7)]).await, None);
    assert_eq!(does(&store, [joins(HOME, 1, 8)]).await, Some(Conflict::Stale), "taken");
    assert_eq!(does(&store, [joins(HOME, 2, 7)]).await, Some(Conflict::Stale), "has one already");
    assert_eq!(does(&store, [joins("lab", 1, 7)]).await, Some(Conflict::Stale), "in one network at a time");
    assert_eq!(does(&store, [joins(HOME, 3, 8)]).await, Some(Conflict::Stale), "a number would be left out");
    assert_eq!(does(&store, [joins(HOME, 2, 8)]).await, None);
    assert_eq!(does(&store, [joins("lab", 1, 9)]).await, None, "another network has its own numbers");
    assert_eq!(standing(&store).await, (None, 2));
    let members = store.mesh_members().await.unwrap();
    assert_eq!((members[HOME], members["lab"]), (2, 1));
    assert_eq!(store.members_of_mesh(HOME).await.unwrap(), 2);
    assert_eq!(store.members_of_mesh("nowhere").await.unwrap(), 0);
}

pub(super) async fn number_that_is_given_back_is_given_again(store: Store) {
    for number in 1..=4 {
        assert_eq!(does(&store, [joins(HOME, number, number.into())]).await, None);
    }
    assert_eq!(does(&store, [Change::LeaveMesh(id(3)), Change::LeaveMesh(id(2))]).await, None);
    assert_eq!(does(&store, [Change::LeaveMesh(id(99))]).await, None, "is in none");
    assert_eq!(standing(&store).await, (Some(2), 4));
    assert_eq!(does(&store, [joins(HOME, 2, 10)]).await, None);
    assert_eq!(standing(&store).await, (Some(3), 4));
    // From one network into another, in one commit.
    assert_eq!(does(&store, [Change::LeaveMesh(id(10)), joins("lab", 1, 10)]).await, None);
    assert_eq!(standing(&store).await, (Some(2), 4));
}

pub(super) async fn mesh_is_cleared_when_nobody_is_in_it(store: Store) {
    let clear = || [Change::ClearMesh(HOME.to_owned())];
    assert_eq!(does(&store, clear()).await, None);
    assert_eq!(does(&store, [joins(HOME, 1, 7)]).await, None);
    assert_eq!(does(&store, clear()).await, Some(Conflict::MeshUsed));
    assert_eq!(standing(&store).await, (None, 1), "nothing changed");
    assert_eq!(does(&store, [Change::LeaveMesh(id(7))]).await, None);
    assert_eq!(standing(&store).await, (Some(1), 1));
    assert_eq!(does(&store, clear()).await, None);
    assert_eq!(standing(&store).await, (None, 0));
    assert!(store.mesh_members().await.unwrap().is_empty());
}

pub(super) async fn machine_that_is_deleted_leaves_its_mesh(store: Store) {
    store.commit(&insert(&machine(7)).and(joins(HOME, 1, 7))).await.unwrap();
    store.commit(&insert(&machine(8)).and(joins(HOME, 2, 8))).await.unwrap();
    let members = store.machines_of_mesh(HOME, 0, 10).await.unwrap();
    let told: Vec<_> = members.iter().map(|(number, machine)| (*number, machine.id)).collect();
    assert_eq!(told, [(1, id(7)), (2, id(8))]);
    assert_eq!(store.machines_of_mesh(HOME, 1, 10).await.unwrap().len(), 1);
    assert_eq!(store.machines_of_mesh(HOME, 0, 1).await.unwrap().len(), 1);
    let stored = store.machine(id(7)).await.unwrap().unwrap();
    let gone = Change::DeleteMachine { id: stored.id, revision: stored.revision };
    assert_eq!(does(&store, [gone]).await, None);
    assert_eq!(standing(&store).await, (Some(1), 2));
    assert_eq!(store.machines_of_mesh(HOME, 0, 10).await.unwrap().len(), 1);
}

pub(super) async fn racing_machines_never_get_one_number(store: Store) {
    let network = engine::mesh::Network::parse(&["10.20.0.0/27".to_owned()]).unwrap();
    let races: Vec<_> = (1..=24)
        .map(|number: u128| {
            let store = store.clone();
            tokio::spawn(async move {
                loop {
                    let next = network.next(store.mesh_standing(HOME).await.unwrap()).unwrap();
                    match does(&store, [joins(HOME, next, number)]).await {
                        None => return next,
                        Some(conflict) => assert_eq!(conflict, Conflict::Stale),
                    }
                }
            })
        })
        .collect();
    let mut given = BTreeSet::new();
    for race in races {
        assert!(given.insert(race.await.unwrap()), "given twice");
    }
    assert_eq!(given, (1..=24).collect());
}
