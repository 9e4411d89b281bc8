//! The workflows that are always there: `muster-install` installs a machine, `muster-discover` brings it
//! into our image. Whoever wants it otherwise copies them and changes the copy.

use crate::bootenv::{LOCAL, MUSTER};
use crate::content::built_in;
use protocol::install::Step;
use protocol::model::{Envelope, Meta, Stage, Task, TemplateInfo, Workflow};

/// The workflow of mode `rebuild`.
pub const INSTALL: &str = "muster-install";
/// The workflow of mode `discover`.
pub const DISCOVER: &str = "muster-discover";
/// Label of a task: the step of the run that it is.
pub const STEP_LABEL: &str = "muster-step";

/// Label and word by which a verb that fails fails its task, whatever number it ends with
/// (`spec/machine-model.md` 4.5).
const FEATURES: &str = "feature-flags";
const SANE_EXIT_CODES: &str = "sane-exit-codes";

/// The stage that runs in the installed system.
const INSTALLED: &str = "muster-installed";

/// A task: its step, what it calls, what it is for.
type Verb = (&'static str, Step, &'static str, &'static str);

/// What runs in our image, in order.
const IN_IMAGE: [Verb; 6] = [
    ("muster-install-prepare", Step::Prepare, "muster-agent fetch-tools", "Fetches the installer's tools"),
    ("muster-install-survey", Step::Survey, "muster-installer survey", "Holds the disks against the plan"),
    (
        "muster-install-partition",
        Step::Partition,
        "muster-installer partition",
        "Makes partitions and file systems, under a permit",
    ),
    ("muster-install-write", Step::Write, "muster-installer write", "Writes the image, under a permit"),
    (
        "muster-install-configure",
        Step::Configure,
        "muster-installer configure",
        "Puts cloud-init's seed, network, keys and the agent in place",
    ),
    (
        "muster-install-boot",
        Step::Boot,
        "muster-installer boot",
        "Makes the disk bootable; its boot entry is the last write",
    ),
];

/// What runs in the installed system.
const FIRST_BOOT: Verb = (
    "muster-install-first-boot",
    Step::FirstBoot,
    "muster-agent first-boot",
    "Reports that the installed system runs, and what cloud-init made of its configuration",
);

/// Objects that are always there.
#[derive(Debug, Clone)]
pub struct BuiltIn {
    /// Tasks.
    pub tasks: Vec<Task>,
    /// Stages.
    pub stages: [Stage; 3],
    /// Workflows.
    pub workflows: [Workflow; 2],
}

/// All of them.
pub fn builtin() -> BuiltIn {
    let in_image = IN_IMAGE.map(|(name, ..)| name);
    BuiltIn {
        tasks: IN_IMAGE.iter().chain([&FIRST_BOOT]).map(task).collect(),
        stages: [
            stage(INSTALL, MUSTER, &in_image, "Installs an operating system from Muster's image"),
            stage(INSTALLED, LOCAL, &[FIRST_BOOT.0], "Boots the installed system, which reports"),
            stage(DISCOVER, MUSTER, &[], "In Muster's image, without anything to do"),
        ],
        workflows: [
            workflow(INSTALL, &[INSTALL, INSTALLED], "Installs the operating system of the machine's image"),
            workflow(DISCOVER, &[DISCOVER], "Brings the machine back to Discovery mode"),
        ],
    }
}

fn task((name, step, verb, description): &Verb) -> Task {
    let script = format!(
        "#!/bin/sh\nset -eu\nMUSTER_RUN={{{{.Param \"{run}\"}}}}\nexport MUSTER_RUN\nexec {verb}\n",
        run = super::params::RUN
    );
    let labels = [(STEP_LABEL, step.word()), (FEATURES, SANE_EXIT_CODES)];
    let meta = Meta::from(labels.map(|(label, value)| (label.to_owned(), value.to_owned())));
    Task {
        name: (*name).to_owned(),
        templates: vec![TemplateInfo {
            name: step.word().to_owned(),
            contents: script,
            ..TemplateInfo::default()
        }],
        required_params: vec![super::params::RUN.to_owned()],
        envelope: Envelope { meta, ..built_in(description) },
        ..Task::default()
    }
}

fn stage(name: &str, boot_env: &str, tasks: &[&str], description: &str) -> Stage {
    Stage {
        name: name.to_owned(),
        boot_env: boot_env.to_owned(),
        tasks: tasks.iter().map(|&task| task.to_owned()).collect(),
        runner_wait: true,
        envelope: built_in(description),
        ..Stage::default()
    }
}

fn workflow(name: &str, stages: &[&str], description: &str) -> Workflow {
    Workflow {
        name: name.to_owned(),
        stages: stages.iter().map(|&stage| stage.to_owned()).collect(),
        envelope: built_in(description),
        ..Workflow::default()
    }
}
