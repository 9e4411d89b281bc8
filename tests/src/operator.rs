//! An operator's REST client: typed calls for what tests do often, raw ones for what they try.

use std::io::Read as _;
use std::path::Path;
use std::sync::Once;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use protocol::ids::EnrollmentId;
use protocol::rest::{
    ApiToken, ApproveRequest, DenyRequest, EnrollmentPreview, ErrorBody, Info, LookupRequest, Machine,
    TokenCreate, TokenCreated,
};
use reqwest::Method;
use reqwest::blocking::{Client, ClientBuilder, RequestBuilder, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Longest REST call.
const CALL_WITHIN: Duration = Duration::from_secs(60);
/// Largest answer that is read, in bytes; media are streamed to files.
const MAX_ANSWER: u64 = 16 * 1_024 * 1_024;
/// Life of the API token that calls are made with, in seconds.
const TOKEN_LIFE: u64 = 3_600;

/// An HTTP client that trusts the CAs of a `ca.pem` and nobody else.
///
/// # Errors
/// When they cannot be read.
pub fn client(ca_pem: &[u8]) -> Result<ClientBuilder> {
    static PROVIDER: Once = Once::new();
    // A second installation is refused and the first one is ours as well.
    PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
    let cas = reqwest::Certificate::from_pem_bundle(ca_pem).context("the CAs' certificates are not PEM")?;
    Ok(Client::builder().tls_certs_only(cas).no_proxy().timeout(CALL_WITHIN))
}

/// Any answer, as it came.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// `Retry-After` in seconds.
    pub retry_after: Option<u64>,
    /// Header names in lower case, with their values.
    pub headers: Vec<(String, String)>,
    /// Body, at most 16 MiB.
    pub body: Vec<u8>,
}

impl Answer {
    /// Reads a response to its end.
    ///
    /// # Errors
    /// When the connection breaks or the body is too large.
    pub fn read(response: Response) -> Result<Self> {
        let status = response.status().as_u16();
        let text =
            |value: &reqwest::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers: Vec<(String, String)> =
            response.headers().iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
        let mut body = Vec::new();
        response.take(MAX_ANSWER + 1).read_to_end(&mut body).context("the answer broke off")?;
        if body.len() as u64 > MAX_ANSWER {
            bail!("the answer has more than {MAX_ANSWER} bytes");
        }
        let mut answer = Self { status, retry_after: None, headers, body };
        answer.retry_after = answer.header("retry-after").and_then(|text| text.parse().ok());
        Ok(answer)
    }

    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body's JSON.
    ///
    /// # Errors
    /// When it is something else; with what it was.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.body)
            .with_context(|| format!("answer {} does not parse: {}", self.status, self.text()))
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// `Type` of a REST error: `code_not_found` and the like.
    ///
    /// # Errors
    /// When the body is no REST error, or its code is not the status.
    pub fn error_kind(&self) -> Result<String> {
        let error: ErrorBody = self.json()?;
        if error.code != self.status {
            bail!("status {} carries an error with code {}", self.status, error.code);
        }
        Ok(error.kind)
    }

    /// The body, when the status is the one expected.
    ///
    /// # Errors
    /// With the whole answer, when it is not.
    pub fn expect<T: DeserializeOwned>(&self, status: u16) -> Result<T> {
        if self.status != status {
            bail!("expected {status}, got {}: {}", self.status, self.text());
        }
        self.json()
    }
}

/// A REST client with an API token.
#[derive(Debug, Clone)]
pub struct Operator {
    http: Client,
    base: String,
    token: Option<String>,
}

impl Operator {
    /// Logs in with a password and goes on with an API token.
    ///
    /// # Errors
    /// When the server refuses or does not answer.
    pub fn login(base: &str, ca_pem: &[u8], name: &str, password: &str) -> Result<Self> {
        let mut operator = Self::anonymous(base, ca_pem)?;
        let path = format!("/api/v3/users/{name}/token?ttl={TOKEN_LIFE}");
        let request = operator.request(Method::GET, &path).basic_auth(name, Some(password));
        let token: ApiToken = Answer::read(request.send().context("no answer to the login")?)?.expect(200)?;
        operator.token = Some(token.token);
        Ok(operator)
    }

    /// A client without credentials.
    ///
    /// # Errors
    /// When the CA's certificate cannot be read.
    pub fn anonymous(base: &str, ca_pem: &[u8]) -> Result<Self> {
        let http = client(ca_pem)?.build().context("cannot make an HTTP client")?;
        Ok(Self { http, base: base.to_owned(), token: None })
    }

    /// The API token; secret, for tests that look for it where it must not be.
    #[must_use]
    pub fn reveal_token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// A request with this operator's credentials, to be changed and sent by the caller.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// `GET`, whatever the answer.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn get(&self, path: &str) -> Result<Answer> {
        self.send(self.request(Method::GET, path))
    }

    /// `POST` of JSON, whatever the answer.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn post(&self, path: &str, body: &impl Serialize) -> Result<Answer> {
        self.send(self.request(Method::POST, path).json(body))
    }

    /// `DELETE`, whatever the answer.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn delete(&self, path: &str) -> Result<Answer> {
        self.send(self.request(Method::DELETE, path))
    }

    /// Sends a request, whatever the answer.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn send(&self, request: RequestBuilder) -> Result<Answer> {
        Answer::read(request.send().context("no answer from the server")?)
    }

    /// A call of the API that must succeed; its answer, null when it has none. `path` begins below
    /// `/api/v3`.
    ///
    /// # Errors
    /// On any other answer than 2xx.
    pub fn call(&self, method: Method, path: &str, body: &Value) -> Result<Value> {
        let answer = self.send(self.request(method.clone(), &format!("/api/v3{path}")).json(body))?;
        if !(200..300).contains(&answer.status) {
            bail!("{method} {path}: {} {}", answer.status, answer.text());
        }
        if answer.body.is_empty() { Ok(Value::Null) } else { answer.json() }
    }

    /// What the server says of itself.
    ///
    /// # Errors
    /// On any other answer than 200.
    pub fn info(&self) -> Result<Info> {
        self.get("/api/v3/info")?.expect(200)
    }

    /// All machines.
    ///
    /// # Errors
    /// On any other answer than 200.
    pub fn machines(&self) -> Result<Vec<Machine>> {
        self.get("/api/v3/machines")?.expect(200)
    }

    /// One machine, by UUID or `Name:`.
    ///
    /// # Errors
    /// On any other answer than 200.
    pub fn machine(&self, key: &str) -> Result<Machine> {
        self.get(&format!("/api/v3/machines/{key}"))?.expect(200)
    }

    /// Waiting enrollments.
    ///
    /// # Errors
    /// On any other answer than 200.
    pub fn enrollments(&self) -> Result<Vec<EnrollmentPreview>> {
        self.get("/api/v3/bootstrap/enrollments")?.expect(200)
    }

    /// Looks a code up, whatever the answer.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn try_lookup(&self, code: &str) -> Result<Answer> {
        self.post("/api/v3/bootstrap/lookup", &LookupRequest { code: code.to_owned() })
    }

    /// Looks a code up.
    ///
    /// # Errors
    /// On any other answer than 200.
    pub fn lookup(&self, code: &str) -> Result<EnrollmentPreview> {
        self.try_lookup(code)?.expect(200)
    }

    /// Approves, whatever the answer.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn try_approve(&self, id: EnrollmentId, request: &ApproveRequest) -> Result<Answer> {
        self.post(&format!("/api/v3/bootstrap/enrollments/{id}/approve"), request)
    }

    /// Approves as the dialog does: looks the code up, and approves what was shown.
    ///
    /// # Errors
    /// On any other answers than 200.
    pub fn approve(&self, code: &str) -> Result<Machine> {
        let preview = self.lookup(code)?;
        self.try_approve(preview.id, &approval(code, &preview))?.expect(200)
    }

    /// Denies, whatever the answer.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn try_deny(&self, id: EnrollmentId, reason: &str) -> Result<Answer> {
        let request = DenyRequest { reason: Some(reason.to_owned()) };
        self.post(&format!("/api/v3/bootstrap/enrollments/{id}/deny"), &request)
    }

    /// A new bootstrap token without constraints.
    ///
    /// # Errors
    /// On any other answer than 200 or 201.
    pub fn create_token(&self, lifetime: u64) -> Result<TokenCreated> {
        self.issue(&TokenCreate { lifetime, ..TokenCreate::default() })
    }

    /// A new bootstrap token.
    ///
    /// # Errors
    /// On any other answer than 200 or 201.
    pub fn issue(&self, token: &TokenCreate) -> Result<TokenCreated> {
        let answer = self.post("/api/v3/bootstrap/tokens", token)?;
        if answer.status != 200 { answer.expect(201) } else { answer.json() }
    }

    /// Streams a medium into a file and gives its length back.
    ///
    /// # Errors
    /// When the server refuses or the stream ends early.
    pub fn download(&self, name: &str, to: &Path) -> Result<u64> {
        let request = self.request(Method::GET, &format!("/media/{name}"));
        let mut response = request.send().with_context(|| format!("no answer for {name}"))?;
        if response.status().as_u16() != 200 {
            bail!("{name}: {}", Answer::read(response)?.text());
        }
        let announced = response.content_length();
        let mut file = std::fs::File::create(to).with_context(|| format!("cannot make {}", to.display()))?;
        let length = response.copy_to(&mut file).with_context(|| format!("{name} broke off"))?;
        if announced != Some(length) {
            bail!("{name}: announced {announced:?} bytes, sent {length}");
        }
        Ok(length)
    }
}

/// What the dialog sends after a preview: the code typed and the fingerprint shown, confirmed.
#[must_use]
pub fn approval(code: &str, preview: &EnrollmentPreview) -> ApproveRequest {
    ApproveRequest {
        code: Some(code.to_owned()),
        fingerprint: preview.fingerprint.to_string(),
        name: None,
        merge: None,
        fingerprint_confirmed: true,
    }
}

/// A JSON object as a value, for bodies that tests damage.
///
/// # Errors
/// When it does not serialise.
pub fn value(body: &impl Serialize) -> Result<Value> {
    serde_json::to_value(body).context("a body that is not JSON")
}
