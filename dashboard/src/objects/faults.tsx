// Fields whose text says nothing as yet (half a JSON): as long as there is one, nothing is saved.
import { createContext, useContext, useEffect, useId, useMemo, useState, type ReactNode } from "react";

type Report = (id: string, fault: string | null) => void;

const Faults = createContext<Report>(() => undefined);

/** Tells the editor that a field has a text which is no value, or has one again. */
export function useFault(label: string, fault: string | null): void {
  const report = useContext(Faults);
  const id = useId() + label;
  useEffect(() => {
    report(id, fault);
    return () => report(id, null);
  }, [report, id, fault]);
}

/** What fields report, and what gathers it. */
export function useFaults(): { faults: readonly string[]; gather(children: ReactNode): ReactNode } {
  const [known, setKnown] = useState<ReadonlyMap<string, string>>(new Map());
  const report = useMemo<Report>(
    () => (id, fault) =>
      setKnown((before) => {
        if ((before.get(id) ?? null) === fault) return before;
        const next = new Map(before);
        if (fault === null) next.delete(id);
        else next.set(id, fault);
        return next;
      }),
    [],
  );
  return {
    faults: [...known.values()],
    gather: (children) => <Faults.Provider value={report}>{children}</Faults.Provider>,
  };
}
