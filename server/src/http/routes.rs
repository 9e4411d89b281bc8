//! The whole surface: every route, who may call it, what it takes and gives.
//!
//! Router, OpenAPI document and the tests that try every door are made from this one table.

use super::{Http, agent, bootstrap, error, keys, machines, media, pages, session, tokens, ws};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{MethodRouter, delete, get, post};
use protocol::agent_api as wire;
use protocol::rest;
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// Everybody.
    Public,
    /// Somebody who is logged in.
    Operator,
    /// A machine that proves its key.
    Machine,
    /// A registered machine with its access token.
    Agent,
}

/// A body in the OpenAPI document.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) list: bool,
    pub(super) name: fn() -> std::borrow::Cow<'static, str>,
    pub(super) schema: fn() -> RefOr<Schema>,
    pub(super) inner: fn(&mut Vec<(String, RefOr<Schema>)>),
}

impl Shape {
    fn of<T: ToSchema>(list: bool) -> Self {
        Self { list, name: T::name, schema: T::schema, inner: T::schemas }
    }
}

/// One route.
#[derive(Debug, Clone)]
pub(super) struct Route {
    pub(super) door: Door,
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) summary: &'static str,
    pub(super) takes: Option<Shape>,
    pub(super) gives: Vec<(u16, Option<Shape>)>,
    handler: MethodRouter<Http>,
}

fn route(
    door: Door,
    method: &'static str,
    path: &'static str,
    handler: MethodRouter<Http>,
    summary: &'static str,
) -> Route {
    Route { door, method, path, summary, takes: None, gives: Vec::new(), handler }
}

impl Route {
    fn takes<T: ToSchema>(mut self) -> Self {
        self.takes = Some(Shape::of::<T>(false));
        self
    }

    fn gives<T: ToSchema>(mut self, status: u16) -> Self {
        self.gives.push((status, Some(Shape::of::<T>(false))));
        self
    }

    fn gives_list<T: ToSchema>(mut self) -> Self {
        self.gives.push((200, Some(Shape::of::<T>(true))));
        self
    }

    fn gives_none(mut self, status: u16) -> Self {
        self.gives.push((status, None));
        self
    }
}

#[rustfmt::skip]
pub(super) fn table() -> Vec<Route> {
    use Door::{Agent, Machine, Operator, Public};
    vec![
        route(Public,   "POST",   "/api/v3/session",                            post(session::login),           "Log in").takes::<rest::LoginRequest>().gives::<rest::Session>(201),
        route(Operator, "GET",    "/api/v3/session",                            get(session::show),             "Who the caller is").gives::<rest::Session>(200),
        route(Operator, "DELETE", "/api/v3/session",                            delete(session::logout),        "Log out").gives_none(204),
        route(Operator, "GET",    "/api/v3/users/{name}/token",                 get(session::api_token),        "Make an API token for oneself (?ttl=SECONDS)").gives::<rest::ApiToken>(200),
        route(Operator, "GET",    "/api/v3/info",                               get(pages::info),               "What this server is").gives::<rest::Info>(200),
        route(Operator, "GET",    "/api/v3/machines",                           get(machines::list),            "All machines, without the long lists of their inventories").gives_list::<rest::Machine>(),
        route(Operator, "GET",    "/api/v3/machines/{key}",                     get(machines::show),            "One machine, by UUID or Name:NAME").gives::<rest::Machine>(200),
        route(Operator, "DELETE", "/api/v3/machines/{key}",                     delete(machines::delete),       "Forget a machine and its key").gives::<rest::Machine>(200),
        route(Operator, "POST",   "/api/v3/bootstrap/lookup",                   post(bootstrap::lookup),        "Look a bootstrap code up").takes::<rest::LookupRequest>().gives::<rest::EnrollmentPreview>(200),
        route(Operator, "GET",    "/api/v3/bootstrap/enrollments",              get(bootstrap::list),           "Waiting machines").gives_list::<rest::EnrollmentPreview>(),
        route(Operator, "POST",   "/api/v3/bootstrap/enrollments/{id}/approve", post(bootstrap::approve),       "Register a waiting machine").takes::<rest::ApproveRequest>().gives::<rest::Machine>(200),
        route(Operator, "POST",   "/api/v3/bootstrap/enrollments/{id}/deny",    post(bootstrap::deny),          "Refuse a waiting machine").takes::<rest::DenyRequest>().gives::<rest::EnrollmentPreview>(200),
        route(Operator, "GET",    "/api/v3/bootstrap/tokens",                   get(tokens::list),              "Bootstrap tokens that were issued, newest first; never a token (?limit=NUMBER, 500 at most; ?after=ID)").gives_list::<rest::Token>(),
        route(Operator, "POST",   "/api/v3/bootstrap/tokens",                   post(tokens::create),           "Make a bootstrap token").takes::<rest::TokenCreate>().gives::<rest::TokenCreated>(201),
        route(Operator, "DELETE", "/api/v3/bootstrap/tokens/{id}",              delete(tokens::delete),         "Revoke one bootstrap token").gives::<rest::TokenRevoked>(200),
        route(Operator, "POST",   "/api/v3/bootstrap/tokens/revoke",            post(tokens::revoke),           "Revoke a user's tokens, all up to a moment, or all of a key").takes::<rest::TokenRevoke>().gives::<rest::TokenRevoked>(200),
        route(Operator, "GET",    "/api/v3/keys/token",                         get(keys::list_token_keys),     "Keys of bootstrap tokens; never a key").gives_list::<rest::TokenKey>(),
        route(Operator, "POST",   "/api/v3/keys/token/roll",                    post(keys::roll_token_key),     "Let a new key seal bootstrap tokens").gives::<rest::TokenKey>(200),
        route(Operator, "POST",   "/api/v3/keys/ca/roll",                       post(keys::roll_ca),            "Let the next CA take over").takes::<rest::CaRoll>().gives::<rest::CaRolled>(200),
        route(Operator, "GET",    "/api/v3/ws",                                 get(ws::connect),               "Events, as a websocket").gives_none(101),
        route(Machine,  "POST",   "/api/v3/bootstrap/enrollments",              post(bootstrap::enroll),        "Ask to be registered").takes::<wire::EnrollmentRequest>().gives::<wire::EnrollmentAnswer>(201).gives::<wire::EnrollmentAnswer>(200),
        route(Machine,  "POST",   "/api/v3/bootstrap/enrollments/{id}/poll",    post(bootstrap::poll),          "Ask for the decision (Prefer: wait=25)").gives::<wire::EnrollmentAnswer>(202).gives::<wire::EnrollmentAnswer>(200),
        route(Machine,  "POST",   "/api/v3/bootstrap/enrollments/{id}/cancel",  post(bootstrap::cancel),        "Take the request back").gives_none(200),
        route(Machine,  "POST",   "/api/v3/bootstrap/register",                 post(bootstrap::register),      "Register by bootstrap token").takes::<wire::RegisterRequest>().gives::<wire::Approved>(201),
        route(Machine,  "POST",   "/api/v3/agent/token",                        post(agent::token),             "Get an access token").takes::<wire::TokenRequest>().gives::<wire::TokenAnswer>(200),
        route(Agent,    "POST",   "/api/v3/agent/key",                          post(agent::change_key),        "Change the machine's key; both keys sign").takes::<wire::KeyChange>().gives::<wire::Approved>(200),
        route(Agent,    "POST",   "/api/v3/agent/heartbeat",                    post(agent::heartbeat),         "Be alive (Prefer: wait=20)").takes::<wire::HeartbeatRequest>().gives::<wire::HeartbeatAnswer>(200),
        route(Public,   "GET",    "/api/v3/openapi.json",                       get(pages::openapi),            "This document").gives_none(200),
        route(Public,   "GET",    "/media/{file}",                              get(media::download),           "Boot media, by ranges").gives_none(200).gives_none(206),
        route(Public,   "GET",    "/healthz",                                   get(pages::healthz),            "The process runs").gives_none(200),
        route(Public,   "GET",    "/readyz",                                    get(pages::readyz),             "Requests can be served").gives_none(200),
        route(Public,   "GET",    "/metrics",                                   get(pages::metrics),            "Numbers in OpenMetrics text").gives_none(200),
        route(Public,   "GET",    "/",                                          get(pages::dashboard),          "The dashboard").gives_none(200),
    ]
}

/// A route in short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouteInfo {
    /// Who may call it.
    pub door: Door,
    /// HTTP method.
    pub method: &'static str,
    /// Path with `{parameters}`.
    pub path: &'static str,
}

/// Every route in short: for tests that try every door.
pub fn routes() -> Vec<RouteInfo> {
    table()
        .into_iter()
        .map(|route| RouteInfo { door: route.door, method: route.method, path: route.path })
        .collect()
}

/// The router of the table, each door with its own way to tell refusals.
pub(super) fn router(http: &Http) -> axum::Router<Http> {
    let mut router = axum::Router::new();
    for route in table() {
        let handler = match route.door {
            Door::Public | Door::Operator => route.handler.layer(from_fn(error::for_operators)),
            Door::Machine | Door::Agent => {
                route.handler.layer(from_fn_with_state(http.clone(), error::for_machines))
            }
        };
        router = router.route(route.path, handler);
    }
    router
}
