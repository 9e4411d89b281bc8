// Tabs inside a page: views of one thing, of which one is shown. Sections that have an address are
// links (ui/Sections.tsx).
import * as Radix from "@radix-ui/react-tabs";
import type { ReactNode } from "react";
import "../styles/tabs.css";

/** One tab. */
export interface Tab {
  id: string;
  name: string;
  /** A short remark beside the name, such as a count. */
  note?: string;
  body: ReactNode;
}

interface TabsProps {
  /** What the tabs are views of, for screen readers. */
  label: string;
  tabs: readonly Tab[];
  /** The tab that is shown; without it the first one is, and the tabs look after themselves. */
  chosen?: string;
  onChoose?(id: string): void;
}

/** A row of tabs and the body of the chosen one. Arrow keys move between them. */
export function Tabs({ label, tabs, chosen, onChoose }: TabsProps) {
  const first = tabs[0]?.id ?? "";
  const state = chosen === undefined ? { defaultValue: first } : { value: chosen };
  return (
    <Radix.Root {...state} {...(onChoose === undefined ? {} : { onValueChange: onChoose })}>
      <Radix.List className="tabs-list" aria-label={label}>
        {tabs.map(({ id, name, note }) => (
          <Radix.Trigger key={id} value={id} className="tab">
            {name}
            {note !== undefined && <span className="tab-note">{note}</span>}
          </Radix.Trigger>
        ))}
      </Radix.List>
      {tabs.map(({ id, body }) => (
        <Radix.Content key={id} value={id}>
          {body}
        </Radix.Content>
      ))}
    </Radix.Root>
  );
}
