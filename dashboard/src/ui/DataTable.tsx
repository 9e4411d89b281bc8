// A table of things: sortable columns, a menu for each row, pages, and blocks instead of rows where
// there is little room. For lists of up to some thousands; the machines have a virtual one.
import {
  createPaginatedRowModel,
  createSortedRowModel,
  rowPaginationFeature,
  rowSortingFeature,
  tableFeatures,
  useTable,
  type ColumnDef,
  type Header,
  type Row,
} from "@tanstack/react-table";
import { useMemo, type ReactNode } from "react";
import { SortIcon } from "./icons";
import { Nothing } from "./parts";
import "../styles/table.css";

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

/** A column. The first one says what the row is. */
export interface Column<Thing> {
  id: string;
  name: string;
  /** What it is sorted by, and shown where there is no `cell`. */
  value(thing: Thing): string | number;
  cell?(thing: Thing): ReactNode;
  /** How much of the width it gets, beside others. */
  width?: "narrow" | "wide";
  /** Where the order is not this column's to choose (lists that come in parts). */
  unsorted?: boolean;
}

interface DataTableProps<Thing extends object> {
  /** What is listed, for screen readers. */
  caption: string;
  things: readonly Thing[];
  columns: readonly Column<Thing>[];
  /** What tells one from the others. */
  keyOf(thing: Thing): string;
  /** The column that it is sorted by at first. Without one, the order stays as it is. */
  order?: { by: string; desc?: boolean };
  /** The menu at the row's end (`RowMenu`). */
  menu?(thing: Thing): ReactNode;
  /** Where only a part is here: fetches the next one. All that came is shown on one page then. */
  more?: { load(): void; busy: boolean } | undefined;
  /** Whether the list comes in parts: there are no pages then, even when all of it is here. */
  inParts?: boolean;
}

/** The table. */
export function DataTable<Thing extends object>(props: DataTableProps<Thing>) {
  const { caption, things, columns, keyOf, order, menu, more, inParts = more !== undefined } = props;
  const table = useTable({
    features,
    columns: useMemo(() => columns.map(defined), [columns]),
    data: things,
    getRowId: keyOf,
    enableSortingRemoval: false,
    enableMultiSort: false,
    // An event must not throw the reader back to the first page.
    autoResetPageIndex: false,
    initialState: {
      sorting: order === undefined ? [] : [{ id: order.by, desc: order.desc ?? false }],
      pagination: { pageIndex: 0, pageSize: PAGE_SIZE },
    },
  });
  const pages = inParts ? 1 : Math.max(1, Math.ceil(things.length / PAGE_SIZE));
  const page = table.state.pagination.pageIndex;
  // The last page may have gone with its rows, or by a search.
  if (page >= pages) table.setPageIndex(pages - 1);
  const rows = inParts ? table.getSortedRowModel().rows : table.getRowModel().rows;
  return (
    <>
      <div className="table-place">
        <table className="data-table" role="table">
          <caption className="visually-hidden">{caption}</caption>
          <thead role="rowgroup">
            {table.getHeaderGroups().map((group) => (
              <tr key={group.id} role="row">
                {group.headers.map((header, index) => (
                  <ColumnHead key={header.id} header={header} column={columns[index]} />
                ))}
                {menu !== undefined && (
                  <th role="columnheader" className="menu-cell">
                    <span className="visually-hidden">Actions</span>
                  </th>
                )}
              </tr>
            ))}
          </thead>
          <tbody role="rowgroup">
            {rows.map((row) => (
              <tr key={row.id} role="row" data-key={row.id}>
                {columns.map((column, index) => (
                  <Cell key={column.id} column={column} thing={row.original} first={index === 0} />
                ))}
                {menu !== undefined && (
                  <td role="cell" className="menu-cell">
                    {menu(row.original)}
                  </td>
                )}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {pages > 1 && <Pages of={caption} page={page} pages={pages} choose={(index) => table.setPageIndex(index)} />}
      {more !== undefined && (
        <div className="pages">
          <button type="button" className="button" disabled={more.busy} onClick={more.load}>
            {more.busy ? "Loading\u2026" : "Load more"}
          </button>
        </div>
      )}
    </>
  );
}

function defined<Thing extends object>(column: Column<Thing>): ColumnDef<Features, Thing> {
  return {
    id: column.id,
    accessorFn: column.value,
    header: column.name,
    enableSorting: column.unsorted !== true,
    sortFn: (a: Row<Features, Thing>, b: Row<Features, Thing>) => compare(column.value(a.original), column.value(b.original)),
  };
}

function compare(a: string | number, b: string | number): number {
  return typeof a === "number" && typeof b === "number" ? a - b : collator.compare(String(a), String(b));
}

const ARIA_SORT = { asc: "ascending", desc: "descending" } as const;

interface ColumnHeadProps<Thing extends object> {
  header: Header<Features, Thing, unknown>;
  column: Column<Thing> | undefined;
}

function ColumnHead<Thing extends object>({ header, column }: ColumnHeadProps<Thing>) {
  const order = header.column.getIsSorted();
  const name = String(header.column.columnDef.header);
  return (
    <th
      role="columnheader"
      scope="col"
      {...(column?.width === undefined ? {} : { className: `column-${column.width}` })}
      {...(order === false ? {} : { "aria-sort": ARIA_SORT[order] })}
    >
      {header.column.getCanSort() ? (
        <button type="button" className="sort" onClick={() => header.column.toggleSorting(order === "asc")}>
          {name}
          <SortIcon order={order} />
        </button>
      ) : (
        name
      )}
    </th>
  );
}

// Roles are repeated since the narrow layout changes `display`, which takes a table's
// meaning from some screen readers.
function Cell<Thing extends object>({ column, thing, first }: { column: Column<Thing>; thing: Thing; first: boolean }) {
  const body = column.cell === undefined ? column.value(thing) : column.cell(thing);
  return (
    <td role="cell" className={first ? "main-cell" : undefined} data-label={first ? undefined : column.name}>
      {body === "" || body === null ? <Nothing /> : first || typeof body !== "object" ? body : <div>{body}</div>}
    </td>
  );
}

function Pages({ of, page, pages, choose }: { of: string; page: number; pages: number; choose(index: number): void }) {
  return (
    <nav className="pages" aria-label={`Pages: ${of}`}>
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
