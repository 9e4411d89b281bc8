//! The dot of every template: params, addresses, tokens, and the objects at work
//! (`spec/machine-model.md` 7.1).

use super::args::{Args, text, whole_number};
use super::env::{EnvView, boot_params};
use super::machine::MachineView;
use super::plain::Plain;
use super::scene::{Data, TokenWanted};
use super::{expand, repos, url};
use crate::params;
use serde_json::Value as Json;
use std::sync::Arc;
use std::time::Duration;
use template::{CallError, Receiver, Rendering, Value};

/// Longest life of a token for a profile: what clients call for ever.
const MAX_PROFILE_TOKEN: u64 = 2_000_000_000;

/// Where boot files are at the door with TLS, whose other paths are the dashboard's.
const SECURE_FILES: &str = "/boot";

/// The dot.
#[derive(Debug)]
pub(super) struct Root(Arc<Data>);

impl Root {
    /// The dot of a scene.
    pub(super) fn value(data: &Arc<Data>) -> Value {
        Value::receiver(Self(Arc::clone(data)))
    }

    fn object(&self, name: &str) -> Option<Result<Value, CallError>> {
        let data = &self.0;
        Some(match name {
            "Machine" => Ok(MachineView::value(data)),
            "Env" => Ok(EnvView::value(data)),
            "Stage" => Plain::value("Stage", data.stage.as_deref()),
            "Task" => Plain::value("Task", data.task.as_deref()),
            "CurrentJob" => self.current_job(),
            "machine" | "peers" | "secrets" | "vars" => self.0.facts.as_ref()?.value(name, &self.0.scene),
            "Info" => Plain::value("Info", Some(&data.scene.outside.info())),
            _ => return None,
        })
    }

    /// The job that is rendered for, else the one that the machine calls current.
    fn current_job(&self) -> Result<Value, CallError> {
        if let Some(job) = self.0.job.as_deref() {
            return Plain::value("Job", Some(job));
        }
        let id = self.0.scene.machine.as_ref().map_or("", |machine| &machine.fields.current_job);
        let job = if id.is_empty() { None } else { self.0.scene.outside.job(id) };
        Plain::value("Job", job.as_ref())
    }

    fn lookup(&self, key: &str) -> Option<Json> {
        let scene = &self.0.scene;
        params::lookup(&scene.content, scene.machine.as_deref(), key)
    }

    /// A param that has to be set somewhere.
    pub(super) fn param(&self, key: &str) -> Result<Json, CallError> {
        self.lookup(key).ok_or_else(|| self.unset(key))
    }

    fn unset(&self, key: &str) -> CallError {
        CallError::failed(format!(
            "param {key:?} is not set for {} and has no default",
            self.0.scene.subject()
        ))
    }

    fn composed(&self, key: &str) -> Result<Json, CallError> {
        let scene = &self.0.scene;
        params::compose(&scene.content, scene.machine.as_deref(), key).ok_or_else(|| self.unset(key))
    }

    fn params(&self, name: &str, args: Args, rendering: &mut Rendering) -> Option<Result<Value, CallError>> {
        let dot = || Self::value(&self.0);
        Some(match name {
            "Param" => args.text().and_then(|key| self.param(key)).map(Value::from),
            "ParamExists" => args.text().map(|key| Value::from(self.lookup(key).is_some())),
            "ParamAsJSON" => args.text().and_then(|key| expand::as_json(self.param(key)?)),
            "ParamAsYAML" => args.text().and_then(|key| expand::as_yaml(&self.param(key)?)),
            "ParamExpand" => args.text().and_then(|key| match self.param(key)? {
                Json::String(template) => {
                    Ok(Value::from(rendering.text(&format!("param {key}"), &template, dot())?))
                }
                other @ (Json::Null | Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_)) => {
                    Ok(Value::from(other))
                }
            }),
            "ParamCompose" | "ComposeParam" => {
                args.text().and_then(|key| self.composed(key)).map(Value::from)
            }
            "ParamComposeExpand" => args.text().and_then(|key| {
                expand::object(&format!("param {key}"), &Value::from(self.composed(key)?), &dot(), rendering)
            }),
            "StringExpand" => args
                .text()
                .and_then(|template| Ok(Value::from(rendering.text("StringExpand", template, dot())?))),
            "ObjectExpand" => {
                args.exactly().and_then(|[object]| expand::object("ObjectExpand", object, &dot(), rendering))
            }
            _ => return None,
        })
    }

    fn addresses(&self, name: &str) -> Option<String> {
        let addresses = &self.0.scene.addresses;
        Some(match name {
            "ProvisionerAddress" => addresses.ip.to_string(),
            "ProvisionerURL" => addresses.http(),
            "LoaderURL" => addresses.loading(),
            "SecureProvisionerURL" => format!("{}{SECURE_FILES}", addresses.https()),
            "ApiURL" => addresses.https(),
            "ProvisionerHostURL" => addresses.http_by_name(),
            "SecureProvisionerHostURL" => format!("{}{SECURE_FILES}", addresses.https_by_name()),
            "ApiHostURL" => addresses.https_by_name(),
            _ => return None,
        })
    }

    fn token(&self, name: &str, args: Args) -> Option<Result<Value, CallError>> {
        let known = self.0.scene.machine.is_some();
        let wanted = match name {
            "GenerateToken" => {
                args.none().map(|()| if known { TokenWanted::Known } else { TokenWanted::Unknown })
            }
            "GenerateInfiniteToken" => args.none().map(|()| TokenWanted::Infinite),
            "GenerateProfileToken" => self.profile_token(args),
            _ => return None,
        };
        Some(wanted.and_then(|wanted| {
            if !known && wanted != TokenWanted::Unknown {
                return Err(CallError::failed("a machine that is not known gets no such token"));
            }
            self.0.scene.outside.token(&wanted).map(Value::from).map_err(CallError::failed)
        }))
    }

    /// Kernel arguments of our agent, and further ones.
    fn muster_args(&self, further: &[&str]) -> Result<Value, CallError> {
        let further = further.join(" ");
        self.0.scene.outside.kernel_args(further.trim()).map(Value::from).map_err(CallError::failed)
    }

    /// A token for a profile that the machine has itself; 0 seconds are for ever.
    fn profile_token(&self, args: Args) -> Result<TokenWanted, CallError> {
        let [profile, seconds] = args.exactly()?;
        let (name, seconds) = (text(profile)?, whole_number(seconds)?);
        let has =
            |machine: &Arc<crate::machine::Machine>| machine.fields.profiles.iter().any(|own| own == name);
        if !self.0.scene.machine.as_ref().is_some_and(has) {
            return Err(CallError::failed(format!(
                "{} does not have profile {name:?}",
                self.0.scene.subject()
            )));
        }
        let seconds = u64::try_from(seconds).ok().filter(|seconds| *seconds > 0).unwrap_or(MAX_PROFILE_TOKEN);
        let lifetime = Duration::from_secs(seconds.min(MAX_PROFILE_TOKEN));
        Ok(TokenWanted::Profile { name: name.to_owned(), lifetime })
    }
}

impl Receiver for Root {
    fn type_name(&self) -> &str {
        "RenderData"
    }

    fn field(&self, _: &str) -> Option<Value> {
        None
    }

    fn call(
        &self,
        name: &str,
        values: &[Value],
        rendering: &mut Rendering,
    ) -> Option<Result<Value, CallError>> {
        let args = Args::new(values);
        if let Some(object) = self.object(name) {
            return Some(args.none().and(object));
        }
        if let Some(address) = self.addresses(name) {
            return Some(args.none().map(|()| Value::from(address)));
        }
        if let Some(token) = self.token(name, args) {
            return Some(token);
        }
        Some(match name {
            "BootParams" => args.none().and_then(|()| boot_params(&self.0, self.0.scene.arch(), rendering)),
            "MusterArgs" => args.texts().and_then(|further| self.muster_args(&further)),
            "BootParamsFor" => args.text().and_then(|arch| boot_params(&self.0, arch, rendering)),
            "CallTemplate" => args
                .exactly()
                .and_then(|[name, dot]| Ok(Value::from(rendering.template(text(name)?, dot.clone())?))),
            "Repos" => args.texts().and_then(|tags| repos::tagged(&self.0, &tags)),
            "MachineRepos" => args.none().and_then(|()| repos::of_machine(&self.0)),
            "InstallRepos" => args.none().and_then(|()| repos::for_install(&self.0)),
            "ParseURL" | "ParseUrl" => args.two_texts().and_then(|(part, of)| url::part(part, of)),
            "NetmaskToCIDR" => args.text().and_then(url::prefix_length),
            _ => return self.params(name, args, rendering),
        })
    }
}
