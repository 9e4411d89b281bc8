// The networks that a mesh network is made of: one of IPv4, one of IPv6, or both.
import { useState } from "react";
import { TextField } from "../ui/fields";
import type { OwnFieldProps } from "../objects/kind";
import { capacity, isV6, uniqueLocal } from "./cidr";

const NUMBERS = new Intl.NumberFormat();

/** Two fields for one list. */
export function CidrsField({ value, seen, problem, locked, onChange }: OwnFieldProps) {
  const list = texts(value);
  // A text that is no network yet stays in the field it was typed into.
  const [v4, setV4] = useState(() => list.find((cidr) => !isV6(cidr)) ?? "");
  const [v6, setV6] = useState(() => list.find(isV6) ?? "");
  const shown = [v4, v6].map((text) => text.trim()).filter(Boolean);
  if (!same(shown, list)) {
    // Discarded, or changed by somebody else.
    setV4(list.find((cidr) => !isV6(cidr)) ?? "");
    setV6(list.find(isV6) ?? "");
  }
  const tell = (one: string, other: string) => {
    setV4(one);
    setV6(other);
    onChange([one, other].map((text) => text.trim()).filter(Boolean));
  };
  const members = typeof seen?.["Members"] === "number" ? seen["Members"] : 0;
  const fixed = locked ?? (members > 0 ? "Networks stay as they are while machines are in them." : undefined);
  const room = counted(shown);
  return (
    <div className="mesh-networks">
      <TextField
        label="IPv4 network"
        mono
        placeholder="10.20.0.0/16"
        hint="A part of 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16 that nothing else uses. Empty for none."
        value={v4}
        locked={fixed}
        onChange={(text) => tell(text, v6)}
        problem={problem}
      />
      <TextField
        label="IPv6 network"
        mono
        placeholder="fd12:3456:789a::/64"
        hint="A unique local network, which begins with fd. Empty for none."
        value={v6}
        locked={fixed}
        onChange={(text) => tell(v4, text)}
      />
      {fixed === undefined && v6 === "" && (
        <p>
          <button
            type="button"
            className="button button-small"
            onClick={() => tell(v4, uniqueLocal(crypto.getRandomValues(new Uint8Array(5))))}
          >
            Make up an IPv6 network
          </button>
        </p>
      )}
      <p className="hint" role="status">
        {fixed ?? room}
      </p>
    </div>
  );
}

function counted(cidrs: readonly string[]): string {
  const rooms = cidrs.map(capacity);
  const known = rooms.filter((room) => room !== null);
  if (cidrs.length === 0) return "Give one network at least.";
  if (known.length < rooms.length) return "A network is an address and a length, such as 10.20.0.0/16.";
  const room = Math.min(...known);
  return `Addresses for ${NUMBERS.format(room)} machines.`;
}

function texts(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === "string") : [];
}

function same(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((text) => other.includes(text));
}
