// The menu of named views: those of the page, those that were kept, and a way to keep what is shown.
import * as Menu from "@radix-ui/react-dropdown-menu";
import { useRef, useState } from "react";
import { ConfirmDialog } from "../ui/ConfirmDialog";
import { TextField } from "../ui/fields";
import { CheckIcon } from "../ui/icons";
import { notify } from "../ui/Notice";
import { dropView, GIVEN, keepView, keptViews, LONGEST_NAME, nameOf, type NamedView } from "./views";
import { readView, type View } from "./view";

/** The menu. */
export function ViewsMenu({ view, show }: { view: View; show(view: View): void }) {
  const [kept, setKept] = useState(() => keptViews(window.localStorage));
  const [keeping, setKeeping] = useState(false);
  const trigger = useRef<HTMLButtonElement>(null);
  const name = nameOf(view, kept);
  const mine = kept.find((each) => each.name === name);
  return (
    <>
      <Menu.Root modal={false}>
        <Menu.Trigger ref={trigger} className="button filter views" aria-label={`View: ${name ?? "not kept"}`}>
          {name ?? "View"}
        </Menu.Trigger>
        <Menu.Portal>
          <Menu.Content className="menu" align="end" sideOffset={4}>
            <Group views={GIVEN} name={name} show={show} />
            {kept.length > 0 && <Menu.Separator className="menu-line" />}
            <Group views={kept} name={name} show={show} />
            <Menu.Separator className="menu-line" />
            {name === null && (
              <Menu.Item className="menu-item" onSelect={() => setKeeping(true)}>
                Save this view&hellip;
              </Menu.Item>
            )}
            {mine !== undefined && (
              <Menu.Item
                className="menu-item menu-danger"
                onSelect={() => {
                  setKept(dropView(window.localStorage, mine.name));
                  notify(`The view ${mine.name} is forgotten.`);
                }}
              >
                Forget {mine.name}
              </Menu.Item>
            )}
            {name !== null && mine === undefined && (
              <Menu.Label className="menu-label">Filter or sort, then save it here</Menu.Label>
            )}
          </Menu.Content>
        </Menu.Portal>
      </Menu.Root>
      {keeping && (
        <KeepDialog
          close={() => setKeeping(false)}
          keep={(name) => setKept(keepView(window.localStorage, name, view))}
          returnTo={trigger}
        />
      )}
    </>
  );
}

function Group({ views, name, show }: { views: readonly NamedView[]; name: string | null; show(view: View): void }) {
  return (
    <Menu.RadioGroup value={name ?? ""}>
      {views.map((each) => (
        <Menu.RadioItem
          key={each.name}
          value={each.name}
          className="menu-item"
          onSelect={() => show(readView(new URLSearchParams(each.query)))}
        >
          <span className="menu-tick">
            <Menu.ItemIndicator>
              <CheckIcon />
            </Menu.ItemIndicator>
          </span>
          {each.name}
        </Menu.RadioItem>
      ))}
    </Menu.RadioGroup>
  );
}

interface KeepDialogProps {
  close(): void;
  keep(name: string): void;
  returnTo: React.RefObject<HTMLButtonElement | null>;
}

function KeepDialog({ close, keep, returnTo }: KeepDialogProps) {
  const [name, setName] = useState("");
  const given = name.trim().slice(0, LONGEST_NAME);
  return (
    <ConfirmDialog
      open
      close={close}
      returnTo={returnTo}
      title="Save this view"
      act={{ label: "Save", busy: "Saving\u2026" }}
      doing="change"
      danger={false}
      run={async () => {
        if (given === "") return;
        keep(given);
        notify(`The view ${given} is saved in this browser.`);
      }}
    >
      <p>Search, filters and order are kept in this browser. To show them to others, send them the address.</p>
      <TextField label="Name" value={name} onChange={setName} required />
    </ConfirmDialog>
  );
}
