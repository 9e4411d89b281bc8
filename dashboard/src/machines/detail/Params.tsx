// The tab Params: every param with the value that holds and who says so; the machine's own to be edited.
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useRef, useState } from "react";
import { explain } from "../../explain";
import { useEvents } from "../../live";
import { PlusIcon, SearchIcon } from "../../ui/icons";
import { Loading, Problem } from "../../ui/parts";
import { Adder } from "../../ui/Tags";
import { readSetup, useParamDefinitions } from "./api";
import { ParamEditor } from "./ParamEditor";
import { ParamRow } from "./ParamRow";
import { isOwn } from "./values";
import type { MachineFull, ParamDefinition, ParamInForce, TabProps } from "./wire";
import "../../styles/params.css";

type Which = "set" | "own" | "all";

/** The tab. */
export function Params({ machine }: TabProps) {
  const setup = useSetupOf(machine);
  const definitions = useParamDefinitions();
  const [editing, setEditing] = useState<string | null>(null);
  const [search, setSearch] = useState("");
  const [which, setWhich] = useState<Which>("set");
  const known = new Map((definitions.data ?? []).map((definition) => [definition.Name, definition]));
  const locked = machine.Locked ? `${machine.Name} is locked. Unlock it to change its params.` : undefined;
  const shown = (setup.data?.Params ?? []).filter((param) => fits(param, known.get(param.Name), search, which));
  return (
    <>
      <div className="card-head">
        <h2>Params</h2>
        <AddParam machine={machine} definitions={definitions.data ?? []} locked={locked} add={setEditing} />
      </div>
      {locked !== undefined && <p className="note note-warning locked-note">{locked}</p>}
      <Filters search={search} setSearch={setSearch} which={which} setWhich={setWhich} />
      {setup.isPending && <Loading what="Loading the params" />}
      {setup.error !== null && <Problem error={explain(setup.error, "load")} again={{ label: "Try again", act: () => void setup.refetch() }} />}
      {setup.data !== undefined && shown.length === 0 && (
        <p className="none">{search === "" ? "No params are set." : "No param matches."}</p>
      )}
      <ul className="params-list" aria-label="Params">
        {shown.map((param) => (
          <li key={param.Name}>
            <ParamRow
              param={param}
              definition={known.get(param.Name)}
              error={setup.data?.Errors[param.Name]}
              locked={locked}
              edit={() => setEditing(param.Name)}
            />
          </li>
        ))}
      </ul>
      {editing !== null && (
        <ParamEditor
          machine={machine}
          name={editing}
          definition={known.get(editing)}
          inherited={setup.data?.Params.find(({ Name }) => Name === editing)?.Sources.find(({ Kind }) => Kind !== "machine")}
          close={() => setEditing(null)}
        />
      )}
    </>
  );
}

interface FiltersProps {
  search: string;
  setSearch(search: string): void;
  which: Which;
  setWhich(which: Which): void;
}

function Filters({ search, setSearch, which, setWhich }: FiltersProps) {
  return (
    <div className="params-bar">
      <div className="search">
        <SearchIcon />
        <input
          className="input"
          type="search"
          aria-label="Search params"
          placeholder="Search params"
          value={search}
          onChange={(event) => setSearch(event.target.value)}
        />
      </div>
      <label className="params-which">
        <span>Show</span>
        <select
          className="input"
          value={which}
          onChange={(event) => setWhich(event.target.value === "all" ? "all" : event.target.value === "own" ? "own" : "set")}
        >
          <option value="set">all that are set</option>
          <option value="own">this machine&rsquo;s own</option>
          <option value="all">defaults too</option>
        </select>
      </label>
    </div>
  );
}

function fits(param: ParamInForce, definition: ParamDefinition | undefined, search: string, which: Which): boolean {
  const [first] = param.Sources;
  if (which === "own" && !isOwn(param)) return false;
  if (which === "set" && first?.Kind === "default") return false;
  const words = search.trim().toLowerCase().split(/\s+/);
  const text = `${param.Name} ${definition?.Description ?? ""} ${first?.Name ?? ""}`.toLowerCase();
  return words.every((word) => text.includes(word));
}

function useSetupOf(machine: MachineFull) {
  const client = useQueryClient();
  const key = ["setup", machine.Uuid] as const;
  const again = () => void client.invalidateQueries({ queryKey: key });
  useEvents("profiles.*.*", again);
  useEvents("params.*.*", again);
  useEvents("stages.*.*", again);
  return useQuery({
    queryKey: [...key, machine.LastModifiedAt, "[]"],
    queryFn: () => readSetup(machine.Uuid, []),
    placeholderData: (before) => before,
  });
}

interface AddParamProps {
  machine: MachineFull;
  definitions: readonly ParamDefinition[];
  locked: string | undefined;
  add(name: string): void;
}

function AddParam({ machine, definitions, locked, add }: AddParamProps) {
  const [adding, setAdding] = useState(false);
  const button = useRef<HTMLButtonElement>(null);
  if (!adding) {
    return (
      <button ref={button} type="button" className="button" disabled={locked !== undefined} title={locked} onClick={() => setAdding(true)}>
        <PlusIcon />
        Set a param
      </button>
    );
  }
  return (
    <Adder
      one="param"
      free
      options={definitions
        .filter(({ Name }) => !(Name in machine.Params))
        .map(({ Name, Description }) => ({ value: Name, note: Description }))}
      add={(name) => {
        setAdding(false);
        add(name);
      }}
      done={() => {
        setAdding(false);
        requestAnimationFrame(() => button.current?.focus());
      }}
      leave={() => setAdding(false)}
    />
  );
}
