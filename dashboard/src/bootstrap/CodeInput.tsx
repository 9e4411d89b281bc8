// The field for the bootstrap code: three characters, dash, three characters.
import { useId, useLayoutEffect, useRef, useState, type ChangeEvent, type KeyboardEvent } from "react";
import { caretAfter, formatCode, readCode, remark } from "../code";

interface CodeInputProps {
  /** The characters so far, without the dash. */
  characters: string;
  onType(characters: string): void;
  disabled: boolean;
}

/** Takes a code as it is typed or pasted, in any case, with or without the dash. */
export function CodeInput({ characters, onType, disabled }: CodeInputProps) {
  const id = useId();
  const field = useRef<HTMLInputElement>(null);
  const [note, setNote] = useState("");
  const caret = useRef<number | null>(null);
  const shown = formatCode(characters);

  // The shown text is not what was typed, so the browser would move the caret to its end.
  useLayoutEffect(() => {
    if (caret.current === null || field.current === null) return;
    field.current.setSelectionRange(caret.current, caret.current);
    caret.current = null;
  });

  const change = (event: ChangeEvent<HTMLInputElement>) => {
    const { value, selectionStart } = event.target;
    const typed = readCode(value);
    const before = readCode(value.slice(0, selectionStart ?? value.length)).characters.length;
    caret.current = caretAfter(Math.min(before, typed.characters.length));
    setNote(remark(typed));
    onType(typed.characters);
  };

  const keep = (event: KeyboardEvent<HTMLInputElement>) => {
    // Enter here must not approve what was not yet looked at.
    if (event.key === "Enter") event.preventDefault();
    // Over the dash, a deletion takes the character behind it.
    const { selectionStart, selectionEnd } = event.currentTarget;
    if (selectionStart !== selectionEnd || selectionStart === null) return;
    if (event.key === "Backspace" && selectionStart === 4) event.currentTarget.setSelectionRange(3, 3);
    if (event.key === "Delete" && selectionStart === 3) event.currentTarget.setSelectionRange(4, 4);
  };

  return (
    <div className="code">
      <label htmlFor={id} className="code-label">
        Code on the machine&rsquo;s console
      </label>
      <input
        ref={field}
        id={id}
        className="code-input"
        name="bootstrap-code"
        value={shown}
        onChange={change}
        onKeyDown={keep}
        disabled={disabled}
        placeholder="XXX-XXX"
        autoComplete="off"
        autoCapitalize="characters"
        autoCorrect="off"
        spellCheck={false}
        inputMode="text"
        enterKeyHint="done"
        aria-describedby={`${id}-note`}
        autoFocus
      />
      <p id={`${id}-note`} className="code-note" aria-live="polite">
        {note === "" ? "Six characters; the dash comes by itself." : note}
      </p>
    </div>
  );
}
