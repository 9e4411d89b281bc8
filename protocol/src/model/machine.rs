//! The machine object of the page (`seeds/machine-object.txt`, `spec/machine-model.md` 1.2).

use super::Params;
use serde::{Deserialize, Serialize};

/// The fields of the machine page, but for the id, the name and the common ones.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct MachineFields {
    /// IPv4 address that third parties reach it at, or empty. Not managed by the server.
    pub address: String,
    /// Hardware addresses: lower case, colons.
    pub hardware_addrs: Vec<String>,
    /// Architecture in Go's words: `amd64`, `arm64`, ...
    pub arch: String,
    /// What it boots next.
    pub boot_env: String,
    /// Current stage.
    pub stage: String,
    /// Workflow it goes through, or empty.
    pub workflow: String,
    /// Entries that it ran, runs and will run.
    pub tasks: Vec<String>,
    /// Index of the running entry; -1: none has run; the list's length: all have.
    pub current_task: i64,
    /// Id of the current or last job, or empty.
    pub current_job: String,
    /// How often the current task was tried again.
    pub retry_task_attempt: i64,
    /// Task lists that error handlers interrupted.
    pub task_error_stacks: Vec<TaskErrorStack>,
    /// Whether the agent may create and run jobs.
    pub runnable: bool,
    /// Whether changes by users are refused.
    pub locked: bool,
    /// Where its tasks run; empty: on the machine itself.
    pub context: String,
    /// Its own params; they win over every other source.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub params: Params,
    /// Profiles in order; the first that has a param wins.
    pub profiles: Vec<String>,
    /// Part of the key of its tokens. Another value ends them.
    pub secret: String,
    /// Operating system.
    #[serde(rename = "OS")]
    pub os: String,
    /// By what it is recognised.
    pub fingerprint: HardwareFingerprint,
    /// The pool it is in.
    pub pool: String,
    /// Whether the pool gave it away.
    pub pool_allocated: bool,
    /// Its place in the pool.
    pub pool_status: PoolStatus,
    /// Whether the whole task list ran.
    pub workflow_complete: bool,
    /// State of the current job, or empty.
    pub job_state: String,
    /// Exit state of the current job.
    pub job_exit_state: String,
    /// Why the current job failed.
    pub job_result_errors: Vec<String>,
    /// Always false: work orders do not exist here.
    pub work_order_mode: bool,
    /// Always 0.
    pub pending_work_orders: i64,
    /// Always 0.
    pub running_work_orders: i64,
    /// Always empty.
    pub pipeline: String,
}

impl std::fmt::Debug for MachineFields {
    /// Without the secret and without params, which may hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MachineFields")
            .field("boot_env", &self.boot_env)
            .field("stage", &self.stage)
            .field("workflow", &self.workflow)
            .field("tasks", &self.tasks)
            .field("current_task", &self.current_task)
            .field("runnable", &self.runnable)
            .field("profiles", &self.profiles)
            .field("job_state", &self.job_state)
            .finish_non_exhaustive()
    }
}

impl Default for MachineFields {
    fn default() -> Self {
        Self {
            address: String::new(),
            hardware_addrs: Vec::new(),
            arch: "amd64".to_owned(),
            boot_env: "local".to_owned(),
            stage: "none".to_owned(),
            workflow: String::new(),
            tasks: Vec::new(),
            current_task: 0,
            current_job: String::new(),
            retry_task_attempt: 0,
            task_error_stacks: Vec::new(),
            runnable: true,
            locked: false,
            context: String::new(),
            params: Params::new(),
            profiles: Vec::new(),
            secret: String::new(),
            os: String::new(),
            fingerprint: HardwareFingerprint::default(),
            pool: "default".to_owned(),
            pool_allocated: false,
            pool_status: PoolStatus::default(),
            workflow_complete: true,
            job_state: String::new(),
            job_exit_state: String::new(),
            job_result_errors: Vec::new(),
            work_order_mode: false,
            pending_work_orders: 0,
            running_work_orders: 0,
            pipeline: String::new(),
        }
    }
}

/// Where a machine was when an error handler took over.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct TaskErrorStack {
    /// Index in its list.
    pub current_task: i64,
    /// The job that failed.
    pub current_job: String,
    /// The list.
    pub task_list: Vec<String>,
}

/// Hashes and ids by which a machine is recognised.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct HardwareFingerprint {
    /// Hash of the system's serial number, base64 or empty.
    #[serde(rename = "SSNHash")]
    pub ssn_hash: String,
    /// Hash of the chassis' serial number, base64 or empty.
    #[serde(rename = "CSNHash")]
    pub csn_hash: String,
    /// Instance id of a cloud.
    #[serde(rename = "CloudInstanceID")]
    pub cloud_instance_id: String,
    /// SMBIOS UUID.
    #[serde(rename = "SystemUUID")]
    pub system_uuid: String,
    /// Hashes of memory modules, base64.
    pub memory_ids: Vec<String>,
}

/// A machine's place in its pool.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum PoolStatus {
    /// On its way in.
    Joining,
    /// On its way in, and stuck.
    HoldJoin,
    /// To be had.
    #[default]
    Free,
    /// Being built.
    Building,
    /// Being built, and stuck.
    HoldBuild,
    /// Given away.
    InUse,
    /// Being taken down.
    Destroying,
    /// Being taken down, and stuck.
    HoldDestroy,
    /// On its way out.
    Leaving,
    /// On its way out, and stuck.
    HoldLeave,
}
