// Fields that somebody else changed while they were changed here: a person decides.
import { isObj, pretty, textAt, type Json } from "./json";
import type { Draft } from "./change";
import { WarningIcon } from "../ui/icons";
import "../styles/conflicts.css";

interface ConflictsProps {
  draft: Draft;
  /** Who changed the object last. */
  by: string;
  decide(field: string, keep: "mine" | "theirs"): void;
}

/** Each with both values; nothing when there is none. */
export function Conflicts({ draft, by, decide }: ConflictsProps) {
  if (draft.conflicts.length === 0) return null;
  return (
    <div className="note note-warning" role="alert">
      <WarningIcon />
      <div className="conflicts">
        <p>{by === "" ? "Somebody else" : by} changed the same as you meanwhile. Which one is right?</p>
        {draft.conflicts.map((field) => (
          <section key={field} aria-label={field}>
            <h3>{field}</h3>
            <div className="conflict-sides">
              <Side title="Theirs" value={draft.seen[field]} act="Use theirs" take={() => decide(field, "theirs")} />
              <Side title="Yours" value={draft.wanted[field]} act="Keep yours" take={() => decide(field, "mine")} />
            </div>
          </section>
        ))}
      </div>
    </div>
  );
}

interface SideProps {
  title: string;
  value: Json | undefined;
  act: string;
  take(): void;
}

function Side({ title, value, act, take }: SideProps) {
  const text = isObj(value) || typeof value !== "string" ? (value === undefined ? "" : pretty(value)) : textAt({ value }, "value");
  return (
    <div className="conflict-side">
      <span className="hint">{title}</span>
      <pre tabIndex={0} aria-label={title}>
        {text}
      </pre>
      <button type="button" className="button button-small" onClick={take}>
        {act}
      </button>
    </div>
  );
}
