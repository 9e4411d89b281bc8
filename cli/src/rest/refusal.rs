//! A server's refusal as a sentence.

use protocol::rest::ErrorBody;
use std::fmt;

/// An answer other than success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    /// HTTP status.
    pub(crate) status: u16,
    /// What the server said, or what can be said in its place; at least one sentence.
    pub(crate) messages: Vec<String>,
    /// Seconds the server asks us to wait.
    retry_after: Option<u64>,
    /// Nobody was logged in, or nobody is any more.
    pub(crate) logged_out: bool,
}

impl Refused {
    /// Reads an answer's body: our servers explain themselves, a proxy in between may not.
    pub(crate) fn read(status: u16, retry_after: Option<&str>, body: &[u8]) -> Self {
        let body = serde_json::from_slice::<ErrorBody>(body);
        // Wrong credentials are about users; a right that is missing is about none.
        let refused = |error: &ErrorBody| status == 403 && error.kind == "AUTH" && error.model == "users";
        let logged_out = status == 401 || body.as_ref().is_ok_and(refused);
        let messages = match body {
            Ok(error) if !error.messages.is_empty() => error.messages,
            Ok(error) => vec![format!("the server answered {status} {}", error.kind)],
            Err(_) => vec![format!("the server answered {status} without an explanation")],
        };
        let retry_after = retry_after.and_then(|text| text.trim().parse().ok());
        let messages = messages.iter().map(|message| crate::print::one_line(message)).collect();
        Self { status, messages, retry_after, logged_out }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = self.messages.join("; ");
        f.write_str(&message)?;
        // Many of our servers' sentences name the time already.
        if let Some(wait) = self.retry_after.map(|seconds| format!("in {seconds} s"))
            && !message.contains(&wait)
        {
            write!(f, "; try again {wait}")?;
        }
        if self.logged_out {
            write!(
                f,
                "; run `muster login`, or set MUSTER_USERNAME and MUSTER_PASSWORD, or MUSTER_API_TOKEN"
            )?;
        }
        Ok(())
    }
}

impl std::error::Error for Refused {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_own_words_are_shown() {
        let body = br#"{"Model":"","Key":"","Type":"code_not_found","Messages":["no machine shows this code"],"Code":404}"#;
        assert_eq!(Refused::read(404, None, body).to_string(), "no machine shows this code");
        let busy = Refused::read(429, Some("30"), br#"{"Model":"","Key":"","Type":"too_many_attempts","Messages":["too many wrong codes"],"Code":429}"#);
        assert_eq!(busy.to_string(), "too many wrong codes; try again in 30 s");
        let told = Refused {
            status: 429,
            messages: vec!["too many; retry in 30 s".to_owned()],
            retry_after: Some(30),
            logged_out: false,
        };
        assert_eq!(told.to_string(), "too many; retry in 30 s");
    }

    #[test]
    fn a_foreign_answer_is_named_and_its_text_not_repeated() {
        let refused = Refused::read(502, None, b"<html>\x1b[2J</html>");
        assert_eq!(refused.to_string(), "the server answered 502 without an explanation");
    }

    #[test]
    fn who_is_not_logged_in_learns_how() {
        let body = br#"{"Model":"","Key":"","Type":"AUTH","Messages":["not logged in"],"Code":401}"#;
        assert!(Refused::read(401, None, body).to_string().starts_with("not logged in; run `muster login`"));
        let ended =
            br#"{"Model":"users","Key":"","Type":"AUTH","Messages":["the log-in has ended"],"Code":403}"#;
        assert!(Refused::read(403, None, ended).to_string().contains("run `muster login`"));
        let right =
            br#"{"Model":"","Key":"","Type":"AUTH","Messages":["this needs the right a:b"],"Code":403}"#;
        assert_eq!(Refused::read(403, None, right).to_string(), "this needs the right a:b");
    }
}
