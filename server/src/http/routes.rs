//! The whole surface: every route, who may call it, what it takes and gives.
//!
//! Router, OpenAPI document and the tests that try every door are made from this one table.

use super::{
    Http, agent, audit, boot, bootstrap, contents, error, images, jobs, keys, machines, media, mesh,
    model as parts, objects, pages, params, provisions, render, session, terminals, tokens, users, ws,
};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{MethodRouter, delete, get, patch, post, put};
use protocol::agent_api as wire;
use protocol::install::DiskPlan;
use protocol::{install, mesh as member, model, rest};
use serde_json::Value;
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
    /// Names in the query, and what they are for.
    pub(super) asks: &'static [(&'static str, &'static str)],
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
    Route { door, method, path, summary, asks: &[], takes: None, gives: Vec::new(), handler }
}

impl Route {
    fn takes<T: ToSchema>(mut self) -> Self {
        self.takes = Some(Shape::of::<T>(false));
        self
    }

    fn takes_list<T: ToSchema>(mut self) -> Self {
        self.takes = Some(Shape::of::<T>(true));
        self
    }

    const fn asks(mut self, query: &'static [(&'static str, &'static str)]) -> Self {
        self.asks = query;
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

const FORCE: (&str, &str) =
    ("force", "Insist: tasks that are pending do not keep the stage from changing, and the like");
const CHECK: (&str, &str) = ("check", "Only say what would become of it");
const SLIM: (&str, &str) = ("slim", "Fields to leave out, by commas");
const PARAMS: (&str, &str) = ("params", "Params to keep, by commas");
const AGGREGATE: (&str, &str) = ("aggregate", "Show the params of every source, not the object's own alone");
const COMPOSE: (&str, &str) = ("compose", "Merge the maps and join the lists of every source");
const LISTS: [(&str, &str); 10] = [
    ("limit", "Most objects; 0 for all"),
    ("offset", "Objects to leave out at the beginning"),
    ("after", "Of machines and jobs: what the part before named in its header x-muster-list-next"),
    (
        "q",
        "Of machines: words that must be in their names, UUIDs, serial numbers, addresses, roles and the like",
    ),
    ("sort", "Indexes to order by, by commas; the key is the last one"),
    ("reverse", "Last one first"),
    SLIM,
    PARAMS,
    AGGREGATE,
    ("exclude-self", "Leave out the machine that the server is"),
];

const PREVIEWED: (&str, &str) =
    ("role", "As if it had this role, and no others but those given; may be repeated");
const RUNS: [(&str, &str); 4] = [
    ("Machine", "Of this machine, by its UUID"),
    ("IsActive", "true: those that are under way; false: those that are over"),
    ("limit", "Most runs: 50 unless told otherwise, 500 at most"),
    ("after", "Only those older than this one: the last of the part before"),
];

const AUDIT: [(&str, &str); 5] = [
    ("machine", "Those that concern this machine or that it did, by its UUID; it may be gone"),
    ("kind", "Of these kinds, by commas"),
    ("user", "What this user did; or system, machine:UUID, key:THUMBPRINT"),
    ("limit", "Most rows: 100 unless told otherwise, 500 at most"),
    ("after", "Only those older than the row of this Number: the last of the part before"),
];

const OS: (&str, &str) = ("os", "Only what is for this operating system, such as linux");
const FROM: (&str, &str) = ("offset", "Byte of the log to begin at");
const CLEAN_UP: [(&str, &str); 5] = [
    ("dryrun", "Only say which"),
    ("machine", "Of this machine, by its UUID; missing: of machines that are gone"),
    ("jobsToKeep", "Jobs of a machine that stay: 50 unless told otherwise"),
    ("failedJobsPurgedAfter", "Failed jobs that are older go, such as 30d; never"),
    ("completeJobsPurgedAfter", "Finished jobs that are older go, such as 30d; never"),
];

/// One operation of a JSON Patch (RFC 6902).
#[derive(ToSchema)]
#[expect(dead_code, reason = "the shape of what is read as `engine::patch::Patch`, for the document")]
struct JsonPatch {
    /// `add`, `remove`, `replace`, `move`, `copy` or `test`.
    op: String,
    /// JSON Pointer.
    path: String,
    /// JSON Pointer, for `move` and `copy`.
    from: Option<String>,
    /// Any JSON, for `add`, `replace` and `test`.
    value: Option<Value>,
}

/// Every route.
pub(super) fn table() -> Vec<Route> {
    [
        house(),
        objects(),
        machines_alone(),
        terminals_alone(),
        jobs_alone(),
        images_alone(),
        meshes_alone(),
        runs(),
        model(),
    ]
    .concat()
}

#[rustfmt::skip]
fn images_alone() -> Vec<Route> {
    use Door::Operator;
    vec![
        route(Operator, "GET",    "/api/v3/images/blobs/{digest}", get(images::blob),      "A file of an image, by ranges: for the job that installs it, fetched from its registry where it is not here yet; with Cache-Control: no-cache, ours is held against its digest before").gives_none(200).gives_none(206),
        route(Operator, "POST",   "/api/v3/images/{key}/import",   post(images::import),   "Import it: the file that is the body, or without a body that of its URL. Goes on after the answer; Import of the image says how far").gives::<install::ImportState>(202),
        route(Operator, "DELETE", "/api/v3/images/{key}/import",   delete(images::cancel), "Cancel its import").gives::<install::ImportState>(200),
    ]
}

#[rustfmt::skip]
fn meshes_alone() -> Vec<Route> {
    use Door::Operator;
    vec![
        route(Operator, "GET",    "/api/v3/agent/mesh",           get(mesh::news),    "For a machine alone, with the token that its agent was given: what is new of its mesh network (Prefer: wait=25)").asks(&[("since", "The cursor of the last answer; without it, or with one that is too old, everything")]).gives::<member::MeshNews>(200),
        route(Operator, "POST",   "/api/v3/agent/mesh/report",    post(mesh::report), "For a machine alone, with the token that its agent was given: its public key, how its tunnels stand, and what it may hold").takes::<member::MeshReport>().gives::<member::MeshReportAnswer>(200),
        route(Operator, "GET",    "/api/v3/machines/{key}/peers", get(mesh::machine), "Whom it reaches in its mesh network, and by which way").gives::<rest::MachinePeers>(200),
        route(Operator, "GET",    "/api/v3/meshes/{key}/peers",   get(mesh::network), "Its members and the tunnels between them").gives::<rest::MeshMap>(200),
    ]
}

#[rustfmt::skip]
fn terminals_alone() -> Vec<Route> {
    use Door::{Operator, Public};
    vec![
        route(Operator, "GET",    "/api/v3/machines/{key}/terminal",    get(terminals::state),       "Whether terminals may be opened on it, and the one that is open").gives::<rest::TerminalState>(200),
        route(Operator, "PUT",    "/api/v3/machines/{key}/terminal",    put(terminals::switch),      "Allow or forbid terminals on it; to allow, the password must have been entered just now").takes::<rest::TerminalSwitch>().gives::<rest::TerminalState>(200),
        route(Operator, "DELETE", "/api/v3/machines/{key}/terminal",    delete(terminals::stop),     "End the terminal that is open on it").gives::<rest::TerminalState>(200),
        route(Operator, "GET",    "/api/v3/machines/{key}/terminal/ws", get(terminals::connect),     "Open a terminal on it, as a websocket: docs/terminal.md says what is said there").gives_none(101),
        route(Operator, "GET",    "/api/v3/machines/{key}/terminals",   get(terminals::list),        "Terminals that were open on it, newest first").gives_list::<rest::Terminal>(),
        route(Operator, "GET",    "/api/v3/terminals/{key}/recording",  get(terminals::recording),   "The recording of a terminal, in asciicast v2; who reads it is on record").gives_none(200),
        route(Public,   "GET",    "/api/v3/agent/terminal/{id}",        get(terminals::machine_side), "The machine's side of a terminal, as a websocket: for whoever has the secret that its agent was told, once").gives_none(101),
    ]
}

#[rustfmt::skip]
fn jobs_alone() -> Vec<Route> {
    use Door::Operator;
    vec![
        route(Operator, "POST",   "/api/v3/jobs",               post(jobs::create),     "Get a machine's next job (Machine, Context): 201 a new one, 202 the one that was incomplete, 204 none now").takes::<model::Job>().gives::<model::Job>(201).gives::<model::Job>(202).gives_none(204),
        route(Operator, "DELETE", "/api/v3/jobs",               delete(jobs::clean_up), "Delete old jobs; answers their ids").asks(&CLEAN_UP).gives::<Value>(200),
        route(Operator, "GET",    "/api/v3/jobs/{key}/actions", get(jobs::actions),     "What is to be done for it: its task's templates, rendered now").asks(&[OS]).gives_list::<model::JobAction>(),
        route(Operator, "GET",    "/api/v3/jobs/{key}/log",     get(jobs::log),         "Its log; with Prefer: wait=SECONDS, as soon as there is more of it").asks(&[FROM]).gives_none(200),
        route(Operator, "PUT",    "/api/v3/jobs/{key}/log",     put(jobs::append),      "Write at the end of its log; with offset, what is there already is not written twice").asks(&[FROM]).gives_none(204),
    ]
}

#[rustfmt::skip]
fn runs() -> Vec<Route> {
    use Door::Operator;
    vec![
        route(Operator, "POST",   "/api/v3/machines/{key}/provision",       post(provisions::create),     "Install its operating system (rebuild), bring it back to Discovery mode (discover), or drop what was asked for and has not begun (clear)").takes::<install::ProvisionRequest>().gives::<install::Provision>(201),
        route(Operator, "GET",    "/api/v3/machines/{key}/escrow",          get(provisions::escrowed),    "The keys of its encrypted volumes, on record").gives_list::<install::EscrowedKey>(),
        route(Operator, "GET",    "/api/v3/provisions",                     get(provisions::list),        "Provision runs, newest first").asks(&RUNS).gives_list::<install::Provision>(),
        route(Operator, "GET",    "/api/v3/provisions/{key}",               get(provisions::show),        "A provision run").gives::<install::Provision>(200),
        route(Operator, "POST",   "/api/v3/provisions/{key}/cancel",        post(provisions::cancel),     "Cancel it: its job stops, and the machine is what it was before as far as nothing was written").gives::<install::Provision>(200),
        route(Operator, "GET",    "/api/v3/provisions/{key}/order",         get(provisions::order),       "For its job alone: what is to be installed").gives::<install::InstallOrder>(200),
        route(Operator, "POST",   "/api/v3/provisions/{key}/permit",        post(provisions::permit),     "For its job alone: the permit to erase the disks of its plan").gives::<install::PermitAnswer>(200),
        route(Operator, "POST",   "/api/v3/provisions/{key}/progress",      post(provisions::progress),   "For its job alone: tell how far it has come").takes::<install::Progress>().gives::<install::ProgressAnswer>(200),
        route(Operator, "POST",   "/api/v3/provisions/{key}/first-boot",    post(provisions::first_boot), "For its job alone: the installed system runs").takes::<install::FirstBoot>().gives::<install::Provision>(200),
        route(Operator, "POST",   "/api/v3/provisions/{key}/escrow",        post(provisions::escrow),     "For its job alone: keep the key of an encrypted volume").takes::<install::EscrowedKey>().gives_none(204),
    ]
}

#[rustfmt::skip]
fn house() -> Vec<Route> {
    use Door::{Agent, Machine, Operator, Public};
    vec![
        route(Public,   "POST",   "/api/v3/session",                            post(session::login),           "Log in").takes::<rest::LoginRequest>().gives::<rest::Session>(201),
        route(Operator, "GET",    "/api/v3/session",                            get(session::show),             "Who the caller is").gives::<rest::Session>(200),
        route(Operator, "DELETE", "/api/v3/session",                            delete(session::logout),        "Log out").gives_none(204),
        route(Operator, "POST",   "/api/v3/session/confirm",                    post(session::confirm),         "Enter the password once more: for five minutes it counts as entered just now").takes::<rest::PasswordProof>().gives_none(204),
        route(Operator, "POST",   "/api/v3/users/{key}/token",                  post(users::create_token),      "Make an API token; a lasting one outlives the session, for whoever entered the password just now").takes::<rest::ApiTokenCreate>().gives::<rest::ApiToken>(201),
        route(Operator, "GET",    "/api/v3/users/{key}/logins",                 get(users::logins),             "Sessions and API tokens of a user; never what they are shown by").gives_list::<rest::Login>(),
        route(Operator, "DELETE", "/api/v3/users/{key}/logins/{id}",            delete(users::end_login),       "End one of them, and with a session the API tokens it made").gives::<rest::Login>(200),
        route(Operator, "GET",    "/api/v3/users/{key}/token",                  get(users::token),              "Make an API token: for oneself, or for a user who may no more than oneself").asks(&[("ttl", "Seconds it lives, or such as 90m; an hour without it"), ("roles", "Roles it is good for, by commas; all without it")]).gives::<rest::ApiToken>(200),
        route(Operator, "PUT",    "/api/v3/users/{key}/password",               put(users::password),           "Set a password; ends what the user is logged in with, and tokens the user made").takes::<rest::NewPassword>().gives::<model::User>(200),
        route(Operator, "GET",    "/api/v3/machines/{key}/token",               get(users::machine_token),      "Make a token that speaks for a machine").asks(&[("ttl", "Seconds it lives, or such as 90m, 1h, 2w, or never; the preference knownTokenTimeout without it")]).gives::<rest::MachineToken>(200),
        route(Operator, "POST",   "/api/v3/events",                             post(ws::post),                 "Make an event; whose and when is the server's to say").takes::<rest::NewEvent>().gives_none(204),
        route(Operator, "GET",    "/api/v3/info",                               get(pages::info),               "What this server is").gives::<rest::Info>(200),
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
        route(Operator, "GET",    "/api/v3/audit",                              get(audit::list),               "Rows of the audit log, newest first").asks(&AUDIT).gives_list::<rest::AuditEntry>(),
        route(Operator, "GET",    "/api/v3/ws",                                 get(ws::connect),               "Events, as a websocket: say `register TYPE.ACTION.KEY`").asks(&[("token", "An API token, a machine token or USER:PASSWORD, for who cannot send headers")]).gives_none(101),
        route(Machine,  "POST",   "/api/v3/bootstrap/enrollments",              post(bootstrap::enroll),        "Ask to be registered").takes::<wire::EnrollmentRequest>().gives::<wire::EnrollmentAnswer>(201).gives::<wire::EnrollmentAnswer>(200),
        route(Machine,  "POST",   "/api/v3/bootstrap/enrollments/{id}/poll",    post(bootstrap::poll),          "Ask for the decision (Prefer: wait=25)").gives::<wire::EnrollmentAnswer>(202).gives::<wire::EnrollmentAnswer>(200),
        route(Machine,  "POST",   "/api/v3/bootstrap/enrollments/{id}/cancel",  post(bootstrap::cancel),        "Take the request back").gives_none(200),
        route(Machine,  "POST",   "/api/v3/bootstrap/register",                 post(bootstrap::register),      "Register by bootstrap token, or come back by boot nonce").takes::<wire::RegisterRequest>().gives::<wire::Approved>(201),
        route(Machine,  "POST",   "/api/v3/agent/token",                        post(agent::token),             "Get an access token").takes::<wire::TokenRequest>().gives::<wire::TokenAnswer>(200),
        route(Agent,    "POST",   "/api/v3/agent/key",                          post(agent::change_key),        "Change the machine's key; both keys sign").takes::<wire::KeyChange>().gives::<wire::Approved>(200),
        route(Agent,    "POST",   "/api/v3/agent/heartbeat",                    post(agent::heartbeat),         "Be alive (Prefer: wait=20)").takes::<wire::HeartbeatRequest>().gives::<wire::HeartbeatAnswer>(200),
        route(Agent,    "POST",   "/api/v3/agent/runner",                       post(agent::runner),            "What a runner of the machine's jobs needs").takes::<wire::RunnerRequest>().gives::<wire::RunnerTicket>(200),
        route(Public,   "GET",    "/api/v3/openapi.json",                       get(pages::openapi),            "This document").gives_none(200),
        route(Public,   "GET",    "/install.sh",                                get(media::install_script),     "The script that installs the agent on a Linux that runs; Authorization: Bearer with a bootstrap token").gives_none(200),
        route(Public,   "GET",    "/media/{file}",                              get(media::download),           "Boot media, by ranges").gives_none(200).gives_none(206),
        route(Public,   "GET",    "/boot/{*path}",                              get(boot::file),                "Boot files: rendered for the machine that asks, or of the boot tree").gives_none(200).gives_none(206),
        route(Public,   "GET",    "/healthz",                                   get(pages::healthz),            "The process runs").gives_none(200),
        route(Public,   "GET",    "/readyz",                                    get(pages::readyz),             "Requests can be served").gives_none(200),
        route(Public,   "GET",    "/metrics",                                   get(pages::metrics),            "Numbers in OpenMetrics text").gives_none(200),
        route(Public,   "GET",    "/",                                          get(pages::dashboard),          "The dashboard").gives_none(200),
    ]
}

/// The routes that every collection has but jobs, which are made and changed by their own. `$key` is
/// `{key}`, or `{*key}` where keys have slashes.
macro_rules! collection {
    ($prefix:literal, $key:literal, $type:ty) => {
        vec![
            list_of::<$type>(concat!("/api/v3/", $prefix)),
            route(Door::Operator, "POST", concat!("/api/v3/", $prefix), post(objects::create), "Make one")
                .takes::<$type>()
                .gives::<$type>(201),
            one_of::<$type>(concat!("/api/v3/", $prefix, "/", $key)),
            replace_of::<$type>(concat!("/api/v3/", $prefix, "/", $key)),
            change_of::<$type>(concat!("/api/v3/", $prefix, "/", $key)),
            end_of::<$type>(concat!("/api/v3/", $prefix, "/", $key)),
        ]
    };
}

/// What plugins can do with an object: nothing, since there are none.
macro_rules! actions {
    ($prefix:literal, $word:literal) => {
        actions_of(
            concat!("/api/v3/", $prefix, "/{key}/", $word),
            concat!("/api/v3/", $prefix, "/{key}/", $word, "/{command}"),
        )
    };
}

#[rustfmt::skip]
fn actions_of(all: &'static str, one: &'static str) -> Vec<Route> {
    use Door::Operator;
    vec![
        route(Operator, "GET",  all, get(objects::actions), "What plugins can do with it: there are none").gives_list::<Value>(),
        route(Operator, "GET",  one, get(objects::action),  "One of these: never found").gives::<Value>(200),
        route(Operator, "POST", one, post(objects::action), "Do one of these: never found").gives::<Value>(200),
    ]
}

/// The params of an object.
macro_rules! params {
    ($prefix:literal) => {
        params_of(
            concat!("/api/v3/", $prefix, "/{key}/params"),
            concat!("/api/v3/", $prefix, "/{key}/params/{*param}"),
            concat!("/api/v3/", $prefix, "/{key}/pubkey"),
        )
    };
}

#[rustfmt::skip]
fn params_of(all: &'static str, one: &'static str, public_key: &'static str) -> Vec<Route> {
    use Door::Operator;
    vec![
        route(Operator, "GET",    all,        get(params::all),        "Its params; with aggregate those of every source").asks(&[AGGREGATE, PARAMS]).gives::<Value>(200),
        route(Operator, "POST",   all,        post(params::replace),   "Put these params in place of all").takes::<Value>().gives::<Value>(200),
        route(Operator, "PATCH",  all,        patch(params::patch),    "Change params by RFC 6902, rooted at the map, or by an object of params to set").takes_list::<JsonPatch>().gives::<Value>(200),
        route(Operator, "GET",    one,        get(params::one),        "One param, null when it is not set; with aggregate from every source, with compose made of all").asks(&[AGGREGATE, COMPOSE]).gives::<Value>(200),
        route(Operator, "POST",   one,        post(params::set),       "Set one param").takes::<Value>().gives::<Value>(200),
        route(Operator, "DELETE", one,        delete(params::unset),   "Take one param away; answers its value").gives::<Value>(200),
        route(Operator, "GET",    public_key, get(params::public_key), "The key to seal secure params to: never found, since none is secure").gives::<Value>(200),
    ]
}

fn list_of<T: ToSchema>(path: &'static str) -> Route {
    let summary = "A list. Any other name in the query is a filter: an index or a param, with VALUE, Eq(..), Ne(..), \
                   Lt(..), Lte(..), Gt(..), Gte(..), Between(..), Except(..), In(..), Nin(..) or Re(..)";
    route(Door::Operator, "GET", path, get(objects::list), summary).asks(&LISTS).gives_list::<T>()
}

fn one_of<T: ToSchema>(path: &'static str) -> Route {
    let summary = "One by its key, or INDEX:VALUE of a unique index; with If-None-Match and Prefer: wait=SECONDS, \
                   as soon as it is another one";
    route(Door::Operator, "GET", path, get(objects::show), summary)
        .asks(&[SLIM, PARAMS, AGGREGATE])
        .gives::<T>(200)
        .gives_none(304)
}

fn replace_of<T: ToSchema>(path: &'static str) -> Route {
    let summary = "Put another in its place; fields of the server's own are ignored";
    route(Door::Operator, "PUT", path, put(objects::replace), summary)
        .asks(&[FORCE])
        .takes::<T>()
        .gives::<T>(200)
}

fn change_of<T: ToSchema>(path: &'static str) -> Route {
    let summary = "Change it by RFC 6902, or by an object of fields to set, whose Params are merged";
    route(Door::Operator, "PATCH", path, patch(objects::patch), summary)
        .asks(&[FORCE])
        .takes_list::<JsonPatch>()
        .gives::<T>(200)
}

fn end_of<T: ToSchema>(path: &'static str) -> Route {
    route(Door::Operator, "DELETE", path, delete(objects::delete), "Delete it").asks(&[FORCE]).gives::<T>(200)
}

fn objects() -> Vec<Route> {
    [
        collection!("bootenvs", "{key}", model::BootEnv),
        collection!("contexts", "{key}", model::Context),
        collection!("images", "{key}", model::Image),
        collection!("machines", "{key}", rest::Machine),
        collection!("meshes", "{key}", model::MeshNetwork),
        collection!("params", "{*key}", model::Param),
        collection!("pools", "{key}", model::Pool),
        collection!("profiles", "{key}", model::Profile),
        collection!("registry_credentials", "{key}", model::RegistryCredential),
        collection!("roles", "{key}", model::Role),
        collection!("secrets", "{key}", model::Secret),
        collection!("stages", "{key}", model::Stage),
        collection!("tasks", "{key}", model::Task),
        collection!("templates", "{key}", model::Template),
        collection!("users", "{key}", model::User),
        collection!("variables", "{key}", model::Variable),
        collection!("vips", "{key}", model::Vip),
        collection!("workflows", "{key}", model::Workflow),
        vec![
            list_of::<model::Job>("/api/v3/jobs"),
            one_of::<model::Job>("/api/v3/jobs/{key}"),
            replace_of::<model::Job>("/api/v3/jobs/{key}"),
            change_of::<model::Job>("/api/v3/jobs/{key}"),
            end_of::<model::Job>("/api/v3/jobs/{key}"),
        ],
        actions!("bootenvs", "actions"),
        actions!("contexts", "actions"),
        actions!("jobs", "plugin_actions"),
        actions!("machines", "actions"),
        actions!("pools", "actions"),
        actions!("profiles", "actions"),
        actions!("roles", "actions"),
        actions!("stages", "actions"),
        actions!("tasks", "actions"),
        actions!("templates", "actions"),
        actions!("users", "actions"),
        actions!("workflows", "actions"),
        params!("machines"),
        params!("profiles"),
        params!("stages"),
    ]
    .concat()
}

#[rustfmt::skip]
fn machines_alone() -> Vec<Route> {
    use Door::Operator;
    vec![
        route(Operator, "PATCH",  "/api/v3/machines/{key}/start",         patch(machines::start),          "Start its workflow, or the one in the patch, from the beginning").asks(&[FORCE]).takes_list::<JsonPatch>().gives::<rest::Machine>(200),
        route(Operator, "DELETE", "/api/v3/machines/{key}/cleanup",       delete(machines::cleanup),       "Delete it, after its on-delete-workflow when it has one").gives::<rest::Machine>(200).gives::<rest::Machine>(202),
        route(Operator, "POST",   "/api/v3/machines/{key}/releaseToPool", post(machines::release_to_pool), "Give it back to its pool").gives::<Value>(200),
        route(Operator, "GET",    "/api/v3/machines/{key}/disk-plan",     get(machines::disk_plan),        "What an installation would erase, and what it would keep").gives::<DiskPlan>(200),
        route(Operator, "GET",    "/api/v3/machines/{key}/setup",         get(machines::setup),            "What an installation would be made of: roles, image, every param with who says what, what is wrong, disk plan").gives::<install::Setup>(200),
        route(Operator, "POST",   "/api/v3/machines/{key}/setup",         post(machines::rehearse),        "The same as it would be after this patch, which is judged but not stored").takes_list::<JsonPatch>().gives::<install::Setup>(200),
        route(Operator, "GET",    "/api/v3/machines/{key}/cloud-init",    get(machines::cloud_init),       "The cloud-init configuration that it would get of its roles, secrets hidden, and what is wrong with it").asks(&[PREVIEWED]).gives::<install::SeedPreview>(200),
        route(Operator, "GET",    "/api/v3/machines/{key}/boot",          get(render::boot),               "What it would boot from the network now, why, and every file as it would be rendered; never a token").gives::<rest::BootPreview>(200),
        route(Operator, "POST",   "/api/v3/machines/{key}/render",        post(render::machine_text),      "A template in the body, rendered for it").gives_none(200),
        route(Operator, "GET",    "/api/v3/templates/{key}/render/{machine}", get(render::template),       "A template of the content, rendered for a machine").gives_none(200),
        route(Operator, "POST",   "/api/v3/whoami",                       post(machines::whoami),          "Which machine the hardware points at; never a token").takes::<Value>().gives::<Value>(200),
    ]
}

#[rustfmt::skip]
fn model() -> Vec<Route> {
    use Door::Operator;
    vec![
        route(Operator, "GET",    "/api/v3/objects",                   get(parts::collections),  "Names of all collections").gives_list::<String>(),
        route(Operator, "GET",    "/api/v3/indexes",                   get(parts::indexes),      "All indexes of all collections").gives::<Value>(200),
        route(Operator, "GET",    "/api/v3/indexes/{prefix}",          get(parts::indexes_of),   "The indexes of one collection").gives::<Value>(200),
        route(Operator, "GET",    "/api/v3/indexes/{prefix}/{*param}", get(parts::index),        "One index, or a param").gives::<Value>(200),
        route(Operator, "GET",    "/api/v3/meta/{prefix}/{*key}",      get(parts::meta),         "Labels of an object").gives::<Value>(200),
        route(Operator, "PATCH",  "/api/v3/meta/{prefix}/{*key}",      patch(parts::patch_meta), "Change labels of an object by RFC 6902, rooted at the map").takes_list::<JsonPatch>().gives::<Value>(200),
        route(Operator, "GET",    "/api/v3/prefs",                     get(parts::prefs),        "Preferences; secret ones are empty").gives::<Value>(200),
        route(Operator, "POST",   "/api/v3/prefs",                     post(parts::set_prefs),   "Set some preferences; answers all").takes::<Value>().gives::<Value>(200),
        route(Operator, "GET",    "/api/v3/contents",                  get(contents::list),      "Bundles of content in short").gives_list::<Value>(),
        route(Operator, "POST",   "/api/v3/contents",                  post(contents::create),   "Import a bundle of content, whole or not at all").asks(&[CHECK]).takes::<Value>().gives::<Value>(201),
        route(Operator, "GET",    "/api/v3/contents/{key}",            get(contents::show),      "A bundle as a document").gives::<Value>(200),
        route(Operator, "PUT",    "/api/v3/contents/{key}",            put(contents::replace),   "Import a bundle in place of the one of its name").asks(&[CHECK]).takes::<Value>().gives::<Value>(200),
        route(Operator, "DELETE", "/api/v3/contents/{key}",            delete(contents::delete), "Give a bundle up").gives::<Value>(200),
        route(Operator, "GET",    "/api/v3/subnets",                   get(parts::subnets),      "Always empty: Muster leases no addresses").gives_list::<Value>(),
        route(Operator, "GET",    "/api/v3/pools-active",              get(parts::active_pools), "Names of pools that machines are in").gives_list::<String>(),
        route(Operator, "GET",    "/api/v3/pools/{key}/status",        get(parts::pool_status),  "Machines of a pool by their place in it").gives::<Value>(200),
        route(Operator, "POST",   "/api/v3/pools/{key}/{move}",        post(parts::move_in_pool), "addMachines, removeMachines, allocateMachines or releaseMachines: those of machine-list, or count of those for which filter holds").asks(&[FORCE]).takes::<Value>().gives::<Value>(200),
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
