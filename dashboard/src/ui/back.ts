// The browser's back and forward buttons, for whoever wants to be asked before they lead away.
//
// Listeners of a window are called in the order in which they came, whatever they ask for: this one has to be
// there before the router's, so it is part of what is loaded first.

type Guard = (event: PopStateEvent) => void;

let guard: Guard | null = null;

window.addEventListener("popstate", (event) => guard?.(event));

/** Lets `ask` see each step in the history before the router does, until the function that is returned is called. */
export function guardBack(ask: Guard): () => void {
  guard = ask;
  return () => {
    if (guard === ask) guard = null;
  };
}
