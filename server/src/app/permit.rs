//! The wipe permit: what one job of one run may erase (`spec/security.md` 5). That the job runs, its lease and
//! that the run is active were looked at by the caller, `provision`.

use super::App;
use super::error::{AppError, AppErrorKind};
use engine::change::{AuditKind, AuditRow, Cause};
use engine::job::Job;
use engine::machine::Machine;
use engine::provision::{Goods, Run, params};
use engine::time::Timestamp;
use protocol::install::{MAX_PERMIT_LIFE, MAX_PERMITTED, Permit, PermittedDisk};

impl App {
    /// A signed permit for the disks that the run's plan erases; told in the audit log first.
    ///
    /// # Errors
    /// `invalid` for a machine that is write-protected or has lost its key, and for a plan that erases no disk
    /// or one that nothing tells from another.
    pub(super) async fn wipe_permit(
        &self,
        machine: &Machine,
        run: &Run,
        goods: &Goods,
        job: &Job,
        cause: &Cause,
    ) -> Result<String, AppError> {
        let refused = |why: String| AppError::new(AppErrorKind::Invalid, format!("no wipe permit: {why}"));
        if params::write_protected(&self.content(), machine).map_err(refused)? {
            let why = "the machine is write-protected: set its param muster/write-protected to false first";
            return Err(refused(why.to_owned()));
        }
        let permit = permit(machine, run, goods, job, self.clock.now()).map_err(refused)?;
        let disks: Vec<&str> = goods.plan.erased().map(|planned| planned.disk.name.as_str()).collect();
        let told = format!("run {}, job {}, erases {}", run.id, permit.job, disks.join(", "));
        self.audit(AuditRow::new(AuditKind::PermitIssued, cause).machine(machine.id).reason(told)).await?;
        self.keys.shown().sign_permit(&permit).map_err(AppError::internal)
    }
}

/// What the job may erase; else why it may not.
fn permit(machine: &Machine, run: &Run, goods: &Goods, job: &Job, now: Timestamp) -> Result<Permit, String> {
    let key = machine.key.as_ref().ok_or("the machine has no key")?;
    let named = |disk: &protocol::inventory::Disk| {
        PermittedDisk::of(disk).ok_or_else(|| format!("nothing tells {} from another disk", disk.name))
    };
    let disks = goods.plan.erased().map(|planned| named(&planned.disk)).collect::<Result<Vec<_>, _>>()?;
    if !(1..=MAX_PERMITTED).contains(&disks.len()) {
        return Err(format!("the plan erases {} disks", disks.len()));
    }
    let now = i64::try_from(now.as_seconds()).map_err(|_| "the clock is out of its mind".to_owned())?;
    Ok(Permit {
        uuid: machine.id.0,
        jkt: key.to_string(),
        run: run.id,
        job: job.fields.uuid,
        epoch: job.fields.epoch,
        disks,
        image: goods.image.digest.clone(),
        exp: now.saturating_add(MAX_PERMIT_LIFE),
    })
}
