// Our own icons, drawn on a 16 by 16 grid. All are decoration: the text beside them speaks.
import type { ReactNode } from "react";

function Icon({ children }: { children: ReactNode }) {
  return (
    <svg
      className="icon"
      viewBox="0 0 16 16"
      width="16"
      height="16"
      fill="none"
      stroke="currentColor"
      strokeWidth="1.5"
      strokeLinecap="round"
      strokeLinejoin="round"
      aria-hidden="true"
      focusable="false"
    >
      {children}
    </svg>
  );
}

/** The mark of Muster: machines in formation, the last one just arrived. */
export function Mark() {
  return (
    <svg className="mark" viewBox="0 0 32 32" width="26" height="26" aria-hidden="true" focusable="false">
      <rect width="32" height="32" rx="7" className="mark-ground" />
      <path className="mark-ranks" d="M7 9h5v5H7zm6.500 0h5v5h-5zM20 9h5v5h-5zM7 18h5v5H7zm6.500 0h5v5h-5z" />
      <circle className="mark-arrival" cx="22.500" cy="20.500" r="2.500" />
    </svg>
  );
}

export const PlusIcon = () => (
  <Icon>
    <path d="M8 3v10M3 8h10" />
  </Icon>
);
export const SearchIcon = () => (
  <Icon>
    <circle cx="7" cy="7" r="4" />
    <path d="m10 10 3.500 3.500" />
  </Icon>
);
export const DotsIcon = () => (
  <Icon>
    <path d="M8 3.500v.01M8 8v.01M8 12.500v.01" strokeWidth="2.400" />
  </Icon>
);
export const MenuIcon = () => (
  <Icon>
    <path d="M2.500 4.500h11M2.500 8h11M2.500 11.500h11" />
  </Icon>
);
export const CloseIcon = () => (
  <Icon>
    <path d="m4 4 8 8M12 4l-8 8" />
  </Icon>
);
export const DownloadIcon = () => (
  <Icon>
    <path d="M8 2.500v7m-3-3 3 3 3-3M3 13h10" />
  </Icon>
);
export const CopyIcon = () => (
  <Icon>
    <rect x="5.500" y="5.500" width="7.500" height="7.500" rx="1.500" />
    <path d="M3.500 10.500A1 1 0 0 1 3 9.500V4a1 1 0 0 1 1-1h5.500a1 1 0 0 1 .9.500" />
  </Icon>
);
export const CheckIcon = () => (
  <Icon>
    <path d="m3 8.500 3.500 3.500L13 4.500" />
  </Icon>
);
export const StarIcon = () => (
  <Icon>
    <path d="m8 2.500 1.700 3.600 3.800.5-2.800 2.700.7 3.900L8 11.300l-3.400 1.900.7-3.900-2.800-2.700 3.800-.5z" fill="currentColor" />
  </Icon>
);
export const WarningIcon = () => (
  <Icon>
    <path d="M8 2.500 14 13H2zM8 6.500v3M8 11.300v.01" />
  </Icon>
);
export const TrashIcon = () => (
  <Icon>
    <path d="M3 4.500h10M6 4.500V3h4v1.500M4.500 4.500 5 13h6l.5-8.500M6.800 7v3.500M9.200 7v3.500" />
  </Icon>
);
export const LockIcon = () => (
  <Icon>
    <rect x="3.500" y="7" width="9" height="6.500" rx="1.500" />
    <path d="M5.500 7V5a2.500 2.500 0 0 1 5 0v2" />
  </Icon>
);
export const BackIcon = () => (
  <Icon>
    <path d="M13 8H3m4-4L3 8l4 4" />
  </Icon>
);
export const TerminalIcon = () => (
  <Icon>
    <rect x="1.500" y="2.500" width="13" height="11" rx="1.500" />
    <path d="m4.500 6 2 2-2 2M8.500 10H11" />
  </Icon>
);
export const DiscIcon = () => (
  <Icon>
    <circle cx="8" cy="8" r="6" />
    <circle cx="8" cy="8" r="1.500" />
    <path d="M8 4.500A3.500 3.500 0 0 0 4.500 8" />
  </Icon>
);
export const NetworkIcon = () => (
  <Icon>
    <rect x="5.500" y="1.500" width="5" height="4" rx="1" />
    <rect x="1.500" y="10.500" width="5" height="4" rx="1" />
    <rect x="9.500" y="10.500" width="5" height="4" rx="1" />
    <path d="M8 5.500V8M4 10.500V8h8v2.500" />
  </Icon>
);
export const GlobeIcon = () => (
  <Icon>
    <circle cx="8" cy="8" r="6" />
    <path d="M2 8h12M8 2c2 2 2.600 4 2.600 6S10 12 8 14c-2-2-2.600-4-2.600-6S6 4 8 2" />
  </Icon>
);
export const SortIcon = ({ order }: { order: "asc" | "desc" | false }) => (
  <Icon>
    <path d="m5 6 3-3 3 3" className={order === "asc" ? "sorted" : "unsorted"} />
    <path d="m5 10 3 3 3-3" className={order === "desc" ? "sorted" : "unsorted"} />
  </Icon>
);
