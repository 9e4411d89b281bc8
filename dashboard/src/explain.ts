// Refusals in words that help: what happened, and what to do about it.
import { ApiError } from "./api";

/** What was being done when a call failed. */
export type Doing = "login" | "load" | "lookup" | "approve" | "deny" | "delete" | "token" | "change" | "confirm";

/** An error for a person. */
export interface Explained {
  text: string;
  /** Seconds until another try makes sense, or null. */
  retryAfter: number | null;
}

const BY_KIND: Partial<Record<string, string>> = {
  malformed_code: "This is not a bootstrap code. Codes have six characters such as K7P-3XB.",
  code_not_found:
    "No machine is waiting with this code. Compare it with the console: a code is replaced every ten minutes, and the console always shows the one that counts.",
  fingerprint_mismatch:
    "The machine behind this code is not the one you looked at. Look the code up again, and compare the fingerprint before you approve.",
  machine_gone:
    "This machine has stopped asking. It was switched off, lost its network or shows another code by now. Look at its console, then enter the code it shows.",
};

const GONE = "This is not there any more. Somebody may have deleted it.";

const BY_STATUS: Partial<Record<number, string>> = {
  0: "The server does not answer. Check the connection and try again.",
  403: "Your account may not do this. Ask an administrator for the right.",
  413: "The request is too large for the server.",
  503: "The server is too busy or its database is away. Try again in a moment.",
};

const FORBIDDEN: Partial<Record<Doing, string>> = {
  lookup: "Your account may not approve machines. Ask an administrator for the right bootstrap:approve.",
  approve: "Your account may not approve machines. Ask an administrator for the right bootstrap:approve.",
  deny: "Your account may not deny machines. Ask an administrator for the right bootstrap:approve.",
  token: "Your account may not make bootstrap tokens. Ask an administrator for the right.",
};

/** The sentence for a failed call. */
export function explain(error: unknown, doing: Doing): Explained {
  if (!(error instanceof ApiError)) {
    return { text: "Something went wrong in this page. Reload it and try again.", retryAfter: null };
  }
  return { text: sentence(error, doing), retryAfter: error.retryAfter };
}

function sentence(error: ApiError, doing: Doing): string {
  const told = error.messages.filter((message) => message !== "").map(asSentence).join(" ");
  if (error.status === 401) return unauthorised(error, doing);
  if (error.status === 429) return throttled(error, doing);
  if (error.kind === "already_decided") {
    return `This request has been decided already.${told === "" ? "" : ` ${told}`}`;
  }
  const known = BY_KIND[error.kind];
  if (known !== undefined) return known;
  if (doing === "confirm" && error.status === 403) return "The password is wrong.";
  if (error.status === 404) return GONE;
  if (error.status === 403) return FORBIDDEN[doing] ?? (told || (BY_STATUS[403] ?? ""));
  // A rule about names, merges and the like: the server says it best.
  if (told !== "") return told;
  return BY_STATUS[error.status] ?? `The server refused with status ${error.status}.`;
}

function unauthorised(error: ApiError, doing: Doing): string {
  if (doing === "login") return "User name or password is wrong.";
  if (error.kind === "step_up") {
    return doing === "lookup" || doing === "approve"
      ? "Many wrong codes were entered on this server lately. Try again, and enter your password to show that it is you."
      : "This needs your password once more. Try again and enter it.";
  }
  return "Your session has ended. Sign in again.";
}

function throttled(error: ApiError, doing: Doing): string {
  if (doing === "confirm") return "Too many wrong passwords.";
  if (error.kind === "too_many_attempts" && doing !== "login") {
    return "Too many wrong codes from your account. Machines in the waiting list can still be approved.";
  }
  return doing === "login" ? "Too many wrong passwords." : "Too many requests in a short time.";
}

/** The server's lower-case fragment as a sentence. */
export function asSentence(fragment: string): string {
  const text = fragment.trim();
  const first = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(first) ? first : `${first}.`;
}
