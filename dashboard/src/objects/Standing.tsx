// Where an object comes from, and whether it can be used.
import { flagAt, textAt, textsAt, type Obj } from "./json";

/** The bundle of what operators make. */
const OWN = "BackingStore";
/** The bundle of what is built in. */
const BUILT_IN = "BasicStore";

/** Where an object comes from: built in, a bundle of content, or nowhere but here. */
export function originOf(object: Obj): { name: string; why: string } | null {
  const bundle = textAt(object, "Bundle");
  if (bundle === OWN || bundle === "") return null;
  if (bundle === BUILT_IN) return { name: "Built in", why: "It is part of Muster and cannot be changed." };
  return { name: bundle, why: `It comes from the content bundle ${bundle} and cannot be changed here.` };
}

/** Badges for both; nothing for what is an operator's own and sound. */
export function Standing({ object }: { object: Obj }) {
  const origin = originOf(object);
  const available = flagAt(object, "Available");
  if (available && origin === null) return null;
  return (
    <span className="standing">
      {!available && (
        <span className="badge badge-problem" title={textsAt(object, "Errors").join("\n")}>
          Not available
        </span>
      )}
      {origin !== null && (
        <span className="badge" title={origin.why}>
          {origin.name}
        </span>
      )}
    </span>
  );
}
