//! A place in an ordered list: the values by which a row is ordered, and its id. The next part of the list
//! begins behind it, whatever became of the row.

use super::bound::Bound;
use super::columns::{Column, Form};
use crate::store::StoreError;
use protocol::token::{base64url, from_base64url};
use serde_json::Value;
use sqlx::Row;
use sqlx::any::AnyRow;

/// Longest text of a column, in bytes.
const MAX_TEXT: usize = 300;

/// Whether a column may hold it: PostgreSQL takes no null character.
fn fits(text: &str) -> bool {
    text.len() <= MAX_TEXT && !text.contains('\0')
}

/// A place, as text for clients to hand back.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Cursor {
    values: Vec<Bound>,
}

impl Cursor {
    /// Reads what a client gave back. None: no list in this order named it.
    pub(super) fn parse(text: &str, order: &[&'static Column]) -> Option<Self> {
        let json: Vec<Value> = serde_json::from_slice(&from_base64url(text)?).ok()?;
        if json.len() != order.len().checked_add(1)? {
            return None;
        }
        let forms = order.iter().map(|column| column.form).chain([Form::Text]);
        let value = |(value, form): (&Value, Form)| match form {
            Form::Text => value.as_str().filter(|text| fits(text)).map(|text| Bound::Text(text.to_owned())),
            Form::Number => value.as_i64().map(Bound::Number),
        };
        let values = json.iter().zip(forms).map(value).collect::<Option<_>>()?;
        Some(Self { values })
    }

    /// The place of a row of a page.
    pub(super) fn of(row: &AnyRow, order: &[&'static Column]) -> Result<Self, StoreError> {
        let mut values = Vec::with_capacity(order.len().saturating_add(1));
        for (at, column) in order.iter().enumerate() {
            let name = format!("s{at}");
            values.push(match column.form {
                Form::Text => Bound::Text(row.try_get(name.as_str())?),
                Form::Number => Bound::Number(row.try_get(name.as_str())?),
            });
        }
        values.push(Bound::Text(row.try_get("id")?));
        Ok(Self { values })
    }

    /// As clients have it.
    pub(super) fn text(&self) -> String {
        let json = self.values.iter().map(|value| match value {
            Bound::Text(text) => Value::from(text.as_str()),
            Bound::Number(number) => Value::from(*number),
        });
        base64url(Value::Array(json.collect()).to_string().as_bytes())
    }

    /// By the columns of the order, then its id.
    pub(super) fn values(&self) -> &[Bound] {
        &self.values
    }
}
