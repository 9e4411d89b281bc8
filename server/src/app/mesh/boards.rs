//! What this process knows of every mesh network: a board for each, who is on which, and who holds what. In memory,
//! made of the store when the server starts and kept by its commits; what members report is told again within
//! seconds. What follows from what is `engine::mesh`'s.

use super::cursor;
use super::vips::ToldVips;
use crate::limits::Limited;
use engine::change::Revision;
use engine::content::Content;
use engine::machine::Machine;
use engine::mesh::board::{Board, Refused};
use engine::mesh::view::{Entry, Member};
use engine::mesh::vip::{self, Arbiter};
use engine::provision::params;
use engine::time::Timestamp;
use protocol::ids::MachineId;
use protocol::mesh::{DEFAULT_PORT, MeshNews, MeshReport, PeerReport, PublicKey, Way};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use uuid::Uuid;

/// A member counts as online this long after it spoke, as its agent does.
const HEARD_FOR: Duration = engine::machine::ONLINE_FOR;
/// Most polls of one machine that are held at once: one, and those whose connection is gone unnoticed.
const MAX_HELD: usize = 4;
/// Pages hear of changes of one machine's peers this far apart.
const TELL_EVERY: Duration = Duration::from_secs(2);

/// One mesh network.
#[derive(Debug)]
pub(super) struct Network {
    pub(super) board: Board,
    /// Another one when it is made again, or the server starts again: cursors name it.
    pub(super) id: Uuid,
}

/// A member's place, beside what its board knows.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) mesh: String,
    /// The commit that last wrote the machine.
    revision: Revision,
    /// The key that is stored with it.
    key: Option<PublicKey>,
    heard: Option<Timestamp>,
    held: usize,
    told: Option<Timestamp>,
    untold: bool,
}

/// Why a report is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unheard {
    /// The machine is in no mesh network.
    NoMember,
    /// Another machine has the key.
    KeyTaken,
    /// The mesh network has as many members with tunnels as there may be.
    Full,
}

/// What a report brought about.
#[derive(Debug, Default)]
pub(super) struct Noted {
    /// Whose held polls have something new.
    pub(super) touched: BTreeSet<MachineId>,
    /// Pages show something else now.
    pub(super) shown: bool,
    /// A key that is not stored yet.
    pub(super) key: Option<PublicKey>,
}

/// All of it.
#[derive(Debug)]
pub(super) struct Boards {
    pub(super) networks: BTreeMap<String, Network>,
    pub(super) places: HashMap<MachineId, Place>,
    pub(super) arbiter: Arbiter,
    /// What may be held in the networks, by the content.
    terms: Vec<vip::Terms>,
    /// The content that networks and terms follow.
    content: Revision,
    told_vips: ToldVips,
}

impl Boards {
    pub(super) fn new(arbiter: Arbiter) -> Self {
        Self {
            networks: BTreeMap::new(),
            places: HashMap::new(),
            arbiter,
            terms: Vec::new(),
            content: Revision::default(),
            told_vips: ToldVips::default(),
        }
    }

    /// Decides about virtual addresses by what is stored, as after a start.
    pub(super) fn begin_again(&mut self, mut arbiter: Arbiter) -> BTreeSet<MachineId> {
        let nudge = arbiter.set(self.terms.clone());
        self.arbiter = arbiter;
        self.nudge(&nudge)
    }

    pub(super) fn of(&self, id: MachineId) -> Option<&Network> {
        self.places.get(&id).and_then(|place| self.networks.get(&place.mesh))
    }

    fn board(&mut self, id: MachineId) -> Option<&mut Board> {
        let place = self.places.get(&id)?;
        self.networks.get_mut(&place.mesh).map(|network| &mut network.board)
    }

    /// Name of a member, and whether it is online.
    pub(super) fn who(&self, id: MachineId) -> (String, bool) {
        let entry = self.of(id).and_then(|network| network.board.member(id));
        entry.map(|entry| (entry.member.name.clone(), entry.online)).unwrap_or_default()
    }

    /// Whether it is here already: changes of other machines are none of ours.
    pub(super) fn knows(&self, id: MachineId) -> bool {
        self.places.contains_key(&id)
    }

    /// A machine as a commit wrote it.
    pub(super) fn put(
        &mut self,
        machine: &Machine,
        revision: Revision,
        content: &Content,
    ) -> BTreeSet<MachineId> {
        let id = machine.id;
        if self.places.get(&id).is_some_and(|place| place.revision > revision) {
            return BTreeSet::new();
        }
        let mesh = &machine.placement.mesh_network;
        let stays = machine.is_member() && self.places.get(&id).is_none_or(|place| place.mesh == *mesh);
        let mut touched = if stays { BTreeSet::new() } else { self.remove(id) };
        if machine.is_member() && self.ensure(mesh, content) {
            let place = self.places.entry(id).or_insert_with(|| Place::new(mesh));
            place.revision = revision;
            place.key = machine.membership.key;
            touched.append(&mut self.put_on_board(machine, content));
        }
        touched
    }

    /// The machine's facts by this content, when it is as it is known here.
    pub(super) fn look_again(&mut self, machine: &Machine, content: &Content) -> BTreeSet<MachineId> {
        let known = self.places.get(&machine.id).is_some_and(|place| place.revision == machine.revision);
        if known { self.put_on_board(machine, content) } else { BTreeSet::new() }
    }

    fn put_on_board(&mut self, machine: &Machine, content: &Content) -> BTreeSet<MachineId> {
        let id = machine.id;
        let vips =
            self.of(id).and_then(|network| network.board.member(id)).map(|entry| entry.member.vips.clone());
        // What is new of these follows when the terms are settled.
        let member = Member { vips: vips.unwrap_or_default(), ..member(content, machine) };
        self.board(id).map(|board| board.put(id, member)).unwrap_or_default()
    }

    /// Whether there is such a mesh network; its board is there then.
    fn ensure(&mut self, name: &str, content: &Content) -> bool {
        if self.networks.contains_key(name) {
            return true;
        }
        let Some((networks, hosts)) = settings(content, name) else { return false };
        let board = Board::new(name, networks, hosts);
        self.networks.insert(name.to_owned(), Network { board, id: Uuid::new_v4() });
        true
    }

    /// A machine is in no mesh network any more.
    pub(super) fn remove(&mut self, id: MachineId) -> BTreeSet<MachineId> {
        let mut touched = self.board(id).map(|board| board.remove(id)).unwrap_or_default();
        if self.places.remove(&id).is_some() {
            self.arbiter.forget(id);
            touched.insert(id);
        }
        touched
    }

    /// Follows the content: networks that go or have other settings.
    pub(super) fn follow(&mut self, content: &Content) -> BTreeSet<MachineId> {
        if content.revision < self.content {
            return BTreeSet::new();
        }
        self.content = content.revision;
        // Nobody is in a network that goes: the commit saw to that.
        self.networks.retain(|name, _| content.meshes.has(name));
        let mut touched = BTreeSet::new();
        for (name, network) in &mut self.networks {
            if let Some((networks, hosts)) = settings(content, name) {
                touched.append(&mut network.board.settle(networks, hosts));
            }
        }
        touched
    }

    /// Who may hold what follows from the content and from the members' roles.
    pub(super) fn settle_terms(&mut self, content: &Content, now: u64) -> BTreeSet<MachineId> {
        let board = |name: &str| self.networks.get(name).map(|network| &network.board);
        let terms = vip::terms(content, board);
        if terms == self.terms {
            return BTreeSet::new();
        }
        self.terms = terms;
        let nudge = self.arbiter.set(self.terms.clone());
        let mut touched = self.nudge(&nudge);
        let offers = vip::offers(&self.terms);
        for network in self.networks.values_mut() {
            let other = |(id, entry): (MachineId, &Entry)| {
                let vips = offers.get(&id).cloned().unwrap_or_default();
                (entry.member.vips != vips).then(|| (id, Member { vips, ..entry.member.clone() }))
            };
            let changed: Vec<_> = network.board.members().filter_map(other).collect();
            for (id, member) in changed {
                touched.append(&mut network.board.put(id, member));
            }
        }
        touched.append(&mut self.spread(now));
        touched
    }

    /// Tells the boards who holds what now.
    pub(super) fn spread(&mut self, now: u64) -> BTreeSet<MachineId> {
        let held = self.arbiter.held(now);
        let mut touched = BTreeSet::new();
        for (name, network) in &mut self.networks {
            let here = |id: &MachineId| self.places.get(id).is_some_and(|place| place.mesh == *name);
            let held = held.iter().filter(|(id, _)| here(id));
            touched.append(&mut network.board.holds(held.map(|(id, held)| (*id, held.clone())).collect()));
        }
        touched
    }

    /// Members that should report at once.
    pub(super) fn nudge(&mut self, ids: &BTreeSet<MachineId>) -> BTreeSet<MachineId> {
        self.networks.values_mut().flat_map(|network| network.board.nudge(ids)).collect()
    }

    /// Of these, the ones that stand otherwise than pages were told.
    pub(super) fn vips_to_tell(&mut self, names: Vec<String>, now: Timestamp, uptime: u64) -> Vec<String> {
        self.told_vips.keep(&names);
        let (arbiter, told) = (&self.arbiter, &mut self.told_vips);
        names.into_iter().filter(|name| told.is_news(name, arbiter.standing(name, uptime), now)).collect()
    }

    /// Nothing may be held anywhere, so that nobody has to be asked.
    pub(super) fn has_no_vips(&self) -> bool {
        self.terms.is_empty()
    }

    /// A member spoke, from this address.
    pub(super) fn spoke(&mut self, id: MachineId, source: IpAddr, now: Timestamp) -> BTreeSet<MachineId> {
        let Some(place) = self.places.get_mut(&id) else { return BTreeSet::new() };
        place.heard = Some(now);
        let Some(board) = self.board(id) else { return BTreeSet::new() };
        let mut touched = board.source(id, source);
        touched.append(&mut board.online(id, true));
        touched
    }

    /// Who is online now, by their agents and by their own words.
    pub(super) fn attend(
        &mut self,
        now: Timestamp,
        is_online: impl Fn(MachineId) -> bool,
    ) -> BTreeSet<MachineId> {
        let mut touched = BTreeSet::new();
        for (id, place) in &self.places {
            let Some(network) = self.networks.get_mut(&place.mesh) else { continue };
            let spoke = place.heard.is_some_and(|heard| now.since(heard) < HEARD_FOR);
            touched.append(&mut network.board.online(*id, spoke || is_online(*id)));
        }
        touched
    }

    /// What is new for a member since its cursor; none while there is nothing. Whoever is no member has no place.
    pub(super) fn news(&self, id: MachineId, since: &str) -> Option<MeshNews> {
        let Some(network) = self.of(id) else { return Some(MeshNews { whole: true, ..MeshNews::default() }) };
        let mut news = network.board.news(id, cursor::read(since, network.id))?;
        news.cursor = cursor::write(network.id, network.board.counter());
        Some(news)
    }

    /// The same for a member that waited long enough: its own place, when nothing is new.
    pub(super) fn news_or_place(&self, id: MachineId, since: &str) -> MeshNews {
        let place = || {
            let network = self.of(id)?;
            let cursor = cursor::write(network.id, network.board.counter());
            Some(MeshNews { cursor, ..network.board.place(id)? })
        };
        self.news(id, since).or_else(place).unwrap_or_default()
    }

    /// Takes a place for a held poll.
    pub(super) fn hold(&mut self, id: MachineId) -> Result<(), Limited> {
        let Some(place) = self.places.get_mut(&id) else { return Ok(()) };
        if place.held >= MAX_HELD {
            return Err(Limited { retry_after: 1 });
        }
        place.held += 1;
        Ok(())
    }

    /// Gives it back.
    pub(super) fn let_go(&mut self, id: MachineId) {
        if let Some(place) = self.places.get_mut(&id) {
            place.held = place.held.saturating_sub(1);
        }
    }

    /// A member's report.
    pub(super) fn hear(
        &mut self,
        id: MachineId,
        report: &MeshReport,
        now: Timestamp,
    ) -> Result<Noted, Unheard> {
        let is_new = |key: &PublicKey| self.key_of(id) != Some(*key);
        if report.key.filter(is_new).is_some_and(|key| self.is_taken(id, key)) {
            return Err(Unheard::KeyTaken);
        }
        let board = self.board(id).ok_or(Unheard::NoMember)?;
        let before = coarse(board, id, report, now);
        let touched = board.hear(id, report, now).map_err(|refused| match refused {
            Refused::KeyTaken => Unheard::KeyTaken,
            Refused::Full => Unheard::Full,
        })?;
        let shown = before != coarse(board, id, report, now);
        let stored = self.places.get(&id).and_then(|place| place.key);
        Ok(Noted { touched, shown, key: report.key.filter(|key| stored != Some(*key)) })
    }

    /// Whether another machine, in whatever network, has the key.
    fn is_taken(&self, id: MachineId, key: PublicKey) -> bool {
        let mut all = self.networks.values().flat_map(|network| network.board.members());
        all.any(|(other, entry)| other != id && entry.member.key == Some(key))
    }

    /// The key by which others know a member.
    fn key_of(&self, id: MachineId) -> Option<PublicKey> {
        self.of(id)?.board.member(id)?.member.key
    }

    /// Whether pages are told now that a machine's peers changed; else they are within seconds.
    pub(super) fn tells(&mut self, id: MachineId, now: Timestamp) -> bool {
        let Some(place) = self.places.get_mut(&id) else { return false };
        place.untold = place.told.is_some_and(|told| now.since(told) < TELL_EVERY);
        if !place.untold {
            place.told = Some(now);
        }
        !place.untold
    }

    /// Machines of which pages were not told yet.
    pub(super) fn untold(&mut self, now: Timestamp) -> Vec<MachineId> {
        let late: Vec<MachineId> =
            self.places.iter().filter(|(_, place)| place.untold).map(|(id, _)| *id).collect();
        late.into_iter().filter(|id| self.tells(*id, now)).collect()
    }
}

impl Place {
    fn new(mesh: &str) -> Self {
        Self {
            mesh: mesh.to_owned(),
            revision: Revision::default(),
            key: None,
            heard: None,
            held: 0,
            told: None,
            untold: false,
        }
    }
}

/// The networks of a mesh network, and whether its members' names are in `/etc/hosts`.
fn settings(content: &Content, name: &str) -> Option<(Vec<protocol::cidr::Cidr>, bool)> {
    let network = content.mesh(name)?;
    let hosts = content.meshes.get(name).is_some_and(|mesh| mesh.hosts);
    Some((network.cidrs().collect(), hosts))
}

/// A machine as a member, by its own params and those of its roles. Values that are none count as none: schemas keep
/// them out.
fn member(content: &Content, machine: &Machine) -> Member {
    Member {
        name: machine.name.to_string(),
        addresses: machine.membership.addresses.clone(),
        key: machine.mesh_key(),
        roles: params::role_names(content, machine).into_iter().collect(),
        relay: params::mesh_relay(content, machine).unwrap_or(false),
        port: params::mesh_port(content, machine).unwrap_or(DEFAULT_PORT),
        told: params::mesh_endpoint(content, machine).unwrap_or(None),
        vips: Vec::new(),
    }
}

/// A tunnel without what changes all the time: whether it is up, by the relay, and where the other end is.
type Coarse = (bool, bool, Option<SocketAddr>);

/// What pages show of a member and of the tunnels that it tells of.
fn coarse(board: &Board, id: MachineId, report: &MeshReport, now: Timestamp) -> (String, Vec<Coarse>) {
    let of = |peer: &PeerReport| {
        let told = board.told(id, peer.machine);
        let by_relay = board.way(id, peer.machine) == Way::Relay;
        (told.is_some_and(|told| told.up(now)), by_relay, told.and_then(|told| told.report.endpoint))
    };
    let error = board.member(id).map(|entry| entry.error.clone()).unwrap_or_default();
    (error, report.peers.iter().map(of).collect())
}
