// What came of an action, said once in a corner of the page and read out: "web-1 is deleted."
import { useEffect, useState, useSyncExternalStore } from "react";
import { CheckIcon, CloseIcon, WarningIcon } from "./icons";
import "../styles/notice.css";

type Tone = "good" | "problem";

interface Notice {
  id: number;
  text: string;
  tone: Tone;
}

/** Milliseconds after which a good word goes. What went wrong stays until somebody puts it away. */
const SHOWN = 6_000;
/** Most that are shown at once; the oldest makes room. */
const MOST = 4;

let notices: readonly Notice[] = [];
let count = 0;
const listeners = new Set<() => void>();

function change(next: readonly Notice[]): void {
  notices = next;
  listeners.forEach((tell) => tell());
}

/** Says what came of an action, in a sentence. */
export function notify(text: string, tone: Tone = "good"): void {
  count += 1;
  change([...notices, { id: count, text, tone }].slice(-MOST));
}

function dismiss(id: number): void {
  change(notices.filter((notice) => notice.id !== id));
}

function subscribe(tell: () => void): () => void {
  listeners.add(tell);
  return () => listeners.delete(tell);
}

/** Where notices are shown: once on the page. The regions are there from the start, as screen readers need. */
export function Notices() {
  const shown = useSyncExternalStore(subscribe, () => notices);
  const of = (tone: Tone) => shown.filter((notice) => notice.tone === tone);
  return (
    <div className="notices">
      <div role="alert">
        {of("problem").map((notice) => (
          <NoticeLine key={notice.id} notice={notice} />
        ))}
      </div>
      <div role="status">
        {of("good").map((notice) => (
          <NoticeLine key={notice.id} notice={notice} />
        ))}
      </div>
    </div>
  );
}

function NoticeLine({ notice: { id, text, tone } }: { notice: Notice }) {
  // Whoever points at it or has the focus in it is reading it.
  const [held, setHeld] = useState(false);
  useEffect(() => {
    if (tone === "problem" || held) return undefined;
    const timer = setTimeout(() => dismiss(id), SHOWN);
    return () => clearTimeout(timer);
  }, [id, tone, held]);
  return (
    <div
      className={`notice notice-${tone}`}
      onPointerEnter={() => setHeld(true)}
      onPointerLeave={() => setHeld(false)}
      onFocus={() => setHeld(true)}
      onBlur={() => setHeld(false)}
    >
      {tone === "good" ? <CheckIcon /> : <WarningIcon />}
      <p>{text}</p>
      <button type="button" className="button button-icon" aria-label="Dismiss" onClick={() => dismiss(id)}>
        <CloseIcon />
      </button>
    </div>
  );
}
