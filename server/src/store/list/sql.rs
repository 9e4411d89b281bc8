//! The statements of lists. Names in them are those of our own tables and columns; whatever comes
//! from a request is bound.

use super::columns::{Column, Form};
use super::condition::{Bound, Compare, Condition, Has};
use crate::store::marks::Mark;
use sqlx::any::AnyArguments;
use sqlx::query::Query;
use sqlx::{Any, AssertSqlSafe};

/// A statement and its values.
#[derive(Debug, Default)]
pub(super) struct Statement {
    text: String,
    values: Vec<Bound>,
}

impl Statement {
    /// How many rows a table has.
    pub(super) fn total(table: &'static str) -> Self {
        Self { text: format!("SELECT COUNT(*) AS many FROM {table}"), values: Vec::new() }
    }

    /// Ready to run.
    pub(super) fn query<'q>(self) -> Query<'q, Any, AnyArguments> {
        let query = sqlx::query(AssertSqlSafe(self.text));
        self.values.into_iter().fold(query, |query, value| match value {
            Bound::Text(text) => query.bind(text),
            Bound::Number(number) => query.bind(number),
        })
    }

    fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    fn value(&mut self, value: Bound) {
        self.values.push(value);
        self.text.push_str(&format!("${}", self.values.len()));
    }

    /// `word` between each two, written by `each`.
    fn join<T>(&mut self, word: &str, items: &[T], mut each: impl FnMut(&mut Self, &T)) {
        for (at, item) in items.iter().enumerate() {
            if at > 0 {
                self.push(word);
            }
            each(self, item);
        }
    }
}

/// What to select, and on which way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Select<'a> {
    pub table: &'static str,
    pub index: &'static str,
    pub conditions: &'a [Condition],
    /// The condition whose index finds the rows; without one they are walked through in order.
    pub driver: Option<usize>,
    /// Whether the driver's rows come in order.
    pub streams: bool,
    /// By id after these.
    pub order: &'a [&'static Column],
    pub reverse: bool,
}

impl Select<'_> {
    /// How many rows fulfil the conditions.
    pub(super) fn count(&self) -> Statement {
        let mut sql = Statement::default();
        sql.push("SELECT COUNT(*) AS many");
        if let ([Condition::Marked(..)], Some(mark)) = (self.conditions, self.mark()) {
            // Every mark has its machine, which need not be looked at.
            sql.push(" FROM machine_mark k WHERE ");
            is_mark(&mut sql, "k", mark);
            return sql;
        }
        self.find(&mut sql);
        sql
    }

    /// Whole rows of one part, in order.
    pub(super) fn page(&self, offset: u64, limit: u64) -> Statement {
        let number = |number: u64| Bound::Number(i64::try_from(number).unwrap_or(i64::MAX));
        let mut sql = Statement::default();
        sql.push("SELECT m.body AS body, m.revision AS revision FROM (SELECT ");
        sql.push(self.id());
        sql.push(" AS id");
        for (at, column) in self.order.iter().enumerate() {
            sql.push(&format!(", i.{} AS s{at}", column.sql));
        }
        self.find(&mut sql);
        sql.push(" ORDER BY ");
        // What is gathered by a driver is sorted: an index in that order must not tempt the planner.
        let hidden = self.driver.is_some() && !self.streams;
        for column in self.order {
            sql.push(&name(column, hidden));
            sql.push(self.direction());
            sql.push(", ");
        }
        sql.push(self.id());
        if hidden {
            sql.push(" || ''");
        }
        sql.push(self.direction());
        sql.push(" LIMIT ");
        sql.value(number(limit));
        sql.push(" OFFSET ");
        sql.value(number(offset));
        sql.push(&format!(") p CROSS JOIN {} m WHERE m.id = p.id ORDER BY ", self.table));
        for at in 0..self.order.len() {
            sql.push(&format!("p.s{at}"));
            sql.push(self.direction());
            sql.push(", ");
        }
        sql.push("p.id");
        sql.push(self.direction());
        sql
    }

    /// Whole rows that come after an id, in order of their ids.
    pub(super) fn after(&self, after: &str, most: u32) -> Statement {
        let mut sql = Statement::default();
        sql.push("SELECT m.body AS body, m.revision AS revision FROM (SELECT ");
        sql.push(self.id());
        sql.push(" AS id");
        self.find(&mut sql);
        sql.push(if self.conditions.is_empty() { " WHERE " } else { " AND " });
        sql.push(self.id());
        sql.push(" > ");
        sql.value(Bound::Text(after.to_owned()));
        sql.push(" ORDER BY ");
        sql.push(self.id());
        sql.push(" LIMIT ");
        sql.value(Bound::Number(i64::from(most)));
        sql.push(&format!(") p CROSS JOIN {} m WHERE m.id = p.id ORDER BY p.id", self.table));
        sql
    }

    /// The mark that drives.
    fn mark(&self) -> Option<&Mark> {
        match self.conditions.get(self.driver?) {
            Some(Condition::Marked(Has::Any, marks)) => marks.first(),
            _ => None,
        }
    }

    /// Where the id stands in the index that is walked along.
    fn id(&self) -> &'static str {
        if self.mark().is_some() { "k.machine" } else { "i.id" }
    }

    const fn direction(&self) -> &'static str {
        if self.reverse { " DESC" } else { "" }
    }

    /// From where, and under which conditions.
    fn find(&self, sql: &mut Statement) {
        match self.mark() {
            Some(mark) => {
                sql.push(&format!(" FROM machine_mark k CROSS JOIN {} i WHERE ", self.index));
                is_mark(sql, "k", mark);
                sql.push(" AND i.id = k.machine");
            }
            None => sql.push(&format!(" FROM {} i", self.index)),
        }
        for (at, condition) in self.conditions.iter().enumerate() {
            let drives = self.driver == Some(at);
            if drives && self.mark().is_some() {
                continue;
            }
            let first = at == 0 && self.mark().is_none();
            sql.push(if first { " WHERE " } else { " AND " });
            write(sql, condition, !drives);
        }
    }
}

/// A column, hidden from the planner's choice of an index where it does not drive.
fn name(column: &Column, hidden: bool) -> String {
    match (hidden, column.form) {
        (false, _) => format!("i.{}", column.sql),
        (true, Form::Text) => format!("(i.{} || '')", column.sql),
        (true, Form::Number) => format!("(i.{} + 0)", column.sql),
    }
}

fn write(sql: &mut Statement, condition: &Condition, hidden: bool) {
    match condition {
        Condition::Never => sql.push("1 = 0"),
        Condition::Is(column, compare) => {
            sql.push(&name(column, hidden));
            write_compare(sql, compare);
        }
        Condition::Marked(has, marks) => {
            let (word, not) = match has {
                Has::Any => (" OR ", ""),
                Has::None => (" OR ", "NOT "),
                Has::NotAll => (" AND ", "NOT "),
            };
            sql.push(not);
            sql.push("(");
            sql.join(word, marks, |sql, mark| {
                sql.push("EXISTS (SELECT 1 FROM machine_mark h WHERE ");
                is_mark(sql, "h", mark);
                sql.push(" AND h.machine = i.id)");
            });
            sql.push(")");
        }
    }
}

fn write_compare(sql: &mut Statement, compare: &Compare) {
    match compare {
        Compare::To(sign, value) => {
            sql.push(&format!(" {sign} "));
            sql.value(value.clone());
        }
        Compare::Between { low, high, within } => {
            sql.push(if *within { " BETWEEN " } else { " NOT BETWEEN " });
            sql.value(low.clone());
            sql.push(" AND ");
            sql.value(high.clone());
        }
        Compare::Among { values, within } => {
            sql.push(if *within { " IN (" } else { " NOT IN (" });
            sql.join(", ", values, |sql, value| sql.value(value.clone()));
            sql.push(")");
        }
    }
}

fn is_mark(sql: &mut Statement, table: &str, mark: &Mark) {
    let (kind, name, value) = mark.columns();
    sql.push(&format!("{table}.kind = '{kind}' AND {table}.name = "));
    sql.value(Bound::Text(name));
    if let Some(value) = value {
        sql.push(&format!(" AND {table}.value = "));
        sql.value(Bound::Text(value));
    }
}
