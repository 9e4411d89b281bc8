// The two buttons that move something in its list.
interface MoverProps {
  of: string;
  first: boolean;
  last: boolean;
  move(step: 1 | -1): void;
}

/** Up and down. */
export function Mover({ of, first, last, move }: MoverProps) {
  return (
    <>
      <button type="button" className="button button-icon" aria-label={`Move ${of} up`} disabled={first} onClick={() => move(-1)}>
        <Arrow path="M8 13V3m-4 4 4-4 4 4" />
      </button>
      <button type="button" className="button button-icon" aria-label={`Move ${of} down`} disabled={last} onClick={() => move(1)}>
        <Arrow path="M8 3v10m-4-4 4 4 4-4" />
      </button>
    </>
  );
}

function Arrow({ path }: { path: string }) {
  return (
    <svg className="icon" width="16" height="16" viewBox="0 0 16 16" fill="none" stroke="currentColor" strokeWidth="1.500" strokeLinecap="round" strokeLinejoin="round" aria-hidden="true">
      <path d={path} />
    </svg>
  );
}
