// The preferences in words, and what each may be set to. The rules are engine/src/content/prefs.rs';
// prefs.test.ts holds this table to them.

/** How a preference is chosen. */
export type PrefWay =
  /** The name of an object of a collection, or nothing where `empty` says what that means. */
  | { as: "name"; collection: string; empty?: string }
  /** Seconds. */
  | { as: "seconds" }
  | { as: "level" }
  | { as: "text"; placeholder?: string }
  /** Never shown; exactly so many bytes where that is said. */
  | { as: "secret"; bytes?: number };

export interface PrefWords {
  label: string;
  hint: string;
  way: PrefWay;
}

export const LEVELS = ["trace", "debug", "info", "warn", "error", "fatal", "panic"] as const;

const KEPT = "Kept for clients that set it. This server's own log follows MUSTER_LOG in its environment.";

/** Preferences in groups, in the order they are shown in. */
export const PREF_GROUPS: readonly { name: string; prefs: { readonly [name: string]: PrefWords } }[] = [
  {
    name: "New machines",
    prefs: {
      defaultWorkflow: {
        label: "Workflow of a new machine",
        hint: "What a machine does first once it is registered.",
        way: { as: "name", collection: "workflows", empty: "None: it waits" },
      },
      defaultStage: {
        label: "Stage of a new machine",
        hint: "Where a machine without a workflow begins.",
        way: { as: "name", collection: "stages" },
      },
      defaultMesh: {
        label: "Mesh network of a new machine",
        hint: "Machines that register join it, unless their token names another one.",
        way: { as: "name", collection: "meshes", empty: "None" },
      },
      unknownBootEnv: {
        label: "What unknown machines boot",
        hint: "From the network. With \u201cdiscovery\u201d whoever can plug a machine in can register it.",
        way: { as: "name", collection: "bootenvs" },
      },
      defaultBootEnv: {
        label: "What known machines boot",
        hint: "From the network, where neither stage nor workflow says anything else.",
        way: { as: "name", collection: "bootenvs" },
      },
    },
  },
  {
    name: "Installing",
    prefs: {
      defaultImage: {
        label: "Image",
        hint: "Installed on machines whose roles name none.",
        way: { as: "name", collection: "images", empty: "None: a role must name one" },
      },
      imageHosts: {
        label: "Hosts that images come from",
        hint: "Addresses inside your own networks that the server may fetch images from, such as registry.example or 10.0.0.0/8, separated by commas.",
        way: { as: "text", placeholder: "registry.example, 10.20.0.0/16" },
      },
    },
  },
  {
    name: "Machine tokens",
    prefs: {
      knownTokenTimeout: {
        label: "Life of a known machine\u2019s token",
        hint: "In seconds; what its tasks and templates speak to the server with.",
        way: { as: "seconds" },
      },
      unknownTokenTimeout: {
        label: "Life of an unknown machine\u2019s token",
        hint: "In seconds; what a machine that boots for the first time registers by.",
        way: { as: "seconds" },
      },
      baseTokenSecret: {
        label: "Secret of all machine tokens",
        hint: "Another one ends every machine token at once. Exactly 32 characters.",
        way: { as: "secret", bytes: 32 },
      },
      systemGrantorSecret: {
        label: "Secret of the server\u2019s own machine tokens",
        hint: "Another one ends those that no user made.",
        way: { as: "secret" },
      },
    },
  },
  {
    name: "For other clients",
    prefs: {
      logLevel: { label: "Log level", hint: KEPT, way: { as: "level" } },
      debugBootEnv: { label: "Log level of boot environments", hint: KEPT, way: { as: "level" } },
      debugDhcp: { label: "Log level of DHCP", hint: KEPT, way: { as: "level" } },
      debugFrontend: { label: "Log level of REST", hint: KEPT, way: { as: "level" } },
      debugPlugins: { label: "Log level of plugins", hint: KEPT, way: { as: "level" } },
      debugRenderer: { label: "Log level of templates", hint: KEPT, way: { as: "level" } },
    },
  },
];

/** What is wrong with a value before the server is asked; undefined when nothing is. */
export function prefProblem(way: PrefWay, value: string): string | undefined {
  switch (way.as) {
    case "seconds":
      return /^\d{1,10}$/.test(value.trim()) && Number(value) <= 4_294_967_295 ? undefined : "A whole number of seconds.";
    case "secret": {
      const length = new TextEncoder().encode(value).length;
      return way.bytes === undefined || length === 0 || length === way.bytes
        ? undefined
        : `It has ${length} bytes, and needs exactly ${way.bytes}.`;
    }
    case "name":
    case "level":
    case "text":
      return undefined;
  }
}
