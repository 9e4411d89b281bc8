// The JSON of terminals, as `protocol/src/rest/terminal.rs` and `protocol/src/terminal.rs` write it.

/** A terminal that is open. */
export interface TerminalOpen {
  Uuid: string;
  User: string;
  Source: string;
  OpenedAt: string;
}

/** How a machine's terminal stands. */
export interface TerminalState {
  Enabled: boolean;
  EnabledBy: string;
  EnabledAt: string;
  Online: boolean;
  Open: TerminalOpen | null;
}

/** A terminal that was open. */
export interface TerminalKept {
  Uuid: string;
  User: string;
  Source: string;
  OpenedAt: string;
  /** Empty while it is open. */
  ClosedAt: string;
  /** Null while it is open. */
  End: string | null;
  Message: string;
  Seconds: number;
  Bytes: number;
  Recorded: boolean;
}

/** What the server says on the websocket. */
export type Heard =
  | { Type: "waiting" | "notice"; Message: string }
  | { Type: "opened"; Uuid: string }
  | { Type: "ended"; Reason: string; Message: string };

/** A text message of the server; null for what this page does not know. */
export function parseHeard(text: string): Heard | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  if (typeof value !== "object" || value === null || !("Type" in value)) return null;
  const message = "Message" in value && typeof value.Message === "string" ? value.Message : "";
  switch (value.Type) {
    case "waiting":
    case "notice":
      return { Type: value.Type, Message: message };
    case "opened":
      return { Type: "opened", Uuid: "Uuid" in value ? String(value.Uuid) : "" };
    case "ended":
      return { Type: "ended", Reason: "Reason" in value ? String(value.Reason) : "", Message: message };
    default:
      return null;
  }
}
