// Which value of a param holds, and who else says something of it: pure.
import type { ParamInForce, ParamSource } from "./wire";

/** The one that holds. */
export function effective(param: ParamInForce): ParamSource | null {
  return param.Sources[0] ?? null;
}

/** Whether the machine itself says it. */
export function isOwn(param: ParamInForce): boolean {
  return param.Sources[0]?.Kind === "machine";
}

/** Those that are overruled, in their order. */
export function others(param: ParamInForce): ParamSource[] {
  return param.Sources.slice(1);
}
