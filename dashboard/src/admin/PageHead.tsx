// What stands at the top of an administration page: its title, what it is about, and what can be done there.
import type { ReactNode } from "react";
import { usePageTitle } from "../time";

interface PageHeadProps {
  title: string;
  /** What it is about, in a sentence or two. */
  lead?: ReactNode;
  /** Buttons. */
  children?: ReactNode;
}

/** The head. The tab is called as the page is. */
export function PageHead({ title, lead, children }: PageHeadProps) {
  const heading = usePageTitle(title);
  return (
    <div className="page-head">
      <div>
        <h1 ref={heading} tabIndex={-1}>
          {title}
        </h1>
        {lead !== undefined && <p className="page-lead">{lead}</p>}
      </div>
      {children}
    </div>
  );
}
