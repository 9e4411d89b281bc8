//! What a machine's params say of its place in a mesh network.

use super::{Chosen, find, flag, wrong};
use crate::content::Content;
use crate::machine::Machine;
use crate::mesh::endpoints;
use protocol::mesh::DEFAULT_PORT;
use serde_json::Value;
use std::net::SocketAddr;

/// Whether a machine forwards between others.
pub const MESH_RELAY: &str = "muster/mesh-relay";
/// Where its tunnel is reached.
pub const MESH_ENDPOINT: &str = "muster/mesh-endpoint";
/// The UDP port it listens on.
pub const MESH_PORT: &str = "muster/mesh-port";

/// Whether a machine forwards between other members of its mesh network.
///
/// # Errors
/// A value that is no boolean.
pub fn mesh_relay(content: &Content, machine: &Machine) -> Result<bool, String> {
    flag(content, machine, MESH_RELAY, false)
}

/// Where others reach its tunnel, as somebody said.
///
/// # Errors
/// A value that is no address and port.
pub fn mesh_endpoint(content: &Content, machine: &Machine) -> Result<Option<SocketAddr>, String> {
    match find(content, machine, MESH_ENDPOINT) {
        None | Some(Chosen { value: Value::Null, .. }) => Ok(None),
        Some(Chosen { value: Value::String(text), .. }) if text.is_empty() => Ok(None),
        Some(Chosen { value: Value::String(text), from }) => {
            endpoints::read(&text).map(Some).map_err(|error| wrong(MESH_ENDPOINT, &from, error))
        }
        Some(Chosen {
            value: Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_),
            from,
        }) => Err(wrong(MESH_ENDPOINT, &from, "must be a text, such as 203.0.113.7:51820")),
    }
}

/// The UDP port that it listens on for tunnels.
///
/// # Errors
/// A value that is no port.
pub fn mesh_port(content: &Content, machine: &Machine) -> Result<u16, String> {
    let Some(Chosen { value, from }) =
        find(content, machine, MESH_PORT).filter(|found| !found.value.is_null())
    else {
        return Ok(DEFAULT_PORT);
    };
    let port = value.as_u64().and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0);
    port.ok_or_else(|| wrong(MESH_PORT, &from, "must be a port, 1 to 65535"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::sample::{builtin, create, with};
    use crate::machine::tests::made;
    use protocol::model::Kind;
    use serde_json::json;

    fn machine(params: &Value) -> (Content, Machine) {
        let content = builtin();
        let mut machine = made(&content, &json!({"Name": "alpha"}));
        machine.fields.params = serde_json::from_value(params.clone()).unwrap();
        (content, machine)
    }

    #[test]
    fn machine_is_no_relay_and_listens_on_the_usual_port_unless_a_param_says_so() {
        let (content, plain) = machine(&json!({}));
        assert_eq!(mesh_relay(&content, &plain), Ok(false));
        assert_eq!(mesh_endpoint(&content, &plain), Ok(None));
        assert_eq!(mesh_port(&content, &plain), Ok(51_820));
        let (content, gate) =
            machine(&json!({MESH_RELAY: true, MESH_ENDPOINT: "203.0.113.7:4500", MESH_PORT: 4_500}));
        assert_eq!(mesh_relay(&content, &gate), Ok(true));
        assert_eq!(mesh_endpoint(&content, &gate), Ok(Some("203.0.113.7:4500".parse().unwrap())));
        assert_eq!(mesh_port(&content, &gate), Ok(4_500));
    }

    #[test]
    fn values_that_are_none_are_told_with_their_param() {
        let (content, odd) =
            machine(&json!({MESH_RELAY: "yes", MESH_ENDPOINT: "gate.example.org:1", MESH_PORT: 70_000}));
        let told = mesh_endpoint(&content, &odd).unwrap_err();
        assert!(
            told.starts_with("param muster/mesh-endpoint of the machine: \"gate.example.org:1\" is no"),
            "{told}"
        );
        assert_eq!(
            mesh_port(&content, &odd).unwrap_err(),
            "param muster/mesh-port of the machine: must be a port, 1 to 65535"
        );
        assert!(mesh_relay(&content, &odd).is_err());
    }

    #[test]
    fn schemas_take_what_is_read_and_no_more() {
        let content = with(&[]);
        let profile =
            |params: Value| create(&content, Kind::Profiles, &json!({"Name": "pr", "Params": params}));
        for params in [
            json!({MESH_RELAY: true, MESH_PORT: 65_535}),
            json!({MESH_ENDPOINT: "203.0.113.7:51820"}),
            json!({MESH_ENDPOINT: "[2001:db8::7]:51820"}),
            json!({MESH_ENDPOINT: ""}),
        ] {
            assert!(profile(params.clone()).is_ok(), "{params}");
        }
        for params in [
            json!({MESH_RELAY: 1}),
            json!({MESH_PORT: 0}),
            json!({MESH_PORT: 65_536}),
            json!({MESH_ENDPOINT: "gate.example.org:51820"}),
            json!({MESH_ENDPOINT: "203.0.113.7"}),
        ] {
            assert!(profile(params.clone()).is_err(), "{params}");
        }
    }
}
