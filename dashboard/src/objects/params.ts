// How the value of a param is entered, from its JSON Schema. Pure.
import { isList, isObj, type Json } from "./json";

/** How a value is entered. */
export type Entry =
  | { as: "switch" }
  | { as: "whole"; min?: number; max?: number }
  | { as: "choice"; choices: readonly string[] }
  | { as: "text" }
  | { as: "json" };

/** The way that fits a schema and a value that is there already: JSON where nothing else does. */
export function entryOf(schema: Json, value: Json): Entry {
  const way = wayOf(schema);
  return holds(way, value) ? way : { as: "json" };
}

function wayOf(schema: Json): Entry {
  if (!isObj(schema)) return { as: "json" };
  const { enum: values, type, minimum, maximum } = schema;
  if (isList(values) && values.every((value) => typeof value === "string")) return { as: "choice", choices: values };
  switch (type) {
    case "boolean":
      return { as: "switch" };
    case "integer":
      return {
        as: "whole",
        ...(typeof minimum === "number" ? { min: minimum } : {}),
        ...(typeof maximum === "number" ? { max: maximum } : {}),
      };
    case "string":
      return { as: "text" };
    default:
      return { as: "json" };
  }
}

function holds(way: Entry, value: Json): boolean {
  switch (way.as) {
    case "switch":
      return typeof value === "boolean";
    case "whole":
      return Number.isInteger(value);
    case "choice":
    case "text":
      return typeof value === "string";
    case "json":
      return true;
  }
}

/** What a param begins with that somebody adds: its default, or the least that its type allows. */
export function startOf(schema: Json): Json {
  if (!isObj(schema)) return "";
  if (schema["default"] !== undefined) return schema["default"];
  const way = wayOf(schema);
  switch (way.as) {
    case "switch":
      return true;
    case "whole":
      return Math.max(0, way.min ?? 0);
    case "choice":
      return way.choices[0] ?? "";
    case "text":
      return "";
    case "json":
      return schema["type"] === "array" ? [] : schema["type"] === "object" ? {} : "";
  }
}
