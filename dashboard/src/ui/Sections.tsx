// The sections of a page that has several, each with its own address: a list at the left, and a
// scrolling row of links where the screen is narrow.
import { useEffect, useRef, type ReactNode } from "react";
import { Link } from "wouter";
import "../styles/tabs.css";

/** A section. */
export interface Section {
  name: string;
  path: string;
  /** Shown beside the name, such as a count or a dot. */
  note?: ReactNode;
}

interface SectionsProps {
  /** What they are sections of, for screen readers. */
  label: string;
  sections: readonly Section[];
  /** Address of the section that is shown. */
  here: string;
  children: ReactNode;
}

/** Links to the sections, and the section itself. */
export function Sections({ label, sections, here, children }: SectionsProps) {
  const current = useRef<HTMLAnchorElement>(null);
  useEffect(() => {
    // In the narrow row the current one may lie outside; the page itself must not jump.
    const link = current.current;
    const row = link?.closest(".sections-list") ?? null;
    if (link === null || row === null) return undefined;
    // At first, and where the row is another one: a phone was turned, a window made narrow.
    const watch = new ResizeObserver(() => {
      row.scrollLeft = link.offsetLeft - (row.clientWidth - link.offsetWidth) / 2;
    });
    watch.observe(row);
    return () => watch.disconnect();
  }, [here]);
  return (
    <div className="sections">
      <nav aria-label={label} className="sections-list">
        {sections.map(({ name, path, note }) => (
          <Link
            key={path}
            to={path}
            className="section-link"
            {...(path === here ? { "aria-current": "page", ref: current } : {})}
          >
            {name}
            {note}
          </Link>
        ))}
      </nav>
      <div className="sections-body">{children}</div>
    </div>
  );
}
