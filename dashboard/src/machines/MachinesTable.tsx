// The table of machines: four columns and a menu, sortable, in pages.
import {
  createColumnHelper,
  createPaginatedRowModel,
  createSortedRowModel,
  rowPaginationFeature,
  rowSortingFeature,
  tableFeatures,
  useTable,
  type Header,
  type Row,
} from "@tanstack/react-table";
import { machinePath } from "../route";
import { useNow } from "../time";
import { SortIcon } from "../ui/icons";
import { Age, Badges, Liveness, PageLink, Provision } from "../ui/parts";
import type { Machine } from "../wire";
import { MachineMenu } from "./MachineMenu";

const PAGE_SIZE = 50;

const features = tableFeatures({
  rowSortingFeature,
  sortedRowModel: createSortedRowModel(),
  rowPaginationFeature,
  paginatedRowModel: createPaginatedRowModel(),
});
type Features = typeof features;

// `node-2` before `node-10`.
const collator = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });

function byText(a: Row<Features, Machine>, b: Row<Features, Machine>, column: string): number {
  return collator.compare(a.getValue<string>(column), b.getValue<string>(column));
}

const helper = createColumnHelper<Features, Machine>();
const columns = helper.columns([
  helper.accessor("Name", { id: "hostname", header: "Hostname", sortFn: byText }),
  helper.accessor("ProvisionState", { id: "provision", header: "Provision", sortFn: byText }),
  helper.accessor("MeshNetwork", { id: "mesh", header: "Mesh Network", sortFn: byText }),
  helper.accessor((machine) => machine.Roles.join(", "), { id: "roles", header: "Roles", sortFn: byText }),
]);

const ARIA_SORT = { asc: "ascending", desc: "descending" } as const;

/** The machines in a table. */
export function MachinesTable({ machines }: { machines: Machine[] }) {
  const now = useNow(5_000);
  const table = useTable({
    features,
    columns,
    data: machines,
    getRowId: (machine) => machine.Uuid,
    enableSortingRemoval: false,
    enableMultiSort: false,
    // An event must not throw the reader back to the first page.
    autoResetPageIndex: false,
    initialState: { sorting: [{ id: "hostname", desc: false }], pagination: { pageIndex: 0, pageSize: PAGE_SIZE } },
  });
  const pages = Math.max(1, Math.ceil(machines.length / PAGE_SIZE));
  const page = table.state.pagination.pageIndex;
  // The last page may have gone with its machines, or by a search.
  if (page >= pages) table.setPageIndex(pages - 1);
  return (
    <>
      <table className="machines" role="table">
        <caption className="visually-hidden">Machines registered with this server</caption>
        <thead role="rowgroup">
          {table.getHeaderGroups().map((group) => (
            <tr key={group.id} role="row">
              {group.headers.map((header) => (
                <SortableHeader key={header.id} header={header} />
              ))}
              <th role="columnheader" className="menu-cell">
                <span className="visually-hidden">Actions</span>
              </th>
            </tr>
          ))}
        </thead>
        <tbody role="rowgroup">
          {table.getRowModel().rows.map((row) => (
            <MachineRow key={row.id} machine={row.original} now={now} />
          ))}
        </tbody>
      </table>
      {pages > 1 && <Pages page={page} pages={pages} choose={(index) => table.setPageIndex(index)} />}
    </>
  );
}

function SortableHeader({ header }: { header: Header<Features, Machine, unknown> }) {
  const order = header.column.getIsSorted();
  return (
    <th role="columnheader" scope="col" {...(order === false ? {} : { "aria-sort": ARIA_SORT[order] })}>
      <button type="button" className="sort" onClick={() => header.column.toggleSorting(order === "asc")}>
        {String(header.column.columnDef.header)}
        <SortIcon order={order} />
      </button>
    </th>
  );
}

// Roles are repeated since the narrow layout changes `display`, which takes a table's
// meaning from some screen readers.
function MachineRow({ machine, now }: { machine: Machine; now: number }) {
  return (
    <tr role="row" data-machine={machine.Uuid} data-online={machine.Online}>
      <td role="cell" className="hostname-cell">
        <span className="hostname">
          <Liveness machine={machine} now={now} />
          <PageLink to={machinePath(machine.Uuid)} className="hostname-link">
            {machine.Name}
          </PageLink>
          <Age machine={machine} now={now} />
          <Badges machine={machine} />
        </span>
      </td>
      <td role="cell" data-label="Provision">
        <Provision state={machine.ProvisionState} />
      </td>
      <td role="cell" data-label="Mesh Network">
        {machine.MeshNetwork === "" ? <None /> : machine.MeshNetwork}
      </td>
      <td role="cell" data-label="Roles">
        {machine.Roles.length === 0 ? <None /> : <Roles names={machine.Roles} />}
      </td>
      <td role="cell" className="menu-cell">
        <MachineMenu machine={machine} />
      </td>
    </tr>
  );
}

function Roles({ names }: { names: string[] }) {
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

function None() {
  return (
    <span className="none">
      <span aria-hidden="true">&ndash;</span>
      <span className="visually-hidden">None</span>
    </span>
  );
}

function Pages({ page, pages, choose }: { page: number; pages: number; choose(index: number): void }) {
  return (
    <nav className="pages" aria-label="Pages of machines">
      <button type="button" className="button" disabled={page === 0} onClick={() => choose(page - 1)}>
        Previous
      </button>
      <span>
        Page {page + 1} of {pages}
      </span>
      <button type="button" className="button" disabled={page + 1 >= pages} onClick={() => choose(page + 1)}>
        Next
      </button>
    </nav>
  );
}
