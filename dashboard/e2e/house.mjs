// What the stand-in answers about the server itself: log-ins, bootstrap tokens, keys, the audit log.
import { randomUUID } from "node:crypto";

const HOUR = 3_600_000;

function ago(hours) {
  return new Date(Date.now() - hours * HOUR).toISOString();
}

/** A bootstrap token as it is listed. */
export function issued(part = {}) {
  return {
    Id: "k3JmQ0xXv7Yb2NfA",
    By: "user:admin",
    IssuedAt: ago(2),
    ExpiresAt: ago(-22),
    Kid: "a1",
    State: "live",
    Uses: 3,
    LastUsedAt: ago(1),
    Constraints: {},
    Roles: [],
    MeshNetwork: "",
    RequireApproval: false,
    ...part,
  };
}

/** A session or an API token as it is listed. */
export function login(part = {}) {
  return {
    Id: randomUUID().slice(0, 16),
    Kind: "session",
    Description: "",
    CreatedAt: ago(3),
    LastUsedAt: ago(0),
    ExpiresAt: ago(-9),
    Source: "10.20.1.7",
    Roles: null,
    Current: false,
    OfSession: false,
    ...part,
  };
}

/** A row of the audit log. */
export function audited(Number, part = {}) {
  return {
    Number,
    Time: ago((1_000 - Number) / 60),
    Kind: "session.opened",
    Principal: "user:admin",
    Source: "10.20.1.7",
    Request: "r-1",
    Reason: "",
    ...part,
  };
}

/** What a test may fill before it opens a page. */
export function houseOf({ tokens = [], logins = {}, audit = [] } = {}) {
  return { tokens, logins, audit, confirmed: true };
}

/** Answers a call as `{status, body}`; nothing when it is about something else. */
export function aboutHouse(mock, method, path, query, body) {
  const { house } = mock;
  const [, name, ...parts] = path.split("/").map(decodeURIComponent);
  if (path === "/session/confirm") return confirm(mock, body);
  if (path === "/audit") return { status: 200, body: rows(house.audit, query) };
  if (path === "/keys/token") return { status: 200, body: [KEY] };
  if (name === "bootstrap" && parts[0] === "tokens") return tokens(house, method, parts[1], query, body);
  if (name === "users" && parts.length > 1) return ofUser(mock, method, parts, body);
  return undefined;
}

const KEY = { Kid: "a1", Current: true, CreatedAt: ago(900), RolledAt: null, Issued: 41, LastExpiresAt: ago(-2_000) };

function confirm(mock, body) {
  if (body.Password !== mock.password) return refusal(403, "AUTH", ["the password is wrong"]);
  mock.house.confirmed = true;
  return { status: 204 };
}

function rows(audit, query) {
  const kinds = query.get("kind")?.split(",");
  const [user, machine, after] = ["user", "machine", "after"].map((name) => query.get(name));
  const fits = (row) =>
    (kinds === undefined || kinds.includes(row.Kind)) &&
    (user === null || row.Principal === `user:${user}` || row.Principal === user) &&
    (machine === null || row.Machine === machine) &&
    (after === null || row.Number < Number(after));
  return audit
    .filter(fits)
    .toSorted((a, b) => b.Number - a.Number)
    .slice(0, Number(query.get("limit") ?? 100));
}

function tokens(house, method, id, query, body) {
  if (method === "GET") {
    const from = query.get("after") === null ? 0 : house.tokens.findIndex((one) => one.Id === query.get("after")) + 1;
    return { status: 200, body: house.tokens.slice(from, from + Number(query.get("limit") ?? 500)) };
  }
  if (method === "POST" && id === undefined) return undefined;
  const covered = (one) => one.Id === id || (id === "revoke" && (body.Before === "now" || one.By === `user:${body.User}`));
  const ended = house.tokens.filter((one) => covered(one) && one.State === "live");
  house.tokens = house.tokens.map((one) => (ended.includes(one) ? { ...one, State: "revoked" } : one));
  return { status: 200, body: { Revoked: "as asked", Ended: ended.length, KeptUntil: ago(-9_000) } };
}

function ofUser(mock, method, [name, what, id], body) {
  const { house } = mock;
  const logins = (house.logins[name] ??= []);
  switch (`${method} ${what}`) {
    case "GET logins":
      return { status: 200, body: logins };
    case "DELETE logins":
      house.logins[name] = logins.filter((one) => one.Id !== id);
      return { status: 200, body: logins.find((one) => one.Id === id) };
    case "PUT password":
      if (name === "admin") mock.password = body.Password;
      return { status: 200, body: mock.collections.users.get(name) };
    case "POST token":
      if (!house.confirmed) return refusal(401, "step_up", ["enter your password for this"]);
      logins.push(login({ Kind: "api-token", Description: body.Description, Source: null, LastUsedAt: null }));
      return { status: 201, body: { Token: `mst_${"Zk8".repeat(14)}`, ExpiresAt: ago(-720) } };
    default:
      return undefined;
  }
}

function refusal(Code, Type, Messages) {
  return { status: Code, body: { Model: "", Key: "", Type, Messages, Code } };
}
