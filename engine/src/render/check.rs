//! Whether a machine's files can be rendered: what its `Errors` say.

use super::library::Templated;
use super::scene::Scene;
use crate::{bootenv, params};
use protocol::model::Kind;

/// Most sentences about one machine, and most characters of one.
const MAX_ERRORS: usize = 32;
const MAX_SENTENCE: usize = 500;

impl Scene {
    /// What keeps the machine from booting: an architecture that its bootenv does not have, params
    /// that are required and unset, files that cannot be rendered. Empty when all is well. What
    /// bootenv or stage lack themselves is not told here, nor that they do not exist.
    pub fn errors(&self) -> Vec<String> {
        let mut errors = Vec::new();
        if let Some(env) = self.bootenv() {
            if !bootenv::supports(env, self.arch()) {
                errors.push(format!("bootenv {} does not support architecture {}", env.name, self.arch()));
            }
            errors.extend(self.missing_params(&**env));
        }
        if let Some(stage) = self.stage() {
            errors.extend(self.missing_params(&**stage));
        }
        for desk in self.desks() {
            for sheet in desk.list() {
                let failed = match desk.plan(sheet, self) {
                    Ok(planned) => planned.into_iter().find_map(|planned| desk.file(planned).err()),
                    Err(error) => Some(error),
                };
                let Some(error) = failed else { continue };
                errors.push(error.to_string());
                if error.is_limit() || errors.len() >= MAX_ERRORS {
                    // What is too large once is too large again, and everybody waits for it.
                    return tidy(errors);
                }
            }
        }
        tidy(errors)
    }

    /// Params that an object requires and nobody set.
    pub(super) fn missing_params<T: Templated>(&self, object: &T) -> Vec<String> {
        let unset = |key: &&String| params::lookup(&self.content, self.machine.as_deref(), key).is_none();
        let of = |key: &String| {
            format!("{} {} requires param {key:?}, which is not set", noun::<T>(), object.name())
        };
        object.required().iter().filter(unset).map(of).collect()
    }
}

const fn noun<T: Templated>() -> &'static str {
    Kind::noun(T::KIND)
}

fn tidy(mut errors: Vec<String>) -> Vec<String> {
    errors.dedup();
    errors.truncate(MAX_ERRORS);
    for error in &mut errors {
        if let Some((end, _)) = error.char_indices().nth(MAX_SENTENCE) {
            error.truncate(end);
            error.push('…');
        }
    }
    errors
}
