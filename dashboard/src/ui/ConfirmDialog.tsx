// Asks before something that cannot be taken back; where much is lost, a word must be typed first.
import * as Alert from "@radix-ui/react-alert-dialog";
import { useMutation } from "@tanstack/react-query";
import { useId, useState, type ReactNode, type RefObject } from "react";
import { explain, type Doing } from "../explain";
import { Problem } from "./parts";

interface ConfirmDialogProps {
  open: boolean;
  close(): void;
  /** A question: `Delete db-07?` */
  title: string;
  /** What will happen, in plain sentences. */
  children: ReactNode;
  /** What has to be typed before the button works, and how to ask for it: `the machine's name`. */
  typed?: { text: string; what: string };
  /** The button, and what it says meanwhile. */
  act: { label: string; busy: string };
  /** What the button does. The dialog closes when it has succeeded and shows why when it has not. */
  run(): Promise<unknown>;
  /** For the words of a refusal. */
  doing: Doing;
  /** Whether something is lost: the button is red. */
  danger?: boolean;
  /** Gets the focus back where what opened the dialog is gone by then (a menu's item). */
  returnTo?: RefObject<HTMLElement | null>;
}

/** The dialog. Enter in the field does the same as the button. */
export function ConfirmDialog({ open, close, returnTo, ...rest }: ConfirmDialogProps) {
  const [busy, setBusy] = useState(false);
  return (
    <Alert.Root open={open} onOpenChange={(next) => !next && !busy && close()}>
      <Alert.Portal>
        <div className="overlay">
          <Alert.Content
            className="modal modal-small"
            onCloseAutoFocus={(event) => {
              if (returnTo === undefined) return;
              event.preventDefault();
              returnTo.current?.focus();
            }}
          >
            <Confirmation {...rest} close={close} tellBusy={setBusy} />
          </Alert.Content>
        </div>
      </Alert.Portal>
    </Alert.Root>
  );
}

type ConfirmationProps = Omit<ConfirmDialogProps, "open" | "returnTo"> & { tellBusy(busy: boolean): void };

// Its state lasts as long as the dialog is open: what was typed is gone with it.
function Confirmation({ title, children, typed, act, run, doing, danger = true, close, tellBusy }: ConfirmationProps) {
  const [text, setText] = useState("");
  const action = useMutation({
    mutationFn: async () => {
      tellBusy(true);
      try {
        await run();
      } finally {
        tellBusy(false);
      }
    },
    onSuccess: close,
  });
  const ready = !action.isPending && (typed === undefined || text.trim() === typed.text);
  return (
    <form
      className="confirm"
      onSubmit={(event) => {
        event.preventDefault();
        if (ready) action.mutate();
      }}
    >
      <Alert.Title className="modal-title">{title}</Alert.Title>
      <Alert.Description asChild>
        <div className="modal-text confirm-text">{children}</div>
      </Alert.Description>
      {typed !== undefined && <TypedWord {...typed} value={text} onChange={setText} />}
      {action.error !== null && <Problem error={explain(action.error, doing)} />}
      <div className="modal-actions">
        <Alert.Cancel className="button" disabled={action.isPending}>
          Cancel
        </Alert.Cancel>
        <button type="submit" className={`button ${danger ? "button-danger" : "button-primary"}`} disabled={!ready}>
          {action.isPending ? act.busy : act.label}
        </button>
      </div>
    </form>
  );
}

interface TypedWordProps {
  text: string;
  what: string;
  value: string;
  onChange(value: string): void;
}

/** The field in which a word is repeated to confirm. */
export function TypedWord({ text, what, value, onChange }: TypedWordProps) {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>
        Type {what}, <code>{text}</code>, to confirm
      </label>
      <input
        id={id}
        className="input"
        value={value}
        onChange={(event) => onChange(event.target.value)}
        autoComplete="off"
        autoCapitalize="off"
        spellCheck={false}
      />
    </div>
  );
}
