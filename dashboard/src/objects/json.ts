// JSON as objects of the model have it: reading, writing and comparing by path. Pure.

/** Any JSON. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };
/** A JSON object: an object of the model as the server shows it. */
export type Obj = { readonly [name: string]: Json };
/** Where in an object: `["Params", "muster/image"]`. */
export type Path = readonly string[];

/** Whether it is a JSON object. */
export function isObj(value: Json | undefined): value is Obj {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Whether it is a list. */
export function isList(value: Json | undefined): value is readonly Json[] {
  return Array.isArray(value);
}

/** What is at a path; nothing where it leads nowhere. */
export function valueAt(object: Obj, path: Path): Json | undefined {
  let value: Json | undefined = object;
  for (const name of path) value = isObj(value) ? value[name] : undefined;
  return value;
}

/** The object with another value at a path; `undefined` takes the member away. */
export function withValue(object: Obj, path: Path, value: Json | undefined): Obj {
  const [name, ...rest] = path;
  if (name === undefined) return object;
  if (rest.length > 0) {
    const inner = object[name];
    return { ...object, [name]: withValue(isObj(inner) ? inner : {}, rest, value) };
  }
  if (value !== undefined) return { ...object, [name]: value };
  const { [name]: _, ...others } = object;
  return others;
}

/** A text; empty where there is none. */
export function textAt(object: Obj, ...path: Path): string {
  const value = valueAt(object, path);
  return typeof value === "string" ? value : "";
}

/** Whether it says true. */
export function flagAt(object: Obj, ...path: Path): boolean {
  return valueAt(object, path) === true;
}

/** The texts of a list. */
export function textsAt(object: Obj, ...path: Path): readonly string[] {
  const value = valueAt(object, path);
  return isList(value) ? value.filter((item) => typeof item === "string") : [];
}

/** The objects of a list. */
export function objectsAt(object: Obj, ...path: Path): readonly Obj[] {
  const value = valueAt(object, path);
  return isList(value) ? value.filter(isObj) : [];
}

/** Whether two are the same; the order of members does not count. */
export function same(a: Json | undefined, b: Json | undefined): boolean {
  if (a === b) return true;
  if (isList(a) && isList(b)) return a.length === b.length && a.every((item, index) => same(item, b[index]));
  if (!isObj(a) || !isObj(b)) return false;
  const names = Object.keys(a);
  return names.length === Object.keys(b).length && names.every((name) => name in b && same(a[name], b[name]));
}

/** As people read it: two spaces a step. */
export function pretty(value: Json): string {
  return JSON.stringify(value, null, 2);
}
