//! What a machine would boot now, for people: the environment, why it is that one, whether it can be
//! booted, and every file as it would be rendered, without what the machine is let in by.

use super::outside::info;
use super::pass::{Pass, line};
use crate::app::{Actor, App, AppError, SharedApp};
use engine::bootenv;
use engine::content::Content;
use engine::machine::Machine;
use engine::render::{Body, File, Outside, RenderError, Scene, TokenWanted};
use protocol::model::{BootEnv, Job, Kind};
use protocol::rest::{BootFileShown, BootPreview, HttpImage};
use std::sync::Arc;

/// Most files that are shown, and most bytes of one and of all.
const MAX_FILES: usize = 64;
const MAX_TEXT: usize = 256 * 1_024;
const MAX_TEXTS: usize = 2 * 1_024 * 1_024;
/// What stands where a token would.
const NO_TOKEN: &str = "TOKEN-OF-THE-MACHINE";

/// Answers as the server would to the machine itself, with nothing to be let in by.
#[derive(Debug)]
struct Onlooker {
    args: Result<String, String>,
    base: String,
    info: serde_json::Value,
}

impl Onlooker {
    fn of(app: &App) -> Self {
        let addresses = app.addresses(None);
        let args = app.agent_args(app.servers_for(Some(addresses.ip)), &Pass::Nothing);
        Self { args, base: addresses.loading(), info: info(app, &addresses) }
    }
}

impl Outside for Onlooker {
    fn token(&self, _: &TokenWanted) -> Result<String, String> {
        Ok(NO_TOKEN.to_owned())
    }

    fn kernel_args(&self, further: &str) -> Result<String, String> {
        line(further, self.args.as_deref().map_err(String::clone)?, &self.base)
    }

    fn info(&self) -> serde_json::Value {
        self.info.clone()
    }

    /// What a job says is not part of what boots.
    fn job(&self, _: &str) -> Option<Job> {
        None
    }
}

impl App {
    /// What the machine that a key of a path names would boot now.
    ///
    /// # Errors
    /// As every reading of a machine.
    pub(crate) async fn boot_preview(
        self: &Arc<Self>,
        actor: &Actor,
        key: &str,
    ) -> Result<BootPreview, AppError> {
        let machine = self.machine_for(actor, key, "get").await?;
        let (app, content) = (Arc::clone(self), self.content());
        let done = tokio::task::spawn_blocking(move || preview(&app, machine, content));
        done.await.map_err(AppError::internal)
    }
}

/// Blocks: templates run here, and the disk is asked for loaders.
fn preview(app: &SharedApp, machine: Machine, content: Arc<Content>) -> BootPreview {
    let (name, addresses) = (machine.fields.boot_env.clone(), app.addresses(None));
    let env = content.bootenvs.get(&name).cloned();
    let errors = match env {
        Some(_) => content.errors_of(Kind::BootEnvs, &name),
        None => vec![format!("there is no boot environment {name}")],
    };
    let (loader, no_loader) = match app.loader_of(&machine) {
        Ok(loader) => (loader, String::new()),
        Err(reason) => (String::new(), reason),
    };
    let http_image = match app.gets_image(Some(&machine)) {
        Ok(()) => HttpImage { given: true, reason: String::new() },
        Err(reason) => HttpImage { given: false, reason },
    };
    let mut shown = BootPreview {
        reason: why(&machine, &content),
        available: errors.is_empty(),
        errors,
        loader,
        no_loader,
        from: addresses.loading(),
        http_image,
        boot_env: name,
        ..BootPreview::default()
    };
    if let Some(env) = &env {
        boots(&mut shown, env, &machine.fields.arch);
    }
    let scene =
        Scene { machine: Some(Arc::new(machine)), content, addresses, outside: Arc::new(Onlooker::of(app)) };
    let files = scene.files();
    shown.further_files = u32::try_from(files.len().saturating_sub(MAX_FILES)).unwrap_or(u32::MAX);
    let mut room = MAX_TEXTS;
    shown.files = files.into_iter().take(MAX_FILES).map(|file| file_shown(file, &mut room)).collect();
    shown
}

fn boots(shown: &mut BootPreview, env: &BootEnv, arch: &str) {
    shown.description.clone_from(&env.envelope.description);
    let kernel = bootenv::kernel_for(env, arch);
    if kernel.is_empty() {
        return;
    }
    shown.kernel = bootenv::tree_path(env, arch, kernel);
    shown.initrds =
        bootenv::initrds_for(env, arch).iter().map(|file| bootenv::tree_path(env, arch, file)).collect();
}

/// Why a machine boots what it boots.
fn why(machine: &Machine, content: &Content) -> String {
    let fields = &machine.fields;
    let (env, stage, workflow) = (&fields.boot_env, &fields.stage, &fields.workflow);
    let of_stage = content.stages.get(stage).is_some_and(|found| found.boot_env == *env);
    match (of_stage, workflow.is_empty()) {
        (true, true) => format!("Its stage {stage} is one in {env}."),
        (true, false) => format!("Its stage {stage}, of the workflow {workflow}, is one in {env}."),
        (false, false) => {
            format!("The workflow {workflow} brought it to {env}, and its stage {stage} stays there.")
        }
        (false, true) => format!("It was set to {env}, and its stage {stage} names no other."),
    }
}

fn file_shown(file: Result<File, RenderError>, room: &mut usize) -> BootFileShown {
    match file {
        Err(error) => BootFileShown { error: error.to_string(), ..BootFileShown::default() },
        Ok(File { path, body: Body::Link(link) }) => BootFileShown { path, link, ..BootFileShown::default() },
        Ok(File { path, body: Body::Text(mut text) }) => {
            let size = text.len() as u64;
            text.truncate(text.floor_char_boundary(MAX_TEXT.min(*room)));
            *room = room.saturating_sub(text.len());
            BootFileShown { path, text, size, ..BootFileShown::default() }
        }
    }
}
