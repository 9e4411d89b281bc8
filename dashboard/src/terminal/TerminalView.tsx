// One open terminal: xterm.js, what the server says about it, and the way out by keyboard.
import { useEffect, useRef, useState } from "react";
import { api } from "../api";
import { asSentence } from "../explain";
import { notify } from "../ui/Notice";
import { Toggle } from "../ui/fields";
import { Link, type Standing } from "./link";
import { Screen } from "./screen";

interface TerminalViewProps {
  machine: string;
  name: string;
  proof: string;
  /** Opens another one in its place. */
  again(): void;
  close(): void;
}

const CONNECTING: Standing = { at: "connecting", message: "Connecting to the server" };

/** The terminal. It ends when it is taken away. */
export function TerminalView({ machine, name, proof, again, close }: TerminalViewProps) {
  const [standing, setStanding] = useState<Standing>(CONNECTING);
  const [forReaders, setForReaders] = useState(false);
  const place = useRef<HTMLDivElement>(null);
  const out = useRef<HTMLButtonElement>(null);
  const screen = useRef<Screen | null>(null);
  useEffect(() => {
    if (place.current === null) return undefined;
    const shown = new Screen(place.current);
    screen.current = shown;
    const { terminal } = shown;
    const link = new Link({
      machine,
      proof,
      size: shown.size,
      show: (bytes, done) => terminal.write(bytes, done),
      tell: setStanding,
    });
    terminal.onData((text) => link.type(text));
    terminal.onBinary((binary) => link.typeBytes(binary));
    terminal.onResize((size) => link.resize(size));
    terminal.attachCustomKeyEventHandler((event) => heedKey(event, terminal, out.current));
    terminal.focus();
    return () => {
      screen.current = null;
      link.close();
      shown.close();
    };
  }, [machine, proof]);
  useEffect(() => {
    if (screen.current !== null) screen.current.terminal.options.screenReaderMode = forReaders;
  }, [forReaders]);
  const ended = standing.at === "ended";
  useEffect(() => {
    if (screen.current !== null) screen.current.terminal.options.disableStdin = ended;
  }, [ended]);
  return (
    <section className="card terminal" aria-label={`Terminal of ${name}`}>
      <div className="terminal-bar">
        <p className={`terminal-standing terminal-${standing.at}`} role="status">
          {words(standing)}
        </p>
        <button type="button" className="button button-small" onClick={() => void copy(screen.current?.terminal)}>
          Copy selection
        </button>
        <button type="button" className="button button-small" ref={out} onClick={close}>
          {ended ? "Close" : "End"}
        </button>
      </div>
      {ended && <Over standing={standing} again={again} />}
      <div className="terminal-place" ref={place} />
      <div className="terminal-foot">
        <Toggle label="For screen readers" value={forReaders} onChange={setForReaders} />
        <p>
          <kbd>Ctrl</kbd>+<kbd>F6</kbd> leaves the terminal. <kbd>Ctrl</kbd>+<kbd>Shift</kbd>+<kbd>C</kbd> copies,{" "}
          <kbd>Ctrl</kbd>+<kbd>Shift</kbd>+<kbd>V</kbd> pastes.
        </p>
      </div>
    </section>
  );
}

function Over({ standing, again }: { standing: Standing & { at: "ended" }; again(): void }) {
  const confirm = async () => {
    if ((await api.askPassword?.()) === true) again();
  };
  return standing.reason === "confirm" ? (
    <p className="actions">
      <button type="button" className="button button-primary" onClick={() => void confirm()}>
        Enter your password
      </button>
    </p>
  ) : (
    <p className="actions">
      <button type="button" className="button" onClick={again}>
        Open another one
      </button>
    </p>
  );
}

function words(standing: Standing): string {
  switch (standing.at) {
    case "connecting":
      return asSentence(standing.message);
    case "open":
      return standing.notice === "" ? "Open, and recorded." : asSentence(standing.notice);
    case "ended":
      return standing.reason === "confirm"
        ? "Your password was entered too long ago for a terminal."
        : `Ended: ${asSentence(standing.message)}`;
  }
}

type Term = Screen["terminal"];

// What is not given to the machine. False keeps a key from it.
function heedKey(event: KeyboardEvent, terminal: Term, out: HTMLElement | null): boolean {
  if (event.ctrlKey && !event.shiftKey && event.key === "F6") {
    event.preventDefault();
    if (event.type === "keydown") out?.focus();
    return false;
  }
  if (!event.ctrlKey || !event.shiftKey) return true;
  if (event.code === "KeyC") {
    event.preventDefault();
    if (event.type === "keydown") void copy(terminal);
    return false;
  }
  // The browser pastes by itself.
  return event.code !== "KeyV";
}

async function copy(terminal: Term | undefined): Promise<void> {
  const text = terminal?.getSelection() ?? "";
  if (text === "") {
    notify("Nothing is selected in the terminal.", "problem");
  } else {
    await navigator.clipboard.writeText(text).then(
      () => notify("The selection is copied."),
      () => notify("The browser does not let this page copy. Use its own menu.", "problem"),
    );
  }
  terminal?.focus();
}
