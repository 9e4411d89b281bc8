// What can be done with all selected machines at once.
import * as Menu from "@radix-ui/react-dropdown-menu";
import { useRef, useState } from "react";
import { CloseIcon } from "../ui/icons";
import { BulkDialog } from "./BulkDialog";
import { BULK, type BulkAct } from "./bulkActs";
import { MOST_SELECTED } from "./rows";
import type { Selection } from "./selection";

interface BulkBarProps {
  selection: Selection;
  /** How many machines are in the view. */
  filtered: number;
  /** Selects them. */
  selectAll(): Promise<void>;
}

/** The bar; nothing while nothing is selected. */
export function BulkBar({ selection, filtered, selectAll }: BulkBarProps) {
  const [act, setAct] = useState<BulkAct | null>(null);
  const trigger = useRef<HTMLButtonElement>(null);
  const open = act !== null;
  if (selection.size === 0 && !open) return null;
  const more = Math.min(filtered, MOST_SELECTED);
  return (
    <section className="bulk" aria-label="Selected machines">
      <p role="status">
        {selection.size} selected
        {selection.size === MOST_SELECTED && `, which is as many as can be at once`}
      </p>
      {selection.size < more && (
        <button type="button" className="link" onClick={() => void selectAll()}>
          Select {filtered > MOST_SELECTED ? `the first ${more}` : `all ${more}`}
        </button>
      )}
      <Menu.Root modal={false}>
        <Menu.Trigger ref={trigger} className="button button-primary">
          Actions
        </Menu.Trigger>
        <Menu.Portal>
          <Menu.Content className="menu" align="end" side="top" sideOffset={6}>
            {BULK.map((each) => (
              <Menu.Item
                key={each.id}
                className={each.danger ? "menu-item menu-danger" : "menu-item"}
                onSelect={() => setAct(each)}
              >
                {each.name}
              </Menu.Item>
            ))}
          </Menu.Content>
        </Menu.Portal>
      </Menu.Root>
      <button type="button" className="button button-icon" aria-label="Clear the selection" onClick={selection.clear}>
        <CloseIcon />
      </button>
      {act !== null && (
        <BulkDialog
          act={act}
          targets={selection.targets}
          close={() => {
            setAct(null);
            trigger.current?.focus();
          }}
          done={(finished) => finished.forEach((target) => selection.set(target, false))}
        />
      )}
    </section>
  );
}
