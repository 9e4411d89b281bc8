//! Reads OCI images from registries (distribution-spec 1.1): a tag becomes the digest it has now, an
//! index the manifest for one platform, and both documents are held against their digests before
//! anything in them is believed.
//!
//! Our own few calls and not `oci-client`: that crate makes its HTTP client itself, so nothing could
//! judge where the registry, its token service and its redirects send us (see `guard`).

use super::challenge::{Challenge, Token};
use super::fetch::{Answer, Ask, FetchError, Fetcher, Trust, shown_host};
use super::guard::{self, GuardError};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use imaging::digest::{Digest, Hasher};
use imaging::oci::{
    ACCEPT, Config, Descriptor, Document, MAX_CONFIG, MAX_MANIFEST, Manifest, OciError, Platform, Reference,
};
use protocol::install::Layer;
use reqwest::header::{CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{StatusCode, Url};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Largest answer of a token service, in bytes.
const MAX_TOKEN_ANSWER: usize = 64 * 1_024;
/// Authorizations kept at once.
const KEPT: usize = 64;
/// How long it is remembered that a registry wants a password.
const BASIC_LIFE: Duration = Duration::from_secs(600);

/// What opens a registry.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Login {
    /// The only host that it is shown to.
    pub(crate) registry: String,
    /// User name.
    pub(crate) username: String,
    /// Password or token.
    pub(crate) password: String,
}

/// Without the password.
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("registry", &self.registry).finish_non_exhaustive()
    }
}

impl Login {
    /// The header that carries it; none where the bytes go into no header.
    pub(crate) fn basic(&self) -> Option<HeaderValue> {
        let pair = STANDARD.encode(format!("{}:{}", self.username, self.password));
        secret_header(&format!("Basic {pair}"))
    }

    /// Whether it is for this host.
    pub(crate) fn is_for(&self, host: &str) -> bool {
        let bare = self.registry.trim_start_matches("https://").trim_start_matches("http://");
        let bare = bare.trim_end_matches('/');
        let hub = |host: &str| matches!(host, "docker.io" | "index.docker.io" | "registry-1.docker.io");
        bare.eq_ignore_ascii_case(host) || (hub(bare) && hub(host))
    }
}

/// Why an image cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RegistryError {
    /// The credential is another registry's.
    #[error(
        "the credential is for {theirs}, and the image {image} is in {registry}: name the one for {registry}"
    )]
    OtherRegistry {
        /// The credential's registry.
        theirs: String,
        /// The image's.
        registry: String,
        /// The image.
        image: String,
    },
    /// Nobody was named.
    #[error("{registry} shows {image} to nobody without a password: name a registry credential in the image")]
    NeedsLogin {
        /// Whose answer.
        registry: String,
        /// The image.
        image: String,
    },
    /// Somebody was named, and it did not help.
    #[error("{registry} refuses {image} to {user}: check user, password and what the user may read")]
    Denied {
        /// Whose answer.
        registry: String,
        /// The image.
        image: String,
        /// The user of the credential.
        user: String,
    },
    /// There is none.
    #[error("{registry} has no {image}: check repository and tag")]
    NoImage {
        /// Whose answer.
        registry: String,
        /// The image.
        image: String,
    },
    /// It asks in a way that nobody understands.
    #[error("{registry} asks for a login in a way that is neither Basic nor Bearer")]
    Challenge {
        /// Whose answer.
        registry: String,
    },
    /// A password is not sent in the clear to others.
    #[error("{registry} sends to {host} for a token without TLS, which is not done")]
    PlainToken {
        /// Whose answer.
        registry: String,
        /// The token service.
        host: String,
    },
    /// The token service answers something else.
    #[error("the token service of {registry} at {host} answers no token")]
    NoToken {
        /// The registry.
        registry: String,
        /// The token service.
        host: String,
    },
    /// The registry was not reached, or broke off.
    #[error("{image} cannot be fetched")]
    Fetch {
        /// The image.
        image: String,
        /// Why.
        source: FetchError,
    },
    /// Something else came than was asked for.
    #[error("{registry} gives something else for {what} of {image}: its digest is {got}, not {expected}")]
    Mismatch {
        /// Whose answer.
        registry: String,
        /// The image.
        image: String,
        /// Manifest or config.
        what: &'static str,
        /// What was asked for.
        expected: String,
        /// What came.
        got: String,
    },
    /// The documents say nothing that can be installed.
    #[error("{image} of {registry} cannot be installed")]
    Document {
        /// Where it is.
        registry: String,
        /// The image.
        image: String,
        /// Why.
        source: OciError,
    },
    /// An index of indexes.
    #[error("{image} of {registry} is an index in an index in an index, which none needs")]
    Nested {
        /// Where it is.
        registry: String,
        /// The image.
        image: String,
    },
}

impl RegistryError {
    /// Whether another try may end otherwise.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self, Self::Fetch { source, .. } if source.may_pass())
    }
}

/// An image in its registry, and what opens it.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    reference: Reference,
    base: Url,
    registry: String,
    image: String,
    login: Option<Login>,
    trust: Trust,
    plain_http: bool,
}

impl Place {
    /// Where a reference points.
    ///
    /// # Errors
    /// When the credential is another registry's, or the reference names no host.
    pub(crate) fn new(
        reference: Reference,
        login: Option<Login>,
        trust: Trust,
        plain_http: bool,
    ) -> Result<Self, RegistryError> {
        let (registry, image) = (reference.registry().to_owned(), reference.to_string());
        if let Some(login) = login.as_ref().filter(|login| !login.is_for(&registry)) {
            let theirs = login.registry.clone();
            return Err(RegistryError::OtherRegistry { theirs, registry, image });
        }
        let scheme = if plain_http { "http" } else { "https" };
        let base = guard::read_url(&format!("{scheme}://{registry}/v2/{}/", reference.repository()))
            .map_err(|source| RegistryError::Fetch { image: image.clone(), source: source.into() })?;
        Ok(Self { reference, base, registry, image, login, trust, plain_http })
    }

    /// URL of a blob.
    ///
    /// # Errors
    /// When it makes no URL.
    pub(crate) fn blob_url(&self, digest: &Digest) -> Result<Url, RegistryError> {
        self.url(&format!("blobs/{digest}"))
    }

    /// Whether it is asked without TLS.
    pub(crate) fn is_plain(&self) -> bool {
        self.plain_http
    }

    /// Whether these are the same repository for the same reader.
    fn shares_authorization(&self, other: &Self) -> bool {
        self.base == other.base && self.login == other.login && self.trust == other.trust
    }

    fn url(&self, path: &str) -> Result<Url, RegistryError> {
        let unreadable = |error: String| self.fetch(GuardError::Unreadable(error).into());
        self.base.join(path).map_err(|error| unreadable(error.to_string()))
    }

    fn fetch(&self, source: FetchError) -> RegistryError {
        RegistryError::Fetch { image: self.image.clone(), source }
    }

    fn refusal(&self, answer: &Answer) -> RegistryError {
        let (registry, image) = (self.registry.clone(), self.image.clone());
        match (answer.status(), &self.login) {
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, Some(login)) => {
                RegistryError::Denied { registry, image, user: login.username.clone() }
            }
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, None) => {
                RegistryError::NeedsLogin { registry, image }
            }
            (StatusCode::NOT_FOUND, _) => RegistryError::NoImage { registry, image },
            _ => self.fetch(answer.refusal()),
        }
    }

    fn document(&self, source: OciError) -> RegistryError {
        RegistryError::Document { registry: self.registry.clone(), image: self.image.clone(), source }
    }

    /// Holds bytes against the digest under which they were asked for.
    fn verify(&self, what: &'static str, expected: &Digest, body: &[u8]) -> Result<(), RegistryError> {
        let mut hasher = Hasher::new(expected.algorithm());
        hasher.update(body);
        let got = hasher.finish();
        if got == *expected {
            return Ok(());
        }
        Err(RegistryError::Mismatch {
            registry: self.registry.clone(),
            image: self.image.clone(),
            what,
            expected: expected.to_string(),
            got: got.to_string(),
        })
    }
}

/// An image, resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OciImage {
    /// Digest of the manifest for the platform.
    pub(crate) digest: Digest,
    /// Its layers from the lowest on, without sources.
    pub(crate) layers: Vec<Layer>,
}

/// Registries, as far as their authorizations are kept.
#[derive(Debug)]
pub(crate) struct Registries {
    fetcher: Arc<Fetcher>,
    kept: Mutex<Vec<Kept>>,
}

struct Kept {
    place: Place,
    authorization: HeaderValue,
    until: Instant,
}

/// Without the authorization.
impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").field("place", &self.place).finish_non_exhaustive()
    }
}

impl Registries {
    /// Asked by this.
    pub(crate) fn new(fetcher: Arc<Fetcher>) -> Self {
        Self { fetcher, kept: Mutex::default() }
    }

    /// The manifest that an image has now for machines of an architecture.
    ///
    /// # Errors
    /// [`RegistryError`] names registry, image and remedy.
    pub(crate) async fn resolve(
        &self,
        place: &Place,
        platform: &Platform,
    ) -> Result<OciImage, RegistryError> {
        let named = place.reference.digest().copied();
        let (mut digest, mut document) = self.manifest(place, &place.reference.target(), named).await?;
        // An index, and by the specification one more in it.
        for _ in 0..2 {
            let Document::Index(index) = &document else { break };
            let chosen = index.choose(platform).map_err(|error| place.document(error))?.clone();
            (digest, document) =
                self.manifest(place, &chosen.digest.to_string(), Some(chosen.digest)).await?;
        }
        let Document::Manifest(manifest) = document else {
            let (registry, image) = (place.registry.clone(), place.image.clone());
            return Err(RegistryError::Nested { registry, image });
        };
        self.check_config(place, &manifest, platform).await?;
        Ok(OciImage { digest, layers: manifest.layers.iter().map(layer).collect() })
    }

    /// A blob from a byte on.
    ///
    /// # Errors
    /// [`RegistryError`] names registry, image and remedy.
    pub(crate) async fn blob(
        &self,
        place: &Place,
        digest: &Digest,
        from: u64,
    ) -> Result<Answer, RegistryError> {
        let mut ask = Ask::whole(place.blob_url(digest)?);
        // The content cannot change under a digest: no entity tag is needed.
        ask.from = (from > 0).then_some((from, None));
        self.ask(place, ask).await
    }

    /// The header with which a machine reads blobs of an image by itself; none where everybody may.
    ///
    /// # Errors
    /// As [`Registries::resolve`].
    pub(crate) async fn authorization(
        &self,
        place: &Place,
        blob: &Digest,
    ) -> Result<Option<HeaderValue>, RegistryError> {
        // One byte is asked for: the answer tells whether what is kept still opens the door.
        let mut ask = Ask::whole(place.blob_url(blob)?);
        ask.from = Some((0, None));
        drop(self.ask(place, ask).await?);
        Ok(self.known(place))
    }

    async fn manifest(
        &self,
        place: &Place,
        target: &str,
        expected: Option<Digest>,
    ) -> Result<(Digest, Document), RegistryError> {
        let mut ask = Ask::whole(place.url(&format!("manifests/{target}"))?);
        ask.accept = Some(HeaderValue::from_static(ACCEPT));
        let answer = self.ask(place, ask).await?;
        let content_type = answer.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let content_type = content_type.map(str::to_owned);
        let body = answer.document(MAX_MANIFEST).await.map_err(|error| place.fetch(error))?;
        if let Some(expected) = &expected {
            place.verify("the manifest", expected, &body)?;
        }
        let document =
            Document::parse(content_type.as_deref(), &body).map_err(|error| place.document(error))?;
        Ok((expected.unwrap_or_else(|| Digest::of(&body)), document))
    }

    /// Reads the config, whose architecture says whether the image runs on the machine at all.
    async fn check_config(
        &self,
        place: &Place,
        manifest: &Manifest,
        platform: &Platform,
    ) -> Result<(), RegistryError> {
        let answer = self.blob(place, &manifest.config.digest, 0).await?;
        let body = answer.document(MAX_CONFIG).await.map_err(|error| place.fetch(error))?;
        place.verify("the config", &manifest.config.digest, &body)?;
        let config = Config::parse(&body, manifest).map_err(|error| place.document(error))?;
        config.check(platform).map_err(|error| place.document(error))
    }

    /// Asks with what opened the door before, else as the registry's challenge says.
    async fn ask(&self, place: &Place, mut ask: Ask) -> Result<Answer, RegistryError> {
        ask.authorization = self.known(place);
        let mut answer = self.fetcher.ask(&ask, &place.trust).await.map_err(|error| place.fetch(error))?;
        if answer.status() == StatusCode::UNAUTHORIZED {
            self.forget(place);
            ask.authorization = Some(self.answer_challenge(place, &answer).await?);
            answer = self.fetcher.ask(&ask, &place.trust).await.map_err(|error| place.fetch(error))?;
        }
        if answer.status().is_success() { Ok(answer) } else { Err(place.refusal(&answer)) }
    }

    /// What opens the door, kept for the next time.
    async fn answer_challenge(&self, place: &Place, answer: &Answer) -> Result<HeaderValue, RegistryError> {
        let headers = answer.headers().get_all(WWW_AUTHENTICATE).iter();
        let challenge = headers.filter_map(|value| value.to_str().ok()).find_map(Challenge::read);
        let registry = place.registry.clone();
        let (authorization, life) = match challenge.ok_or(RegistryError::Challenge { registry })? {
            Challenge::Basic => {
                let header = place.login.as_ref().and_then(Login::basic);
                (header.ok_or_else(|| place.refusal(answer))?, BASIC_LIFE)
            }
            Challenge::Bearer { realm, service } => self.token(place, &realm, &service).await?,
        };
        self.keep(place, &authorization, life);
        Ok(authorization)
    }

    /// A token that reads this repository and no other.
    async fn token(
        &self,
        place: &Place,
        realm: &str,
        service: &str,
    ) -> Result<(HeaderValue, Duration), RegistryError> {
        let mut url = guard::read_url(realm).map_err(|error| place.fetch(error.into()))?;
        let (registry, host) = (place.registry.clone(), shown_host(&url));
        if url.scheme() == "http" && !place.plain_http {
            return Err(RegistryError::PlainToken { registry, host });
        }
        if !service.is_empty() {
            url.query_pairs_mut().append_pair("service", service);
        }
        let scope = format!("repository:{}:pull", place.reference.repository());
        url.query_pairs_mut().append_pair("scope", &scope);
        let mut ask = Ask::whole(url);
        ask.authorization = place.login.as_ref().and_then(Login::basic);
        let answer = self.fetcher.ask(&ask, &place.trust).await.map_err(|error| place.fetch(error))?;
        if !answer.status().is_success() {
            return Err(place.refusal(&answer));
        }
        let body = answer.document(MAX_TOKEN_ANSWER).await.map_err(|error| place.fetch(error))?;
        let token = Token::read(&body);
        let header =
            token.and_then(|token| Some((secret_header(&format!("Bearer {}", token.text))?, token.life)));
        header.ok_or(RegistryError::NoToken { registry, host })
    }

    fn known(&self, place: &Place) -> Option<HeaderValue> {
        let (now, kept) = (Instant::now(), self.lock());
        let known = kept.iter().find(|kept| kept.until > now && kept.place.shares_authorization(place));
        known.map(|kept| kept.authorization.clone())
    }

    fn keep(&self, place: &Place, authorization: &HeaderValue, life: Duration) {
        let (now, mut kept) = (Instant::now(), self.lock());
        kept.retain(|kept| kept.until > now && !kept.place.shares_authorization(place));
        if kept.len() >= KEPT {
            kept.remove(0);
        }
        kept.push(Kept { place: place.clone(), authorization: authorization.clone(), until: now + life });
    }

    fn forget(&self, place: &Place) {
        self.lock().retain(|kept| !kept.place.shares_authorization(place));
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A layer without sources.
fn layer(descriptor: &Descriptor) -> Layer {
    Layer {
        digest: descriptor.digest.to_string(),
        size: descriptor.size,
        media_type: descriptor.media_type.clone(),
        ..Layer::default()
    }
}

/// A header that no log shows; none where the text goes into no header.
pub(crate) fn secret_header(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}
