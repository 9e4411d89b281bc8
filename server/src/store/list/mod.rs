//! Lists of machines and jobs: filtered, ordered and cut by SQL, so that no list reads more rows
//! than it needs.
//!
//! The most selective condition drives; the others are hidden from the planner, which knows nothing of
//! how many rows a value has and would pick any. A driver that finds much of the table is worse than
//! reading it from one end to the other, so its rows are counted first, which its index does alone. For
//! the rows themselves the count decides again: many are found by walking along the order that was
//! asked for, few are gathered by the driver and sorted.

mod bound;
mod columns;
mod condition;
mod cursor;
mod sql;

pub(super) use bound::Bound;
pub(super) use columns::address_key;

use super::marks::Sort;
use super::{Store, StoreError, jobs, read};
use columns::{Column, JOB, MACHINE};
use condition::{Compare, Condition, Ids, Mark, Shown, of_roles};
use cursor::Cursor;
use engine::filter::{Filter, Query, Subject};
use engine::job::Job;
use engine::machine::Machine;
use protocol::ids::MachineId;
use protocol::model::WRITABLE_BUNDLE;
use sql::{Select, Statement};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};
use std::marker::PhantomData;
use uuid::Uuid;

/// A kind of object that is listed here.
pub(crate) trait Listed: Sized {
    /// Table of its rows.
    const TABLE: &'static str;
    /// Table of its small rows, which may be the same.
    const INDEX: &'static str;

    /// What its lists show.
    fn shown() -> Shown;

    /// An object of its row.
    ///
    /// # Errors
    /// When the row is damaged.
    fn read(row: &AnyRow) -> Result<Self, StoreError>;
}

impl Listed for Machine {
    const TABLE: &'static str = "machine";
    const INDEX: &'static str = "machine_index";

    fn shown() -> Shown {
        let constant = serde_json::json!({
            "Bundle": WRITABLE_BUNDLE, "Endpoint": "", "ReadOnly": false, "Validated": true,
            "WorkOrderMode": false,
        });
        Shown { columns: MACHINE, constant, has_marks: true }
    }

    fn read(row: &AnyRow) -> Result<Self, StoreError> {
        read::machine(row)
    }
}

impl Listed for Job {
    const TABLE: &'static str = "job";
    const INDEX: &'static str = "job";

    fn shown() -> Shown {
        Shown { columns: JOB, constant: serde_json::json!({}), has_marks: false }
    }

    fn read(row: &AnyRow) -> Result<Self, StoreError> {
        jobs::job(row)
    }
}

/// What of a list's query SQL does, and what is left to do.
#[derive(Debug)]
pub(crate) struct Plan<L> {
    conditions: Vec<Condition>,
    left: Vec<Filter>,
    /// None when it is no column's order.
    order: Option<Vec<&'static Column>>,
    reverse: bool,
    after: After,
    of: PhantomData<fn() -> L>,
}

/// Where a part begins.
#[derive(Debug)]
enum After {
    /// At the beginning of the list.
    Nothing,
    /// Behind a place in it.
    Place(Cursor),
    /// What was asked for is no place in this order.
    Unknown,
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Page<L> {
    /// The objects in it.
    pub items: Vec<L>,
    /// How many there are that fulfil the conditions.
    pub filtered: u64,
    /// How many there are.
    pub total: u64,
    /// Where the next part begins, if there may be one.
    pub next: Option<String>,
}

impl<L: Listed> Plan<L> {
    /// Of a query about such objects.
    pub(crate) fn of(query: &Query) -> Self {
        let shown = L::shown();
        let (conditions, left) = shown.split(query);
        let order = query.sort.iter().filter(|index| !shown.is_constant(index));
        let order: Option<Vec<_>> = order.map(|index| shown.column(index.name)).collect();
        let place = |text: &String| {
            let cursor = order.as_ref().and_then(|order| Cursor::parse(text, order));
            cursor.map_or(After::Unknown, After::Place)
        };
        let after = query.after.as_ref().map_or(After::Nothing, place);
        Self { conditions, left, order, reverse: query.reverse, after, of: PhantomData }
    }

    /// Whether what was asked for can be done: a part of a list that goes on behind a place has to be
    /// SQL's alone, and the place one in its order.
    pub(crate) fn is_possible(&self) -> bool {
        match self.after {
            After::Nothing => true,
            After::Place(_) => self.is_whole(),
            After::Unknown => false,
        }
    }

    /// Whether SQL does all of it.
    pub(crate) fn is_whole(&self) -> bool {
        self.left.is_empty() && self.order.is_some()
    }

    /// The filters that SQL does not do.
    pub(crate) fn left(&self) -> &[Filter] {
        &self.left
    }

    /// The conditions whose indexes find rows, the one that is likely to find the fewest first.
    fn drivers(&self) -> Vec<usize> {
        let ranks = self.conditions.iter().enumerate();
        let mut ranks: Vec<_> = ranks.filter_map(|(at, condition)| Some((rank(condition)?, at))).collect();
        ranks.sort_unstable();
        let says = |condition: &Condition| matches!(condition, Condition::Says(_));
        // All texts have to be read for that, so it comes only when nothing else finds rows.
        if ranks.is_empty()
            && let Some(at) = self.conditions.iter().position(says)
        {
            ranks.push((u8::MAX, at));
        }
        ranks.into_iter().map(|(_, at)| at).collect()
    }

    /// How to find this part of a list.
    fn way(&self, offset: u64, limit: u64, counted: Counted) -> Option<usize> {
        /// A row that is gathered and sorted takes as long as so many that are walked past.
        const GATHERED: u128 = 4;
        let filtered = u128::from(counted.filtered);
        let walked = u128::from(offset.saturating_add(limit)) * u128::from(counted.total);
        counted.driver.filter(|_| walked > filtered * filtered * GATHERED)
    }

    fn select(&self, driver: Option<usize>) -> Select<'_> {
        Select {
            table: L::TABLE,
            index: L::INDEX,
            conditions: &self.conditions,
            driver,
            order: self.order.as_deref().unwrap_or_default(),
            reverse: self.reverse,
        }
    }

    fn place(&self) -> Option<&Cursor> {
        match &self.after {
            After::Place(cursor) => Some(cursor),
            After::Nothing | After::Unknown => None,
        }
    }

    /// Where the part behind these rows begins; none when these are fewer than were asked for.
    fn next(&self, rows: &[AnyRow], limit: u64) -> Result<Option<String>, StoreError> {
        let full = rows.len() as u64 >= limit;
        let Some(last) = rows.last().filter(|_| full) else { return Ok(None) };
        let order = self.order.as_deref().unwrap_or_default();
        Ok(Some(Cursor::of(last, order)?.text()))
    }

    fn never(&self) -> bool {
        self.conditions.contains(&Condition::Never)
    }
}

/// How few rows a condition finds by its index, as a rank; none when it has no index to find them.
fn rank(condition: &Condition) -> Option<u8> {
    const RANGE: u8 = 50;
    match condition {
        Condition::Never => None,
        Condition::Is(column, compare) => match compare {
            Compare::To("=", _) => column.selects,
            Compare::To("<>", _) => None,
            Compare::To(..) | Compare::Between { within: true, .. } => {
                column.selects.map(|rank| rank.saturating_add(RANGE))
            }
            Compare::Among { within: true, .. } => column.selects.map(|rank| rank.saturating_add(1)),
            Compare::Between { within: false, .. } | Compare::Among { within: false, .. } => None,
        },
        Condition::Has(mark) => Some(match (mark.sort, &mark.values) {
            (Sort::Mac, _) => 3,
            (Sort::Param, Some(_)) => 15,
            (Sort::Param | Sort::Profile | Sort::Role, _) => 28,
        }),
        Condition::HasNot(_) | Condition::Lacks(_) => None,
        Condition::Says(_) | Condition::Listed(_) => None,
    }
}

/// The index of those who are there now.
const ONLINE: &str = "Online";
/// The index of machine roles.
const ROLES: &str = "Roles";

/// What no table knows of machines.
pub(crate) struct Known<'a> {
    /// Those that are online now.
    pub(crate) online: &'a dyn Fn() -> Vec<MachineId>,
    /// Whether profiles of this name are machine roles.
    pub(crate) is_role: &'a dyn Fn(&str) -> bool,
}

fn asks(filter: &Filter, name: &str) -> bool {
    matches!(&filter.subject, Subject::Index(index) if index.name == name)
}

impl Store {
    /// The same plan, with filters of what no table knows decided as well.
    pub(crate) fn knowing(&self, mut plan: Plan<Machine>, known: &Known<'_>) -> Plan<Machine> {
        let (of_presence, left): (Vec<_>, Vec<_>) =
            plan.left.into_iter().partition(|filter| asks(filter, ONLINE));
        plan.left = Vec::new();
        for filter in left {
            let of_roles = if asks(&filter, ROLES) { of_roles(&filter.test, known.is_role) } else { None };
            match of_roles {
                Some(conditions) => plan.conditions.extend(conditions),
                None => plan.left.push(filter),
            }
        }
        plan.conditions.extend(self.of_presence(&of_presence, known.online));
        plan
    }

    fn of_presence(&self, filters: &[Filter], online: &dyn Fn() -> Vec<MachineId>) -> Option<Condition> {
        let fits = |online: bool| {
            let machine = serde_json::json!({ ONLINE: online });
            filters.iter().all(|filter| filter.matches(&machine))
        };
        let within = match (fits(true), fits(false)) {
            (true, true) => return None,
            (false, false) => return Some(Condition::Never),
            (within, _) => within,
        };
        let ids: Vec<_> = online().into_iter().map(|id| id.to_string()).collect();
        let json = serde_json::Value::from(ids).to_string();
        Some(Condition::Listed(Ids { json, within, engine: self.engine }))
    }

    /// A part of a list that SQL does alone, see [`Plan::is_whole`]; all of it without a limit.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn page<L: Listed>(
        &self,
        plan: &Plan<L>,
        offset: u64,
        limit: Option<u64>,
    ) -> Result<Page<L>, StoreError> {
        let mut moment = self.moment().await?;
        let counted = counts(&mut moment, plan).await?;
        let Counted { filtered, total, .. } = counted;
        let (mut items, mut next) = (Vec::new(), None);
        let limit = limit.unwrap_or(filtered).min(filtered);
        if offset < filtered && limit > 0 {
            let way = plan.way(offset, limit, counted);
            let rows =
                plan.select(way).page(plan.place(), offset, limit).query().fetch_all(&mut *moment).await?;
            items = rows.iter().map(L::read).collect::<Result<_, _>>()?;
            next = plan.next(&rows, limit)?;
        }
        moment.rollback().await?;
        Ok(Page { items, filtered, total, next })
    }

    /// The next objects of a list in order of their ids, at most `most`: those that fulfil what SQL
    /// decides of the query, see [`Plan::left`]. The last one's id leads to the next part.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn after<L: Listed>(
        &self,
        plan: &Plan<L>,
        after: Option<Uuid>,
        most: u32,
    ) -> Result<Vec<L>, StoreError> {
        let mut moment = self.moment().await?;
        let counted = counts(&mut moment, plan).await?;
        let mut items = Vec::new();
        if counted.filtered > 0 {
            let after = after.map(|id| id.to_string()).unwrap_or_default();
            let way = plan.way(0, most.into(), counted);
            let rows = plan.select(way).after(&after, most).query().fetch_all(&mut *moment).await?;
            items = rows.iter().map(L::read).collect::<Result<_, _>>()?;
        }
        moment.rollback().await?;
        Ok(items)
    }

    /// The next machines that something is about, in order of their ids, at most `most`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn machines_about(
        &self,
        about: About<'_>,
        after: Option<MachineId>,
        most: u32,
    ) -> Result<Vec<Machine>, StoreError> {
        let plan = Plan::<Machine> {
            conditions: about.conditions(),
            left: Vec::new(),
            order: Some(Vec::new()),
            reverse: false,
            after: After::Nothing,
            of: PhantomData,
        };
        self.after(&plan, after.map(|id| id.0), most).await
    }
}

/// How many rows there are, and the condition that finds the fewest of them.
#[derive(Debug, Clone, Copy)]
struct Counted {
    /// Rows that fulfil the conditions.
    filtered: u64,
    /// All rows.
    total: u64,
    /// The condition to find them by.
    driver: Option<usize>,
}

/// Counts what fulfils the conditions. Which of them finds the fewest rows is counted too: a stage may
/// hold half of all machines, and the locked ones be three.
async fn counts<L: Listed>(connection: &mut AnyConnection, plan: &Plan<L>) -> Result<Counted, StoreError> {
    /// A driver that finds more than one in so many rows is no help: the table is read as it lies.
    const FEW: u64 = 8;
    let total = count(connection, Statement::total(L::INDEX)).await?;
    if plan.conditions.is_empty() || total == 0 || plan.never() {
        let filtered = if plan.never() { 0 } else { total };
        return Ok(Counted { filtered, total, driver: None });
    }
    let mut found = None;
    for driver in plan.drivers() {
        let most = found.map_or(total, |(fewest, _)| fewest);
        let rows = count(connection, plan.select(Some(driver)).count_driver(most)).await?;
        if found.is_none() || rows < most {
            found = Some((rows, driver));
        }
    }
    let driver = found.map(|(_, driver)| driver);
    let filtered = match found {
        Some((rows, _)) if rows == 0 || plan.conditions.len() == 1 => rows,
        Some((rows, _)) if rows > total / FEW => count(connection, plan.select(None).count()).await?,
        Some(_) | None => count(connection, plan.select(driver).count()).await?,
    };
    Ok(Counted { filtered, total, driver })
}

async fn count(connection: &mut AnyConnection, statement: Statement) -> Result<u64, StoreError> {
    let row = statement.query().fetch_one(connection).await?;
    Ok(u64::try_from(row.try_get::<i64, _>("many")?).unwrap_or(0))
}

/// What machines have to do with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum About<'a> {
    /// Anything: all machines.
    All,
    /// They boot this boot environment next.
    BootEnv(&'a str),
    /// They are in this stage.
    Stage(&'a str),
    /// They go through this workflow.
    Workflow(&'a str),
    /// They have this profile, or this role.
    Profile(&'a str),
    /// They name this mesh network.
    Mesh(&'a str),
}

impl About<'_> {
    fn conditions(self) -> Vec<Condition> {
        let is = |index: &str, name: &str| {
            let column = MACHINE.iter().find(|column| column.index == index);
            column.map(|column| Condition::Is(column, Compare::To("=", name.into()))).into_iter().collect()
        };
        match self {
            Self::All => Vec::new(),
            Self::BootEnv(name) => is("BootEnv", name),
            Self::Stage(name) => is("Stage", name),
            Self::Workflow(name) => is("Workflow", name),
            Self::Mesh(name) => is("MeshNetwork", name),
            // Among them those whose token gave it as a role.
            Self::Profile(name) => vec![Condition::Has(Mark::named(Sort::Role, [name]))],
        }
    }
}

#[cfg(test)]
mod tests;
