//! By what machines and enrollments are found besides the columns of their rows: identifiers of the
//! hardware (hints), a machine's profiles, params, roles and hardware addresses (marks), and the text that
//! searches look at.

use super::StoreError;
use engine::identity::{Hint, hints, hints_of};
use engine::machine::{Machine, search};
use protocol::inventory::Inventory;
use protocol::token::base64url;
use ring::digest::{Context, SHA256};
use serde_json::Value;
use sqlx::{AnyConnection, AssertSqlSafe};
use std::collections::{BTreeMap, BTreeSet};

/// Whose an enrollment's hints are.
pub(super) const ENROLLMENT: &str = "enrollment";
/// Whose a machine's hints are.
const MACHINE: &str = "machine";
/// Rows of one statement: few shapes of it, so that each is prepared once.
const ROWS: usize = 8;
/// Longest text in an index, in bytes. What is longer is cut and told apart by its digest: PostgreSQL
/// takes no index row over 2,704 bytes.
const INDEXED: usize = 200;

/// The value of roles that a machine has whatever profiles there are.
pub(super) const GIVEN: &str = "given";

/// What sort of thing a machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sort {
    Profile,
    Param,
    /// A hardware address.
    Mac,
    /// What may be a role of it: those that its token gave it, and its profiles.
    Role,
}

impl Sort {
    /// As its column holds it.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Profile => "profile",
            Self::Param => "param",
            Self::Mac => "mac",
            Self::Role => "role",
        }
    }
}

/// What a machine is found by.
#[derive(Debug)]
pub(super) struct Marks {
    id: String,
    hints: BTreeSet<Hint>,
    /// What sort, its name, and a param's value.
    marks: BTreeSet<(Sort, String, String)>,
    /// What people search for it by.
    text: String,
}

impl Marks {
    /// Of this machine.
    pub(super) fn of(machine: &Machine) -> Self {
        let fields = &machine.fields;
        let plain = |sort: Sort| move |name: &String| (sort, indexed(name), String::new());
        let profiles = fields.profiles.iter().map(plain(Sort::Profile));
        let macs = fields.hardware_addrs.iter().map(plain(Sort::Mac));
        let given = &machine.placement.roles;
        let role = |value: &'static str| move |name: &String| (Sort::Role, indexed(name), value.to_owned());
        let others = fields.profiles.iter().filter(|name| !given.contains(name)).map(role(""));
        let roles = given.iter().map(role(GIVEN)).chain(others);
        let params =
            fields.params.iter().map(|(name, value)| (Sort::Param, indexed(name), indexed(&as_text(value))));
        Self {
            id: machine.id.to_string(),
            hints: hints_of(machine),
            marks: profiles.chain(params).chain(macs).chain(roles).collect(),
            text: search::text(machine),
        }
    }

    /// The same text for the same rows.
    pub(super) fn digest(&self) -> String {
        let hints = self.hints.iter().map(|hint| vec!["hint".to_owned(), hint.to_string()]);
        let text = [vec!["text".to_owned(), self.text.clone()]];
        let rows = hints.chain(self.rows().map(Vec::from)).chain(text);
        let mut context = Context::new(&SHA256);
        for text in rows.flatten() {
            context.update(&(text.len() as u64).to_be_bytes());
            context.update(text.as_bytes());
        }
        base64url(context.finish().as_ref())
    }

    /// Writes the rows of a machine that has none.
    pub(super) async fn insert(&self, connection: &mut AnyConnection) -> Result<(), StoreError> {
        put_hints(connection, MACHINE, &self.id, &self.hints).await?;
        let rows: Vec<_> = self.rows().collect();
        let into = "INSERT INTO machine_mark (machine, kind, name, value) VALUES ";
        insert_rows(&mut *connection, into, &rows).await?;
        let text = [self.id.clone(), self.text.clone()];
        insert_rows(connection, "INSERT INTO machine_text (machine, body) VALUES ", &[text]).await
    }

    /// Writes them in place of those that are there.
    pub(super) async fn replace(&self, connection: &mut AnyConnection) -> Result<(), StoreError> {
        drop_marks(connection, &self.id).await?;
        self.insert(connection).await
    }

    fn rows(&self) -> impl Iterator<Item = [String; 4]> {
        self.marks
            .iter()
            .map(|(sort, name, value)| [self.id.clone(), sort.word().to_owned(), name.clone(), value.clone()])
    }
}

/// Takes a machine's rows away.
pub(super) async fn drop_marks(connection: &mut AnyConnection, machine: &str) -> Result<(), StoreError> {
    drop_hints(connection, machine).await?;
    for sql in ["DELETE FROM machine_mark WHERE machine = $1", "DELETE FROM machine_text WHERE machine = $1"]
    {
        sqlx::query(sql).bind(machine.to_owned()).execute(&mut *connection).await?;
    }
    Ok(())
}

/// Writes the hints of an enrollment that has none.
pub(super) async fn put_enrollment_hints(
    connection: &mut AnyConnection,
    enrollment: &str,
    inventory: &Inventory,
) -> Result<(), StoreError> {
    put_hints(connection, ENROLLMENT, enrollment, &hints(inventory)).await
}

async fn put_hints(
    connection: &mut AnyConnection,
    kind: &str,
    owner: &str,
    hints: &BTreeSet<Hint>,
) -> Result<(), StoreError> {
    let rows: Vec<_> =
        hints.iter().map(|hint| [hint.to_string(), kind.to_owned(), owner.to_owned()]).collect();
    insert_rows(connection, "INSERT INTO hint (value, kind, owner) VALUES ", &rows).await
}

/// Takes the hints of a machine or an enrollment away.
pub(super) async fn drop_hints(connection: &mut AnyConnection, owner: &str) -> Result<(), StoreError> {
    let sql = "DELETE FROM hint WHERE owner = $1";
    sqlx::query(sql).bind(owner.to_owned()).execute(connection).await?;
    Ok(())
}

async fn insert_rows<const COLUMNS: usize>(
    connection: &mut AnyConnection,
    into: &'static str,
    rows: &[[String; COLUMNS]],
) -> Result<(), StoreError> {
    for some in rows.chunks(ROWS) {
        let row = |at: usize| {
            let values: Vec<_> = (1..=COLUMNS).map(|column| format!("${}", at * COLUMNS + column)).collect();
            format!("({})", values.join(", "))
        };
        let values: Vec<_> = (0..some.len()).map(row).collect();
        let sql = AssertSqlSafe(format!("{into}{}", values.join(", ")));
        let query = some.iter().flatten().fold(sqlx::query(sql), |query, value| query.bind(value.clone()));
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

/// A text as an index holds it: the same for the same text, in the order of texts as far as it goes,
/// and without the one character that PostgreSQL has not.
pub(super) fn indexed(text: &str) -> String {
    if text.len() <= INDEXED && !text.contains('\0') {
        return text.to_owned();
    }
    let mut beginning: String = text.chars().take_while(|&c| c != '\0').collect();
    while beginning.len() > INDEXED {
        beginning.pop();
    }
    let digest = ring::digest::digest(&SHA256, text.as_bytes());
    format!("{beginning}\u{1}{}", base64url(digest.as_ref()))
}

/// A param's value as text: a text as it is, anything else as JSON in one form, the same for values
/// that are equal however their numbers are written.
pub(super) fn as_text(value: &Value) -> String {
    value.as_str().map_or_else(|| one_form(value).to_string(), str::to_owned)
}

fn one_form(value: &Value) -> Value {
    match value {
        Value::Number(number) => number.as_f64().map_or_else(|| value.clone(), whole),
        Value::Array(items) => items.iter().map(one_form).collect(),
        Value::Object(members) => {
            let sorted: BTreeMap<_, _> = members.iter().collect();
            sorted.into_iter().map(|(name, value)| (name.clone(), one_form(value))).collect()
        }
        Value::Null | Value::Bool(_) | Value::String(_) => value.clone(),
    }
}

/// A number, without a fraction when it has none.
fn whole(number: f64) -> Value {
    // Beyond this a float has no fraction, and is not told apart from its neighbours.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() < EXACT {
        #[expect(clippy::cast_possible_truncation, reason = "it is whole and within 2^53")]
        let whole = number as i64;
        return Value::from(whole);
    }
    Value::from(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn equal_values_are_one_text() {
        let pairs = [
            (json!({"b": [1, 2.0], "a": null}), json!({"a": null, "b": [1.0, 2]})),
            (json!(7), json!(7.0)),
            (json!(-0.0), json!(0)),
            (json!(1e300), json!(1e300)),
        ];
        for (one, other) in pairs {
            assert_eq!(as_text(&one), as_text(&other));
        }
        assert_eq!(as_text(&json!(7)), "7");
        assert_eq!(as_text(&json!("a b")), "a b");
        assert_ne!(as_text(&json!(-0.5)), as_text(&json!(0.5)));
    }

    #[test]
    fn long_texts_and_strange_characters_fit_an_index() {
        assert_eq!(indexed("stage"), "stage");
        let long = |end: &str| indexed(&format!("{}{end}", "ä".repeat(5_000)));
        assert!(long("a").len() < 300);
        assert_ne!(long("a"), long("b"));
        let with_null = indexed("a\0b");
        assert!(!with_null.contains('\0') && with_null != indexed("a\0c"));
        assert!(indexed(&"a".repeat(300)) < indexed(&"b".repeat(300)));
    }
}
