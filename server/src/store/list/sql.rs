//! The statements of lists. Names in them are those of our own tables and columns; whatever comes
//! from a request is bound.

use super::bound::Bound;
use super::columns::{Column, Form};
use super::condition::{Compare, Condition, Ids, Mark};
use super::cursor::Cursor;
use crate::store::schema::Engine;
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
        self.values.into_iter().fold(query, |query, value| value.bind(query))
    }

    /// The same, asking for the way that the database would take.
    #[cfg(test)]
    pub(super) fn explained(mut self) -> Self {
        self.text.insert_str(0, "EXPLAIN QUERY PLAN ");
        self
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
    /// By id after these.
    pub order: &'a [&'static Column],
    pub reverse: bool,
}

impl Select<'_> {
    /// How many rows fulfil the conditions.
    pub(super) fn count(&self) -> Statement {
        let mut sql = Statement::default();
        sql.push("SELECT COUNT(*) AS many");
        self.find(&mut sql);
        sql
    }

    /// How many rows the driver finds, which its index alone says; no further than `most`.
    pub(super) fn count_driver(&self, most: u64) -> Statement {
        let mut sql = Statement::default();
        sql.push("SELECT COUNT(*) AS many FROM (SELECT ");
        let driver = self.driver.and_then(|driver| self.conditions.get(driver));
        match driver {
            Some(Condition::Says(words)) => {
                sql.push("1 AS one FROM machine_text t WHERE ");
                write_words(&mut sql, words);
            }
            Some(Condition::Has(mark)) => {
                let what = if mark.names.len() == 1 { "1 AS one" } else { "DISTINCT h.machine" };
                sql.push(&format!("{what} FROM machine_mark h WHERE "));
                write_mark(&mut sql, mark, false);
            }
            driver => {
                sql.push(&format!("1 AS one FROM {} i", self.index));
                if let Some(condition) = driver {
                    sql.push(" WHERE ");
                    write(&mut sql, condition, false);
                }
            }
        }
        sql.push(" LIMIT ");
        sql.value(Bound::Number(i64::try_from(most).unwrap_or(i64::MAX)));
        sql.push(") f");
        sql
    }

    /// Whole rows of one part, in order.
    pub(super) fn page(&self, after: Option<&Cursor>, offset: u64, limit: u64) -> Statement {
        let number = |number: u64| Bound::Number(i64::try_from(number).unwrap_or(i64::MAX));
        let mut sql = Statement::default();
        sql.push("SELECT m.body AS body, m.revision AS revision, p.id AS id");
        for at in 0..self.order.len() {
            sql.push(&format!(", p.s{at} AS s{at}"));
        }
        sql.push(" FROM (SELECT i.id AS id");
        for (at, column) in self.order.iter().enumerate() {
            sql.push(&format!(", i.{} AS s{at}", column.sql));
        }
        self.find(&mut sql);
        self.go_on(&mut sql, after);
        sql.push(" ORDER BY ");
        for column in self.order {
            sql.push(&name(column, self.gathers()));
            sql.push(self.direction());
            sql.push(", ");
        }
        sql.push(self.id());
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
        sql.push("SELECT m.body AS body, m.revision AS revision FROM (SELECT i.id AS id");
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

    /// Only what comes after a place in this order.
    fn go_on(&self, sql: &mut Statement, after: Option<&Cursor>) {
        let Some(cursor) = after else { return };
        sql.push(if self.conditions.is_empty() { " WHERE (" } else { " AND (" });
        for column in self.order {
            sql.push(&name(column, self.gathers()));
            sql.push(", ");
        }
        sql.push(self.id());
        sql.push(if self.reverse { ") < (" } else { ") > (" });
        sql.join(", ", cursor.values(), |sql, value| sql.value(value.clone()));
        sql.push(")");
    }

    /// Whether the driver finds the rows, which are then sorted: an index in the order that was asked
    /// for must not tempt the planner away.
    const fn gathers(&self) -> bool {
        self.driver.is_some()
    }

    const fn id(&self) -> &'static str {
        if self.gathers() { "(i.id || '')" } else { "i.id" }
    }

    const fn direction(&self) -> &'static str {
        if self.reverse { " DESC" } else { "" }
    }

    /// From where, and under which conditions.
    fn find(&self, sql: &mut Statement) {
        sql.push(&format!(" FROM {} i", self.index));
        for (at, condition) in self.conditions.iter().enumerate() {
            sql.push(if at == 0 { " WHERE " } else { " AND " });
            write(sql, condition, self.driver != Some(at));
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
        Condition::Has(mark) if hidden => write_has(sql, mark),
        Condition::Has(mark) => {
            sql.push("i.id IN (SELECT h.machine FROM machine_mark h WHERE ");
            write_mark(sql, mark, false);
            sql.push(")");
        }
        Condition::HasNot(mark) => {
            sql.push("NOT ");
            write_has(sql, mark);
        }
        Condition::Lacks(marks) => {
            sql.push("NOT (");
            sql.join(" AND ", marks, write_has);
            sql.push(")");
        }
        Condition::Says(words) if hidden => {
            sql.push("EXISTS (SELECT 1 FROM machine_text t WHERE t.machine = i.id AND ");
            write_words(sql, words);
            sql.push(")");
        }
        Condition::Says(words) => {
            sql.push("i.id IN (SELECT t.machine FROM machine_text t WHERE ");
            write_words(sql, words);
            sql.push(")");
        }
        Condition::Listed(ids) => write_ids(sql, ids),
    }
}

/// Each is somewhere in the text.
fn write_words(sql: &mut Statement, words: &[String]) {
    sql.join(" AND ", words, |sql, word| {
        let literal = word.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_").replace('\0', "");
        sql.push("t.body LIKE ");
        sql.value(Bound::Text(format!("%{literal}%")));
        sql.push(" ESCAPE '\\'");
    });
}

fn write_ids(sql: &mut Statement, ids: &Ids) {
    sql.push(if ids.within { "i.id IN (SELECT " } else { "i.id NOT IN (SELECT " });
    match ids.engine {
        Engine::Sqlite => {
            sql.push("value FROM json_each(");
            sql.value(Bound::Text(ids.json.clone()));
            sql.push("))");
        }
        Engine::Postgres => {
            sql.push("json_array_elements_text(");
            sql.value(Bound::Text(ids.json.clone()));
            sql.push("::json))");
        }
    }
}

/// Looked for in each row.
fn write_has(sql: &mut Statement, mark: &Mark) {
    sql.push("EXISTS (SELECT 1 FROM machine_mark h WHERE h.machine = i.id AND ");
    write_mark(sql, mark, true);
    sql.push(")");
}

fn write_mark(sql: &mut Statement, mark: &Mark, of_machine: bool) {
    sql.push(&format!("h.kind = '{}' AND h.name", mark.sort.word()));
    write_among(sql, &mark.names);
    if let Some(values) = &mark.values {
        // The marks of one machine are fewer than those of one value.
        sql.push(if of_machine { " AND (h.value || '')" } else { " AND h.value" });
        write_among(sql, values);
    }
}

fn write_among(sql: &mut Statement, texts: &[String]) {
    sql.push(" IN (");
    sql.join(", ", texts, |sql, text| sql.value(Bound::Text(text.clone())));
    sql.push(")");
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
