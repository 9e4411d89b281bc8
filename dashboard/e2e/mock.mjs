// A stand-in for the server, for tests of the page alone: serves `dist/` with the same
// Content-Security-Policy, keeps a few machines in memory, and answers as the contract says.
// It decides nothing by itself: a test tells it what to refuse (`mock.refuse`).
import { createServer } from "node:http";
import { createHash, randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import path from "node:path";
import { aboutCollection, collectionsOf } from "./collections.mjs";
import { aboutFlow, flowState } from "./flow.mjs";
import { aboutHouse, houseOf } from "./house.mjs";
import { aboutMachine, machineState } from "./machine.mjs";
import { machineList } from "./list.mjs";
import { aboutMesh, meshState } from "./mesh.mjs";
import { machine } from "./objects.mjs";
import { aboutTerminal, serveTerminal, terminals } from "./terminals.mjs";

const DIST = process.env["MUSTER_DIST"] ?? fileURLToPath(new URL("../dist/", import.meta.url));
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };
const CSP =
  "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
  "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
const CSRF = "csrf-of-the-mock";
const MAX_BODY = 64 * 1024;
const FILES = [
  ["muster.iso", 128_974_848],
  ["vmlinuz", 8_163_392],
  ["initrd", 61_341_696],
];
const MANIFEST = {
  version: "0.1.0",
  arch: "x86_64",
  kernel: "6.1.0-56-amd64",
  profile: "generic",
  build_time: 1_772_366_400,
  packages: [
    { name: "busybox-static", version: "1:1.35.0-4" },
    { name: "linux-image-amd64", version: "6.1.0-56" },
  ],
};
const SHA256 = createHash("sha256").update("medium").digest("hex");
const BOOT_FILES = "http://10.20.0.5:8091/muster";

/** Starts the stand-in on a free port of the loopback. */
export async function startMock({ password = "correct horse", machines = [], enrollments = [], media = true, objects = {}, house } = {}) {
  const mock = {
    password,
    machines: new Map(machines.map((each) => [each.Uuid, each])),
    enrollments: new Map(enrollments.map((each) => [each.code, each.preview])),
    media,
    /** Log-ins, tokens, audit log. */
    house: houseOf(house),
    /** Objects of the model, by collection and key. */
    collections: collectionsOf(objects),
    prefs: { defaultImage: "" },
    /** What `/machines/{id}/cloud-init` answers, of the roles that are asked for. */
    preview: () => undefined,
    ...machineState(),
    ...flowState(),
    ...meshState(),
    /** Route ("POST /bootstrap/lookup") to a refusal that is answered instead. */
    refuse: new Map(),
    /** Milliseconds by which its clock is ahead of this computer's. */
    ahead: 0,
    /** What was asked: `{method, path, body, csrf}`. */
    asked: [],
    sessions: new Set(),
    sockets: new Set(),
    terminals: terminals(),
  };
  const server = createServer((request, response) => {
    answer(mock, request, response).catch((error) => {
      response.writeHead(500).end(String(error));
    });
  });
  server.on("upgrade", (request, socket) => upgrade(mock, request, socket));
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  mock.url = `http://127.0.0.1:${server.address().port}`;
  mock.publish = (kind, action, key, object) => publish(mock, kind, action, key, object);
  mock.save = (object) => {
    mock.machines.set(object.Uuid, object);
    mock.publish("machines", "save", object.Uuid, object);
  };
  mock.cut = () => mock.sockets.forEach((socket) => socket.destroy());
  mock.close = async () => {
    mock.cut();
    server.closeAllConnections();
    await new Promise((done) => server.close(done));
  };
  return mock;
}

async function answer(mock, request, response) {
  const url = new URL(request.url, "http://mock");
  response.setHeader("Date", new Date(Date.now() + mock.ahead).toUTCString());
  if (url.pathname === "/media/manifest.json") return json(response, 200, MANIFEST);
  if (url.pathname.startsWith("/media/")) return send(response, 200, Buffer.from("medium"), "application/octet-stream");
  if (!url.pathname.startsWith("/api/v3/")) return asset(url.pathname, response);
  const route = url.pathname.slice("/api/v3".length);
  const body = await readBody(request);
  mock.asked.push({ method: request.method, path: route, query: url.search, body, csrf: request.headers["x-csrf-token"] ?? "" });
  const refused = mock.refuse.get(`${request.method} ${route.replace(/[0-9a-f-]{36}/, "{id}")}`);
  if (refused !== undefined) return refuse(response, refused.status, refused.kind, refused.messages ?? [], refused.headers);
  if (route === "/session" && request.method === "POST") return login(mock, body, response);
  const session = /muster_session=([\w-]+)/.exec(request.headers.cookie ?? "")?.[1];
  if (!mock.sessions.has(session)) return refuse(response, 401, "AUTH", ["sign in first"]);
  if (!["GET", "HEAD"].includes(request.method) && request.headers["x-csrf-token"] !== CSRF) {
    return refuse(response, 403, "forbidden", ["the X-CSRF-Token header is missing"]);
  }
  const flow = await aboutFlow(mock, request.method, route, url.searchParams);
  if (flow !== undefined) return response.writeHead(flow.status, flow.headers).end(flow.bytes);
  const told = aboutHouse(mock, request.method, route, url.searchParams, body);
  if (told !== undefined) return json(response, told.status, told.body);
  const terminal = aboutTerminal(mock, request.method, route, body);
  if (terminal?.text !== undefined) return send(response, 200, Buffer.from(terminal.text), "application/x-asciicast");
  if (terminal !== undefined) return json(response, 200, terminal.body);
  const mesh = aboutMesh(mock, request.method, route);
  if (mesh !== undefined) return json(response, mesh.status, mesh.body);
  const kept = aboutCollection(mock, request.method, route, url.searchParams, body);
  if (kept !== undefined) return json(response, kept.status, kept.body);
  const machines = aboutMachine(mock, request.method, route, url.searchParams, body);
  if (machines !== undefined) return json(response, machines.status, machines.body);
  if (route.endsWith("/cloud-init")) return json(response, 200, mock.preview(url.searchParams.getAll("role")));
  return operate(mock, request.method, route, url.searchParams, body, session, response);
}

function operate(mock, method, route, query, body, session, response) {
  const [, collection, key, action] = /^\/([\w-]+)(?:\/([^/]+))?(?:\/(.+))?$/.exec(route) ?? [];
  switch (`${method} ${collection}`) {
    case "GET session":
      return json(response, 200, sessionBody());
    case "DELETE session":
      mock.sessions.delete(session);
      return json(response, 200, {});
    case "GET info":
      return json(response, 200, info(mock));
    case "GET machines":
      return key === undefined ? listMachines(mock, query, response) : one(mock, key, response);
    case "DELETE machines":
      return remove(mock, key, response);
    case "GET bootstrap":
      return json(response, 200, [...mock.enrollments.values()]);
    case "POST bootstrap":
      return bootstrap(mock, key, action, body, response);
    default:
      return refuse(response, 404, "GET", [`no route ${route}`]);
  }
}

function login(mock, body, response) {
  if (body?.Password !== mock.password) return refuse(response, 401, "AUTH", ["wrong user name or password"]);
  const id = randomUUID();
  mock.sessions.add(id);
  return json(response, 200, sessionBody(), { "Set-Cookie": `muster_session=${id}; HttpOnly; SameSite=Strict; Path=/` });
}

function sessionBody() {
  return { Username: "admin", CsrfToken: CSRF, ExpiresAt: "2036-01-01T00:00:00Z" };
}

function info(mock) {
  return {
    id: "mock",
    muster_version: "0.1.0",
    protocol: 1,
    advertise: [mock.url],
    ca_hash: [`sha256:${"Qm4T".repeat(10)}n5g=`, `sha256:${"9hXr".repeat(10)}b2k=`],
    server_hostname: "dc1",
    address: "10.20.0.5",
    api_port: 8092,
    file_port: 8091,
    arch: "amd64",
    os: "linux",
    scopes: { bootstrap: { approve: {}, list: {}, token: {} }, machines: { delete: {}, get: {}, list: {}, update: {} } },
    media: mock.media ? FILES.map(([name, size]) => ({ name, size, sha256: SHA256 })) : [],
  };
}

function listMachines(mock, query, response) {
  const { body, headers } = machineList(mock.machines, query);
  return json(response, 200, body, headers);
}

function one(mock, key, response) {
  const found = mock.machines.get(key);
  return found === undefined ? refuse(response, 404, "GET", ["no such machine"]) : json(response, 200, found);
}

function remove(mock, key, response) {
  const found = mock.machines.get(key);
  if (found === undefined) return refuse(response, 404, "DELETE", ["no such machine"]);
  mock.machines.delete(key);
  mock.publish("machines", "delete", key, found);
  return json(response, 200, found);
}

function bootstrap(mock, what, action, body, response) {
  if (what === "lookup") {
    const found = mock.enrollments.get(body.code.replace("-", ""));
    return found === undefined ? refuse(response, 404, "code_not_found", []) : json(response, 200, found);
  }
  if (what === "tokens") return json(response, 201, token(body));
  const [id, verb] = action.split("/");
  const [code, preview] = [...mock.enrollments].find(([, each]) => each.id === id) ?? [];
  if (preview === undefined) return refuse(response, 409, "already_decided", ["approved by mia at 14:02"]);
  if (verb === "deny") {
    mock.enrollments.delete(code);
    return json(response, 200, { ...preview, state: "Denied" });
  }
  if (body.fingerprint !== preview.fingerprint) return refuse(response, 409, "fingerprint_mismatch", []);
  if (preview.warnings.length > 0 && !body.fingerprint_confirmed) {
    return refuse(response, 422, "ValidationError", ["compare the fingerprint with the console and confirm it"]);
  }
  mock.enrollments.delete(code);
  const registered = approved(mock, preview, body);
  mock.save(registered);
  return json(response, 200, registered);
}

function approved(mock, preview, body) {
  const known = mock.machines.get(body.merge) ?? machine({ Uuid: randomUUID(), Name: preview.suggested_name });
  return {
    ...known,
    Name: body.name ?? known.Name,
    Online: true,
    LastSeenAt: new Date().toISOString(),
    Inventory: preview.inventory,
  };
}

function token({ Lifetime: lifetime, Kernel = "muster/vmlinuz", Initrd = "muster/initrd" }) {
  const text = `eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..${"q7Wm2x".repeat(40)}`;
  const args = `muster.server=https://10.20.0.5:8092 muster.ca-hash=sha256:${"ab".repeat(32)} muster.token=${text}`;
  return {
    Token: text,
    Id: randomUUID(),
    ExpiresAt: new Date(Date.now() + lifetime * 1000).toISOString(),
    Command: `curl -fsS -k --pinnedpubkey 'sha256//${"q8".repeat(20)}=' -K - https://10.20.0.5:8092/install.sh <<'T' | sudo sh\nheader = "Authorization: Bearer ${text}"\nT\n`,
    KernelArgs: args,
    Menus: {
      Pxelinux: `LABEL muster\n  KERNEL ${Kernel}\n  INITRD ${Initrd}\n  APPEND ${args}\n`,
      Grub: `menuentry "Muster" {\n  linux /${Kernel} ${args}\n  initrd /${Initrd}\n}\n`,
      Ipxe: `#!ipxe\nkernel ${Kernel} ${args}\ninitrd ${Initrd}\nboot\n`,
      IpxeFromServer: `#!ipxe\nkernel ${BOOT_FILES}/vmlinuz ${args}\ninitrd ${BOOT_FILES}/initrd\nboot\n`,
    },
    Files: FILES.slice(1).map(([name, size]) => ({
      Name: name,
      Url: `${BOOT_FILES}/${name}`,
      Size: size,
      Sha256: SHA256,
    })),
  };
}

async function readBody(request) {
  const chunks = [];
  let size = 0;
  for await (const chunk of request) {
    size += chunk.length;
    if (size > MAX_BODY) throw new Error("body too large");
    chunks.push(chunk);
  }
  if (request.headers["content-type"] === "application/octet-stream") return { bytes: size };
  const text = Buffer.concat(chunks).toString();
  return text === "" ? undefined : JSON.parse(text);
}

async function asset(pathname, response) {
  const name = path.extname(pathname) === "" ? "index.html" : path.normalize(pathname).slice(1);
  try {
    return send(response, 200, await readFile(path.join(DIST, name)), TYPES[path.extname(name)] ?? "text/plain");
  } catch {
    return send(response, 404, Buffer.from("not found"), "text/plain");
  }
}

function send(response, status, body, type) {
  response.writeHead(status, {
    "Content-Type": type,
    "Content-Length": body.length,
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
  });
  response.end(body);
}

function json(response, status, body, headers = {}) {
  response.writeHead(status, { "Content-Type": "application/json", ...headers });
  response.end(body === undefined ? undefined : JSON.stringify(body));
}

function refuse(response, status, kind, messages, headers = {}) {
  json(response, status, { Model: "", Key: "", Type: kind, Messages: messages, Code: status }, headers);
}

// The little of RFC 6455 that is needed: short masked text frames in, text frames out.
function upgrade(mock, request, socket) {
  const accept = createHash("sha1")
    .update(`${request.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
    .digest("base64");
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
  );
  if (request.url.endsWith("/terminal/ws")) {
    socket.on("error", () => socket.destroy());
    return serveTerminal(mock, socket);
  }
  mock.sockets.add(socket);
  socket.on("close", () => mock.sockets.delete(socket));
  socket.on("error", () => socket.destroy());
  socket.on("data", (data) => {
    for (const text of frames(data)) {
      if (text.startsWith("register ")) socket.write(frame({ Type: "websocket", Action: "register", Key: text.slice(9) }));
    }
  });
}

function frames(data) {
  const texts = [];
  let at = 0;
  while (at + 6 <= data.length) {
    const length = data[at + 1] & 0x7f;
    const mask = data.subarray(at + 2, at + 6);
    const payload = data.subarray(at + 6, at + 6 + length);
    if ((data[at] & 0x0f) === 1) texts.push(payload.map((byte, index) => byte ^ mask[index % 4]).toString());
    at += 6 + length;
  }
  return texts;
}

function frame(event) {
  const payload = Buffer.from(JSON.stringify({ Time: "", Principal: "system", Object: null, ...event }));
  const head = payload.length < 126 ? Buffer.from([0x81, payload.length]) : Buffer.from([0x81, 126, 0, 0]);
  if (payload.length >= 126) head.writeUInt16BE(payload.length, 2);
  return Buffer.concat([head, payload]);
}

function publish(mock, Type, Action, Key, Object) {
  const bytes = frame({ Type, Action, Key, Object });
  mock.sockets.forEach((socket) => socket.write(bytes));
}
