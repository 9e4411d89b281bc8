// The body of a long table: only the rows near the window are there, the page scrolls as if all were.
import { useWindowVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useLayoutEffect, useRef, useState, type ReactNode } from "react";

/** What each `<tr>` must spread, so that its height is known and its place is told. */
export interface RowProps {
  ref: (row: HTMLTableRowElement | null) => void;
  role: "row";
  "data-index": number;
  "aria-rowindex": number;
}

interface VirtualBodyProps {
  /** How many rows there are; `aria-rowcount` of the table is one more, for its head. */
  count: number;
  /** How many columns the rows have. */
  columns: number;
  /** A row's usual height in pixels; real ones are measured. */
  estimate: number;
  /** One row; only those near the window are asked for. */
  row(index: number, props: RowProps): ReactNode;
  /** Hears which rows are near the window: the first, and the one after the last. */
  onRange?(first: number, end: number): void;
}

/** Rows beyond the window's edges, so that fast scrolling shows no gaps. */
const OVERSCAN = 12;

/** The `<tbody>`. */
export function VirtualBody({ count, columns, estimate, row, onRange }: VirtualBodyProps) {
  const body = useRef<HTMLTableSectionElement>(null);
  const [margin, setMargin] = useState(0);
  useLayoutEffect(() => {
    const top = body.current?.getBoundingClientRect().top ?? 0;
    const next = Math.round(top + window.scrollY);
    // What is above the table may have grown; a pixel more or less is no reason to draw again.
    setMargin((known) => (Math.abs(known - next) > 1 ? next : known));
  });
  const rows = useWindowVirtualizer({ count, estimateSize: () => estimate, overscan: OVERSCAN, scrollMargin: margin });
  const items = rows.getVirtualItems();
  const first = items[0]?.index ?? 0;
  const end = (items[items.length - 1]?.index ?? -1) + 1;
  useEffect(() => onRange?.(first, end), [onRange, first, end]);
  const above = items.length === 0 ? 0 : (items[0]?.start ?? margin) - margin;
  const below = items.length === 0 ? 0 : rows.getTotalSize() - ((items[items.length - 1]?.end ?? margin) - margin);
  return (
    <tbody role="rowgroup" ref={body}>
      <Gap height={above} columns={columns} />
      {items.map((item) =>
        row(item.index, {
          ref: rows.measureElement,
          role: "row",
          "data-index": item.index,
          "aria-rowindex": item.index + 2,
        }),
      )}
      <Gap height={below} columns={columns} />
    </tbody>
  );
}

// A row of the height of those that are not there. Set from here: the page's CSP lets no markup have a style.
function Gap({ height, columns }: { height: number; columns: number }) {
  const cell = useRef<HTMLTableCellElement>(null);
  const shown = Math.max(0, height);
  useLayoutEffect(() => {
    cell.current?.style.setProperty("height", `${shown}px`);
  }, [shown]);
  if (shown === 0) return null;
  return (
    <tr className="gap" role="presentation" aria-hidden="true">
      <td ref={cell} role="presentation" colSpan={columns} />
    </tr>
  );
}
