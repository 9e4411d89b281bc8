// The collections of the model in the stand-in's memory: lists, objects, JSON Patch and events as the server has
// them. It checks nothing but what its answers need: a test says what is refused (`mock.refuse`).
const COLLECTIONS = {
  bootenvs: "Name",
  images: "Name",
  meshes: "Name",
  params: "Name",
  profiles: "Name",
  registry_credentials: "Name",
  roles: "Name",
  secrets: "Name",
  stages: "Name",
  tasks: "Name",
  templates: "ID",
  users: "Name",
  variables: "Name",
  vips: "Name",
  workflows: "Name",
};
/** Fields that are written and shown as nothing. */
const HIDDEN = { secrets: ["Value", "HasValue"], registry_credentials: ["Password", "HasPassword"] };

/** What every object carries. */
const ENVELOPE = {
  Description: "",
  Meta: {},
  Validated: true,
  Available: true,
  Errors: [],
  ReadOnly: false,
  Bundle: "BackingStore",
  Endpoint: "",
  Partial: false,
  CreatedAt: "2026-01-01T00:00:00Z",
  CreatedBy: "admin",
  LastModifiedAt: "2026-01-01T00:00:00Z",
  LastModifiedBy: "admin",
};

/** Collections with these objects in them: `{profiles: [{Name: "web"}]}`. */
export function collectionsOf(objects) {
  const all = {};
  for (const [name, key] of Object.entries(COLLECTIONS)) {
    all[name] = new Map((objects[name] ?? []).map((each) => [each[key], { ...ENVELOPE, ...each }]));
  }
  return all;
}

/** Answers a call about a collection as `{status, body}`; nothing when it is about none. */
export function aboutCollection(mock, method, path, query, body) {
  const [, name, ...parts] = path.split("/");
  if (name === "prefs") return prefs(mock, method, body);
  if (!(name in COLLECTIONS)) return undefined;
  const key = parts[0] === undefined ? undefined : decodeURIComponent(parts[0]);
  if (name === "images" && parts[1] === "import") return imported(mock, method, key, body);
  if (key === undefined) return method === "GET" ? list(mock, name, query) : create(mock, name, body);
  const object = mock.collections[name].get(key);
  if (object === undefined) return refusal(404, method, [`${name}: nothing is called "${key}"`]);
  switch (method) {
    case "GET":
      return { status: 200, body: shown(name, object) };
    case "PATCH":
      return change(mock, name, key, object, body);
    default:
      mock.collections[name].delete(key);
      mock.publish(name, "delete", key, shown(name, object));
      return { status: 200, body: shown(name, object) };
  }
}

/** Puts an object in its place, as somebody else would. */
export function put(mock, name, object, by = "mia") {
  const key = object[COLLECTIONS[name]];
  const stored = { ...ENVELOPE, ...object, LastModifiedBy: by, LastModifiedAt: new Date().toISOString() };
  mock.collections[name].set(key, stored);
  mock.publish(name, "save", key, shown(name, stored));
  return stored;
}

function list(mock, name, query) {
  const slim = (query.get("slim") ?? "").split(",");
  const less = (object) => Object.fromEntries(Object.entries(shown(name, object)).filter(([field]) => !slim.includes(field)));
  return { status: 200, body: [...mock.collections[name].values()].map(less) };
}

function create(mock, name, body) {
  const key = body[COLLECTIONS[name]];
  if (mock.collections[name].has(key)) return refusal(409, "CREATE", [`${name} ${key} exists already`]);
  return { status: 201, body: shown(name, put(mock, name, body, "admin")) };
}

function change(mock, name, key, object, operations) {
  const next = structuredClone(object);
  for (const [index, operation] of operations.entries()) {
    const fault = apply(next, operation);
    if (fault !== null) {
      return refusal(409, "PATCH", [`operation ${index} of the patch does not fit at "${operation.path}": ${fault}`]);
    }
  }
  return { status: 200, body: shown(name, put(mock, name, next, "admin")) };
}

function apply(object, { op, path, value }) {
  const names = path.slice(1).split("/").map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));
  const last = names.pop();
  const place = names.reduce((at, each) => at?.[each], object);
  if (place === undefined) return "it leads nowhere";
  if (op === "test") return same(place[last], value) ? null : "the value is another one";
  if (op === "remove") delete place[last];
  else place[last] = value;
  return null;
}

function same(a, b) {
  const sorted = (value) =>
    JSON.stringify(value, (_, each) =>
      each !== null && typeof each === "object" && !Array.isArray(each) ? Object.fromEntries(Object.entries(each).sort()) : each,
    );
  return sorted(a) === sorted(b);
}

function shown(name, object) {
  const hidden = HIDDEN[name];
  if (hidden === undefined) return object;
  const [field, has] = hidden;
  return { ...object, [field]: "", [has]: (object[field] ?? "") !== "" };
}

function prefs(mock, method, body) {
  if (method === "POST") Object.assign(mock.prefs, body);
  return { status: 200, body: mock.prefs };
}

function imported(mock, method, key, body) {
  const image = mock.collections.images.get(key);
  const state = method === "DELETE" ? { State: "failed", Message: "cancelled" } : { State: "converting", Percent: 0, Bytes: 0, Total: 0 };
  put(mock, "images", { ...image, Import: { ...image.Import, ...state, Uploaded: body?.bytes } }, "admin");
  return { status: method === "DELETE" ? 200 : 202, body: state };
}

function refusal(status, kind, messages) {
  return { status, body: { Model: "", Key: "", Type: kind, Messages: messages, Code: status } };
}
