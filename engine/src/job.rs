//! A job as it is stored: one run of one task on one machine (`spec/machine-model.md` 2.10, 4).

use crate::change::Revision;
use protocol::model;
use serde::{Deserialize, Serialize};

/// A job. `Serialize` is the stored form, which is the one that REST shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Its fields.
    #[serde(flatten)]
    pub fields: model::Job,
    /// The commit that last wrote it; kept beside the stored form.
    #[serde(skip)]
    pub revision: Revision,
}
