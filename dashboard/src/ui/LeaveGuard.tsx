// Asks before unsaved changes are left behind: by a link, the browser's back button, or its closing.
import { useEffect, useRef, useState } from "react";
import { useLocation } from "wouter";
import { guardBack } from "./back";
import { ConfirmDialog } from "./ConfirmDialog";

interface LeaveGuardProps {
  /** Whether there is something to lose. */
  active: boolean;
  /** What it is: `this role`. */
  what: string;
}

/** Holds whoever wants to leave, as long as it is active. */
export function LeaveGuard({ active, what }: LeaveGuardProps) {
  const [, navigate] = useLocation();
  const [wanted, setWanted] = useState<string | null>(null);
  // Once somebody has decided to leave, nothing stands in the way.
  const open = useRef(false);
  useEffect(() => {
    if (!active) return undefined;
    open.current = false;
    const here = window.location.href;
    const heedClick = (event: MouseEvent) => {
      const to = open.current ? null : linkOf(event);
      if (to === null) return;
      event.preventDefault();
      event.stopPropagation();
      setWanted(to);
    };
    const heedBack = (event: PopStateEvent) => {
      if (open.current || window.location.href === here) return;
      const to = window.location.pathname + window.location.search;
      // The address is the page's again before anybody looks at it.
      event.stopImmediatePropagation();
      window.history.pushState(null, "", here);
      setWanted(to);
    };
    const heedClose = (event: BeforeUnloadEvent) => event.preventDefault();
    document.addEventListener("click", heedClick, true);
    const release = guardBack(heedBack);
    window.addEventListener("beforeunload", heedClose);
    return () => {
      document.removeEventListener("click", heedClick, true);
      release();
      window.removeEventListener("beforeunload", heedClose);
    };
  }, [active]);
  return (
    <ConfirmDialog
      open={wanted !== null}
      close={() => setWanted(null)}
      title="Leave without saving?"
      act={{ label: "Leave without saving", busy: "Leaving\u2026" }}
      run={async () => {
        open.current = true;
        if (wanted !== null) navigate(wanted);
      }}
      doing="change"
    >
      <p>What you changed in {what} is not saved and would be lost.</p>
    </ConfirmDialog>
  );
}

/** Where a click leads within the dashboard, if it does; modified clicks open other tabs and lose nothing. */
function linkOf(event: MouseEvent): string | null {
  if (event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return null;
  const link = event.target instanceof Element ? event.target.closest("a[href]") : null;
  if (!(link instanceof HTMLAnchorElement) || link.target !== "" || link.hasAttribute("download")) return null;
  const to = new URL(link.href);
  const same = to.pathname === window.location.pathname && to.search === window.location.search;
  return to.origin === window.location.origin && !same ? to.pathname + to.search : null;
}
