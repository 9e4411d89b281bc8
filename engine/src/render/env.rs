//! `.Env`: the boot environment, its operating system and its files.

use super::args::Args;
use super::plain;
use super::repos;
use super::scene::Data;
use crate::bootenv;
use protocol::model::BootEnv;
use std::sync::Arc;
use template::{CallError, Receiver, Rendering, Value};

/// The boot environment of a rendering.
#[derive(Debug)]
pub(super) struct EnvView {
    data: Arc<Data>,
    env: Arc<BootEnv>,
}

impl EnvView {
    /// The boot environment of a scene, or nil.
    pub(super) fn value(data: &Arc<Data>) -> Value {
        match &data.env {
            Some(env) => Value::receiver(Self { data: Arc::clone(data), env: Arc::clone(env) }),
            None => Value::Nil,
        }
    }

    fn arch(&self) -> &str {
        self.data.scene.arch()
    }

    fn join_initrds(&self, protocol: &str, arch: &str) -> Result<Value, CallError> {
        let initrds = bootenv::initrds_for(&self.env, arch).iter();
        let paths: Result<Vec<_>, _> =
            initrds.map(|file| path_for(&self.data, &self.env, protocol, file, arch)).collect();
        Ok(Value::from(paths?.join(",")))
    }

    fn initrds(&self, arch: &str) -> Value {
        bootenv::initrds_for(&self.env, arch).iter().map(|file| Value::from(file.as_str())).collect()
    }
}

impl Receiver for EnvView {
    fn type_name(&self) -> &str {
        "BootEnv"
    }

    fn field(&self, name: &str) -> Option<Value> {
        match name {
            "Name" => Some(Value::from(self.env.name.as_str())),
            "OS" => Some(Value::receiver(OsView { env: Arc::clone(&self.env) })),
            "Kernel" => Some(Value::from(bootenv::kernel_for(&self.env, self.arch()))),
            "Initrds" => Some(self.initrds(self.arch())),
            "BootParams" => Some(Value::from(bootenv::boot_params_for(&self.env, self.arch()))),
            _ => plain::fields(&*self.env).ok()?.remove(name),
        }
    }

    fn call(
        &self,
        name: &str,
        args: &[Value],
        rendering: &mut Rendering,
    ) -> Option<Result<Value, CallError>> {
        let args = Args::new(args);
        let path = |protocol: &str, file: &str, arch: &str| {
            path_for(&self.data, &self.env, protocol, file, arch).map(Value::from)
        };
        Some(match name {
            "PathFor" => args.two_texts().and_then(|(protocol, file)| path(protocol, file, self.arch())),
            "PathForArch" => args.three_texts().and_then(|(protocol, file, arch)| path(protocol, file, arch)),
            "KernelFor" => args.text().map(|arch| Value::from(bootenv::kernel_for(&self.env, arch))),
            "InitrdsFor" => args.text().map(|arch| self.initrds(arch)),
            "JoinInitrds" => args.text().and_then(|protocol| self.join_initrds(protocol, self.arch())),
            "JoinInitrdsFor" => {
                args.two_texts().and_then(|(protocol, arch)| self.join_initrds(protocol, arch))
            }
            "BootParamsFor" => args.text().and_then(|arch| boot_params(&self.data, arch, rendering)),
            "InstallUrl" => args.none().and_then(|()| repos::install_url(&self.data).map(Value::from)),
            _ => return None,
        })
    }

    fn plain(&self) -> Option<Value> {
        let fields = plain::fields(&*self.env).ok()?;
        Some(Value::Map(fields.into_iter().collect()))
    }
}

/// `.Env.OS`.
#[derive(Debug)]
struct OsView {
    env: Arc<BootEnv>,
}

impl Receiver for OsView {
    fn type_name(&self) -> &str {
        "OsInfo"
    }

    fn field(&self, name: &str) -> Option<Value> {
        plain::fields(&self.env.os).ok()?.remove(name)
    }

    fn call(&self, name: &str, args: &[Value], _: &mut Rendering) -> Option<Result<Value, CallError>> {
        let (args, os) = (Args::new(args), &self.env.os);
        let alone = |text: &str| args.none().map(|()| Value::from(text));
        Some(match name {
            "FamilyName" => alone(bootenv::family(os)),
            "FamilyType" => alone(bootenv::family_type(os)),
            "FamilyVersion" => alone(bootenv::family_version(os)),
            "VersionEq" => args.text().map(|wanted| Value::from(bootenv::version_eq(os, wanted))),
            _ => return None,
        })
    }

    fn plain(&self) -> Option<Value> {
        Some(Value::Map(plain::fields(&self.env.os).ok()?.into_iter().collect()))
    }
}

/// Where a file of the boot environment is to be had: `tftp` gives its path, `http` its URL.
pub(super) fn path_for(
    data: &Data,
    env: &BootEnv,
    protocol: &str,
    file: &str,
    arch: &str,
) -> Result<String, CallError> {
    let path = bootenv::tree_path(env, arch, file);
    match protocol {
        "tftp" => Ok(path),
        "http" => Ok(format!("{}/{path}", data.scene.addresses.http())),
        stranger => Err(CallError::failed(format!("protocol {stranger:?} is not known; use http or tftp"))),
    }
}

/// The boot environment's kernel command line, rendered.
pub(super) fn boot_params(
    data: &Arc<Data>,
    arch: &str,
    rendering: &mut Rendering,
) -> Result<Value, CallError> {
    let Some(env) = &data.env else { return Err(CallError::failed("there is no boot environment")) };
    let text = bootenv::boot_params_for(env, arch);
    let dot = super::root::Root::value(data);
    let rendered = rendering.text(&format!("BootParams of {}", env.name), text, dot)?;
    super::limits::command_line(rendered.trim()).map_err(CallError::failed).map(Value::from)
}
