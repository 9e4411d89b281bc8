//! What server and installer tell each other about an installation: what is on a machine's disks,
//! which of them is to become what, the order to install, how far it has come, and the permit without
//! which no disk is written.

mod import;
mod layout;
mod order;
mod permit;
mod plan;
mod preview;
mod progress;
mod run;
mod survey;

pub use import::{ImportPhase, ImportState};
pub use layout::{BOOT_MIB, Filesystem, Layout, LayoutError, Lvm, MAX_RAID, MAX_VOLUMES, Volume};
pub use order::{AgentOrder, BootOrder, ImageOrder, InstallOrder, Layer, Seed, Source, Way};
pub use permit::{
    MAX_PERMIT_LEN, MAX_PERMIT_LIFE, MAX_PERMITTED, Permit, PermitAnswer, PermitShape, PermittedDisk,
    ReceivedPermit,
};
pub use plan::{DiskPlan, Fate, PlanError, PlannedDisk, Shared, apart, plan, shown};
pub use preview::{ParamInForce, ParamSource, RoleInForce, SeedPreview, Setup, SourceKind};
pub use progress::{FirstBoot, Progress, ProgressAnswer, Step};
pub use run::{
    EscrowedKey, MAX_ESCROW, Mode, Provision, ProvisionRequest, ProvisionStatus, Reboot, StepTime,
};
pub use survey::{Contents, DiskRule, MAX_PARTITIONS, PartitionFound, Pick};
