// A text with numbered lines, for configurations and templates: what is wrong with it is shown at its
// lines. A plain textarea does the editing, so undo, selection, screen readers and phones work as usual.
import {
  useId,
  useImperativeHandle,
  useLayoutEffect,
  useMemo,
  useRef,
  type KeyboardEvent,
  type Ref,
} from "react";
import { indentAfter, lineAt, shifted, startOfLine } from "./lines";
import "../styles/code.css";

/** Something wrong, with its line where it has one. */
export interface CodeProblem {
  /** From 1. */
  line?: number;
  text: string;
}

/** What others may do with the editor. */
export interface CodeHandle {
  /** Puts a text where the cursor is, in place of what is selected. */
  insert(text: string): void;
  focus(): void;
}

interface CodeEditorProps {
  label: string;
  /** Whether the label is shown; screen readers have it anyway. */
  labelShown?: boolean;
  value: string;
  onChange?(value: string): void;
  problems?: readonly CodeProblem[];
  hint?: string;
  /** Why it cannot be changed. */
  locked?: string | undefined;
  /** Lines that are shown at least and at most. */
  lines?: { min: number; max: number };
  placeholder?: string;
  handle?: Ref<CodeHandle>;
}

const LINE = 20;
const PADDING = 20;

/** The editor. Tab leaves it; Ctrl+] and Ctrl+[ indent and unindent the selected lines. */
export function CodeEditor(props: CodeEditorProps) {
  const { label, labelShown = true, value, onChange, problems = [], hint, locked, lines, placeholder, handle } = props;
  const id = useId();
  const area = useRef<HTMLTextAreaElement>(null);
  const gutter = useRef<HTMLDivElement>(null);
  const { min, max } = lines ?? { min: 8, max: 30 };
  const count = useMemo(() => value.split("\n").length, [value]);
  const wrong = useMemo(() => new Set(problems.map((problem) => problem.line)), [problems]);
  useImperativeHandle(handle, () => ({
    insert: (text) => type(area.current, text),
    focus: () => area.current?.focus(),
  }));
  useLayoutEffect(() => {
    // Not in markup: the Content-Security-Policy has no place for style attributes.
    if (area.current !== null) area.current.style.height = `${Math.min(max, Math.max(min, count)) * LINE + PADDING}px`;
  }, [min, max, count]);
  const follow = () => {
    if (gutter.current !== null && area.current !== null) gutter.current.scrollTop = area.current.scrollTop;
  };
  useLayoutEffect(follow, [count]);
  const described = [hint === undefined ? "" : `${id}-hint`, problems.length === 0 ? "" : `${id}-problems`].filter(Boolean);
  return (
    <div className="field code-field">
      <label htmlFor={id} className={labelShown ? "field-label" : "visually-hidden"}>
        {label}
      </label>
      <div className="code-box" data-wrong={problems.length > 0}>
        <div className="code-gutter" ref={gutter} aria-hidden="true">
          {Array.from({ length: count }, (_, index) => (
            <span key={index} data-wrong={wrong.has(index + 1)}>
              {index + 1}
            </span>
          ))}
        </div>
        <textarea
          id={id}
          ref={area}
          className="code-text"
          wrap="off"
          value={value}
          placeholder={placeholder}
          readOnly={locked !== undefined || onChange === undefined}
          title={locked}
          spellCheck={false}
          autoCapitalize="off"
          autoComplete="off"
          {...(described.length === 0 ? {} : { "aria-describedby": described.join(" ") })}
          {...(problems.length === 0 ? {} : { "aria-invalid": true })}
          onChange={(event) => onChange?.(event.target.value)}
          onScroll={follow}
          onKeyDown={heedKeys}
        />
      </div>
      {problems.length > 0 && <Problems id={`${id}-problems`} problems={problems} goTo={(line) => goTo(area.current, line)} />}
      {hint !== undefined && (
        <p className="field-hint" id={`${id}-hint`}>
          {hint}
        </p>
      )}
    </div>
  );
}

interface ProblemsProps {
  id: string;
  problems: readonly CodeProblem[];
  goTo(line: number): void;
}

function Problems({ id, problems, goTo }: ProblemsProps) {
  return (
    <ul id={id} className="code-problems" role="alert">
      {problems.map(({ line, text }, index) => (
        <li key={index} className="field-problem">
          {line !== undefined && (
            <button type="button" className="link" onClick={() => goTo(line)}>
              Line {line}
            </button>
          )}
          <span>{text}</span>
        </li>
      ))}
    </ul>
  );
}

/** As if somebody typed it: the browser's undo takes it back. */
function type(area: HTMLTextAreaElement | null, text: string): void {
  if (area === null || area.readOnly) return;
  area.focus();
  // The one way that keeps the undo history; browsers without it get the text all the same.
  if (document.execCommand("insertText", false, text)) return;
  area.setRangeText(text, area.selectionStart, area.selectionEnd, "end");
  area.dispatchEvent(new InputEvent("input", { bubbles: true }));
}

function goTo(area: HTMLTextAreaElement | null, line: number): void {
  if (area === null) return;
  const start = startOfLine(area.value, line);
  const end = area.value.indexOf("\n", start);
  area.focus();
  area.setSelectionRange(start, end === -1 ? area.value.length : end);
  area.scrollTop = Math.max(0, (line - 3) * LINE);
}

function heedKeys(event: KeyboardEvent<HTMLTextAreaElement>): void {
  const area = event.currentTarget;
  if (area.readOnly) return;
  if (event.key === "Enter" && !event.ctrlKey && !event.metaKey && !event.nativeEvent.isComposing) {
    const indent = indentAfter(area.value, area.selectionStart);
    if (indent === "") return;
    event.preventDefault();
    type(area, `\n${indent}`);
  } else if ((event.ctrlKey || event.metaKey) && (event.key === "]" || event.key === "[")) {
    event.preventDefault();
    indent(area, event.key === "]" ? 1 : -1);
  }
}

/** Moves whole lines in or out, and keeps them selected. */
function indent(area: HTMLTextAreaElement, step: 1 | -1): void {
  const [first, last] = [lineAt(area.value, area.selectionStart), lineAt(area.value, area.selectionEnd)];
  const start = startOfLine(area.value, first);
  const after = area.value.indexOf("\n", startOfLine(area.value, last));
  const end = after === -1 ? area.value.length : after;
  const text = shifted(area.value.slice(start, end), step);
  area.setSelectionRange(start, end);
  type(area, text);
  area.setSelectionRange(start, start + text.length);
}
