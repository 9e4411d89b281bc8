// The table of machines: four columns and a menu, in the order that was asked for; only the rows near the window
// are there.
import { memo, useCallback, useState } from "react";
import { Link } from "wouter";
import { nextTurn } from "../age";
import { machinePath } from "../route";
import { useTurns } from "../time";
import { LockIcon, SortIcon } from "../ui/icons";
import { Age, Badges, Liveness, Nothing, Provision } from "../ui/parts";
import { VirtualBody, type RowProps } from "../ui/VirtualBody";
import { MachineMenu } from "./MachineMenu";
import type { RowList, Rows } from "./rows";
import type { Selection } from "./selection";
import { COLUMNS, type Column, type Row, type View } from "./view";

const TITLES: Record<Column, string> = {
  hostname: "Hostname",
  provision: "Provision",
  mesh: "Mesh Network",
  roles: "Roles",
};
/** A row's usual height in pixels. */
const ROW_HEIGHT = 52;

interface MachinesTableProps {
  list: RowList;
  rows: Rows;
  view: View;
  sort(column: Column): void;
  selection: Selection;
}

/** The machines in a table. */
export function MachinesTable({ list, rows, view, sort, selection }: MachinesTableProps) {
  const [range, setRange] = useState({ first: 0, end: 40 });
  const look = useCallback(
    (first: number, end: number) => {
      setRange({ first, end });
      list.look(first, end);
    },
    [list],
  );
  const now = useTurns((now) => earliest(list, range, now));
  const count = rows.filtered ?? 0;
  return (
    <table
      className="machines"
      role="table"
      aria-rowcount={count + 1}
      aria-busy={rows.old}
      aria-label="Machines registered with this server"
    >
      <thead role="rowgroup">
        <tr role="row" aria-rowindex={1}>
          {COLUMNS.map((column) => (
            <SortableHeader key={column} column={column} view={view} sort={sort}>
              {column === "hostname" && <SelectAll list={list} selection={selection} />}
            </SortableHeader>
          ))}
          <th role="columnheader" className="menu-cell">
            <span className="visually-hidden">Actions</span>
          </th>
        </tr>
      </thead>
      <VirtualBody
        count={count}
        columns={COLUMNS.length + 1}
        estimate={ROW_HEIGHT}
        onRange={look}
        row={(index, props) => {
          const machine = list.at(index);
          return machine === undefined ? (
            <ComingRow key={`at-${index}`} props={props} />
          ) : (
            <MachineRow
              key={machine.Uuid}
              index={index}
              measure={props.ref}
              machine={machine}
              now={now}
              selected={selection.has(machine.Uuid)}
              select={selection.set}
            />
          );
        }}
      />
    </table>
  );
}

/** When the first of the rows that are looked at will look different. */
function earliest(list: RowList, { first, end }: { first: number; end: number }, now: number): number | null {
  let due: number | null = null;
  for (let index = first; index < end; index += 1) {
    const machine = list.at(index);
    const turn = machine === undefined ? null : nextTurn(machine, now);
    if (turn !== null && (due === null || turn < due)) due = turn;
  }
  return due;
}

interface SortableHeaderProps {
  column: Column;
  view: View;
  sort(column: Column): void;
  children: React.ReactNode;
}

function SortableHeader({ column, view, sort, children }: SortableHeaderProps) {
  const order = view.sort !== column ? false : view.descending ? "desc" : "asc";
  const said = order === false ? {} : ({ "aria-sort": order === "asc" ? "ascending" : "descending" } as const);
  return (
    <th role="columnheader" scope="col" {...said}>
      {children}
      <button type="button" className="sort" onClick={() => sort(column)}>
        {TITLES[column]}
        <SortIcon order={order} />
      </button>
    </th>
  );
}

function SelectAll({ list, selection }: { list: RowList; selection: Selection }) {
  const loaded = list.loaded();
  const all = loaded.length > 0 && loaded.every((row) => selection.has(row.Uuid));
  return (
    <input
      type="checkbox"
      className="pick"
      aria-label="Select all machines that are loaded"
      checked={all}
      ref={(box) => {
        if (box !== null) box.indeterminate = !all && selection.size > 0;
      }}
      onChange={() => (all ? selection.clear() : selection.add(loaded))}
    />
  );
}

interface MachineRowProps {
  index: number;
  measure: RowProps["ref"];
  machine: Row;
  now: number;
  selected: boolean;
  select(machine: Row, selected: boolean): void;
}

// Roles are repeated since the narrow layout changes `display`, which takes a table's meaning from some screen
// readers.
const MachineRow = memo(function MachineRow({ index, measure, machine, now, selected, select }: MachineRowProps) {
  return (
    <tr
      ref={measure}
      role="row"
      data-index={index}
      aria-rowindex={index + 2}
      data-machine={machine.Uuid}
      data-selected={selected}
    >
      <td role="cell" className="hostname-cell">
        <span className="hostname">
          <input
            type="checkbox"
            className="pick"
            aria-label={`Select ${machine.Name}`}
            checked={selected}
            onChange={() => select(machine, !selected)}
          />
          <Liveness machine={machine} now={now} />
          <Link to={machinePath(machine.Uuid)} className="hostname-link">
            {machine.Name}
          </Link>
          <Age machine={machine} now={now} />
          <Badges machine={machine} />
          {machine.Locked && (
            <span className="locked" role="img" aria-label="Locked" title="Locked: users cannot change it">
              <LockIcon />
            </span>
          )}
        </span>
      </td>
      <td role="cell" data-label="Provision">
        <Provision state={machine.ProvisionState} />
      </td>
      <td role="cell" data-label="Mesh Network">
        {machine.MeshNetwork === "" ? <Nothing /> : machine.MeshNetwork}
      </td>
      <td role="cell" data-label="Roles">
        {machine.Roles.length === 0 ? <Nothing /> : <Roles names={machine.Roles} />}
      </td>
      <td role="cell" className="menu-cell">
        <MachineMenu machine={machine} />
      </td>
    </tr>
  );
});

// A row whose machine is on its way.
function ComingRow({ props }: { props: RowProps }) {
  return (
    <tr {...props} className="coming" aria-hidden="true">
      <td role="cell" colSpan={COLUMNS.length + 1}>
        <span />
      </td>
    </tr>
  );
}

function Roles({ names }: { names: readonly string[] }) {
  return (
    <ul className="tags">
      {names.map((name) => (
        <li key={name} className="tag">
          {name}
        </li>
      ))}
    </ul>
  );
}
