// What holds where the machine itself says nothing, and who says it.
import { Link } from "wouter";
import { inWords, sourceInWords, sourcePath } from "./draft";
import type { ParamSource } from "./wire";

/** `role web`, linked to where it is described. */
export function SourceLink({ source }: { source: ParamSource }) {
  const path = sourcePath(source);
  const words = sourceInWords(source);
  return path === null ? words : <Link to={path}>{words}</Link>;
}

/** `Without a value here: dhcp, from role web.` Nothing where nobody says anything. */
export function Inherited({ source, usual = "" }: { source: ParamSource | null; usual?: string }) {
  if (source === null || source.Value === "") return usual === "" ? null : <>Without a value here: {usual}.</>;
  return (
    <>
      Without a value here: {source.Cut > 0 ? "a long text" : inWords(source.Value)}, from <SourceLink source={source} />.
    </>
  );
}
