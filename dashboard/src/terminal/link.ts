// The websocket of one terminal: what is typed goes out, what is to be shown comes in, and how it stands is told.
// It never reconnects by itself: another connection is another terminal, with another shell.
import { parseHeard, type Heard } from "./wire";

/** A terminal's size in characters. */
export interface Size {
  cols: number;
  rows: number;
}

/** How it stands. */
export type Standing =
  | { at: "connecting"; message: string }
  | { at: "open"; notice: string }
  | { at: "ended"; reason: string; message: string };

interface LinkProps {
  machine: string;
  /** The session's token against foreign pages. */
  proof: string;
  size: Size;
  /** Shows bytes, and calls back once they are shown. */
  show(bytes: Uint8Array, shown: () => void): void;
  tell(standing: Standing): void;
}

/** Most bytes of one message, as the server takes them. */
const MAX_BYTES = 16 * 1024;
/** Seen bytes are told of when they have become this many, or nothing more comes. */
const TELL_AFTER = 32 * 1024;
const encoder = new TextEncoder();

/** A connection. It ends with `close`, or by itself. */
export class Link {
  private readonly socket: WebSocket;
  private standing: Standing = { at: "connecting", message: "Connecting to the server" };
  /** Bytes that were shown and not told of. */
  private seen = 0;
  /** Bytes that are being shown. */
  private pending = 0;

  constructor(private readonly props: LinkProps) {
    const url = new URL(`/api/v3/machines/${encodeURIComponent(props.machine)}/terminal/ws`, window.location.href);
    url.protocol = url.protocol === "http:" ? "ws:" : "wss:";
    this.socket = new WebSocket(url);
    this.socket.binaryType = "arraybuffer";
    this.socket.onopen = () => this.say({ Type: "open", Csrf: props.proof, Size: sizeOf(props.size) });
    this.socket.onmessage = (message: MessageEvent<unknown>) => this.hear(message.data);
    this.socket.onclose = () => this.lost();
    props.tell(this.standing);
  }

  /** Types a text. */
  type(text: string): void {
    this.send(encoder.encode(text));
  }

  /** Types bytes, as mouse reports have them: each character is one. */
  typeBytes(binary: string): void {
    this.send(Uint8Array.from(binary, (character) => character.charCodeAt(0) & 0xff));
  }

  resize(size: Size): void {
    if (this.standing.at !== "ended") this.say({ Type: "resize", Size: sizeOf(size) });
  }

  close(): void {
    this.socket.onclose = null;
    this.socket.onmessage = null;
    this.socket.close(1000);
  }

  private send(bytes: Uint8Array<ArrayBuffer>): void {
    if (this.standing.at !== "open" || this.socket.readyState !== WebSocket.OPEN) return;
    for (let from = 0; from < bytes.length; from += MAX_BYTES) this.socket.send(bytes.slice(from, from + MAX_BYTES));
  }

  private say(what: object): void {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(what));
  }

  private hear(data: unknown): void {
    if (data instanceof ArrayBuffer) {
      const bytes = new Uint8Array(data);
      this.pending += bytes.length;
      this.props.show(bytes, () => this.shown(bytes.length));
      return;
    }
    const heard = typeof data === "string" ? parseHeard(data) : null;
    if (heard !== null) this.stand(standingOf(heard));
  }

  // The server is never more than a window ahead of what was shown: Ctrl-C ends a flood at once.
  private shown(bytes: number): void {
    this.pending -= bytes;
    this.seen += bytes;
    if (this.seen < TELL_AFTER && this.pending > 0) return;
    this.say({ Type: "seen", Bytes: this.seen });
    this.seen = 0;
  }

  private lost(): void {
    if (this.standing.at === "ended") return;
    this.stand({ at: "ended", reason: "lost", message: "the connection to the server broke" });
  }

  private stand(standing: Standing): void {
    this.standing = standing;
    this.props.tell(standing);
  }
}

function standingOf(heard: Heard): Standing {
  switch (heard.Type) {
    case "waiting":
      return { at: "connecting", message: heard.Message };
    case "opened":
      return { at: "open", notice: "" };
    case "notice":
      return { at: "open", notice: heard.Message };
    case "ended":
      return { at: "ended", reason: heard.Reason, message: heard.Message };
  }
}

function sizeOf(size: Size) {
  return { Cols: size.cols, Rows: size.rows };
}
