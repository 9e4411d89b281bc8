//! What of a query's filters SQL can decide.

use super::columns::{Column, Form, ITSELF, address_key};
use crate::store::marks::{Mark, canonical, indexed};
use engine::filter::{Filter, Operand, Query, Subject, Test};
use serde_json::Value;

/// Most values of one condition. Longer lists are decided outside.
const MAX_VALUES: usize = 500;

/// A value as columns hold them.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Bound {
    Text(String),
    Number(i64),
}

impl From<&str> for Bound {
    fn from(text: &str) -> Self {
        Self::Text(indexed(text))
    }
}

/// What a column's value has to be.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Compare {
    /// `=`, `<>`, `<`, `<=`, `>` or `>=`.
    To(&'static str, Bound),
    /// Within both, or outside.
    Between { low: Bound, high: Bound, within: bool },
    /// One of these, or none.
    Among { values: Vec<Bound>, within: bool },
}

/// Which of some marks a machine has to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Has {
    Any,
    None,
    NotAll,
}

/// One condition in SQL.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Condition {
    /// Nothing fulfils it.
    Never,
    Is(&'static Column, Compare),
    Marked(Has, Vec<Mark>),
}

/// What is the same for all objects of a list, as REST shows them.
pub(crate) struct Shown {
    pub columns: &'static [Column],
    /// Fields that have one value, in an object.
    pub constant: Value,
    pub has_marks: bool,
}

impl Shown {
    /// The column of an index.
    pub(super) fn column(&self, index: &str) -> Option<&'static Column> {
        self.columns.iter().find(|column| column.index == index)
    }

    /// Whether an index has the same value for all.
    pub(super) fn is_constant(&self, index: &engine::index::Index) -> bool {
        self.constant.pointer(index.pointer).is_some()
    }

    /// The conditions of a query in SQL, and its filters that have to be decided outside.
    pub(super) fn split(&self, query: &Query) -> (Vec<Condition>, Vec<Filter>) {
        let (mut conditions, mut left) = (Vec::new(), Vec::new());
        for filter in &query.filters {
            match self.conditions(filter, query.shape.aggregate) {
                Some(more) => conditions.extend(more),
                None => left.push(filter.clone()),
            }
        }
        if query.exclude_self && self.has_marks {
            conditions.push(Condition::Is(&ITSELF, Compare::To("=", Bound::Number(0))));
        }
        (conditions, left)
    }

    /// A filter in SQL; none when it has to be decided outside.
    fn conditions(&self, filter: &Filter, aggregate: bool) -> Option<Vec<Condition>> {
        match &filter.subject {
            Subject::Param(name) if self.has_marks && !aggregate => of_param(name, &filter.test),
            Subject::Param(_) => None,
            Subject::Index(index) if self.is_constant(index) => {
                Some(if filter.matches(&self.constant) { Vec::new() } else { vec![Condition::Never] })
            }
            Subject::Index(index) if index.unordered() => {
                if self.has_marks {
                    of_list(index.name, &filter.test, aggregate)
                } else {
                    None
                }
            }
            Subject::Index(index) => of_column(self.column(index.name)?, &filter.test),
        }
    }
}

/// A filter of a list. None for lists that are in no table, and for what other sources add to.
fn of_list(index: &str, test: &Test, aggregate: bool) -> Option<Vec<Condition>> {
    let mark = match index {
        "Profiles" => Mark::Profile,
        "Params" if !aggregate => Mark::Param,
        "HardwareAddrs" => Mark::Mac,
        _ => return None,
    };
    let marks = |operands: &[Operand]| {
        let marks = operands.iter().map(|operand| match operand {
            Operand::Text(name) => Some(mark(name.clone())),
            Operand::Boolean(_) | Operand::Integer(_) | Operand::Uuid(_) => None,
            Operand::Address(_) | Operand::Time(_) | Operand::Json(..) => None,
        });
        marks.collect::<Option<Vec<_>>>().filter(|marks| marks.len() <= MAX_VALUES)
    };
    match test {
        Test::Eq(operands) => {
            Some(marks(operands)?.into_iter().map(|mark| Condition::Marked(Has::Any, vec![mark])).collect())
        }
        Test::Ne(operands) => Some(vec![Condition::Marked(Has::NotAll, marks(operands)?)]),
        Test::In(operands) => Some(vec![Condition::Marked(Has::Any, marks(operands)?)]),
        Test::Nin(operands) => Some(vec![Condition::Marked(Has::None, marks(operands)?)]),
        Test::Lt(_) | Test::Lte(_) | Test::Gt(_) | Test::Gte(_) => None,
        Test::Between(..) | Test::Except(..) | Test::Re(_) => None,
    }
}

/// A filter of a param's value: as JSON, or as the text it was written as.
fn of_param(name: &str, test: &Test) -> Option<Vec<Condition>> {
    let (has, operands) = match test {
        Test::Eq(operands) if operands.len() == 1 => (Has::Any, operands),
        Test::Ne(operands) if operands.len() == 1 => (Has::None, operands),
        Test::In(operands) => (Has::Any, operands),
        Test::Nin(operands) => (Has::None, operands),
        Test::Eq(_) | Test::Ne(_) | Test::Lt(_) | Test::Lte(_) | Test::Gt(_) | Test::Gte(_) => return None,
        Test::Between(..) | Test::Except(..) | Test::Re(_) => return None,
    };
    let mut marks = Vec::new();
    for operand in operands {
        let Operand::Json(value, text) = operand else { return None };
        marks.push(Mark::Value(name.to_owned(), canonical(value)));
        marks.push(Mark::Value(name.to_owned(), canonical(&Value::from(text.as_str()))));
    }
    marks.sort();
    marks.dedup();
    (marks.len() <= MAX_VALUES).then(|| vec![Condition::Marked(has, marks)])
}

fn of_column(column: &'static Column, test: &Test) -> Option<Vec<Condition>> {
    let one = |operand: &Operand| bound(column, operand);
    let to = |sign: &'static str, operand: &Operand| {
        one(operand).map(|value| vec![Condition::Is(column, Compare::To(sign, value))])
    };
    let between = |low: &Operand, high: &Operand, within: bool| {
        let compare = Compare::Between { low: one(low)?, high: one(high)?, within };
        Some(vec![Condition::Is(column, compare)])
    };
    let among = |operands: &[Operand], within: bool| {
        let values = operands.iter().map(one).collect::<Option<Vec<_>>>()?;
        let compare = Compare::Among { values, within };
        (operands.len() <= MAX_VALUES).then(|| vec![Condition::Is(column, compare)])
    };
    match test {
        Test::Eq(operands) => match operands.as_slice() {
            [operand] => to("=", operand),
            _ => None,
        },
        Test::Ne(operands) => match operands.as_slice() {
            [operand] => to("<>", operand),
            _ => None,
        },
        Test::Lt(operand) => to("<", operand),
        Test::Lte(operand) => to("<=", operand),
        Test::Gt(operand) => to(">", operand),
        Test::Gte(operand) => to(">=", operand),
        Test::Between(low, high) => between(low, high, true),
        Test::Except(low, high) => between(low, high, false),
        Test::In(operands) => among(operands, true),
        Test::Nin(operands) => among(operands, false),
        Test::Re(_) => None,
    }
}

/// A value as the column holds it; none when it is of another sort.
fn bound(column: &Column, operand: &Operand) -> Option<Bound> {
    let bound = match operand {
        Operand::Text(text) => Bound::from(text.as_str()),
        Operand::Boolean(flag) => Bound::Number(i64::from(*flag)),
        Operand::Integer(number) => Bound::Number(*number),
        Operand::Uuid(id) => Bound::Text(id.map(|id| id.to_string()).unwrap_or_default()),
        Operand::Address(address) => Bound::Text(address_key(*address)),
        Operand::Time(time) => Bound::Number(time.as_millis()),
        Operand::Json(..) => return None,
    };
    let fits =
        matches!((&bound, column.form), (Bound::Text(_), Form::Text) | (Bound::Number(_), Form::Number));
    fits.then_some(bound)
}
