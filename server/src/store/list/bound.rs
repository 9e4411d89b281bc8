//! A value as columns hold it.

use crate::store::marks::indexed;
use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, Row};

/// Text, or a number: of a boolean 0 or 1, of a time milliseconds since 1970.
#[derive(Debug, Clone, PartialEq)]
pub(in super::super) enum Bound {
    Text(String),
    Number(i64),
}

impl Bound {
    /// Becomes a statement's next value.
    pub(in super::super) fn bind<'q>(
        self,
        query: Query<'q, Any, AnyArguments>,
    ) -> Query<'q, Any, AnyArguments> {
        match self {
            Self::Text(text) => query.bind(text),
            Self::Number(number) => query.bind(number),
        }
    }

    /// Whether a row has it in this column.
    pub(in super::super) fn is_in(&self, row: &AnyRow, column: &str) -> bool {
        match self {
            Self::Text(text) => row.try_get::<String, _>(column).is_ok_and(|found| found == *text),
            Self::Number(number) => row.try_get::<i64, _>(column).is_ok_and(|found| found == *number),
        }
    }
}

impl From<&str> for Bound {
    fn from(text: &str) -> Self {
        Self::Text(indexed(text))
    }
}
