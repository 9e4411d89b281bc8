// What a page of objects is made of: a description of the kind, from which list, editor, creation, copies and
// deletion follow.
import type { ComponentType } from "react";
import type { Column } from "../ui/DataTable";
import { textAt, type Json, type Obj, type Path } from "./json";

/** A field of the form. */
export type FieldSpec = {
  /** Where its value is: `["Params", "muster/image"]`. */
  at: Path;
  label: string;
  hint?: string;
} & FieldWay;

/** How a value is entered. */
export type FieldWay =
  /** A text in one line, or in as many as said. */
  | { as: "text"; required?: boolean; mono?: boolean; lines?: number; placeholder?: string }
  /** A text that is written and never shown again; `has` says whether there is one. */
  | { as: "hidden"; has: string; multiline?: boolean }
  /** A whole number, or none. */
  | { as: "number"; min?: number; max?: number; none?: string }
  | { as: "toggle" }
  | { as: "select"; choices: readonly { value: string; name: string }[] }
  /** The key of another object; `empty` is what none means. */
  | { as: "one"; kind: KindName; empty: string }
  /** Keys of other objects, in no order; `free`: others, too. */
  | { as: "some"; kind: KindName; one: string; free?: boolean }
  /** Texts in an order that counts: keys of other objects, or what else may stand there. */
  | { as: "list"; kind?: KindName; one: string }
  /** A text with numbered lines. `words` may be put in by a click. */
  | { as: "code"; placeholder?: string; words?: () => Promise<readonly Word[]> }
  /** Any JSON. */
  | { as: "json"; lines?: number }
  /** Templates of a boot environment, stage or task. */
  | { as: "templates"; pathNeeded: boolean }
  /** Params by name, but those that have a field of their own. */
  | { as: "params"; but?: readonly string[] }
  /** In a way of the kind's own. */
  | { as: "own"; field: ComponentType<OwnFieldProps> };

/** What a field of a kind's own gets. */
export interface OwnFieldProps {
  value: Json | undefined;
  /** The whole object, as it is to be. */
  object: Obj;
  /** The object as the server has it; nothing as yet for a new one. */
  seen: Obj | null;
  problem: string | undefined;
  locked: string | undefined;
  onChange(value: Json): void;
}

/** A word of a template, and what it stands for. */
export interface Word {
  /** What is put in: `{{.machine.hostname}}`. */
  text: string;
  /** `machine`, `peers`, `secrets`, `vars`. */
  group: string;
  note?: string;
}

/** Fields that belong together. */
export interface FieldGroup {
  title?: string;
  note?: string;
  fields: readonly FieldSpec[];
}

/** Objects that may refer to one of this kind. */
export interface Referrers {
  kind: KindName;
  /** Whether it refers to the object of this key. */
  does(object: Obj, key: string): boolean;
}

/** What a further view of an object gets. */
export interface ViewProps {
  object: Obj;
  /** Whether there are changes that are not saved. */
  changed: boolean;
}

/** A kind of object. */
export interface KindSpec {
  name: KindName;
  /** The server's collection: in its paths, and as `Type` of events. */
  collection: string;
  /** The page. */
  path: string;
  /** One of them, and all, for people: `role`, `Roles`. */
  one: string;
  many: string;
  /** What the server calls one of them in its messages. */
  noun: string;
  /** The field that names it. */
  key: "Name" | "ID";
  /** What it is for, in a sentence or two. */
  about: string;
  /** How one begins, said where there is none. */
  first: string;
  /** Which objects of the collection are of the kind; all when it is not said. */
  holds?(object: Obj): boolean;
  /** Fields that the list does without. */
  slim?: string;
  columns: readonly Column<Obj>[];
  /** A new one, before anything is entered. */
  blank: Obj;
  /** What a copy keeps in mind of its original. */
  copied?(copy: Obj, from: string): Obj;
  groups: readonly FieldGroup[];
  referrers?: readonly Referrers[];
  /** What else may refer to one, and is no kind of object. */
  usedBy?: ComponentType<{ name: string }>;
  /** Preferences that may name one. */
  prefs?: readonly { pref: string; what: string }[];
  /** The filter of the machines that use one: `Profiles`. */
  machines?(key: string): string;
  /** Further views beside the form. */
  views?: readonly { id: string; name: string; view: ComponentType<ViewProps> }[];
  /** A panel above the form, such as an import's. */
  panel?: ComponentType<ViewProps>;
}

/** Names of the kinds. */
export type KindName =
  | "access-roles"
  | "roles"
  | "images"
  | "meshes"
  | "vips"
  | "credentials"
  | "secrets"
  | "variables"
  | "workflows"
  | "stages"
  | "tasks"
  | "bootenvs"
  | "templates"
  | "params"
  | "profiles";

/** What names an object of a kind. */
export function keyOf(kind: Pick<KindSpec, "key">, object: Obj): string {
  return textAt(object, kind.key);
}

/** Fields of a kind that are never shown. */
export function hiddenFields(kind: KindSpec): string[] {
  return kind.groups.flatMap((group) => group.fields.flatMap((field) => (field.as === "hidden" ? [field.at.join("/")] : [])));
}
