//! One entry of a task list (`spec/machine-model.md` 1.4).

use crate::names;
use protocol::model::Kind;

/// What an entry asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry<'a> {
    /// The machine enters a stage.
    Stage(&'a str),
    /// The machine boots something else next.
    BootEnv(&'a str),
    /// What follows runs in another context; the empty one is the machine itself.
    Context(&'a str),
    /// What follows runs in another root directory: the agent's to do, so it is a job.
    Chroot(&'a str),
    /// The server does something to the machine: `NAME`, or `PLUGIN:NAME`.
    Action(&'a str),
    /// A task.
    Task(&'a str),
}

impl<'a> Entry<'a> {
    /// Reads an entry. What has no known prefix is a task.
    pub fn read(entry: &'a str) -> Self {
        match entry.split_once(':') {
            Some(("stage", name)) => Self::Stage(name),
            Some(("bootenv", name)) => Self::BootEnv(name),
            Some(("context", name)) => Self::Context(name),
            Some(("chroot", path)) => Self::Chroot(path),
            Some(("action", name)) => Self::Action(name),
            Some(_) | None => Self::Task(entry),
        }
    }

    /// Whether the server itself walks over it.
    pub const fn is_transition(self) -> bool {
        match self {
            Self::Stage(_) | Self::BootEnv(_) | Self::Context(_) => true,
            Self::Chroot(_) | Self::Action(_) | Self::Task(_) => false,
        }
    }

    /// Why it is no entry of a task list at all, whatever exists.
    pub fn problem(self) -> Option<String> {
        let misnamed = |kind, name| names::check(kind, name).err().map(|error| error.to_string());
        match self {
            Self::Stage(name) => misnamed(Kind::Stages, name),
            Self::BootEnv(name) => misnamed(Kind::BootEnvs, name),
            Self::Context("") => None,
            Self::Context(name) => misnamed(Kind::Contexts, name),
            Self::Chroot("") => Some("chroot: names no path".to_owned()),
            Self::Chroot(_) => None,
            Self::Action(name) => {
                let parts: Vec<&str> = name.split(':').collect();
                let named =
                    matches!(parts.as_slice(), [_] | [_, _]) && parts.iter().all(|part| !part.is_empty());
                (!named).then(|| format!("action:{name} is not action:NAME or action:PLUGIN:NAME"))
            }
            Self::Task(name) => match name.split_once(':') {
                Some((prefix, _)) => Some(format!(
                    "{name:?} begins with {prefix:?}, which is none of stage, bootenv, context, chroot and action"
                )),
                None => misnamed(Kind::Tasks, name),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entry_is_told_by_its_prefix() {
        for (text, entry, transition) in [
            ("stage:s1", Entry::Stage("s1"), true),
            ("bootenv:e1", Entry::BootEnv("e1"), true),
            ("context:", Entry::Context(""), true),
            ("chroot:/mnt", Entry::Chroot("/mnt"), false),
            ("action:ipmi:on", Entry::Action("ipmi:on"), false),
            ("stage", Entry::Task("stage"), false),
        ] {
            assert_eq!(Entry::read(text), entry);
            assert_eq!(entry.is_transition(), transition, "{text}");
            assert_eq!(entry.problem(), None, "{text}");
        }
    }

    #[test]
    fn entry_that_nobody_understands_is_told_why() {
        for (text, problem) in [
            ("stage:", "stage name is empty; give one of 2 to 253 characters"),
            ("bootenv:9", "bootenv name must begin with a letter"),
            ("chroot:", "chroot: names no path"),
            ("action:", "action: is not action:NAME or action:PLUGIN:NAME"),
            ("action:a:b:c", "action:a:b:c is not action:NAME or action:PLUGIN:NAME"),
            (
                "task:t1",
                "\"task:t1\" begins with \"task\", which is none of stage, bootenv, context, chroot and action",
            ),
        ] {
            assert_eq!(Entry::read(text).problem().unwrap(), problem);
        }
    }
}
