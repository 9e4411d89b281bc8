// Which page the address bar asks for. Two pages need no router library.
import { useSyncExternalStore } from "react";

/** The pages there are. */
export type Route = { page: "machines" } | { page: "machine"; uuid: string } | { page: "missing" };

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** The page of a path. */
export function parseRoute(path: string): Route {
  const parts = path.split("/").filter((part) => part !== "");
  const [first, second] = parts;
  if (parts.length === 0 || (parts.length === 1 && first === "machines")) return { page: "machines" };
  if (parts.length === 2 && first === "machines" && second !== undefined && UUID.test(second)) {
    return { page: "machine", uuid: second.toLowerCase() };
  }
  return { page: "missing" };
}

/** The path of a machine's detail page. */
export function machinePath(uuid: string): string {
  return `/machines/${uuid}`;
}

const CHANGED = "muster:navigated";

/** Goes to another page without loading it anew. */
export function navigate(path: string): void {
  if (path === window.location.pathname) return;
  window.history.pushState(null, "", path);
  window.dispatchEvent(new Event(CHANGED));
  window.scrollTo(0, 0);
}

function subscribe(changed: () => void): () => void {
  window.addEventListener("popstate", changed);
  window.addEventListener(CHANGED, changed);
  return () => {
    window.removeEventListener("popstate", changed);
    window.removeEventListener(CHANGED, changed);
  };
}

/** The page to show, kept up to date. */
export function useRoute(): Route {
  return parseRoute(useSyncExternalStore(subscribe, () => window.location.pathname));
}
