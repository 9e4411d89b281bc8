// Which machines are selected: they stay so while one scrolls, searches and filters.
import { useCallback, useMemo, useState } from "react";
import type { Target } from "./bulk";
import { MOST_SELECTED } from "./rows";

/** The selection. */
export interface Selection {
  size: number;
  targets: readonly Target[];
  has(uuid: string): boolean;
  set(target: Target, selected: boolean): void;
  /** As many as a selection takes. */
  add(targets: readonly Target[]): void;
  clear(): void;
}

/** A selection that is empty at first. */
export function useSelection(): Selection {
  const [chosen, setChosen] = useState<ReadonlyMap<string, Target>>(new Map());
  const set = useCallback((target: Target, selected: boolean) => {
    setChosen((known) => {
      const next = new Map(known);
      if (!selected) next.delete(target.Uuid);
      else if (next.size < MOST_SELECTED) next.set(target.Uuid, { Uuid: target.Uuid, Name: target.Name });
      return next;
    });
  }, []);
  const add = useCallback((targets: readonly Target[]) => {
    setChosen((known) => {
      const all = [...known.values(), ...targets].map(({ Uuid, Name }): [string, Target] => [Uuid, { Uuid, Name }]);
      return new Map([...new Map(all)].slice(0, MOST_SELECTED));
    });
  }, []);
  const clear = useCallback(() => setChosen(new Map()), []);
  return useMemo(
    () => ({
      size: chosen.size,
      targets: [...chosen.values()],
      has: (uuid: string) => chosen.has(uuid),
      set,
      add,
      clear,
    }),
    [chosen, set, add, clear],
  );
}
