//! The suites. Each measures one promise and names the command that does so.

pub(crate) mod boot;
pub(crate) mod build;
pub(crate) mod dashboard;
pub(crate) mod http;
pub(crate) mod image;
pub(crate) mod model;
pub(crate) mod personalise;
pub(crate) mod size;
pub(crate) mod tftp;

use anyhow::Result;

use crate::computer;
use crate::modules::Frozen;
use crate::record::Suite;
use crate::stage::Subject;

/// Names of the contenders that are ours.
pub(crate) const MUSTER: &str = "muster";

/// An empty suite, dated; suites of one record may come from different computers.
fn begin(name: &str) -> Result<Suite> {
    let command = format!("make bench SUITE={name}");
    let inputs = [("processor".to_owned(), computer::describe()?.processor)].into();
    Ok(Suite { taken_on: computer::today()?, command, load: computer::load()?, inputs, ..Suite::default() })
}

/// Says what everybody was given.
fn name_inputs(suite: &mut Suite, subject: &Subject, frozen: Option<&Frozen>) -> Result<()> {
    let mut input = |name: &str, value: String| suite.inputs.insert(name.to_owned(), value);
    input("kernel", subject.manifest.identity.kernel.clone());
    input("vmlinuz", subject.digest(image_builder::KERNEL_FILE)?);
    input("initrd", subject.digest(image_builder::INITRD_FILE)?);
    if let Some(frozen) = frozen {
        input("modules", format!("{} ({})", frozen.len(), crate::stage::short(&frozen.digest)));
    }
    Ok(())
}
