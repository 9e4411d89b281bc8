//! What other use cases ask about runs.

use crate::app::App;
use crate::app::error::AppError;
use protocol::ids::MachineId;
use protocol::install::{ImageOrder, Provision};
use std::collections::BTreeSet;

impl App {
    /// The run that a machine is in, and the image that it installs.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn active_run_of(
        &self,
        machine: MachineId,
    ) -> Result<Option<(Provision, ImageOrder)>, AppError> {
        let Some(machine) = self.store.machine(machine).await? else { return Ok(None) };
        let Some(run) = self.active_run(&machine).await? else { return Ok(None) };
        Ok(Some((run.view(), self.store.goods(run.id).await?.image)))
    }

    /// Digests of the images that active runs install, and of their files.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn images_in_use(&self) -> Result<Vec<String>, AppError> {
        let mut digests = BTreeSet::new();
        for goods in self.store.active_goods().await? {
            digests.insert(goods.image.digest);
            digests.extend(goods.image.layers.into_iter().map(|layer| layer.digest));
        }
        digests.remove("");
        Ok(digests.into_iter().collect())
    }
}
