// Columns that several kinds have.
import { Link } from "wouter";
import { at } from "../../api";
import type { Column } from "../../ui/DataTable";
import { flagAt, isObj, objectsAt, textAt, textsAt, valueAt, type Obj, type Path } from "../json";
import { Standing } from "../Standing";

/** The name, which leads to the editor. */
export function named(path: string, key = "Name"): Column<Obj> {
  return {
    id: "name",
    name: "Name",
    value: (object) => textAt(object, key),
    cell: (object) => <Link to={path + at(textAt(object, key))}>{textAt(object, key)}</Link>,
  };
}

/** One line for people. */
export const DESCRIPTION: Column<Obj> = {
  id: "description",
  name: "Description",
  width: "wide",
  value: (object) => textAt(object, "Description"),
};

/** Where it comes from and whether it can be used. */
export const STANDING: Column<Obj> = {
  id: "standing",
  name: "State",
  value: (object) => (flagAt(object, "Available") ? "" : "0") + textAt(object, "Bundle"),
  cell: (object) => <Standing object={object} />,
};

/** A text of the object. */
export function text(name: string, ...path: Path): Column<Obj> {
  return { id: path.join("/"), name, value: (object) => textAt(object, ...path) };
}

/** Names in a list, in their order. */
export function names(name: string, ...path: Path): Column<Obj> {
  return { id: path.join("/"), name, value: (object) => textsAt(object, ...path).join(", ") };
}

/** How many there are in a list or a map. */
export function count(name: string, ...path: Path): Column<Obj> {
  return {
    id: path.join("/"),
    name,
    width: "narrow",
    value: (object) => {
      const value = valueAt(object, path);
      return isObj(value) ? Object.keys(value).length : Math.max(textsAt(object, ...path).length, objectsAt(object, ...path).length);
    },
  };
}
