// The three dots at the end of a row, or beside a heading: what can be done with one thing.
import * as Menu from "@radix-ui/react-dropdown-menu";
import type { ReactNode, RefObject } from "react";
import { Link } from "wouter";
import { DotsIcon } from "./icons";

/** One thing to do: an action, or a place to go to. */
export type RowAct = {
  name: string;
  icon?: ReactNode;
  /** Something is lost by it: red, and after a line. */
  danger?: boolean;
  /** Why it cannot be done now; shown below its name. */
  locked?: string | undefined;
} & ({ act(): void } | { to: string });

interface RowMenuProps {
  /** What the menu is of: `db-07`. */
  of: string;
  acts: readonly RowAct[];
  /** The button, which gets the focus back from a dialog that an action opened. */
  trigger?: RefObject<HTMLButtonElement | null>;
}

/** The button and its menu. */
export function RowMenu({ of, acts, trigger }: RowMenuProps) {
  return (
    <Menu.Root modal={false}>
      <Menu.Trigger ref={trigger} className="button button-icon" aria-label={`Actions for ${of}`}>
        <DotsIcon />
      </Menu.Trigger>
      <Menu.Portal>
        <Menu.Content className="menu" align="end" sideOffset={4}>
          {acts.map((act) => (
            <RowMenuItem key={act.name} act={act} />
          ))}
        </Menu.Content>
      </Menu.Portal>
    </Menu.Root>
  );
}

function RowMenuItem({ act }: { act: RowAct }) {
  const className = act.danger === true ? "menu-item menu-danger" : "menu-item";
  const body = (
    <>
      {act.icon}
      {act.name}
      {act.locked !== undefined && <span className="menu-why">{act.locked}</span>}
    </>
  );
  const disabled = act.locked !== undefined;
  if ("to" in act) {
    return (
      <Menu.Item className={className} disabled={disabled} asChild>
        <Link to={act.to}>{body}</Link>
      </Menu.Item>
    );
  }
  return (
    <Menu.Item className={className} disabled={disabled} onSelect={() => act.act()}>
      {body}
    </Menu.Item>
  );
}
