// The page of a kind: its list, the editor of one, or a new one, as the address says.
import { useEffect } from "react";
import { useSearchParams } from "wouter";
import { NewObject } from "./NewObject";
import { ObjectPage } from "./ObjectPage";
import { ObjectEvents } from "./api";
import type { KindName } from "./kind";
import { KINDS } from "./kinds";
import { ListPage } from "./ListPage";
import "../styles/objects.css";

/** The page. `name` is the part of the address after the kind's. */
export function ObjectsPage({ kind: kindName, name }: { kind: KindName; name?: string | undefined }) {
  const kind = KINDS[kindName];
  const [search] = useSearchParams();
  const key = name === undefined ? null : decoded(name);
  const copy = search.get("copy");
  const isNew = key === null && (copy !== null || search.has("new"));
  useEffect(() => {
    window.scrollTo(0, 0);
  }, [key, isNew]);
  return (
    <>
      <ObjectEvents />
      {key !== null ? (
        <ObjectPage key={`${kindName} ${key}`} kind={kind} name={key} />
      ) : isNew ? (
        <NewObject key={`${kindName} ${copy ?? ""}`} kind={kind} copyOf={copy} />
      ) : (
        <ListPage key={kindName} kind={kind} />
      )}
    </>
  );
}

// The router has decoded all but what stands for a slash and the like.
function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
