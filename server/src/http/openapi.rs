//! The OpenAPI document, made from the routes table.

use super::routes::{Door, Route, Shape, table};
use crate::app::VERSION;
use std::collections::BTreeMap;
use utoipa::openapi::path::{HttpMethod, Operation, OperationBuilder, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{ArrayBuilder, ComponentsBuilder, ObjectBuilder, Type};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{
    ContentBuilder, InfoBuilder, OpenApi, OpenApiBuilder, PathsBuilder, Ref, RefOr, Required,
    ResponseBuilder, Schema, path::PathItem,
};
use utoipa::{PartialSchema, ToSchema};

type Schemas = BTreeMap<String, RefOr<Schema>>;

/// Names of schemas that are written where they are used.
const FOREIGN: [&str; 2] = ["String", "Value"];

/// The document as JSON, the same for the same build.
pub(crate) fn json() -> String {
    // Plain data always serialises.
    let mut text = document().to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

fn document() -> OpenApi {
    let mut schemas = Schemas::new();
    let mut paths = PathsBuilder::new();
    for route in
        table().iter().filter(|route| route.path.starts_with("/api/") || route.path.starts_with("/media/"))
    {
        let item = PathItem::new(method(route.method), operation(route, &mut schemas));
        // OpenAPI has no word for a parameter that spans slashes.
        paths = paths.path(route.path.replace("{*", "{"), item);
    }
    for shape in [Shape::of_errors(), Shape::of_refusals()] {
        reference(&shape, &mut schemas);
    }
    let mut components = ComponentsBuilder::new();
    for (name, schema) in schemas {
        components = components.schema(name, schema);
    }
    for (name, scheme) in security_schemes() {
        components = components.security_scheme(name, scheme);
    }
    let info = InfoBuilder::new()
        .title("Muster")
        .version(VERSION)
        .description(Some(
            "Bare-metal bootstrap: registers machines by code or token and brings them to duty.",
        ))
        .build();
    OpenApiBuilder::new().info(info).paths(paths).components(Some(components.build())).build()
}

impl Shape {
    fn of_errors() -> Self {
        Self::plain::<protocol::rest::ErrorBody>()
    }

    fn of_refusals() -> Self {
        Self::plain::<protocol::agent_api::Refusal>()
    }

    fn plain<T: ToSchema + PartialSchema>() -> Self {
        Self { list: false, name: T::name, schema: T::schema, inner: T::schemas }
    }
}

fn method(name: &str) -> HttpMethod {
    match name {
        "POST" => HttpMethod::Post,
        "DELETE" => HttpMethod::Delete,
        "PUT" => HttpMethod::Put,
        "PATCH" => HttpMethod::Patch,
        _ => HttpMethod::Get,
    }
}

fn operation(route: &Route, schemas: &mut Schemas) -> Operation {
    let mut operation = OperationBuilder::new()
        .summary(Some(route.summary))
        .operation_id(Some(operation_id(route)))
        .tag(tag(route.path));
    for name in parameters(route.path) {
        let parameter = ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Path)
            .required(Required::True)
            .schema(Some(ObjectBuilder::new().schema_type(Type::String)));
        operation = operation.parameter(parameter);
    }
    for (name, purpose) in route.asks {
        let parameter = ParameterBuilder::new()
            .name(*name)
            .parameter_in(ParameterIn::Query)
            .description(Some(*purpose))
            .schema(Some(ObjectBuilder::new().schema_type(Type::String)));
        operation = operation.parameter(parameter);
    }
    if let Some(shape) = &route.takes {
        let content = ContentBuilder::new().schema(Some(reference(shape, schemas))).build();
        let body = RequestBodyBuilder::new()
            .content("application/json", content)
            .required(Some(Required::True))
            .build();
        operation = operation.request_body(Some(body));
    }
    for (status, shape) in &route.gives {
        let mut response = ResponseBuilder::new().description(description(*status));
        if let Some(shape) = shape {
            let content = ContentBuilder::new().schema(Some(reference(shape, schemas))).build();
            response = response.content("application/json", content);
        }
        operation = operation.response(status.to_string(), response.build());
    }
    let refused = if matches!(route.door, Door::Machine | Door::Agent) { "Refusal" } else { "ErrorBody" };
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(refused))).build();
    let refusal = ResponseBuilder::new().description("Refused").content("application/json", content).build();
    operation = operation.response("default", refusal);
    for requirement in requirements(route.door) {
        operation = operation.security(requirement);
    }
    operation.build()
}

/// `POST /api/v3/bootstrap/enrollments/{id}/poll` -> `post_bootstrap_enrollments_id_poll`.
fn operation_id(route: &Route) -> String {
    let path = route.path.trim_start_matches("/api/v3").replace(['{', '}', '*'], "");
    let words: Vec<&str> = path.split(['/', '.', '-']).filter(|word| !word.is_empty()).collect();
    format!("{}_{}", route.method.to_ascii_lowercase(), words.join("_"))
}

fn tag(path: &'static str) -> &'static str {
    path.trim_start_matches("/api/v3").split('/').find(|word| !word.is_empty()).unwrap_or("server")
}

fn parameters(path: &'static str) -> impl Iterator<Item = &'static str> {
    let named = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    named.map(|name| name.trim_start_matches('*'))
}

fn description(status: u16) -> &'static str {
    match status {
        101 => "The connection becomes a websocket",
        201 => "Made",
        202 => "Not done yet",
        204 => "Done",
        206 => "The part that was asked for",
        304 => "The same as the caller has",
        _ => "As asked",
    }
}

/// A reference to a body's schema, which is put among the components with all it refers to.
fn reference(shape: &Shape, schemas: &mut Schemas) -> RefOr<Schema> {
    let name = (shape.name)().into_owned();
    let mut inner = Vec::new();
    (shape.inner)(&mut inner);
    schemas.extend(inner);
    let schema = (shape.schema)();
    // What Rust brings along is no type of ours.
    let reference = if FOREIGN.contains(&name.as_str()) {
        schema
    } else {
        schemas.insert(name.clone(), schema);
        RefOr::Ref(Ref::from_schema_name(name))
    };
    if shape.list { RefOr::T(ArrayBuilder::new().items(reference).build().into()) } else { reference }
}

fn security_schemes() -> Vec<(&'static str, SecurityScheme)> {
    let http = |scheme| SecurityScheme::Http(HttpBuilder::new().scheme(scheme).build());
    vec![
        ("basic", http(HttpAuthScheme::Basic)),
        ("token", http(HttpAuthScheme::Bearer)),
        ("session", SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::new(super::extract::SESSION_COOKIE)))),
        ("access", SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("Authorization")))),
        ("proof", SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("DPoP")))),
    ]
}

fn requirements(door: Door) -> Vec<SecurityRequirement> {
    let one = |name: &str| SecurityRequirement::new(name, Vec::<String>::new());
    match door {
        Door::Public => vec![],
        Door::Operator => vec![one("session"), one("basic"), one("token")],
        Door::Machine => vec![one("proof")],
        Door::Agent => vec![one("proof").add("access", Vec::<String>::new())],
    }
}
