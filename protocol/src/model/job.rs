//! Jobs: one run of one task on one machine (`spec/machine-model.md` 2.10, 4).

use super::{Claim, Envelope, Meta};
use serde::{Deserialize, Serialize};
use std::fmt;
use uuid::Uuid;

/// The time of what has not happened yet, as Go writes it: clients parse it.
pub const ZERO_TIME: &str = "0001-01-01T00:00:00Z";

/// Where a job stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// Made, not begun.
    #[default]
    Created,
    /// Its agent works on it.
    Running,
    /// Stopped on the way; it begins again.
    Incomplete,
    /// Ended badly.
    Failed,
    /// Ended well.
    Finished,
}

impl JobState {
    /// Whether it can change no more.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Failed | Self::Finished)
    }

    /// The word of the wire.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Incomplete => "incomplete",
            Self::Failed => "failed",
            Self::Finished => "finished",
        }
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// What a job's end asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum ExitState {
    /// Not ended.
    #[default]
    #[serde(rename = "")]
    None,
    /// Nothing.
    Complete,
    /// It failed.
    Failed,
    /// A reboot.
    Reboot,
    /// Power off.
    Poweroff,
    /// That the agent stops.
    Stop,
}

impl ExitState {
    /// The word of the wire.
    pub const fn word(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Complete => "complete",
            Self::Failed => "failed",
            Self::Reboot => "reboot",
            Self::Poweroff => "poweroff",
            Self::Stop => "stop",
        }
    }
}

impl fmt::Display for ExitState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// One run of one task on one machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct Job {
    /// Its id.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub uuid: Uuid,
    /// The machine's job before it; all zero for the first.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub previous: Uuid,
    /// The machine.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub machine: Uuid,
    /// The task, or the entry of the task list.
    pub task: String,
    /// The machine's stage when it was made.
    pub stage: String,
    /// The machine's workflow when it was made.
    pub workflow: String,
    /// The machine's boot environment when it was made.
    pub boot_env: String,
    /// The context it runs in.
    pub context: String,
    /// Where it stands.
    pub state: JobState,
    /// What its end asked for.
    pub exit_state: ExitState,
    /// RFC 3339; [`ZERO_TIME`] before.
    pub start_time: String,
    /// RFC 3339; [`ZERO_TIME`] before.
    pub end_time: String,
    /// Whether its log was archived; always false.
    pub archived: bool,
    /// Whether it is the machine's newest.
    pub current: bool,
    /// Index of its entry in the machine's task list.
    pub current_index: i64,
    /// Index of the entry after it.
    pub next_index: i64,
    /// Why it failed, in words.
    pub result_errors: Vec<String>,
    /// Claims of its token beside the machine's own.
    pub extra_claims: Vec<Claim>,
    /// How often it was handed out: a lease's number. Reports under an older one are refused.
    pub epoch: i64,
    /// Always empty: work orders do not exist here.
    pub work_order: String,
    /// Always empty.
    pub target_key: String,
    /// Always empty.
    pub target_prefix: String,
    /// Always empty.
    pub pipeline: String,
    /// Always false.
    pub independent: bool,
    /// Common fields.
    #[serde(flatten)]
    pub envelope: Envelope,
}

impl Default for Job {
    fn default() -> Self {
        Self {
            uuid: Uuid::nil(),
            previous: Uuid::nil(),
            machine: Uuid::nil(),
            task: String::new(),
            stage: String::new(),
            workflow: String::new(),
            boot_env: String::new(),
            context: String::new(),
            state: JobState::default(),
            exit_state: ExitState::default(),
            start_time: ZERO_TIME.to_owned(),
            end_time: ZERO_TIME.to_owned(),
            archived: false,
            current: false,
            current_index: 0,
            next_index: 0,
            result_errors: Vec::new(),
            extra_claims: Vec::new(),
            epoch: 0,
            work_order: String::new(),
            target_key: String::new(),
            target_prefix: String::new(),
            pipeline: String::new(),
            independent: false,
            envelope: Envelope::default(),
        }
    }
}

/// One rendered template of a task: a file to write, or a script to run where `Path` is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct JobAction {
    /// The template's name.
    pub name: String,
    /// Where to write it; empty runs it.
    pub path: String,
    /// The rendered text.
    pub content: String,
    /// The template's labels.
    #[cfg_attr(feature = "openapi", schema(value_type = std::collections::BTreeMap<String, String>))]
    pub meta: Meta,
}
