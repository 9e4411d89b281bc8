//! Pools: groups of machines, by the `Pool` field of each. A pool that machines are in exists
//! without having been made (`spec/machine-model.md` 2.11).

use super::App;
use super::actor::Actor;
use super::error::{AppError, AppErrorKind};
use super::found::{Found, json, missing};
use super::objects::{self, Fields, How, Pair};
use crate::store::Plan;
use engine::filter::{self, Query};
use engine::machine::Machine;
use engine::problem::{Problem, ProblemKind};
use protocol::ids::MachineId;
use protocol::model::{Envelope, Kind, Pool, PoolStatus, WRITABLE_BUNDLE};
use serde_json::{Map, Value, json as literal};

/// The pool of machines that nobody put into another one.
const DEFAULT: &str = "default";
/// Most machines that one call moves.
const MOST_MOVED: usize = 1_000;

/// What is done to a machine's place in pools.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Move {
    /// From the pool of all into this one.
    Add,
    /// Back into the pool of all.
    Remove,
    /// Given away.
    Allocate,
    /// Taken back.
    Release,
}

impl Move {
    fn read(word: &str) -> Option<Self> {
        match word {
            "addMachines" => Some(Self::Add),
            "removeMachines" => Some(Self::Remove),
            "allocateMachines" => Some(Self::Allocate),
            "releaseMachines" => Some(Self::Release),
            _ => None,
        }
    }

    /// The place that a machine must have before it.
    const fn from(self) -> PoolStatus {
        match self {
            Self::Add | Self::Remove | Self::Allocate => PoolStatus::Free,
            Self::Release => PoolStatus::InUse,
        }
    }

    const fn to(self) -> PoolStatus {
        match self {
            Self::Add | Self::Remove | Self::Release => PoolStatus::Free,
            Self::Allocate => PoolStatus::InUse,
        }
    }
}

/// Which machines to move: the body of such a call, with or without `pool/` before its keys.
struct Wanted {
    machines: Vec<String>,
    filters: Vec<Pair>,
    count: usize,
    source: String,
}

impl App {
    /// Pools that machines are in and nobody made.
    pub(super) async fn implicit_pools(&self) -> Result<Vec<Pool>, AppError> {
        let content = self.content();
        let mut names = self.store.pool_names().await?;
        if !names.iter().any(|name| name == DEFAULT) {
            names.push(DEFAULT.to_owned());
        }
        Ok(names.into_iter().filter(|name| !content.pools.has(name)).map(implicit).collect())
    }

    /// The pool of this name that machines are in and nobody made.
    pub(super) async fn implicit_pool(&self, name: &str) -> Result<Option<Pool>, AppError> {
        Ok(self.implicit_pools().await?.into_iter().find(|pool| pool.id == name))
    }

    /// Machines of a pool by their place in it.
    ///
    /// # Errors
    /// `AUTH` without the claim, not found.
    pub(crate) async fn pool_status(&self, actor: &Actor, pool: &str) -> Result<Value, AppError> {
        self.find(actor, Kind::Pools, pool, "get").await?;
        let mut places = Map::new();
        for machine in self.machines_where(&[("Pool".to_owned(), format!("Eq({pool})"))], None).await? {
            let place = json(&machine.fields.pool_status)?.as_str().unwrap_or_default().to_owned();
            let list = places.entry(place).or_insert_with(|| Value::Array(Vec::new()));
            if let Some(list) = list.as_array_mut() {
                list.push(result(&machine));
            }
        }
        Ok(Value::Object(places))
    }

    /// Names of pools that machines are in.
    ///
    /// # Errors
    /// `AUTH` without the claim.
    pub(crate) async fn active_pools(&self, actor: &Actor) -> Result<Value, AppError> {
        actor.may(Kind::Pools.prefix(), "list", "")?;
        json(&self.store.pool_names().await?)
    }

    /// Moves machines: those that the body names or filters, as many as it says.
    ///
    /// # Errors
    /// `AUTH` without the claim; not found; `Conflict` when there are not that many to move.
    pub(crate) async fn move_in_pool(
        &self,
        actor: &Actor,
        pool: &str,
        how: &str,
        query: &[Pair],
        body: Value,
    ) -> Result<Value, AppError> {
        let how = Move::read(how).ok_or_else(|| missing(Kind::Pools, &format!("{pool}/{how}")))?;
        if how != Move::Add {
            self.find(actor, Kind::Pools, pool, "update").await?;
        }
        let wanted = wanted(body)?;
        let from = if how == Move::Add { wanted.source.as_str() } else { pool };
        let to = match how {
            Move::Add | Move::Allocate | Move::Release => pool,
            Move::Remove => DEFAULT,
        };
        let how_to = How { force: objects::force(query)?, lease: None };
        let mut moved = Vec::new();
        for id in self.to_move(actor, &wanted, from, how).await? {
            let wish = |_: &str, object: Value| {
                let mut object = objects::fields_of(Kind::Machines, object)?;
                object.insert("Pool".to_owned(), to.into());
                object.insert("PoolStatus".to_owned(), json(&how.to())?);
                Ok(object)
            };
            moved.push(result(&self.edit_machine(actor, id, how_to, wish).await?));
        }
        Ok(Value::Array(moved))
    }

    /// Gives a machine back to its pool.
    ///
    /// # Errors
    /// As [`App::move_in_pool`].
    pub(crate) async fn release_to_pool(&self, actor: &Actor, key: &str) -> Result<Value, AppError> {
        let machine = self.machine_for(actor, key, "update").await?;
        let body = literal!({"machine-list": [machine.id.to_string()]});
        self.move_in_pool(actor, &machine.fields.pool, "releaseMachines", &[], body).await
    }

    async fn to_move(
        &self,
        actor: &Actor,
        wanted: &Wanted,
        from: &str,
        how: Move,
    ) -> Result<Vec<MachineId>, AppError> {
        let fits =
            |machine: &Machine| machine.fields.pool == from && machine.fields.pool_status == how.from();
        let mut found = Vec::new();
        for key in &wanted.machines {
            if let Found::Machine(machine) = self.find(actor, Kind::Machines, key, "update").await? {
                if !fits(&machine) {
                    let message = format!("machine {} is not in pool {from} where this begins", machine.name);
                    let key = machine.id.to_string();
                    return Err(Problem::new(ProblemKind::Conflict, Kind::Machines, key, message).into());
                }
                found.push(machine.id);
            }
        }
        if wanted.machines.is_empty() {
            let mut filters = wanted.filters.clone();
            filters.push(("Pool".to_owned(), format!("Eq({from})")));
            filters
                .push(("PoolStatus".to_owned(), json(&how.from())?.as_str().unwrap_or_default().to_owned()));
            let machines = self.machines_where(&filters, Some(wanted.count)).await?;
            found.extend(machines.iter().filter(|machine| fits(machine)).map(|machine| machine.id));
            if found.len() < wanted.count {
                let message = format!("pool {from} has {} such machines, not {}", found.len(), wanted.count);
                return Err(Problem::new(ProblemKind::Conflict, Kind::Pools, from, message).into());
            }
        }
        Ok(found)
    }

    /// Machines for which filters hold, at most so many.
    async fn machines_where(&self, filters: &[Pair], most: Option<usize>) -> Result<Vec<Machine>, AppError> {
        let query: Query = filter::parse(Kind::Machines, objects::pairs(filters))?;
        let plan = Plan::<Machine>::of(&query);
        if plan.is_whole() {
            return Ok(self.store.page(&plan, 0, most.map(|most| most as u64)).await?.items);
        }
        let mut found = Vec::new();
        let mut after = None;
        while most.is_none_or(|most| found.len() < most) {
            let piece = self.store.after(&plan, after, 500).await?;
            let Some(last) = piece.last() else { break };
            after = Some(last.id.0);
            for machine in piece {
                let shown = json(&self.view(&machine))?;
                if plan.left().iter().all(|filter| filter.matches(&shown)) {
                    found.push(machine);
                }
            }
        }
        found.truncate(most.unwrap_or(usize::MAX));
        Ok(found)
    }
}

/// A pool that exists because machines are in it.
fn implicit(id: String) -> Pool {
    let envelope = Envelope {
        validated: true,
        available: true,
        bundle: WRITABLE_BUNDLE.to_owned(),
        ..Envelope::default()
    };
    Pool { id, envelope, ..Pool::default() }
}

/// A pool goes when the last machine leaves it.
pub(super) fn in_use(pool: &str) -> AppError {
    let message =
        "machines are in this pool, or it is the one of all machines; it goes with the last of them";
    Problem::new(ProblemKind::InUse, Kind::Pools, pool, message).into()
}

/// A machine as calls about pools tell of it.
fn result(machine: &Machine) -> Value {
    literal!({
        "Name": machine.name.to_string(),
        "Uuid": machine.id.to_string(),
        "Allocated": machine.fields.pool_allocated,
        "Status": machine.fields.pool_status,
    })
}

fn wanted(body: Value) -> Result<Wanted, AppError> {
    let refused = |message: String| AppError::new(AppErrorKind::BadRequest, message).about("pools", "");
    let Value::Object(body) = body else {
        return Err(refused("the body is a JSON object that says which machines".to_owned()));
    };
    let body: Fields =
        body.into_iter().map(|(key, value)| (key.trim_start_matches("pool/").to_owned(), value)).collect();
    let list = |name: &str| -> Result<Vec<String>, AppError> {
        let given = body.get(name).filter(|value| !value.is_null()).cloned();
        let list = given.map(serde_json::from_value).transpose();
        list.map(Option::unwrap_or_default).map_err(|_| refused(format!("{name} is a list of texts")))
    };
    let count = body.get("count").filter(|value| !value.is_null());
    let count = count.map(|value| {
        value.as_u64().and_then(|count| usize::try_from(count).ok()).filter(|count| *count <= MOST_MOVED)
    });
    let count = count.unwrap_or(Some(1));
    let count = count.ok_or_else(|| refused(format!("count is a number from 0 to {MOST_MOVED}")))?;
    let filters = list("filter")?;
    let filters = filters.iter().filter_map(|text| text.split_once('='));
    let source = body.get("source-pool").and_then(Value::as_str).filter(|source| !source.is_empty());
    let machines = list("machine-list")?;
    if machines.len() > MOST_MOVED {
        return Err(refused(format!("machine-list has more than {MOST_MOVED} machines")));
    }
    Ok(Wanted {
        machines,
        filters: filters.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        count,
        source: source.unwrap_or(DEFAULT).to_owned(),
    })
}
