//! Identifiers as types, so that one kind can never be passed for another.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// An identifier that does not have the shape its kind asks for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} must be {shape}")]
pub struct IdError {
    kind: &'static str,
    shape: &'static str,
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        #[cfg_attr(feature = "openapi", schema(value_type = String))]
        #[serde(transparent)]
        pub struct $name(pub uuid::Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                if text.len() != 36 {
                    return Err(IdError { kind: $kind, shape: "a UUID of 36 characters" });
                }
                uuid::Uuid::try_parse(text)
                    .map(Self)
                    .map_err(|_| IdError { kind: $kind, shape: "a UUID of 36 characters" })
            }
        }
    };
}

uuid_id!(
    /// A machine's immutable identity, given by the server.
    MachineId, "machine id");
uuid_id!(
    /// One enrollment: a machine's request to be registered.
    EnrollmentId, "enrollment id");

/// 32 bytes shown as 43 characters of unpadded base64url: SHA-256 values.
macro_rules! digest_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        #[cfg_attr(feature = "openapi", schema(value_type = String))]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(pub [u8; 32]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&crate::token::base64url(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                crate::token::from_base64url_exact(text)
                    .map(Self)
                    .ok_or(IdError { kind: $kind, shape: "43 characters of base64url" })
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.to_string()
            }
        }
    };
}

digest_id!(
    /// RFC 7638 thumbprint of a machine's public key: what the server calls the machine's key.
    KeyThumbprint, "key thumbprint");

/// SHA-256 of a CA's SubjectPublicKeyInfo, written `sha256:<43 characters>` (RFC 7469's pin).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(value_type = String))]
#[serde(try_from = "String", into = "String")]
pub struct SpkiPin(pub [u8; 32]);

impl SpkiPin {
    const PREFIX: &'static str = "sha256:";
}

impl fmt::Display for SpkiPin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", Self::PREFIX, crate::token::base64url(&self.0))
    }
}

impl FromStr for SpkiPin {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        text.strip_prefix(Self::PREFIX)
            .and_then(crate::token::from_base64url_exact)
            .map(Self)
            .ok_or(IdError { kind: "CA hash", shape: "sha256: and 43 characters of base64url" })
    }
}

impl TryFrom<String> for SpkiPin {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<SpkiPin> for String {
    fn from(pin: SpkiPin) -> String {
        pin.to_string()
    }
}

/// A hardware address, six octets, written in lower case with colons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(value_type = String))]
#[serde(try_from = "String", into = "String")]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    /// The address as twelve hexadecimal digits, for names such as `m-525400123456`.
    pub fn compact(&self) -> String {
        self.0.iter().map(|octet| format!("{octet:02x}")).collect()
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl FromStr for MacAddr {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let error = IdError { kind: "hardware address", shape: "six octets such as 52:54:00:12:34:56" };
        let mut octets = [0u8; 6];
        let mut parts = text.split([':', '-']);
        for octet in &mut octets {
            let part = parts.next().ok_or_else(|| error.clone())?;
            if part.len() != 2 || !part.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(error);
            }
            *octet = u8::from_str_radix(part, 16).map_err(|_| error.clone())?;
        }
        match parts.next() {
            None => Ok(Self(octets)),
            Some(_) => Err(error),
        }
    }
}

impl TryFrom<String> for MacAddr {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<MacAddr> for String {
    fn from(mac: MacAddr) -> String {
        mac.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hardware_address_is_written_one_way_and_read_two() {
        for text in ["52:54:00:12:34:56", "52-54-00-12-34-56", "52:54:00:12:34:56"] {
            assert_eq!(text.parse::<MacAddr>().unwrap().to_string(), "52:54:00:12:34:56");
        }
        for text in ["", "52:54:00:12:34", "52:54:00:12:34:56:78", "5g:54:00:12:34:56", "+5:54:00:12:34:56"] {
            assert!(text.parse::<MacAddr>().is_err(), "{text}");
        }
    }

    #[test]
    fn pin_round_trips_and_refuses_other_shapes() {
        let pin = SpkiPin([7; 32]);
        assert_eq!(pin.to_string().parse::<SpkiPin>().unwrap(), pin);
        assert_eq!(
            "sha1:AAAA".parse::<SpkiPin>().unwrap_err().to_string(),
            "CA hash must be sha256: and 43 characters of base64url"
        );
    }
}
