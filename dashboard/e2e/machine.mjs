// What the stand-in answers about one machine: changes, what an installation would be made of, and
// runs. It decides nothing: a test puts the answers there (`mock.setup`, `mock.runs`, ...).

/** What a stand-in keeps of it. */
export function machineState() {
  return {
    /** `/machines/{id}/setup`, made of the machine as it would be. */
    setup: (machine) => setup({ Roles: machine.Roles.map((Name) => ({ Name, Priority: 100, Exists: true })) }),
    runs: [],
    jobs: [],
    /** Logs by job. */
    logs: new Map(),
  };
}

/** A whole answer of `/machines/{id}/setup`. */
export function setup(part = {}) {
  return {
    Roles: [],
    Image: "",
    ImageFrom: { Kind: "machine", Name: "", Value: null, Cut: 0 },
    Params: [],
    Errors: { "muster/image": "no image is chosen: set param muster/image of a role" },
    WriteProtected: false,
    DiskPlan: { Disks: [], Error: "" },
    ...part,
  };
}

/** A run that ended well. */
export function run(part = {}) {
  return {
    Uuid: "7d9f4b1e-0000-4000-8000-000000000001",
    Machine: "",
    Mode: "rebuild",
    Status: "completed",
    IsActive: false,
    IsTerminal: true,
    Percent: 100,
    Progress: { Step: "first-boot", Percent: 100, Message: "", Bytes: 0, Total: 0 },
    Steps: [],
    Error: "",
    NextAction: "",
    Image: "debian-12",
    ImageDigest: `sha256:${"ab".repeat(32)}`,
    Workflow: "muster-install",
    Reboot: "firmware",
    CreatedAt: new Date(Date.now() - 600_000).toISOString(),
    CreatedBy: "mia",
    StartedAt: new Date(Date.now() - 590_000).toISOString(),
    EndedAt: new Date(Date.now() - 300_000).toISOString(),
    ...part,
  };
}

/** The answer to a call about a machine or a run; undefined for all others. */
export function aboutMachine(mock, method, route, query, body) {
  const [, collection, key, action, rest] = /^\/(machines|provisions)(?:\/([^/]+))?(?:\/([^/]+))?(?:\/(.+))?$/.exec(route) ?? [];
  const machine = mock.machines.get(key);
  switch (`${method} ${collection} ${action ?? ""}`) {
    case "PATCH machines ":
      return machine === undefined ? undefined : changed(mock, machine, body);
    case "GET machines setup":
      return answer(200, mock.setup(machine));
    case "GET machines disk-plan":
      return answer(200, mock.setup(machine).DiskPlan);
    case "POST machines setup":
      return tried(machine, body, (wanted) => answer(200, mock.setup(wanted)));
    case "POST machines params":
      return saved(mock, { ...machine, Params: { ...machine.Params, [decodeURIComponent(rest)]: body } }, body);
    case "DELETE machines params": {
      const { [decodeURIComponent(rest)]: gone, ...Params } = machine.Params;
      return saved(mock, { ...machine, Params }, gone);
    }
    case "POST machines provision":
      return begun(mock, machine, body);
    case "GET provisions ":
      return answer(200, mock.runs.filter((each) => each.Machine === query.get("Machine")));
    case "POST provisions cancel":
      return canceled(mock, key);
    default:
      return undefined;
  }
}

function answer(status, body) {
  return { status, body };
}

function refused(status, Type, Messages) {
  return answer(status, { Model: "machines", Key: "", Type, Messages, Code: status });
}

function changed(mock, machine, operations) {
  return tried(machine, operations, (wanted) => saved(mock, wanted, wanted));
}

function saved(mock, machine, body) {
  mock.save({ ...machine, LastModifiedAt: new Date().toISOString() });
  return answer(200, body);
}

/** Applies a JSON Patch as far as pages send it. */
function tried(machine, operations, then) {
  const wanted = structuredClone(machine);
  for (const { op, path, value } of operations) {
    const names = path.slice(1).split("/").map((name) => name.replaceAll("~1", "/").replaceAll("~0", "~"));
    const last = names.pop();
    const place = names.reduce((object, name) => object[name], wanted);
    if (op === "test" && JSON.stringify(place[last]) !== JSON.stringify(value)) {
      return refused(409, "PATCH", ["the value is another one"]);
    }
    if (op === "remove") delete place[last];
    else if (op !== "test") place[last] = value;
  }
  return then(wanted);
}

function begun(mock, machine, { Mode, Image, Confirm }) {
  const plan = mock.setup(machine).DiskPlan;
  const loses = plan.Disks.some(({ Fate, Disk }) => Fate === "Erase" && Disk.Contents.Table !== "");
  if (Mode === "rebuild" && loses && Confirm !== machine.Name) {
    return refused(422, "ValidationError", [`type ${machine.Name} to erase its disks`]);
  }
  const made = run({
    Uuid: "7d9f4b1e-0000-4000-8000-000000000002",
    Machine: machine.Uuid,
    Mode,
    Image: Image || mock.setup(machine).Image,
    Status: "pending",
    IsActive: true,
    IsTerminal: false,
    Percent: 0,
    Progress: { Step: "prepare", Percent: 0, Message: "waits for the machine", Bytes: 0, Total: 0 },
    CreatedAt: new Date().toISOString(),
    StartedAt: null,
    EndedAt: null,
  });
  mock.runs.unshift(made);
  mock.publish("provisions", "create", made.Uuid, made);
  return answer(201, made);
}

function canceled(mock, key) {
  const at = mock.runs.findIndex((each) => each.Uuid === key);
  const over = { ...mock.runs[at], Status: "canceled", IsActive: false, IsTerminal: true, EndedAt: new Date().toISOString() };
  mock.runs[at] = over;
  mock.publish("provisions", "update", key, over);
  return answer(200, over);
}
