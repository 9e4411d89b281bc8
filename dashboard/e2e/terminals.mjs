// Terminals as the stand-in has them: a machine that says back what is typed, in upper case.
import { randomUUID } from "node:crypto";

/** Whether a machine has terminals, and what it says. */
export function terminals() {
  return {
    /** Machines on which they are allowed. */
    allowed: new Set(),
    /** The one that is open, as `Open` shows it. */
    open: null,
    kept: [],
    recording: "",
    /** What the websocket was sent: texts as JSON, bytes as text. */
    heard: [],
    /** Ends the next one at once, for this reason. */
    refuse: null,
    /** The one that is connected: `show(text)`, `tell(object)`, `end(reason, message)`. */
    side: null,
  };
}

/** Answers about a machine's terminal; undefined for what is none. */
export function aboutTerminal(mock, method, route, body) {
  const [, machine, what] = /^\/machines\/([0-9a-f-]{36})\/(terminals?)$/.exec(route) ?? [];
  if (machine === undefined) {
    return /^\/terminals\/[^/]+\/recording$/.test(route) ? { text: mock.terminals.recording } : undefined;
  }
  if (what === "terminals") return { body: mock.terminals.kept };
  if (method === "PUT" && body.Enabled) mock.terminals.allowed.add(machine);
  if (method === "PUT" && !body.Enabled) mock.terminals.allowed.delete(machine);
  if (method === "DELETE") mock.terminals.open = null;
  return { body: state(mock, machine) };
}

function state(mock, machine) {
  const enabled = mock.terminals.allowed.has(machine);
  return {
    Enabled: enabled,
    EnabledBy: enabled ? "mia" : "",
    EnabledAt: enabled ? "2030-01-01T00:00:00Z" : "",
    Online: true,
    Open: mock.terminals.open,
  };
}

/** The machine's terminal on a websocket that was upgraded. */
export function serveTerminal(mock, socket) {
  const uuid = randomUUID();
  const side = {
    show: (text) => socket.write(message(2, Buffer.from(text))),
    tell: (what) => socket.write(message(1, Buffer.from(JSON.stringify(what)))),
    end: (Reason, Message) => {
      side.tell({ Type: "ended", Reason, Message });
      socket.end(message(8, Buffer.alloc(0)));
    },
    cut: () => socket.destroy(),
  };
  mock.terminals.side = side;
  let rest = Buffer.alloc(0);
  // Sockets of a server stay half open by themselves.
  socket.on("end", () => socket.destroy());
  socket.on("data", (data) => {
    rest = Buffer.concat([rest, data]);
    for (let next = take(rest); next !== null; next = take(rest)) {
      rest = rest.subarray(next.length);
      if (next.opcode === 1) obey(mock, side, uuid, JSON.parse(next.payload.toString()));
      if (next.opcode === 2) {
        mock.terminals.heard.push(next.payload.toString());
        side.show(next.payload.toString().toUpperCase());
      }
    }
  });
}

function obey(mock, side, uuid, said) {
  mock.terminals.heard.push(said);
  if (said.Type !== "open") return;
  const { refuse } = mock.terminals;
  mock.terminals.refuse = null;
  if (refuse !== null) return side.end(refuse, "as the test wants it");
  side.tell({ Type: "waiting", Message: "waiting for the agent of the machine" });
  side.tell({ Type: "opened", Uuid: uuid });
  side.show("root@machine:~# ");
}

// One masked frame of a browser at the beginning of these bytes; null while it is not whole.
function take(bytes) {
  if (bytes.length < 6) return null;
  const short = bytes[1] & 0x7f;
  const head = short === 126 ? 4 : 2;
  if (bytes.length < head) return null;
  const size = short === 126 ? bytes.readUInt16BE(2) : short;
  const length = head + 4 + size;
  if (bytes.length < length) return null;
  const mask = bytes.subarray(head, head + 4);
  const payload = Buffer.from(bytes.subarray(head + 4, length).map((byte, index) => byte ^ mask[index % 4]));
  return { opcode: bytes[0] & 0x0f, payload, length };
}

function message(opcode, payload) {
  const long = payload.length >= 126;
  const head = long ? Buffer.from([0x80 | opcode, 126, 0, 0]) : Buffer.from([0x80 | opcode, payload.length]);
  if (long) head.writeUInt16BE(payload.length, 2);
  return Buffer.concat([head, payload]);
}
