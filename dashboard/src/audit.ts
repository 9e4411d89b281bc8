// The audit log: its rows as the server writes them, how parts of it are asked for, and its kinds in
// words.
import { api } from "./api";

/** A row of the audit log. */
export interface AuditEntry {
  Number: number;
  Time: string;
  Kind: string;
  /** `user:NAME`, `machine:UUID`, `key:THUMBPRINT` or `system`. */
  Principal: string;
  /** Address; null for the server's own doing. */
  Source: string | null;
  Request: string;
  Enrollment?: string;
  Machine?: string;
  Key?: string;
  /** A bootstrap code that is over. */
  Code?: string;
  Reason: string;
}

/** Which rows are wanted. What is left out means any. */
export interface AuditQuery {
  machine?: string | undefined;
  kinds?: readonly string[] | undefined;
  /** A user's name, or `system`, `machine:UUID`, `key:THUMBPRINT`. */
  user?: string | undefined;
  /** Only rows older than this number. */
  after?: number | undefined;
  limit?: number | undefined;
}

/** A part of the rows, newest first. */
export function auditRows(query: AuditQuery): Promise<AuditEntry[]> {
  const asked = new URLSearchParams();
  const ask = (name: string, value: string | number | undefined) => {
    if (value !== undefined && value !== "") asked.set(name, String(value));
  };
  ask("machine", query.machine);
  ask("kind", query.kinds?.join(","));
  ask("user", query.user);
  ask("after", query.after);
  ask("limit", query.limit);
  return api.get(`/audit?${asked}`);
}

/** Kinds of rows in words, in groups by which they are filtered. */
export const AUDIT_GROUPS: readonly { name: string; kinds: { readonly [kind: string]: string } }[] = [
  {
    name: "Registration",
    kinds: {
      "enrollment.created": "asked to be registered",
      "enrollment.rotated": "got a new code",
      "enrollment.lookup.hit": "code looked up",
      "enrollment.lookup.miss": "wrong code entered",
      "enrollment.approved": "registration approved",
      "enrollment.denied": "registration denied",
      "enrollment.cancelled": "took its request back",
      "enrollment.expired": "request ended unanswered",
      "enrollment.unclaimed": "never collected its credential",
      "enrollment.enrolled": "registered",
      "enrollment.proof_failed": "proof did not hold",
      "ratelimit.tripped": "alarm",
    },
  },
  {
    name: "Machines",
    kinds: {
      "machine.created": "machine made by hand",
      "machine.unlocked": "machine unlocked",
      "machine.rekeyed": "machine has a new key",
      "machine.deleted": "machine deleted",
      "mesh.key": "WireGuard key told",
      "vip.changed": "virtual address written or deleted",
      "nonce.issued": "boot nonce given",
      "nonce.refused": "boot nonce refused",
    },
  },
  {
    name: "Provisioning",
    kinds: {
      "provision.requested": "provisioning asked for",
      "provision.canceled": "provisioning cancelled",
      "permit.issued": "permit to erase disks given",
      "escrow.given": "volume key kept",
      "escrow.read": "volume keys read",
    },
  },
  {
    name: "Terminals",
    kinds: {
      "terminal.enabled": "terminals allowed",
      "terminal.disabled": "terminals forbidden",
      "terminal.opened": "terminal opened",
      "terminal.closed": "terminal closed",
      "terminal.replayed": "recording of a terminal read",
    },
  },
  {
    name: "Tokens and keys",
    kinds: {
      "token.issued": "bootstrap token made",
      "token.used": "bootstrap token used",
      "token.refused": "bootstrap token refused",
      "token.revoked": "bootstrap token revoked",
      "apitoken.issued": "API token made",
      "key.rotated": "server key replaced",
      "secret.changed": "secret changed",
    },
  },
  {
    name: "Users",
    kinds: {
      "session.opened": "signed in",
      "session.confirmed": "entered the password again",
      "session.refused": "sign-in refused",
      "login.ended": "log-in ended",
      "user.password": "password set",
      "access.changed": "user or access role changed",
    },
  },
];

const WORDS: { readonly [kind: string]: string } = Object.assign({}, ...AUDIT_GROUPS.map((group) => group.kinds));

/** A kind in words; one that is not known by its name. */
export function auditWords(kind: string): string {
  return WORDS[kind] ?? kind;
}

/** Who did it: a user by name, a machine by the name it has now where that is known. */
export function principalWords(principal: string, nameOf: (uuid: string) => string | undefined = () => undefined): string {
  if (principal === "system") return "the server";
  const [sort, ...rest] = principal.split(":");
  const name = rest.join(":");
  if (sort === "user") return name;
  if (sort === "machine") return nameOf(name) ?? `machine ${name}`;
  return sort === "key" ? `a machine with the key ${name.slice(0, 12)}\u2026` : principal;
}
