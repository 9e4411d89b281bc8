//! What time does to runs: a step has taken too long, or an image has become ready.

use super::{RETRIES, RUNS};
use crate::app::App;
use crate::app::Resolved;
use crate::app::enroll::busy;
use crate::app::error::{AppError, AppErrorKind};
use engine::change::{Cause, Change, Changes};
use engine::machine::Machine;
use engine::provision::{self, Followed, Goods, Run};
use engine::time::Timestamp;
use uuid::Uuid;

impl App {
    /// Looks after every run that it is time for. What goes wrong with one is told in the log, and does not
    /// keep the others waiting.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn look_after_runs(&self, now: Timestamp) -> Result<(), AppError> {
        for run in self.store.due_runs(now).await? {
            if let Err(error) = self.look_after(run.id, now).await {
                tracing::error!(run = %run.id, %error, "a provision run could not be looked after; it is tried again");
            }
        }
        Ok(())
    }

    async fn look_after(&self, id: Uuid, now: Timestamp) -> Result<(), AppError> {
        for _ in 0..RETRIES {
            let Some(run) = self.store.run(id).await?.filter(Run::is_active) else { return Ok(()) };
            let Some(machine) = self.store.machine(run.machine).await? else { return Ok(()) };
            let cause = Cause::system(now);
            let (after, goods) = if run.held {
                self.look_for_image(&run, &machine, &cause).await?
            } else {
                let job = self.current_job(&machine).await?;
                match provision::overdue(&run, &machine, job.as_ref(), now) {
                    Some(after) => (after, None),
                    None => return Ok(()),
                }
            };
            let goods = goods.map(|goods| Change::PutGoods { run: id, goods: Box::new(goods) });
            let changes = goods.into_iter().fold(Changes::new(now), Changes::and);
            if self.commit_run(run, machine, after, changes, &cause.principal).await?.is_some() {
                return Ok(());
            }
        }
        Err(busy())
    }

    /// Whether the image of a held run is ready by now.
    async fn look_for_image(
        &self,
        run: &Run,
        machine: &Machine,
        cause: &Cause,
    ) -> Result<(Followed, Option<Goods>), AppError> {
        let held = |percent, message: &str| {
            let run = provision::held_back(run, percent, message, cause.at);
            (Followed { run, machine: machine.clone(), job: None }, None)
        };
        let failed = |error: &AppError| {
            let next = "put the image right, then provision the machine again";
            provision::fail(run, machine, None, &error.to_string(), next, cause.at)
        };
        match self.resolve_image(&run.image, &machine.fields.arch).await {
            Ok(Resolved::Importing { percent, message }) => Ok(held(percent, &message)),
            Ok(Resolved::Ready(ready)) => {
                let goods = Goods { image: ready.order, ..self.store.goods(run.id).await? };
                let digest = &goods.image.digest;
                match provision::release(run, machine, digest, &self.content(), cause) {
                    Ok(begun) => Ok((begun, Some(goods))),
                    Err(problem) => {
                        Ok((failed(&AppError::from(problem).about(RUNS, run.id.to_string())), None))
                    }
                }
            }
            // Our own trouble passes.
            Err(error) if matches!(error.kind, AppErrorKind::Unavailable | AppErrorKind::Internal) => {
                Ok(held(run.progress.percent, &error.to_string()))
            }
            Err(error) => Ok((failed(&error), None)),
        }
    }
}
