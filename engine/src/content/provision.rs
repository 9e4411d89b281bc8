//! Rules of what installations refer to: images, registry credentials, secrets and variables.
//!
//! Passwords and values of secrets come here sealed and are opened nowhere in this crate.

use super::errors::Needs;
use super::rules::{Rules, named, shelf};
use super::{Content, Shelf};
use crate::names;
use protocol::config::CaCertificate;
use protocol::model::{Image, ImageFormat, Kind, Pull, RegistryCredential, Secret, UPLOAD, Variable};

/// Longest source of an image, in bytes.
const MAX_SOURCE: usize = 1_024;
/// Longest value of a variable, in bytes.
const MAX_VALUE: usize = 64 * 1_024;
/// Longest user name of a registry, in bytes.
const MAX_USERNAME: usize = 256;

/// What sort of source an image has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source<'a> {
    Upload,
    /// By its host.
    Url(&'a str),
    /// By its registry.
    Reference(&'a str),
}

impl<'a> Source<'a> {
    fn read(text: &'a str) -> Result<Self, String> {
        if text.is_empty() {
            return Err(format!("give an OCI reference, an https:// URL, or {UPLOAD}"));
        }
        if text.len() > MAX_SOURCE {
            return Err(format!("has {} bytes, at most {MAX_SOURCE} are allowed", text.len()));
        }
        if let Some(odd) = text.chars().find(|c| !c.is_ascii_graphic()) {
            return Err(format!("must not contain {odd:?}"));
        }
        if text == UPLOAD {
            return Ok(Self::Upload);
        }
        match text.split_once("://") {
            Some(("https" | "http", rest)) => match rest.split_once('/') {
                Some((host, path)) if !host.is_empty() && !path.is_empty() => match host.contains('@') {
                    false => Ok(Self::Url(host)),
                    true => Err("has a user in the URL; name a registry credential instead".to_owned()),
                },
                Some(_) | None => Err("is a URL without a host or a file".to_owned()),
            },
            Some(_) => Err("is a URL of a scheme that is not fetched; use https://".to_owned()),
            None => Self::reference(text),
        }
    }

    fn reference(text: &'a str) -> Result<Self, String> {
        let Some((registry, path)) = text.split_once('/') else {
            return Err(format!("{text:?} names no registry; write docker.io/library/{text}"));
        };
        if !(registry.contains(['.', ':']) || registry == "localhost") {
            return Err(format!("{registry:?} is no registry; write docker.io/{text}"));
        }
        let repository = path.split(['@', ':']).next().unwrap_or_default();
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-/".contains(c);
        if repository.is_empty() || !repository.chars().all(fits) {
            return Err(format!("{repository:?} is no repository; use small letters, digits and . _ - /"));
        }
        Ok(Self::Reference(registry))
    }

    const fn host(self) -> Option<&'a str> {
        match self {
            Self::Upload => None,
            Self::Url(host) | Self::Reference(host) => Some(host),
        }
    }
}

/// What speaks against a format of a source.
fn format_problem(image: &Image, source: Source<'_>) -> Option<&'static str> {
    match (source, image.format) {
        (Source::Reference(_), ImageFormat::Raw | ImageFormat::Qcow2 | ImageFormat::Tar) => {
            Some("Format: a file needs an https:// URL or an upload; the Source is an OCI reference")
        }
        (Source::Url(_) | Source::Upload, ImageFormat::Oci) => {
            Some("Format: an OCI image is named by its reference, such as registry.example.com/os/debian:12")
        }
        (_, ImageFormat::Auto)
        | (Source::Reference(_), ImageFormat::Oci)
        | (Source::Url(_) | Source::Upload, ImageFormat::Raw | ImageFormat::Qcow2 | ImageFormat::Tar) => None,
    }
}

/// What keeps machines from pulling directly: the agent trusts no public CA, and goes through the server then.
fn direct_problem(image: &Image, of_registry: bool) -> Option<&'static str> {
    match image.pull {
        Pull::Server => None,
        Pull::Direct if !of_registry => Some("Pull: only OCI images are pulled directly"),
        Pull::Direct if image.plain_http => {
            Some("Pull: machines pull directly by TLS alone; set Pull to server")
        }
        Pull::Direct => image.ca.is_empty().then_some(
            "Ca: machines pull directly from none but a registry whose CA they are given; paste that CA (PEM) into Ca, or set Pull to server",
        ),
    }
}

fn is_digest(text: &str) -> bool {
    let small_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.strip_prefix("sha256:").is_some_and(|hex| hex.len() == 64 && hex.bytes().all(small_hex))
}

impl Rules for Image {
    shelf!(images);

    fn problems(&self, _old: Option<&Self>, _content: &Content) -> Vec<String> {
        let mut problems = named(self);
        match Source::read(&self.source) {
            Err(problem) => problems.push(format!("Source: {problem}")),
            Ok(source) => {
                problems.extend(format_problem(self, source).map(str::to_owned));
                let of_registry = matches!(source, Source::Reference(_));
                if self.plain_http && !of_registry {
                    problems.push("PlainHttp: is for registries; write http:// in the URL".to_owned());
                }
                problems.extend(direct_problem(self, of_registry).map(str::to_owned));
            }
        }
        if !self.digest.is_empty() && !is_digest(&self.digest) {
            problems.push("Digest: must be sha256: and 64 hexadecimal digits in small letters".to_owned());
        }
        if !self.architecture.is_empty()
            && names::canonical_arch(&self.architecture) != Some(&self.architecture)
        {
            problems.push(format!("Architecture: {:?} is not known; use amd64 or arm64", self.architecture));
        }
        if !self.ca.is_empty() && CaCertificate::try_from(self.ca.clone()).is_err() {
            problems.push("Ca: must be one certificate in PEM".to_owned());
        }
        problems
    }

    fn errors(&self, content: &Content) -> Vec<String> {
        let needs = Needs::of(content);
        if self.credential.is_empty() {
            return needs.told();
        }
        let host = Source::read(&self.source).ok().and_then(Source::host);
        let stranger = content
            .registry_credentials
            .get(&self.credential)
            .filter(|credential| host.is_some_and(|host| host != credential.registry))
            .map(|credential| format!("credential {} is for {}", self.credential, credential.registry));
        needs.exists(Kind::RegistryCredentials, &self.credential).and(stranger.into_iter().collect()).told()
    }
}

impl Rules for RegistryCredential {
    shelf!(registry_credentials);

    /// A password is never shown, so an empty one means the one there is.
    fn fill(&mut self, old: Option<&Self>, _fresh: &str) {
        if let Some(old) = old.filter(|_| self.password.is_empty()) {
            self.password.clone_from(&old.password);
        }
        self.has_password = false;
    }

    fn problems(&self, _old: Option<&Self>, _content: &Content) -> Vec<String> {
        let mut problems = named(self);
        let odd = |c: char| !(c.is_ascii_alphanumeric() || ".:-[]".contains(c));
        if self.registry.is_empty() || self.registry.len() > names::MAX_NAME || self.registry.contains(odd) {
            problems.push("Registry: give its host, such as registry.example.com:5000".to_owned());
        }
        if self.username.len() > MAX_USERNAME || self.username.contains(|c: char| c == ':' || c.is_control())
        {
            problems.push(format!("Username: at most {MAX_USERNAME} bytes, without a colon"));
        }
        if self.password.is_empty() {
            problems.push("Password: is empty".to_owned());
        }
        problems
    }

    fn hide(&mut self) {
        self.has_password = !self.password.is_empty();
        self.password.clear();
    }
}

impl Rules for Secret {
    shelf!(secrets);

    /// A value is never shown, so an empty one means the one there is.
    fn fill(&mut self, old: Option<&Self>, _fresh: &str) {
        if let Some(old) = old.filter(|_| self.value.is_empty()) {
            self.value.clone_from(&old.value);
        }
        self.has_value = false;
    }

    fn problems(&self, _old: Option<&Self>, _content: &Content) -> Vec<String> {
        let mut problems = named(self);
        if self.value.is_empty() {
            problems.push("Value: is empty".to_owned());
        }
        problems
    }

    fn hide(&mut self) {
        self.has_value = !self.value.is_empty();
        self.value.clear();
    }
}

impl Rules for Variable {
    shelf!(variables);

    fn problems(&self, _old: Option<&Self>, _content: &Content) -> Vec<String> {
        let mut problems = named(self);
        if self.value.len() > MAX_VALUE {
            problems.push(format!("Value: has {} bytes, at most {MAX_VALUE} are allowed", self.value.len()));
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{and, create, replace, with};
    use super::*;
    use serde_json::{Value, json};

    fn problems(kind: Kind, value: &Value) -> Vec<String> {
        create(&with(&[]), kind, value).err().map(|problem| problem.messages).unwrap_or_default()
    }

    #[test]
    fn image_says_where_it_is_and_what() {
        for (fields, complaint) in [
            (json!({"Source": ""}), "Source: give"),
            (json!({"Source": "debian:12"}), "names no registry; write docker.io/library/debian:12"),
            (json!({"Source": "library/debian"}), "is no registry; write docker.io/library/debian"),
            (json!({"Source": "r.example/Debian"}), "is no repository"),
            (json!({"Source": "ftp://h/f"}), "not fetched"),
            (json!({"Source": "https://h"}), "without a host or a file"),
            (json!({"Source": "https://me:pw@h/f"}), "name a registry credential"),
            (json!({"Source": "r.example/a b"}), "must not contain ' '"),
            (json!({"Source": "r.example/os", "Format": "raw"}), "Format: a file"),
            (json!({"Source": "https://h/os.raw", "Format": "oci"}), "Format: an OCI"),
            (json!({"Source": "https://h/os.raw", "Pull": "direct"}), "Pull: "),
            (
                json!({"Source": "r.example/os", "Pull": "direct"}),
                "Ca: machines pull directly from none but a registry whose CA they are given; paste that CA (PEM) into Ca, or set Pull to server",
            ),
            (
                json!({"Source": "r.example/os", "Pull": "direct", "PlainHttp": true}),
                "Pull: machines pull directly by TLS alone; set Pull to server",
            ),
            (json!({"Source": "upload", "PlainHttp": true}), "PlainHttp: "),
            (json!({"Source": "upload", "Digest": "sha256:AB"}), "Digest: "),
            (json!({"Source": "upload", "Architecture": "x86_64"}), "Architecture: "),
            (json!({"Source": "upload", "Ca": "no pem"}), "Ca: "),
            (json!({"Source": "upload", "Format": "iso"}), "Format: "),
        ] {
            let mut image = fields.clone();
            image["Name"] = json!("os-image");
            let told = problems(Kind::Images, &image);
            assert!(told.iter().any(|message| message.contains(complaint)), "{fields}: {told:?}");
        }
        for source in [
            "upload",
            "https://h.example/debian-12.raw.xz",
            "docker.io/library/debian:12",
            "localhost/os@sha256:00",
            "127.0.0.1:5000/os/debian:12",
        ] {
            let image = json!({"Name": "os-image", "Source": source, "Digest": format!("sha256:{}", "0f".repeat(32))});
            assert_eq!(problems(Kind::Images, &image), [""; 0], "{source}");
        }
        let ca = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
        let direct = json!({"Name": "os-image", "Source": "r.example/os", "Pull": "direct", "Ca": ca});
        assert_eq!(problems(Kind::Images, &direct), [""; 0]);
    }

    #[test]
    fn image_without_its_credential_is_not_available() {
        let image = json!({"Name": "web", "Source": "r.example:5000/web:1", "Credential": "ci"});
        let content = with(&[(Kind::Images, image)]);
        assert_eq!(content.errors_of(Kind::Images, "web"), ["registry credential ci does not exist"]);
        let credential = |registry: &str| json!({"Name": "ci", "Registry": registry, "Username": "u", "Password": "sealed"});
        let other = and(&content, &[(Kind::RegistryCredentials, credential("other.example"))]);
        assert_eq!(other.errors_of(Kind::Images, "web"), ["credential ci is for other.example"]);
        let content = and(&content, &[(Kind::RegistryCredentials, credential("r.example:5000"))]);
        assert!(content.errors_of(Kind::Images, "web").is_empty());
        let gone = content.remove(Kind::RegistryCredentials, "ci", false, &super::super::sample::cause());
        assert!(!gone.unwrap().content.errors_of(Kind::Images, "web").is_empty());
    }

    #[test]
    fn what_is_secret_is_kept_replaced_and_never_shown() {
        let sealed = json!({"Name": "db_password", "Value": "sealed-one"});
        let made = create(&with(&[]), Kind::Secrets, &sealed).unwrap();
        let shown = made.after.unwrap();
        assert_eq!((&shown["Value"], &shown["HasValue"]), (&json!(""), &json!(true)));
        let mut other = shown.clone();
        other["Description"] = json!("of the database");
        let kept = replace(&made.content, Kind::Secrets, "db_password", &other).unwrap().content;
        assert_eq!(kept.secrets.get("db_password").unwrap().value, "sealed-one");
        let without = json!({"Name": "db_password"});
        let kept = replace(&kept, Kind::Secrets, "db_password", &without).unwrap().content;
        assert_eq!(kept.secrets.get("db_password").unwrap().value, "sealed-one");
        let new = json!({"Name": "db_password", "Value": "sealed-two"});
        let edit = replace(&kept, Kind::Secrets, "db_password", &new).unwrap();
        assert_eq!(edit.content.secrets.get("db_password").unwrap().value, "sealed-two");
        assert_eq!(edit.before.unwrap()["Value"], "");
        assert_eq!(edit.changes.audit_rows().count(), 1);
        let credential = json!({"Name": "ci", "Registry": "r", "Username": "u", "Password": "sealed"});
        let shown = create(&with(&[]), Kind::RegistryCredentials, &credential).unwrap().after.unwrap();
        assert_eq!((&shown["Password"], &shown["HasPassword"]), (&json!(""), &json!(true)));
    }

    #[test]
    fn secrets_and_variables_are_called_as_templates_name_them() {
        for name in ["db-password", "a b", "1st", "grün"] {
            assert!(!problems(Kind::Secrets, &json!({"Name": name, "Value": "x"})).is_empty(), "{name}");
            assert!(!problems(Kind::Variables, &json!({"Name": name})).is_empty(), "{name}");
        }
        assert_eq!(problems(Kind::Secrets, &json!({"Name": "DB_PASSWORD"})), ["Value: is empty"]);
        assert!(problems(Kind::Variables, &json!({"Name": "ntp"})).is_empty());
    }

    #[test]
    fn bundle_brings_no_secret_along() {
        let content = with(&[
            (Kind::Secrets, json!({"Name": "db", "Value": "sealed"})),
            (Kind::Variables, json!({"Name": "ntp", "Value": "pool"})),
            (Kind::Images, json!({"Name": "os", "Source": "upload"})),
        ]);
        let sections = content.bundle("BackingStore").unwrap()["sections"].clone();
        assert_eq!(sections["variables"]["ntp"]["Value"], "pool");
        assert!(sections.get("images").is_some() && sections.get("secrets").is_none());
    }
}
