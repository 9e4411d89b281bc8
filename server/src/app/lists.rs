//! Lists (`spec/machine-model.md` 5.4): what the store can answer by its indexes it answers, the
//! rest is looked at piece by piece.

use super::App;
use super::actor::Actor;
use super::error::{AppError, AppErrorKind};
use super::found::{json, set_params};
use super::objects::{Pair, pairs};
use crate::store::{self, Known, Plan};
use engine::content::Content;
use engine::filter::{self, Query};
use engine::index::{self, Index};
use engine::job::Job;
use engine::machine::Machine;
use engine::params;
use engine::provision::params::is_role;
use protocol::model::Kind;
use serde_json::Value;
use uuid::Uuid;

/// Rows of the store that are looked at together.
const PIECE: u32 = 500;
/// Why a list cannot go on.
const AFTER: &str = "after takes the x-muster-list-next of a list with the same order, and goes with filters that \
                     have an index only: begin the list again without it, or use offset";
/// Objects kept beyond what a part needs, before they are put in order and the last ones dropped.
const SPARE: usize = 1_000;

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    /// The objects, a JSON array.
    pub(crate) json: String,
    /// How many are in it.
    pub(crate) count: usize,
    /// For how many the filters hold.
    pub(crate) filtered: usize,
    /// How many there are.
    pub(crate) total: usize,
    /// Where the next part begins, for `after`.
    pub(crate) next: Option<String>,
}

impl App {
    /// The objects of a collection that a query asks for.
    ///
    /// # Errors
    /// `AUTH` without the claim; `BadList` with all that is wrong with the query.
    pub(crate) async fn list(&self, actor: &Actor, kind: Kind, query: &[Pair]) -> Result<Listed, AppError> {
        actor.may(kind.prefix(), "list", "")?;
        let query = filter::parse(kind, pairs(query))?;
        match kind {
            Kind::Machines => self.list_stored::<Machine>(&query).await,
            Kind::Jobs => self.list_stored::<Job>(&query).await,
            Kind::Pools => {
                let mut pools = self.content().list(kind);
                pools.extend(self.implicit_pools().await?.iter().map(json).collect::<Result<Vec<_>, _>>()?);
                Ok(in_memory(kind, pools, &query))
            }
            Kind::Meshes => Ok(in_memory(kind, self.list_meshes().await?, &query)),
            Kind::Images => Ok(in_memory(kind, self.list_images()?, &query)),
            Kind::Vips => Ok(in_memory(kind, self.list_vips(), &query)),
            Kind::BootEnvs
            | Kind::Contexts
            | Kind::Params
            | Kind::Profiles
            | Kind::RegistryCredentials
            | Kind::Roles
            | Kind::Secrets
            | Kind::Stages
            | Kind::Tasks
            | Kind::Templates
            | Kind::Users
            | Kind::Variables
            | Kind::Workflows => Ok(in_memory(kind, self.content().list(kind), &query)),
        }
    }

    async fn list_stored<R: Row>(&self, query: &Query) -> Result<Listed, AppError> {
        let content = self.content();
        let plan = R::planned(self, &content, query);
        if !plan.is_possible() {
            return Err(AppError::new(AppErrorKind::BadList, AFTER).about(R::KIND.prefix(), ""));
        }
        if !plan.is_whole() {
            return self.list_by_looking(&plan, &content, query).await;
        }
        let limit = query.limit.map(|limit| limit as u64);
        let page = self.store.page(&plan, query.offset as u64, limit).await?;
        let mut array = Array::default();
        for row in &page.items {
            array.push(row.shown(self, &content, query)?, query);
        }
        Ok(Listed { next: page.next, ..array.listed(whole(page.filtered), whole(page.total)) })
    }

    /// Looks at everything that the store's indexes leave, and keeps no more than the part that
    /// was asked for.
    async fn list_by_looking<R: Row>(
        &self,
        plan: &Plan<R>,
        content: &Content,
        query: &Query,
    ) -> Result<Listed, AppError> {
        let total = whole(self.store.page(plan, 0, Some(0)).await?.total);
        let mut best = Best::new(R::KIND, query);
        let mut after = None;
        loop {
            let rows = self.store.after(plan, after, PIECE).await?;
            for row in &rows {
                let object = row.shown(self, content, query)?;
                if plan.left().iter().all(|filter| filter.matches(&object)) {
                    best.take(object);
                }
            }
            match rows.last() {
                Some(last) => after = Some(last.id()),
                None => return Ok(best.listed(total)),
            }
        }
    }
}

/// A row of the store as lists show it.
trait Row: store::Listed {
    const KIND: Kind;
    fn id(&self) -> Uuid;
    fn planned(app: &App, content: &Content, query: &Query) -> Plan<Self>;
    fn shown(&self, app: &App, content: &Content, query: &Query) -> Result<Value, AppError>;
}

impl Row for Machine {
    const KIND: Kind = Kind::Machines;

    fn id(&self) -> Uuid {
        self.id.0
    }

    fn planned(app: &App, content: &Content, query: &Query) -> Plan<Self> {
        let is_role = |name: &str| content.profiles.get(name).is_some_and(|profile| is_role(profile));
        let online = || app.liveness.who_is_online(app.clock.now());
        app.store.knowing(Plan::of(query), &Known { online: &online, is_role: &is_role })
    }

    /// Without the long lists of its inventory.
    fn shown(&self, app: &App, content: &Content, query: &Query) -> Result<Value, AppError> {
        let mut view = app.view(self);
        view.own.inventory = view.own.inventory.in_a_list();
        let mut value = json(&view)?;
        if query.shape.aggregate {
            set_params(&mut value, json(&params::aggregate(content, Some(self)))?);
        }
        Ok(value)
    }
}

impl Row for Job {
    const KIND: Kind = Kind::Jobs;

    fn id(&self) -> Uuid {
        self.fields.uuid
    }

    fn planned(_app: &App, _content: &Content, query: &Query) -> Plan<Self> {
        Plan::of(query)
    }

    fn shown(&self, _app: &App, _content: &Content, _query: &Query) -> Result<Value, AppError> {
        json(&self.fields)
    }
}

/// Objects that are all in memory.
fn in_memory(kind: Kind, objects: Vec<Value>, query: &Query) -> Listed {
    let total = objects.len();
    let mut best = Best::new(kind, query);
    objects.into_iter().filter(|object| query.matches(object)).for_each(|object| best.take(object));
    best.listed(total)
}

/// A JSON array that grows.
#[derive(Default)]
struct Array {
    text: String,
    count: usize,
}

impl Array {
    fn push(&mut self, mut object: Value, query: &Query) {
        if let Some(object) = object.as_object_mut() {
            query.shape.trim(object);
        }
        self.push_text(&object.to_string());
    }

    fn push_text(&mut self, object: &str) {
        self.text.push(if self.count == 0 { '[' } else { ',' });
        self.text.push_str(object);
        self.count += 1;
    }

    fn listed(mut self, filtered: usize, total: usize) -> Listed {
        self.text.push_str(if self.count == 0 { "[]" } else { "]" });
        Listed { json: self.text, count: self.count, filtered, total, next: None }
    }
}

/// The first objects in the order of a query, as many as its part reaches. Of each only its text is
/// kept, and what its place follows from.
struct Best<'a> {
    key: Option<&'static Index>,
    query: &'a Query,
    kept: Vec<(Value, String)>,
    filtered: usize,
}

impl<'a> Best<'a> {
    fn new(kind: Kind, query: &'a Query) -> Self {
        Self { key: index::find(kind, kind.key_field()), query, kept: Vec::new(), filtered: 0 }
    }

    fn take(&mut self, mut object: Value) {
        self.filtered += 1;
        let Some(fields) = object.as_object_mut() else { return };
        let order = self.query.sort.iter().copied().chain(self.key);
        let order = order.filter_map(|index| Some((index, fields.get(first_part(index.pointer))?.clone())));
        let order = order.map(|(index, value)| (first_part(index.pointer).to_owned(), value)).collect();
        self.query.shape.trim(fields);
        self.kept.push((Value::Object(order), object.to_string()));
        let reach = self.query.limit.map(|limit| self.query.offset.saturating_add(limit));
        if reach.is_some_and(|reach| self.kept.len() >= reach.saturating_mul(2).saturating_add(SPARE)) {
            self.sort();
            self.kept.truncate(reach.unwrap_or(usize::MAX));
        }
    }

    fn sort(&mut self) {
        if let Some(key) = self.key {
            self.kept.sort_by(|(one, _), (other, _)| self.query.order(key, one, other));
        }
    }

    fn listed(mut self, total: usize) -> Listed {
        self.sort();
        let part = self.query.part(self.kept.len());
        let mut array = Array::default();
        self.kept.drain(part).for_each(|(_, text)| array.push_text(&text));
        array.listed(self.filtered, total)
    }
}

/// The member of an object that a pointer begins with: names of our fields need no escapes.
fn first_part(pointer: &str) -> &str {
    pointer.trim_start_matches('/').split('/').next().unwrap_or_default()
}

/// A count of the store.
fn whole(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}
