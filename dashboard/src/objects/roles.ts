// Machine roles are profiles with a label: what tells them from others, and which of them wins. Pure.
import { isObj, type Json } from "./json";

/** Merge priority of a role that does not say one. */
export const USUAL_PRIORITY = 100;

/** Whether a profile is a machine role. */
export function isRole({ Meta: meta }: { readonly Meta?: Json }): boolean {
  return isObj(meta) && meta["muster-role"] === "true";
}

/** A role's merge priority. */
export function priorityOf({ Params: params }: { readonly Params?: Json }): number {
  const said = isObj(params) ? params["muster/merge-priority"] : undefined;
  return typeof said === "number" ? said : USUAL_PRIORITY;
}
