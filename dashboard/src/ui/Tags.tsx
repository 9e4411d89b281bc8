// Several of a set: tags with a cross each, and a plus that opens a list to search.
import { useId, useRef, useState, type KeyboardEvent } from "react";
import { Link } from "wouter";
import { CloseIcon, PlusIcon } from "./icons";
import { moved, offered, type TagOption } from "./options";
import "../styles/tags.css";

interface TagsProps {
  /** What they are: `Roles`. */
  label: string;
  /** One of them: `role`. */
  one: string;
  values: readonly string[];
  options: readonly TagOption[];
  onChange(values: string[]): void;
  /** Why nothing can be changed now. */
  locked?: string;
  /** Said instead of an empty row. */
  none?: string;
  /** Whether values may be typed that are no option. */
  free?: boolean;
  /** Hears what is typed, where the options are searched elsewhere. */
  onType?(text: string): void;
}

/** The chosen ones, each to be taken away, and a way to add more. */
export function Tags({ label, one, values, options, onChange, locked, none = "None", free = false, onType }: TagsProps) {
  const [adding, setAdding] = useState(false);
  const plus = useRef<HTMLButtonElement>(null);
  const known = new Map(options.map((option) => [option.value, option]));
  const done = () => {
    setAdding(false);
    // The button is there again with the next frame.
    requestAnimationFrame(() => plus.current?.focus());
  };
  return (
    <div className="tag-field" role="group" aria-label={label}>
      {values.length === 0 && !adding && <span className="none">{none}</span>}
      {values.map((value) => (
        <TagItem
          key={value}
          value={value}
          option={known.get(value)}
          remove={locked === undefined ? () => onChange(values.filter((each) => each !== value)) : null}
        />
      ))}
      {adding ? (
        <Adder
          one={one}
          options={options.filter((option) => !values.includes(option.value))}
          free={free}
          add={(value) => onChange([...values, value])}
          done={done}
          leave={() => setAdding(false)}
          {...(onType === undefined ? {} : { onType })}
        />
      ) : (
        <button
          ref={plus}
          type="button"
          className="tag-add"
          disabled={locked !== undefined}
          title={locked}
          aria-label={`Add ${one}`}
          onClick={() => setAdding(true)}
        >
          <PlusIcon />
        </button>
      )}
    </div>
  );
}

interface TagItemProps {
  value: string;
  option: TagOption | undefined;
  remove: (() => void) | null;
}

function TagItem({ value, option, remove }: TagItemProps) {
  const name = option?.name ?? value;
  return (
    <span className="tag tag-item">
      {option?.to === undefined ? name : <Link to={option.to}>{name}</Link>}
      {option?.note !== undefined && <span className="tag-more">{option.note}</span>}
      {remove !== null && (
        <button type="button" className="tag-remove" aria-label={`Remove ${name}`} onClick={remove}>
          <CloseIcon />
        </button>
      )}
    </span>
  );
}

interface AdderProps {
  one: string;
  options: readonly TagOption[];
  add(value: string): void;
  /** Ends it and gives the focus back. */
  done(): void;
  /** Ends it because the focus went elsewhere. */
  leave(): void;
  /** Whether values may be typed that are no option. */
  free?: boolean;
  /** What it is for, when not to add one: `Choose a machine`. */
  what?: string;
  /** Hears what is typed, where the options are searched elsewhere. */
  onType?(text: string): void;
}

/** A combobox: typing narrows the list, arrows move in it, Enter takes, Escape ends. */
export function Adder({ one, options, add, done, leave, free = false, what = `Add ${one}`, onType }: AdderProps) {
  const id = useId();
  const [text, setText] = useState("");
  const [at, setAt] = useState(0);
  const shown = onType === undefined ? offered(options, text, free) : options;
  const active = shown[at];
  const write = (next: string) => {
    setText(next);
    setAt(0);
    onType?.(next);
  };
  const take = (value: string) => {
    add(value);
    write("");
  };
  const heed = (event: KeyboardEvent) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      setAt(moved(at, event.key === "ArrowDown" ? 1 : -1, shown.length));
    } else if (event.key === "Enter") {
      event.preventDefault();
      if (active !== undefined) take(active.value);
    } else if (event.key === "Escape") {
      event.stopPropagation();
      done();
    }
  };
  return (
    <span className="tag-adder">
      <input
        className="input tag-input"
        role="combobox"
        aria-label={what}
        aria-expanded
        aria-controls={`${id}-list`}
        aria-autocomplete="list"
        {...(active === undefined ? {} : { "aria-activedescendant": `${id}-${at}` })}
        placeholder={`Search ${one}`}
        value={text}
        autoFocus
        onChange={(event) => write(event.target.value)}
        onKeyDown={heed}
        onBlur={leave}
      />
      <ul className="menu tag-list" role="listbox" id={`${id}-list`} aria-label={what}>
        {shown.map((option, index) => (
          <li
            key={option.value}
            id={`${id}-${index}`}
            role="option"
            aria-selected={index === at}
            className="menu-item"
            data-highlighted={index === at ? "" : undefined}
            // Before the field loses the focus, which would take the list away.
            onMouseDown={(event) => {
              event.preventDefault();
              take(option.value);
            }}
          >
            {option.name ?? option.value}
            {option.note !== undefined && <span className="tag-more">{option.note}</span>}
          </li>
        ))}
        {shown.length === 0 && (
          <li role="option" aria-selected={false} aria-disabled className="tag-nothing">
            {options.length === 0 ? `There is no other ${one}.` : "Nothing matches."}
          </li>
        )}
      </ul>
    </span>
  );
}
