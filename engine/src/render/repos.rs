//! Package repositories: the param `package-repositories` as templates use it.

use super::args::Args;
use super::env::path_for;
use super::plain;
use super::root::Root;
use super::scene::Data;
use crate::bootenv;
use crate::names::canonical_arch;
use crate::params;
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::sync::Arc;
use template::{CallError, Receiver, Rendering, Value};

/// The param with all repositories.
const PARAM: &str = "package-repositories";

/// An entry of the param.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all(deserialize = "camelCase", serialize = "PascalCase"), default)]
struct Entry {
    tag: String,
    #[serde(rename(serialize = "OS"))]
    os: Vec<String>,
    arch: String,
    #[serde(rename(serialize = "URL"))]
    url: String,
    package_type: String,
    repo_type: String,
    install_source: bool,
    security_source: bool,
    distribution: String,
    #[serde(rename(serialize = "BootLoc", deserialize = "bootloc"))]
    boot_loc: String,
    components: Vec<String>,
}

/// What reads a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Yum,
    Apt,
}

/// A repository for a machine.
#[derive(Debug, Clone)]
struct Repo {
    data: Arc<Data>,
    entry: Entry,
    /// The operating system it is for, where that was asked.
    target: String,
}

impl Repo {
    fn family(&self) -> &str {
        self.target.split('-').next().unwrap_or_default()
    }

    fn style(&self) -> Result<Style, CallError> {
        let by = if self.entry.repo_type.is_empty() { self.family() } else { &self.entry.repo_type };
        match by {
            "yum" | "redhat" | "rhel" | "centos" | "scientificlinux" | "fedora" | "rocky" | "almalinux" => {
                Ok(Style::Yum)
            }
            "apt" | "debian" | "ubuntu" => Ok(Style::Apt),
            stranger => Err(CallError::failed(format!(
                "repository {:?} is for {stranger:?}, which is not known; give it a repoType of yum or apt",
                self.entry.tag
            ))),
        }
    }

    fn url_for(&self, component: &str) -> String {
        let Entry { url, distribution, install_source, .. } = &self.entry;
        if *install_source || distribution.is_empty() || component.is_empty() {
            return url.clone();
        }
        match self.family() {
            "centos" => format!("{url}/{distribution}/{component}/$basearch"),
            "scientificlinux" => format!("{url}/{distribution}/$basearch/{component}"),
            _ => url.clone(),
        }
    }

    /// Lines for an installer's answer file.
    fn install(&self) -> Result<String, CallError> {
        let Entry { tag, url, install_source, components, .. } = &self.entry;
        let mut lines = String::new();
        let mut say = |line: std::fmt::Arguments| writeln!(lines, "{line}").map_err(|e| e.to_string());
        match self.style()? {
            Style::Yum => {
                let proxy = self.proxy();
                let proxy = proxy.map(|url| format!(" --proxy=\"{url}\"")).unwrap_or_default();
                if *install_source {
                    say(format_args!("install\nurl --url {url}"))?;
                    say(format_args!("repo --name=\"{tag}\" --baseurl={url} --cost=100{proxy}"))?;
                } else if components.is_empty() {
                    say(format_args!("repo --name=\"{tag}\" --baseurl={url} --cost=200{proxy}"))?;
                } else {
                    for component in components {
                        let base = self.url_for(component);
                        say(format_args!(
                            "repo --name=\"{tag}-{component}\" --baseurl={base} --cost=200{proxy}"
                        ))?;
                    }
                }
            }
            Style::Apt => {
                let part =
                    |name: &str| super::url::part(name, url).map(|v| v.as_text().unwrap_or("").to_owned());
                let (host, path) = (part("host")?, part("path")?);
                if *install_source {
                    say(format_args!("d-i mirror/protocol string {}", part("scheme")?))?;
                    say(format_args!("d-i mirror/http/hostname string {host}"))?;
                    say(format_args!("d-i mirror/http/directory string {path}"))?;
                } else {
                    say(format_args!("d-i apt-setup/security_host string {host}"))?;
                    say(format_args!("d-i apt-setup/security_path string {path}"))?;
                }
            }
        }
        Ok(lines)
    }

    /// Lines for the configuration of the package manager.
    fn lines(&self) -> Result<String, CallError> {
        let Entry { tag, url, distribution, components, .. } = &self.entry;
        let mut lines = String::new();
        let mut section = |id: &str, name: &str, base: &str| {
            writeln!(lines, "[{id}]\nname={name}\nbaseurl={base}\ngpgcheck=0").map_err(|e| e.to_string())
        };
        match self.style()? {
            Style::Yum if components.is_empty() => {
                section(tag, &format!("{} - {tag}", self.target), &self.url_for(""))?;
            }
            Style::Yum => {
                for component in components {
                    let (id, name) = (format!("{tag}-{component}"), format!("{tag} - {component}"));
                    section(&id, &name, &self.url_for(component))?;
                }
            }
            Style::Apt => return Ok(format!("deb {url} {distribution} {}\n", components.join(" "))),
        }
        Ok(lines)
    }

    /// The first of the param `proxy-servers`.
    fn proxy(&self) -> Option<String> {
        let scene = &self.data.scene;
        let proxies = params::lookup(&scene.content, scene.machine.as_deref(), "proxy-servers")?;
        Some(proxies.get(0)?.as_str()?.to_owned())
    }
}

impl Receiver for Repo {
    fn type_name(&self) -> &str {
        "Repo"
    }

    fn field(&self, name: &str) -> Option<Value> {
        plain::fields(&self.entry).ok()?.remove(name)
    }

    fn call(&self, name: &str, args: &[Value], _: &mut Rendering) -> Option<Result<Value, CallError>> {
        let args = Args::new(args);
        Some(match name {
            "JoinedComponents" => args.none().map(|()| Value::from(self.entry.components.join(" "))),
            "R" => args.none().map(|()| Root::value(&self.data)),
            "Target" => args.none().map(|()| Value::from(self.target.as_str())),
            "UrlFor" => args.text().map(|component| Value::from(self.url_for(component))),
            "Install" => args.none().and_then(|()| self.install()).map(Value::from),
            "Lines" => args.none().and_then(|()| self.lines()).map(Value::from),
            _ => return None,
        })
    }

    fn plain(&self) -> Option<Value> {
        Some(Value::Map(plain::fields(&self.entry).ok()?.into_iter().collect()))
    }
}

/// Repositories with one of these tags.
pub(super) fn tagged(data: &Arc<Data>, tags: &[&str]) -> Result<Value, CallError> {
    let wanted = |entry: &Entry| tags.contains(&entry.tag.as_str());
    let os = target(data);
    Ok(values(entries(data)?.into_iter().filter(wanted).map(|entry| repo(data, entry, &os)).collect()))
}

/// Repositories of the machine's operating system and architecture.
pub(super) fn of_machine(data: &Arc<Data>) -> Result<Value, CallError> {
    Ok(values(fitting(data)?))
}

/// Where the machine installs from, and the security updates beside it.
pub(super) fn for_install(data: &Arc<Data>) -> Result<Value, CallError> {
    Ok(values(install_sources(data)?))
}

/// Where the machine installs from.
pub(super) fn install_url(data: &Arc<Data>) -> Result<String, CallError> {
    let none = || CallError::failed(format!("there is no repository to install from; add one to {PARAM}"));
    install_sources(data)?.into_iter().next().map(|repo| repo.entry.url).ok_or_else(none)
}

fn install_sources(data: &Arc<Data>) -> Result<Vec<Repo>, CallError> {
    let all = fitting(data)?;
    let Some(source) = all.iter().find(|repo| repo.entry.install_source).cloned() else {
        return Ok(Vec::new());
    };
    let updates = all.into_iter().find(|repo| repo.entry.security_source);
    Ok([source].into_iter().chain(updates).collect())
}

/// The boot tree's own copy of the operating system first, which replaces other install sources.
fn fitting(data: &Arc<Data>) -> Result<Vec<Repo>, CallError> {
    let (os, arch) = (target(data), data.scene.arch());
    let own = boot_tree(data, &os)?;
    let fits = |entry: &Entry| {
        let arch_fits = match entry.arch.as_str() {
            "any" => !entry.install_source,
            named => canonical_arch(named).is_some_and(|named| canonical_arch(arch) == Some(named)),
        };
        arch_fits && entry.os.contains(&os) && !(own.is_some() && entry.install_source)
    };
    let listed = entries(data)?.into_iter().filter(fits).map(|entry| repo(data, entry, &os));
    Ok(own.clone().into_iter().chain(listed).collect())
}

/// What lies in the boot tree of an installable operating system. Debian's media lack what a package
/// manager needs, so that one is never offered.
fn boot_tree(data: &Arc<Data>, os: &str) -> Result<Option<Repo>, CallError> {
    let content = &data.scene.content;
    let arch = data.scene.arch();
    let installs = |env: &&Arc<protocol::model::BootEnv>| {
        let complete = bootenv::missing(env, &content.missing_files).is_empty();
        env.os.name == os && bootenv::is_install(env) && bootenv::supports(env, arch) && complete
    };
    let Some(env) = content.bootenvs.iter().find(installs) else { return Ok(None) };
    if bootenv::family_type(&env.os) == "debian" {
        return Ok(None);
    }
    let entry = Entry {
        tag: env.name.clone(),
        os: vec![os.to_owned()],
        arch: arch.to_owned(),
        url: path_for(data, env, "http", "", arch)?,
        install_source: true,
        ..Entry::default()
    };
    Ok(Some(repo(data, entry, os)))
}

/// The machine's operating system, else that of its boot environment.
fn target(data: &Data) -> String {
    let own = data.scene.machine.as_ref().map(|machine| machine.fields.os.as_str()).unwrap_or_default();
    let booted = || data.env.as_ref().map(|env| env.os.name.as_str()).unwrap_or_default();
    if own.is_empty() { booted().to_owned() } else { own.to_owned() }
}

fn entries(data: &Data) -> Result<Vec<Entry>, CallError> {
    let scene = &data.scene;
    match params::lookup(&scene.content, scene.machine.as_deref(), PARAM) {
        None => Ok(Vec::new()),
        Some(param) => serde_json::from_value(param).map_err(|error| {
            CallError::failed(format!("param {PARAM:?} is no list of repositories: {error}"))
        }),
    }
}

fn repo(data: &Arc<Data>, entry: Entry, target: &str) -> Repo {
    Repo { data: Arc::clone(data), entry, target: target.to_owned() }
}

fn values(repos: Vec<Repo>) -> Value {
    repos.into_iter().map(Value::receiver).collect()
}
