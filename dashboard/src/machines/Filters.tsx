// Search, filters and named views of the Machines page.
import * as Menu from "@radix-ui/react-dropdown-menu";
import { useEffect, useRef, useState } from "react";
import { useNames } from "../names";
import { isRole } from "../objects/roles";
import { CheckIcon, CloseIcon, SearchIcon } from "../ui/icons";
import { useProfiles } from "./detail/api";
import { ALL, isFiltered, STATES, type View } from "./view";

interface FilterProps {
  view: View;
  change(part: Partial<View>): void;
}

/** Milliseconds without a key until a search is asked for. */
const TYPED = 180;

/** The search box and the filters. */
export function Filters({ view, change }: FilterProps) {
  return (
    <div className="filters">
      <SearchBox search={view.search} change={change} />
      <Choice
        label="State"
        chosen={view.states}
        options={STATES.map((state) => ({ value: state, name: state }))}
        choose={(states) => change({ states: STATES.filter((state) => states.includes(state)) })}
      />
      <RoleChoice view={view} change={change} />
      <MeshChoice view={view} change={change} />
      <Choice
        label="Status"
        chosen={view.status === "any" ? [] : [view.status]}
        options={[
          { value: "online", name: "Online" },
          { value: "offline", name: "Offline" },
        ]}
        // Both are the same as none.
        choose={([status, other]) =>
          change({ status: other === undefined && (status === "online" || status === "offline") ? status : "any" })
        }
      />
      {isFiltered(view) && (
        <button
          type="button"
          className="button button-quiet"
          onClick={() => change({ ...ALL, sort: view.sort, descending: view.descending })}
        >
          <CloseIcon />
          Clear
        </button>
      )}
    </div>
  );
}

function SearchBox({ search, change }: { search: string; change: FilterProps["change"] }) {
  const [text, setText] = useState(search);
  const told = useRef(search);
  useEffect(() => {
    // Changed from elsewhere: a view was chosen, or one went back.
    if (search !== told.current) {
      told.current = search;
      setText(search);
    }
  }, [search]);
  useEffect(() => {
    if (text === told.current) return undefined;
    const timer = setTimeout(() => {
      told.current = text;
      change({ search: text });
    }, TYPED);
    return () => clearTimeout(timer);
  }, [text, change]);
  return (
    <label className="search">
      <SearchIcon />
      <span className="visually-hidden">Search machines</span>
      <input
        className="input"
        type="search"
        placeholder="Name, role, serial number, MAC &hellip;"
        maxLength={200}
        value={text}
        onChange={(event) => setText(event.target.value)}
      />
    </label>
  );
}

interface Option {
  value: string;
  name: string;
}

interface ChoiceProps {
  label: string;
  chosen: readonly string[];
  options: readonly Option[];
  choose(values: string[]): void;
  /** Hears that the list is looked at. */
  opened?(): void;
  /** Said while the options are on their way, or are none. */
  none?: string;
}

/** A menu of boxes to tick; it stays open meanwhile. */
function Choice({ label, chosen, options, choose, opened, none = "Loading\u2026" }: ChoiceProps) {
  const toggle = (value: string) =>
    choose(chosen.includes(value) ? chosen.filter((each) => each !== value) : [...chosen, value]);
  // What an address asks for may be there no more; it can be taken away all the same.
  const known = new Set(options.map(({ value }) => value));
  const all = [...options, ...chosen.filter((value) => !known.has(value)).map((value) => ({ value, name: value }))];
  const [only] = chosen;
  const said = chosen.length === 0 ? "" : chosen.length === 1 ? nameIn(all, only ?? "") : String(chosen.length);
  return (
    <Menu.Root modal={false} onOpenChange={(open) => open && opened?.()}>
      <Menu.Trigger className="button filter" data-on={chosen.length > 0}>
        {label}
        {said !== "" && <span className="filter-chosen">{said}</span>}
      </Menu.Trigger>
      <Menu.Portal>
        <Menu.Content className="menu filter-menu" align="start" sideOffset={4}>
          {all.map(({ value, name }) => (
            <Menu.CheckboxItem
              key={value}
              className="menu-item"
              checked={chosen.includes(value)}
              onCheckedChange={() => toggle(value)}
              onSelect={(event) => event.preventDefault()}
            >
              <span className="menu-tick">
                <Menu.ItemIndicator>
                  <CheckIcon />
                </Menu.ItemIndicator>
              </span>
              {name}
            </Menu.CheckboxItem>
          ))}
          {all.length === 0 && <Menu.Label className="menu-label">{none}</Menu.Label>}
          {chosen.length > 0 && (
            <>
              <Menu.Separator className="menu-line" />
              <Menu.Item className="menu-item" onSelect={() => choose([])}>
                Any {label.toLowerCase()}
              </Menu.Item>
            </>
          )}
        </Menu.Content>
      </Menu.Portal>
    </Menu.Root>
  );
}

function nameIn(options: readonly Option[], value: string): string {
  return options.find((option) => option.value === value)?.name ?? value;
}

function RoleChoice({ view, change }: FilterProps) {
  const profiles = useProfiles();
  const names = (profiles.data ?? []).filter(isRole).map(({ Name }) => Name);
  return (
    <Choice
      label="Role"
      chosen={view.roles}
      options={names.sort().map((name) => ({ value: name, name }))}
      choose={(roles) => change({ roles })}
      none={profiles.isPending ? "Loading\u2026" : "There are no roles yet."}
    />
  );
}

function MeshChoice({ view, change }: FilterProps) {
  const [wanted, setWanted] = useState(view.meshes.length > 0);
  const meshes = useNames("meshes", wanted);
  const names = (meshes.data ?? []).map((name) => ({ value: name, name }));
  return (
    <Choice
      label="Mesh"
      chosen={view.meshes}
      options={[{ value: "", name: "No mesh network" }, ...names]}
      choose={(values) => change({ meshes: values })}
      opened={() => setWanted(true)}
    />
  );
}
