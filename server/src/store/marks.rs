//! By what machines and enrollments are found besides the columns of their rows: identifiers of the
//! hardware (hints), and a machine's profiles, params and hardware addresses (marks).

use super::StoreError;
use engine::identity::{Hint, hints};
use engine::machine::Machine;
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

/// One thing that a machine has.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mark {
    /// A profile of this name.
    Profile(String),
    /// A param of this name.
    Param(String),
    /// A param of this name with this value, as [`canonical`] writes it.
    Value(String, String),
    /// A hardware address.
    Mac(String),
}

impl Mark {
    /// Its columns: kind, name, and the value if it is one of one value.
    pub(super) fn columns(&self) -> (&'static str, String, Option<String>) {
        match self {
            Self::Profile(name) => ("profile", indexed(name), None),
            Self::Param(name) => ("param", indexed(name), None),
            Self::Value(name, value) => ("param", indexed(name), Some(value.clone())),
            Self::Mac(mac) => ("mac", indexed(mac), None),
        }
    }

    /// How few machines have it, as a rank among those of columns.
    pub(super) const fn selects(&self) -> u8 {
        match self {
            Self::Mac(_) => 3,
            Self::Value(..) => 15,
            Self::Profile(_) | Self::Param(_) => 28,
        }
    }
}

/// What a machine is found by.
#[derive(Debug)]
pub(super) struct Marks {
    id: String,
    hints: BTreeSet<Hint>,
    marks: BTreeSet<Mark>,
}

impl Marks {
    /// Of this machine.
    pub(super) fn of(machine: &Machine) -> Self {
        let fields = &machine.fields;
        let profiles = fields.profiles.iter().cloned().map(Mark::Profile);
        let params = fields.params.iter().map(|(name, value)| Mark::Value(name.clone(), canonical(value)));
        let macs = fields.hardware_addrs.iter().cloned().map(Mark::Mac);
        Self {
            id: machine.id.to_string(),
            hints: hints(&machine.inventory),
            marks: profiles.chain(params).chain(macs).collect(),
        }
    }

    /// The same text for the same rows.
    pub(super) fn digest(&self) -> String {
        let hints = self.hints.iter().map(|hint| vec!["hint".to_owned(), hint.to_string()]);
        let rows = hints.chain(self.rows().map(Vec::from));
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
        insert_rows(connection, "INSERT INTO machine_mark (kind, name, value, machine) VALUES ", &rows).await
    }

    /// Writes them in place of those that are there.
    pub(super) async fn replace(&self, connection: &mut AnyConnection) -> Result<(), StoreError> {
        drop_marks(connection, &self.id).await?;
        self.insert(connection).await
    }

    fn rows(&self) -> impl Iterator<Item = [String; 4]> {
        self.marks.iter().map(|mark| {
            let (kind, name, value) = mark.columns();
            [kind.to_owned(), name, value.unwrap_or_default(), self.id.clone()]
        })
    }
}

/// Takes a machine's rows away.
pub(super) async fn drop_marks(connection: &mut AnyConnection, machine: &str) -> Result<(), StoreError> {
    drop_hints(connection, machine).await?;
    let sql = "DELETE FROM machine_mark WHERE machine = $1";
    sqlx::query(sql).bind(machine.to_owned()).execute(connection).await?;
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

/// A param's value as its index holds it: the same for values that are equal, however their numbers
/// are written.
pub(super) fn canonical(value: &Value) -> String {
    indexed(&one_form(value).to_string())
}

fn one_form(value: &Value) -> Value {
    match value {
        Value::Number(number) => number.as_f64().map_or_else(|| value.clone(), Value::from),
        Value::Array(items) => items.iter().map(one_form).collect(),
        Value::Object(members) => {
            let sorted: BTreeMap<_, _> = members.iter().collect();
            sorted.into_iter().map(|(name, value)| (name.clone(), one_form(value))).collect()
        }
        Value::Null | Value::Bool(_) | Value::String(_) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn equal_values_are_one_in_the_index() {
        assert_eq!(
            canonical(&json!({"b": [1, 2.0], "a": null})),
            canonical(&json!({"a": null, "b": [1.0, 2]}))
        );
        assert_ne!(canonical(&json!("1")), canonical(&json!(1)));
        assert_ne!(canonical(&json!(-0.5)), canonical(&json!(0.5)));
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
