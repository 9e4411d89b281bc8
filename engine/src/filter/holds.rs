//! Whether filters hold for objects as REST shows them, and what is shown of these.

use super::{Filter, NAMES, Operand, Query, Shape, Subject, Test, moment, optional};
use crate::fields::SERVER_SET;
use crate::index::{Index, ValueType};
use crate::natural;
use crate::patch::equal;
use serde_json::{Map, Value};
use std::cmp::Ordering;

impl Subject {
    /// What the object has there, as something to compare with.
    fn of(&self, object: &Value) -> Option<Operand> {
        let Self::Index(index) = self else { return self.param(object) };
        let value = object.pointer(index.pointer)?;
        let text = || value.as_str().unwrap_or_default();
        match index.values {
            ValueType::Text => Some(Operand::Text(text().to_owned())),
            ValueType::Boolean => value.as_bool().map(Operand::Boolean),
            ValueType::Integer => value.as_i64().map(Operand::Integer),
            ValueType::Uuid => optional(text(), |text| text.parse().ok()).map(Operand::Uuid),
            ValueType::Address => optional(text(), |text| text.parse().ok()).map(Operand::Address),
            ValueType::Time => moment(text()).map(Operand::Time),
            ValueType::Natural => Some(Operand::Text(natural::key(text()))),
            ValueType::Names => Some(Operand::Text(joined(value))),
            ValueType::List => None,
        }
    }

    fn param(&self, object: &Value) -> Option<Operand> {
        let value = object.get("Params")?.get(self.name())?;
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        Some(Operand::Json(value.clone(), text))
    }
}

impl Operand {
    fn equals(&self, other: &Self) -> bool {
        match (self, other) {
            // Digits may have been meant as text: both readings count.
            (Self::Json(one, text), Self::Json(other, as_written)) => equal(one, other) || text == as_written,
            (one, other) => one == other,
        }
    }

    /// Which comes first; none where there is no order between them.
    fn order(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Text(one), Self::Text(other)) => Some(one.cmp(other)),
            (Self::Boolean(one), Self::Boolean(other)) => Some(one.cmp(other)),
            (Self::Integer(one), Self::Integer(other)) => Some(one.cmp(other)),
            (Self::Uuid(one), Self::Uuid(other)) => Some(one.cmp(other)),
            (Self::Address(one), Self::Address(other)) => Some(one.cmp(other)),
            (Self::Time(one), Self::Time(other)) => Some(one.cmp(other)),
            (Self::Json(Value::Number(one), _), Self::Json(Value::Number(other), _)) => {
                one.as_f64()?.partial_cmp(&other.as_f64()?)
            }
            (Self::Json(Value::String(one), _), Self::Json(_, other)) => Some(one.cmp(other)),
            (Self::Json(Value::Bool(one), _), Self::Json(Value::Bool(other), _)) => Some(one.cmp(other)),
            _ => None,
        }
    }
}

impl Filter {
    /// Whether it holds for an object as REST shows it.
    pub fn matches(&self, object: &Value) -> bool {
        match &self.subject {
            Subject::Index(index) if index.is_list() => self.test.of_list(object.pointer(index.pointer)),
            Subject::Index(_) | Subject::Param(_) => self.test.of_value(self.subject.of(object).as_ref()),
        }
    }
}

/// A list of names as one text, in whose order lists of them are.
fn joined(names: &Value) -> String {
    let names = names.as_array().into_iter().flatten().filter_map(Value::as_str);
    names.collect::<Vec<_>>().join(NAMES)
}

impl Test {
    fn of_value(&self, found: Option<&Operand>) -> bool {
        let equals = |operand: &Operand| found.is_some_and(|found| found.equals(operand));
        let order = |operand: &Operand| found.and_then(|found| found.order(operand));
        let between = |low: &Operand, high: &Operand| {
            order(low).is_some_and(Ordering::is_ge) && order(high).is_some_and(Ordering::is_le)
        };
        match self {
            Self::Eq(operands) => operands.iter().all(equals),
            Self::Ne(operands) => !operands.iter().all(equals),
            Self::Lt(operand) => order(operand).is_some_and(Ordering::is_lt),
            Self::Lte(operand) => order(operand).is_some_and(Ordering::is_le),
            Self::Gt(operand) => order(operand).is_some_and(Ordering::is_gt),
            Self::Gte(operand) => order(operand).is_some_and(Ordering::is_ge),
            Self::Between(low, high) => between(low, high),
            Self::Except(low, high) => !between(low, high),
            Self::In(operands) => operands.iter().any(equals),
            Self::Nin(operands) => !operands.iter().any(equals),
            Self::Re(expression) => match found {
                Some(Operand::Text(text) | Operand::Json(Value::String(text), _)) => {
                    expression.is_match(text)
                }
                Some(_) | None => false,
            },
        }
    }

    fn of_list(&self, list: Option<&Value>) -> bool {
        let has = |operand: &Operand| match (operand, list) {
            (Operand::Text(text), Some(Value::Array(list))) => list.iter().any(|item| item == text.as_str()),
            (Operand::Text(text), Some(Value::Object(members))) => members.contains_key(text),
            _ => false,
        };
        match self {
            Self::Eq(operands) => operands.iter().all(has),
            Self::Ne(operands) => !operands.iter().all(has),
            Self::In(operands) => operands.iter().any(has),
            Self::Nin(operands) => !operands.iter().any(has),
            // Refused when the query was read.
            Self::Lt(_) | Self::Lte(_) | Self::Gt(_) | Self::Gte(_) => false,
            Self::Between(..) | Self::Except(..) | Self::Re(_) => false,
        }
    }
}

impl Query {
    /// Whether all filters hold for an object as REST shows it.
    pub fn matches(&self, object: &Value) -> bool {
        let itself = || object.pointer("/Meta/machine-role").is_some_and(|role| role == "self");
        self.filters.iter().all(|filter| filter.matches(object)) && !(self.exclude_self && itself())
    }

    /// The order of two objects as REST shows them. Those that are the same in it are ordered by
    /// `key`, so that pages never overlap.
    pub fn order(&self, key: &'static Index, one: &Value, other: &Value) -> Ordering {
        let by = |index: &&'static Index| {
            let subject = Subject::Index(index);
            match (subject.of(one), subject.of(other)) {
                (Some(one), Some(other)) => one.order(&other).unwrap_or(Ordering::Equal),
                (one, other) => one.is_some().cmp(&other.is_some()),
            }
        };
        let order = self.sort.iter().chain([&key]).map(by).find(|order| order.is_ne());
        let order = order.unwrap_or(Ordering::Equal);
        if self.reverse { order.reverse() } else { order }
    }

    /// The part of a whole list that was asked for: the first one in it, and the one after its last.
    pub fn part(&self, len: usize) -> std::ops::Range<usize> {
        let start = self.offset.min(len);
        let end = self.limit.map_or(len, |limit| start.saturating_add(limit).min(len));
        start..end
    }
}

impl Shape {
    /// Leaves out of an object what was not asked for, and says so in it.
    pub fn trim(&self, object: &mut Map<String, Value>) {
        let mut trimmed = false;
        if let (Some(names), Some(Value::Object(params))) = (&self.params, object.get_mut("Params")) {
            let before = params.len();
            params.retain(|name, _| names.iter().any(|kept| kept == name));
            trimmed |= params.len() < before;
        }
        for name in &self.slim {
            trimmed |= object.remove(name).is_some();
        }
        if self.reduced {
            for name in SERVER_SET {
                object.remove(name);
            }
        } else if trimmed {
            object.insert("Partial".to_owned(), Value::Bool(true));
        }
    }
}
