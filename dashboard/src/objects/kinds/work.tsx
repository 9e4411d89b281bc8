// What machines do: workflows of stages of tasks.
import { Link } from "wouter";
import { at } from "../../api";
import { textAt, textsAt, type Obj } from "../json";
import type { KindSpec, ViewProps } from "../kind";
import { isRole } from "../roles";
import { count, DESCRIPTION, named, names, STANDING, text } from "./columns";

const DOCUMENTATION = { at: ["Documentation"], label: "Documentation", as: "text", lines: 4 } as const;
const REQUIRED_PARAMS = { at: ["RequiredParams"], label: "Required params", as: "some", kind: "params", one: "param", free: true, hint: "Without these nothing is rendered." } as const;
const OPTIONAL_PARAMS = { at: ["OptionalParams"], label: "Optional params", as: "some", kind: "params", one: "param", free: true } as const;
const OUTPUT_PARAMS = { at: ["OutputParams"], label: "Output params", as: "some", kind: "params", one: "param", free: true, hint: "What its tasks set." } as const;

export const WORKFLOWS: KindSpec = {
  name: "workflows",
  collection: "workflows",
  path: "/workflows",
  one: "workflow",
  many: "Workflows",
  noun: "workflow",
  key: "Name",
  about: "A workflow is a list of stages that a machine goes through, one after the other.",
  first: "Make one of the stages that you have.",
  columns: [named("/workflows"), names("Stages", "Stages"), DESCRIPTION, STANDING],
  blank: { Name: "", Description: "", Documentation: "", Stages: [], Meta: {} },
  groups: [
    {
      fields: [
        { at: ["Stages"], label: "Stages", as: "list", kind: "stages", one: "stage", hint: "From first to last. task:NAME, action:PLUGIN:NAME and context:NAME may stand between them." },
        DOCUMENTATION,
      ],
    },
  ],
  prefs: [{ pref: "defaultWorkflow", what: "It is the workflow of machines that register." }],
  machines: (key) => `Workflow=Eq(${key})`,
};

export const STAGES: KindSpec = {
  name: "stages",
  collection: "stages",
  path: "/stages",
  one: "stage",
  many: "Stages",
  noun: "stage",
  key: "Name",
  about: "A stage is a list of tasks, with the boot environment that they run in.",
  first: "Make one of the tasks that you have.",
  columns: [named("/stages"), text("Boot environment", "BootEnv"), names("Tasks", "Tasks"), DESCRIPTION, STANDING],
  blank: { Name: "", Description: "", Documentation: "", BootEnv: "", Templates: [], RequiredParams: [], OptionalParams: [], OutputParams: [], Params: {}, Profiles: [], Tasks: [], Reboot: false, Meta: {} },
  groups: [
    {
      fields: [
        { at: ["BootEnv"], label: "Boot environment", as: "one", kind: "bootenvs", empty: "The one that the machine has" },
        { at: ["Tasks"], label: "Tasks", as: "list", kind: "tasks", one: "task", hint: "From first to last. stage:, bootenv:, context:, chroot: and action: entries may stand between them." },
        { at: ["Profiles"], label: "Profiles", as: "some", kind: "profiles", one: "profile", hint: "Of machines in the stage." },
        { at: ["Params"], label: "Params", as: "params", hint: "Of machines in the stage." },
      ],
    },
    { title: "Files", note: "Rendered for each machine while it is in the stage.", fields: [{ at: ["Templates"], label: "Templates", as: "templates", pathNeeded: true }] },
    { title: "More", fields: [REQUIRED_PARAMS, OPTIONAL_PARAMS, OUTPUT_PARAMS, DOCUMENTATION] },
  ],
  referrers: [
    { kind: "workflows", does: (workflow, key) => textsAt(workflow, "Stages").includes(key) },
    { kind: "stages", does: (stage, key) => textsAt(stage, "Tasks").includes(`stage:${key}`) },
  ],
  prefs: [{ pref: "defaultStage", what: "It is the stage of machines that register." }],
  machines: (key) => `Stage=Eq(${key})`,
};

export const TASKS: KindSpec = {
  name: "tasks",
  collection: "tasks",
  path: "/tasks",
  one: "task",
  many: "Tasks",
  noun: "task",
  key: "Name",
  about: "A task writes files and runs scripts on a machine: its templates, rendered in order.",
  first: "Make one with a script, and put it into a stage.",
  columns: [named("/tasks"), count("Templates", "Templates"), names("Prerequisites", "Prerequisites"), DESCRIPTION, STANDING],
  blank: { Name: "", Description: "", Documentation: "", Templates: [], RequiredParams: [], OptionalParams: [], OutputParams: [], Prerequisites: [], ExtraRoles: [], ExtraClaims: [], ExtraDuration: 0, Meta: {} },
  groups: [
    { title: "Scripts and files", note: "In order. One without a path is a script that is run; one with a path is a file that is written.", fields: [{ at: ["Templates"], label: "Templates", as: "templates", pathNeeded: false }] },
    {
      title: "What it needs",
      fields: [
        { at: ["Prerequisites"], label: "Prerequisites", as: "some", kind: "tasks", one: "task", hint: "Tasks that run before it." },
        REQUIRED_PARAMS,
        OPTIONAL_PARAMS,
        OUTPUT_PARAMS,
      ],
    },
    {
      title: "More",
      fields: [
        { at: ["ExtraDuration"], label: "Extra seconds of its token", as: "number", min: 0, hint: "For tasks that take longer than an hour." },
        DOCUMENTATION,
      ],
    },
  ],
  referrers: [
    { kind: "stages", does: (stage, key) => textsAt(stage, "Tasks").includes(key) },
    { kind: "workflows", does: (workflow, key) => textsAt(workflow, "Stages").includes(`task:${key}`) },
    { kind: "tasks", does: (task, key) => textsAt(task, "Prerequisites").includes(key) },
  ],
};

/** Whether an object gives a param a value, or names it. */
function knowsParam(object: Obj, key: string): boolean {
  const params = object["Params"];
  const given = typeof params === "object" && params !== null && key in params;
  return given || ["RequiredParams", "OptionalParams", "OutputParams"].some((field) => textsAt(object, field).includes(key));
}

const TYPES = ["string", "integer", "number", "boolean", "array", "object"] as const;

export const PARAMS: KindSpec = {
  name: "params",
  collection: "params",
  path: "/params",
  one: "param",
  many: "Params",
  noun: "param",
  key: "Name",
  about: "What a param is for and what it may hold. Values are checked by the schema when they are written.",
  first: "Make one for each setting that your tasks and templates look at.",
  columns: [named("/params"), text("Type", "Schema", "type"), DESCRIPTION, STANDING],
  blank: { Name: "", Description: "", Documentation: "", Schema: { type: "string" }, Meta: {} },
  groups: [
    {
      title: "Values",
      fields: [
        { at: ["Schema", "type"], label: "Type", as: "select", choices: [{ value: "", name: "Anything" }, ...TYPES.map((type) => ({ value: type, name: type }))] },
        { at: ["Schema", "default"], label: "Default", as: "json", lines: 2, hint: "As JSON: a text in quotes, true, 42. What holds where nobody set a value. Empty for none." },
        { at: ["Schema"], label: "JSON Schema", as: "json", hint: "Draft 4 to 2020-12; nothing is fetched." },
        DOCUMENTATION,
      ],
    },
  ],
  referrers: [
    { kind: "profiles", does: knowsParam },
    { kind: "stages", does: knowsParam },
    { kind: "tasks", does: knowsParam },
    { kind: "bootenvs", does: knowsParam },
  ],
};

/** Says of a profile that is a machine role where it is edited as one. */
function RoleOf({ object }: ViewProps) {
  if (!isRole(object)) return null;
  const name = textAt(object, "Name");
  return (
    <p className="note note-info">
      This profile is a machine role: <Link to={`/roles${at(name)}`}>{name} among the roles</Link> has its template, its image and a test.
    </p>
  );
}

export const PROFILES: KindSpec = {
  name: "profiles",
  collection: "profiles",
  path: "/profiles",
  one: "profile",
  many: "Profiles",
  noun: "profile",
  key: "Name",
  about: "A profile is params under a name, for machines and stages to share. The profile global holds for every machine. Machine roles are profiles, too.",
  first: "Make one for params that several machines have.",
  columns: [
    named("/profiles"),
    { id: "role", name: "Role", width: "narrow", value: (profile) => (isRole(profile) ? "Role" : "") },
    count("Params", "Params"),
    DESCRIPTION,
    STANDING,
  ],
  blank: { Name: "", Description: "", Documentation: "", Params: {}, Profiles: [], Meta: {} },
  groups: [
    {
      fields: [
        { at: ["Params"], label: "Params", as: "params" },
        { at: ["Profiles"], label: "Profiles", as: "some", kind: "profiles", one: "profile", hint: "Looked at after its own params." },
        DOCUMENTATION,
      ],
    },
  ],
  referrers: [
    { kind: "profiles", does: (profile, key) => textsAt(profile, "Profiles").includes(key) },
    { kind: "stages", does: (stage, key) => textsAt(stage, "Profiles").includes(key) },
  ],
  machines: (key) => `Profiles=In(${key})`,
  panel: RoleOf,
};

/** Whether one of its templates is this one. */
export function usesTemplate(object: Obj, key: string): boolean {
  const templates = object["Templates"];
  return Array.isArray(templates) && templates.some((info) => textAt({ info }, "info", "ID") === key);
}
