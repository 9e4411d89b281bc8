//! What of a query's filters SQL can decide.

use super::bound::Bound;
use super::columns::{Column, Form, ITSELF, address_key};
use crate::store::marks::{GIVEN, Sort, as_text, indexed};
use crate::store::schema::Engine;
use engine::filter::{Filter, Operand, Query, Subject, Test};
use serde_json::Value;

/// Most values of one condition. Longer lists are decided outside.
const MAX_VALUES: usize = 500;

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

/// Something that a machine may have.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Mark {
    pub sort: Sort,
    /// Of one of these names.
    pub names: Vec<String>,
    /// With one of these values; none: whatever its value.
    pub values: Option<Vec<String>>,
}

impl Mark {
    /// A mark of one of these names.
    pub(super) fn named<'a>(sort: Sort, names: impl IntoIterator<Item = &'a str>) -> Self {
        Self { sort, names: names.into_iter().map(indexed).collect(), values: None }
    }
}

/// One condition in SQL.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Condition {
    /// Nothing fulfils it.
    Never,
    Is(&'static Column, Compare),
    Has(Mark),
    HasNot(Mark),
    /// One of these is missing.
    Lacks(Vec<Mark>),
    /// All of these words are in the text by which a machine is searched for.
    Says(Vec<String>),
    /// Its id is one of these, or none.
    Listed(Ids),
}

/// Many ids at once.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ids {
    /// An array in JSON: a statement takes few values, and each number of them is another statement.
    pub json: String,
    /// Whether it has to be one of them.
    pub within: bool,
    /// How JSON is taken apart.
    pub engine: Engine,
}

/// What is the same for all objects of a list, as REST shows them.
pub(crate) struct Shown {
    pub(super) columns: &'static [Column],
    /// Fields that have one value, in an object.
    pub(super) constant: Value,
    pub(super) has_marks: bool,
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
        if !query.search.is_empty() && self.has_marks {
            conditions.push(Condition::Says(query.search.clone()));
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
            Subject::Index(index) if index.is_list() => {
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

/// A filter of roles. None where SQL would have to look at a mark in two ways at once.
pub(super) fn of_roles(test: &Test, is_role: &dyn Fn(&str) -> bool) -> Option<Vec<Condition>> {
    let mark = |name: &str| Mark {
        // Profiles of machines are named in the same way; without the label they are no roles.
        values: (!is_role(name)).then(|| vec![GIVEN.to_owned()]),
        ..Mark::named(Sort::Role, [name])
    };
    match test {
        Test::Eq(operands) => Some(texts(operands)?.into_iter().map(mark).map(Condition::Has).collect()),
        Test::Ne(operands) => Some(vec![Condition::Lacks(texts(operands)?.into_iter().map(mark).collect())]),
        Test::Nin(operands) => Some(texts(operands)?.into_iter().map(mark).map(Condition::HasNot).collect()),
        Test::In(operands) => {
            let names = texts(operands)?;
            let first = mark(names.first()?);
            let same = names.iter().all(|name| mark(name).values == first.values);
            same.then(|| {
                vec![Condition::Has(Mark { values: first.values, ..Mark::named(Sort::Role, names) })]
            })
        }
        Test::Lt(_) | Test::Lte(_) | Test::Gt(_) | Test::Gte(_) => None,
        Test::Between(..) | Test::Except(..) | Test::Re(_) => None,
    }
}

/// A filter of a list. None for lists that are in no table, and for what other sources add to.
fn of_list(index: &str, test: &Test, aggregate: bool) -> Option<Vec<Condition>> {
    let sort = match index {
        "Profiles" => Sort::Profile,
        "Params" if !aggregate => Sort::Param,
        "HardwareAddrs" => Sort::Mac,
        _ => return None,
    };
    let one = |name| Mark::named(sort, [name]);
    match test {
        Test::Eq(operands) => {
            Some(texts(operands)?.into_iter().map(|name| Condition::Has(one(name))).collect())
        }
        Test::Ne(operands) => Some(vec![Condition::Lacks(texts(operands)?.into_iter().map(one).collect())]),
        Test::In(operands) => Some(vec![Condition::Has(Mark::named(sort, texts(operands)?))]),
        Test::Nin(operands) => Some(vec![Condition::HasNot(Mark::named(sort, texts(operands)?))]),
        Test::Lt(_) | Test::Lte(_) | Test::Gt(_) | Test::Gte(_) => None,
        Test::Between(..) | Test::Except(..) | Test::Re(_) => None,
    }
}

/// The texts that a list is asked for; none when there are too many.
fn texts<'a>(operands: &'a [Operand]) -> Option<Vec<&'a str>> {
    let text = |operand: &'a Operand| match operand {
        Operand::Text(text) => Some(text.as_str()),
        Operand::Boolean(_) | Operand::Integer(_) | Operand::Uuid(_) => None,
        Operand::Address(_) | Operand::Time(_) | Operand::Json(..) => None,
    };
    operands.iter().map(text).collect::<Option<Vec<_>>>().filter(|texts| texts.len() <= MAX_VALUES)
}

/// A filter of a param's value.
fn of_param(name: &str, test: &Test) -> Option<Vec<Condition>> {
    let mark = |operands: &[Operand]| {
        let values = operands.iter().map(as_written).collect::<Option<Vec<_>>>()?;
        (values.len() <= MAX_VALUES)
            .then(|| Mark { values: Some(values), ..Mark::named(Sort::Param, [name]) })
    };
    match test {
        Test::Eq(operands) if operands.len() == 1 => Some(vec![Condition::Has(mark(operands)?)]),
        Test::Ne(operands) if operands.len() == 1 => Some(vec![Condition::HasNot(mark(operands)?)]),
        Test::In(operands) => Some(vec![Condition::Has(mark(operands)?)]),
        Test::Nin(operands) => Some(vec![Condition::HasNot(mark(operands)?)]),
        Test::Eq(_) | Test::Ne(_) | Test::Lt(_) | Test::Lte(_) | Test::Gt(_) | Test::Gte(_) => None,
        Test::Between(..) | Test::Except(..) | Test::Re(_) => None,
    }
}

/// A value that was written as its own text: then the digits that were meant as text, and the number,
/// are one in the index as they are one to filters. Other spellings are decided outside.
fn as_written(operand: &Operand) -> Option<String> {
    match operand {
        Operand::Json(value, text) => (as_text(value) == *text).then(|| indexed(text)),
        Operand::Text(_) | Operand::Boolean(_) | Operand::Integer(_) => None,
        Operand::Uuid(_) | Operand::Address(_) | Operand::Time(_) => None,
    }
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
