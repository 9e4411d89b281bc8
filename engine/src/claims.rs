//! Who may do what: claims, which access roles hold (`spec/machine-model.md` 5.2).
//!
//! A claim names a collection (`scope`), what may be done (`action`) and to which keys (`specific`);
//! each part is `*` or a comma list. `update:/Json/Pointer` allows changes at and below the pointer
//! only, `action:NAME` one action only; `update` and `action` allow all of theirs. What a change
//! needs follows from what it really changes ([`changed`]), not from how the request is written.

use crate::content::Content;
use protocol::model::{Claim, Role};
use serde_json::{Map, Value};
use std::sync::Arc;

fn everything() -> Claim {
    let any = || "*".to_owned();
    Claim { scope: any(), action: any(), specific: any() }
}

/// Everything that somebody may do. Cheap to clone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claims(Vec<Arc<Role>>);

impl Claims {
    /// All that there is.
    pub fn all() -> Self {
        Self::of_list(vec![everything()])
    }

    /// These and nothing else.
    pub fn of_list(claims: Vec<Claim>) -> Self {
        Self(vec![Arc::new(Role { claims, ..Role::default() })])
    }

    /// Those of these roles. A role that does not exist allows nothing.
    pub fn of_roles<'a>(content: &Content, roles: impl IntoIterator<Item = &'a String>) -> Self {
        Self(roles.into_iter().filter_map(|name| content.roles.get(name)).cloned().collect())
    }

    /// These and those.
    #[must_use]
    pub fn and(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }

    /// Whether they allow an action on the object of this key; an empty key stands for the
    /// collection itself.
    pub fn allow(&self, scope: &str, action: &str, key: &str) -> bool {
        self.each().any(|claim| {
            lists(&claim.scope, scope) && acts(&claim.action, action) && lists(&claim.specific, key)
        })
    }

    /// Whether they allow all that a claim does: nobody grants what they do not have.
    pub fn cover(&self, claim: &Claim) -> bool {
        // A `*` asked for is only in a list that says `*`.
        parts(&claim.scope).all(|scope| {
            parts(&claim.action)
                .all(|action| parts(&claim.specific).all(|specific| self.allow(scope, action, specific)))
        })
    }

    /// The first of these claims that they do not cover.
    pub fn first_uncovered<'a>(&self, claims: impl IntoIterator<Item = &'a Claim>) -> Option<&'a Claim> {
        claims.into_iter().find(|claim| !self.cover(claim))
    }

    /// Each of them.
    pub fn each(&self) -> impl Iterator<Item = &Claim> {
        self.0.iter().flat_map(|role| &role.claims)
    }
}

/// What a change of the content hands on: claims that users, roles and tasks have after it and had
/// not before. Who makes the change must have them too.
pub fn granted(before: &Content, after: &Content) -> Claims {
    let mut claims = Vec::new();
    let mut roles: Vec<String> = Vec::new();
    for user in after.users.iter() {
        let old = before.users.get(&user.name);
        if old.is_none_or(|old| !Arc::ptr_eq(old, user)) {
            roles.extend(added(old.map(|old| &*old.roles), &user.roles));
        }
    }
    for role in after.roles.iter() {
        let old = before.roles.get(&role.name);
        if old.is_none_or(|old| !Arc::ptr_eq(old, role)) {
            claims.extend(added(old.map(|old| &*old.claims), &role.claims));
        }
    }
    for task in after.tasks.iter() {
        let old = before.tasks.get(&task.name);
        if old.is_none_or(|old| !Arc::ptr_eq(old, task)) {
            claims.extend(added(old.map(|old| &*old.extra_claims), &task.extra_claims));
            roles.extend(added(old.map(|old| &*old.extra_roles), &task.extra_roles));
        }
    }
    Claims::of_list(claims).and(Claims::of_roles(after, &roles))
}

fn added<T: Clone + PartialEq>(before: Option<&[T]>, after: &[T]) -> Vec<T> {
    let before = before.unwrap_or_default();
    after.iter().filter(|one| !before.contains(one)).cloned().collect()
}

fn parts(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim)
}

fn lists(list: &str, wanted: &str) -> bool {
    parts(list).any(|part| part == "*" || part == wanted)
}

fn acts(list: &str, wanted: &str) -> bool {
    parts(list).any(|part| {
        part == "*"
            || wanted.strip_prefix(part).is_some_and(|rest| match rest.chars().next() {
                None => true,
                // The whole action covers its special cases, a pointer what is below it.
                Some(':') => !part.contains(':'),
                Some('/') => part.contains(":/"),
                Some(_) => false,
            })
    })
}

/// JSON pointers to everything that differs, as deep as both sides are maps. Top-level fields of
/// these names are left out: the server keeps them whatever a client writes.
pub fn changed(before: &Value, wanted: &Value, kept: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    match (before, wanted) {
        (Value::Object(before), Value::Object(wanted)) => compare(before, wanted, "", kept, &mut found),
        _ if before == wanted => {}
        _ => found.push(String::new()),
    }
    found
}

fn compare(
    before: &Map<String, Value>,
    wanted: &Map<String, Value>,
    at: &str,
    kept: &[&str],
    found: &mut Vec<String>,
) {
    let gone = before.keys().filter(|key| !wanted.contains_key(*key));
    for key in wanted.keys().chain(gone).filter(|key| !kept.contains(&key.as_str())) {
        let pointer = || format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
        match (before.get(key), wanted.get(key)) {
            (Some(Value::Object(before)), Some(Value::Object(wanted))) => {
                compare(before, wanted, &pointer(), &[], found);
            }
            (before, wanted) if before == wanted => {}
            _ => found.push(pointer()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use protocol::model::{Task, User};
    use serde_json::json;

    fn claim(scope: &str, action: &str, specific: &str) -> Claim {
        Claim { scope: scope.into(), action: action.into(), specific: specific.into() }
    }

    fn claims(list: &[(&str, &str, &str)]) -> Claims {
        Claims::of_list(list.iter().map(|(scope, action, key)| claim(scope, action, key)).collect())
    }

    #[test]
    fn each_part_is_a_star_or_a_list() {
        let some = claims(&[("machines, jobs", "get,list", "a,b"), ("profiles", "*", "*")]);
        assert!(some.allow("machines", "get", "a") && some.allow("jobs", "list", "b"));
        assert!(some.allow("profiles", "delete", "anything") && some.allow("profiles", "list", ""));
        for (scope, action, key) in [
            ("machines", "get", "c"),
            ("machines", "list", ""),
            ("machines", "delete", "a"),
            ("roles", "get", "a"),
        ] {
            assert!(!some.allow(scope, action, key), "{scope} {action} {key}");
        }
        assert!(!Claims::default().allow("machines", "get", "a"));
    }

    #[test]
    fn pointer_allows_what_is_below_it_and_the_whole_action_every_pointer() {
        let params = claims(&[("machines", "update:/Params/a", "*")]);
        for (action, allowed) in [
            ("update:/Params/a", true),
            ("update:/Params/a/deep", true),
            ("update:/Params/ab", false),
            ("update:/Params", false),
            ("update", false),
        ] {
            assert_eq!(params.allow("machines", action, "m"), allowed, "{action}");
        }
        let whole = claims(&[("machines", "update,action", "*")]);
        assert!(whole.allow("machines", "update:/Params/a", "m") && whole.allow("machines", "action:x", "m"));
        assert!(!whole.allow("machines", "updateSecure", "m"));
        assert!(!claims(&[("machines", "action:x", "*")]).allow("machines", "action:xy", "m"));
    }

    #[test]
    fn nobody_covers_more_than_they_may() {
        let some = claims(&[("machines", "get,update:/Params", "*"), ("machines", "delete", "a,b")]);
        assert!(some.cover(&claim("machines", "get,update:/Params/x", "a,c")));
        assert!(some.cover(&claim("machines", "delete", "b")));
        for beyond in [
            claim("*", "get", "a"),
            claim("machines", "*", "a"),
            claim("machines", "update", "a"),
            claim("machines", "delete", "*"),
            claim("machines,jobs", "get", "a"),
        ] {
            assert!(!some.cover(&beyond), "{beyond:?}");
        }
        assert!(Claims::all().cover(&everything()));
    }

    #[test]
    fn change_is_told_by_what_differs_as_deep_as_there_are_maps() {
        let before =
            json!({"Name": "a", "Params": {"x": 1, "a/b": {"c": 1}}, "Profiles": ["p"], "Errors": []});
        let wanted = json!({"Name": "a", "Params": {"y": 1, "a/b": {"c": 2}}, "Profiles": ["p", "q"], "Errors": ["e"]});
        let mut found = changed(&before, &wanted, &["Errors"]);
        found.sort();
        assert_eq!(found, ["/Params/a~1b/c", "/Params/x", "/Params/y", "/Profiles"]);
        assert!(changed(&before, &before, &[]).is_empty());
        assert_eq!(changed(&json!(1), &json!([]), &[]), [""]);
    }

    #[test]
    fn what_is_granted_is_what_is_new() {
        let mut before = Content::default();
        let role = |name: &str, claims| Role { name: name.into(), claims, ..Role::default() };
        let user = |roles: &[&str]| User {
            name: "eve".into(),
            roles: roles.iter().map(ToString::to_string).collect(),
            ..User::default()
        };
        before.roles.put(role("reads", vec![claim("machines", "get", "*")]));
        before.roles.put(role("deletes", vec![claim("machines", "delete", "*")]));
        before.users.put(user(&["reads"]));
        let granted_by = |change: &dyn Fn(&mut Content)| {
            let mut after = before.clone();
            change(&mut after);
            granted(&before, &after).each().map(|claim| claim.action.clone()).collect::<Vec<_>>()
        };
        assert!(granted_by(&|_| {}).is_empty());
        assert!(granted_by(&|content| content.users.put(user(&[]))).is_empty());
        assert_eq!(
            granted_by(&|content| content.users.put(user(&["reads", "deletes", "later"]))),
            ["delete"]
        );
        let more = vec![claim("machines", "get", "*"), claim("jobs", "list", "*")];
        assert_eq!(granted_by(&|content| content.roles.put(role("reads", more.clone()))), ["list"]);
        let task = Task {
            name: "t".into(),
            extra_claims: vec![claim("users", "create", "*")],
            extra_roles: vec!["deletes".into()],
            ..Task::default()
        };
        assert_eq!(granted_by(&|content| content.tasks.put(task.clone())), ["create", "delete"]);
    }

    fn part() -> impl Strategy<Value = String> {
        prop_oneof![Just("*".to_owned()), "[abc]{1,2}", "[abc],[abc]", "update(:/[ab](/[ab])?)?"]
    }

    fn any_claim() -> impl Strategy<Value = Claim> {
        (part(), part(), part()).prop_map(|(scope, action, specific)| Claim { scope, action, specific })
    }

    proptest! {
        /// Whatever a covered claim allows, those who cover it may do themselves.
        #[test]
        fn covering_is_no_way_to_more_rights(
            held in proptest::collection::vec(any_claim(), 0..4),
            granted in any_claim(),
            scope in "[abc]{1,2}",
            action in "[abc]{1,2}|update(:/[ab](/[ab])?)?",
            key in "[abc]{0,2}",
        ) {
            let held = Claims::of_list(held);
            if held.cover(&granted) && Claims::of_list(vec![granted]).allow(&scope, &action, &key) {
                prop_assert!(held.allow(&scope, &action, &key));
            }
        }

        /// No difference has no pointer, and every difference has one.
        #[test]
        fn what_differs_is_found(before in any_json(), wanted in any_json()) {
            prop_assert_eq!(changed(&before, &wanted, &[]).is_empty(), before == wanted);
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            "[ab~/]{0,2}".prop_map(Value::from)
        ];
        leaf.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                proptest::collection::btree_map("[ab~/]{1,2}", inner, 0..3)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }
}
