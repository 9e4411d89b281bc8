// Every REST call the dashboard makes, typed. Nothing else calls `fetch`.
//
// The session is a cookie the page cannot read; changes carry the session's CSRF token in a
// header, so that no other site can make them in the operator's name.
import { ServerClock } from "./clock";
import { send } from "./upload";
import type {
  ApproveRequest,
  DenyRequest,
  EnrollmentPreview,
  ErrorBody,
  Info,
  Machine,
  Session,
  TokenCreate,
  TokenCreated,
} from "./wire";

/** Longest wait for an answer, in milliseconds. */
const TIMEOUT = 20_000;
const BASE = "/api/v3";
/** With the session's cookie, past every cache, and nowhere but where it was sent. */
const MANNERS = { credentials: "same-origin", cache: "no-store", redirect: "error" } as const;

/** A call that did not succeed: the server's refusal, or `status` 0 when it was not reached. */
export class ApiError extends Error {
  override readonly name = "ApiError";

  constructor(
    /** HTTP status; 0 when no answer came. */
    readonly status: number,
    /** The server's word, such as `code_not_found`. */
    readonly kind: string,
    /** The server's sentences for people. */
    readonly messages: readonly string[],
    /** Seconds to wait before another try, when the server named them. */
    readonly retryAfter: number | null = null,
  ) {
    super(messages.join(" ") || `${kind} (${status})`);
  }
}

/** The wait that a `Retry-After` header asks for, in whole seconds from `now` (ms). */
export function parseRetryAfter(header: string | null, now: number): number | null {
  if (header === null) return null;
  if (/^\d{1,6}$/.test(header.trim())) return Number(header);
  const date = Date.parse(header);
  return Number.isNaN(date) ? null : Math.max(0, Math.ceil((date - now) / 1000));
}

function isErrorBody(body: unknown): body is ErrorBody {
  return (
    typeof body === "object" &&
    body !== null &&
    "Type" in body &&
    typeof body.Type === "string" &&
    "Messages" in body &&
    Array.isArray(body.Messages)
  );
}

/** The error that an answer with a failing status stands for. */
export function refusal(status: number, body: unknown, retryAfter: number | null): ApiError {
  if (isErrorBody(body)) {
    return new ApiError(status, body.Type, body.Messages.map(String), retryAfter);
  }
  return new ApiError(status, "unexpected", [], retryAfter);
}

type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

/** Bytes of a log, and how many it has by now. */
export interface LogPart {
  bytes: Uint8Array;
  length: number;
}

/** One step of a JSON Patch (RFC 6902). */
export type Operation =
  | { op: "add" | "replace" | "test"; path: string; value: unknown }
  | { op: "remove"; path: string };

/** A part of a list. */
export interface Part<T> {
  items: T[];
  /** How many there are for which the filters hold. */
  filtered: number;
  /** How many there are. */
  total: number;
  /** Where the next part begins (`after`); null behind the last one. */
  next: string | null;
}

/** A path of parts, each encoded: `at("machines", uuid, "params", name)`. */
export function at(...parts: readonly string[]): string {
  return parts.map((part) => `/${encodeURIComponent(part)}`).join("");
}

class Api {
  /** Asks for the password where the server wants it anew; whether it was entered. Set by `ui/ConfirmPassword`. */
  askPassword: (() => Promise<boolean>) | null = null;
  private csrf = "";
  private readonly clock = new ServerClock();

  /** The server's clock, in milliseconds since 1970: ages are counted by it. */
  now(): number {
    return Date.now() + this.clock.ahead;
  }

  /** Who is signed in, or null. */
  async session(): Promise<Session | null> {
    try {
      return this.keep(await this.call<Session>("GET", "/session"));
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) return null;
      throw error;
    }
  }

  async login(username: string, password: string): Promise<Session> {
    return this.keep(await this.call<Session>("POST", "/session", { Username: username, Password: password }));
  }

  /** Shows the password of whoever is signed in once more. */
  async confirm(password: string): Promise<void> {
    await this.once("POST", "/session/confirm", { Password: password });
  }

  async logout(): Promise<void> {
    await this.call<void>("DELETE", "/session");
    this.csrf = "";
  }

  info(): Promise<Info> {
    return this.call("GET", "/info");
  }

  lookup(code: string): Promise<EnrollmentPreview> {
    return this.call("POST", "/bootstrap/lookup", { code });
  }

  enrollments(): Promise<EnrollmentPreview[]> {
    return this.call("GET", "/bootstrap/enrollments");
  }

  approve(id: string, request: ApproveRequest): Promise<Machine> {
    return this.call("POST", `/bootstrap/enrollments/${encodeURIComponent(id)}/approve`, request);
  }

  deny(id: string, request: DenyRequest): Promise<EnrollmentPreview> {
    return this.call("POST", `/bootstrap/enrollments/${encodeURIComponent(id)}/deny`, request);
  }

  createToken(token: TokenCreate): Promise<TokenCreated> {
    return this.call("POST", "/bootstrap/tokens", token);
  }

  /** Asks for `path`, which is below `/api/v3` and has its parts encoded (`at`). */
  get<T>(path: string): Promise<T> {
    return this.call("GET", path);
  }

  /** Asks for a document that is no JSON. */
  async text(path: string): Promise<string> {
    const signal = AbortSignal.timeout(TIMEOUT);
    const response = await reached(fetch(BASE + path, { ...MANNERS, signal }));
    if (!response.ok) throw await this.refused(response);
    return reachedText(response);
  }

  /** The session's token against foreign pages, for the first word on a websocket. */
  proof(): string {
    return this.csrf;
  }

  /** Asks for a part of a list, and hears of its counts. */
  async list<T>(path: string): Promise<Part<T>> {
    let headers = new Headers();
    const items = await this.once<T[]>("GET", path, undefined, BASE, (heard) => (headers = heard));
    const count = (name: string) => Number(headers.get(name) ?? items.length);
    return {
      items,
      filtered: count("x-drp-list-filter-count"),
      total: count("x-drp-list-total-count"),
      next: headers.get("x-muster-list-next"),
    };
  }

  post<T>(path: string, body: unknown): Promise<T> {
    return this.call("POST", path, body);
  }

  put<T>(path: string, body: unknown): Promise<T> {
    return this.call("PUT", path, body);
  }

  /** Applies a JSON Patch (RFC 6902). */
  patch<T>(path: string, operations: readonly Operation[]): Promise<T> {
    return this.call("PATCH", path, operations);
  }

  delete<T>(path: string): Promise<T> {
    return this.call("DELETE", path);
  }

  /**
   * A part of a log, as bytes, from `offset` on; the server answers once there is more, or after `wait`
   * seconds. Without an offset, how long the log is and nothing of it.
   */
  async log(path: string, offset: number | null, wait: number, stop: AbortSignal): Promise<LogPart> {
    const answer = fetch(offset === null ? BASE + path : `${BASE}${path}?offset=${offset}`, {
      method: offset === null ? "HEAD" : "GET",
      headers: { Prefer: `wait=${wait}` },
      ...MANNERS,
      signal: AbortSignal.any([stop, AbortSignal.timeout(TIMEOUT + wait * 1000)]),
    });
    const response = await reached(answer);
    if (!response.ok) throw await this.refused(response);
    const length = Number(response.headers.get("x-muster-log-length") ?? Number.NaN);
    if (Number.isNaN(length)) throw new ApiError(response.status, "unexpected", ["The server does not say how long the log is."]);
    return { bytes: new Uint8Array(await reached(response.arrayBuffer())), length };
  }

  /** Reads a document beside the boot media. */
  media<T>(name: string): Promise<T> {
    return this.once("GET", name, undefined, "/media/");
  }

  /** Sends a file, which may take long; `tell` hears how many bytes have left. */
  async upload(path: string, file: Blob, tell: (bytes: number) => void, signal: AbortSignal): Promise<void> {
    const headers = { Accept: "application/json", "Content-Type": "application/octet-stream", "X-CSRF-Token": this.csrf };
    const sent = await send(BASE + path, file, { headers, tell, signal });
    if (signal.aborted) throw new ApiError(0, "stopped", []);
    if (sent.status === 0) throw new ApiError(0, "unreachable", []);
    if (sent.status >= 300) throw refusal(sent.status, readJson(sent.text), null);
  }

  private keep(session: Session): Session {
    this.csrf = session.CsrfToken;
    return session;
  }

  /** Calls; where the server wants the password anew, it is asked for, and the call made once more. */
  private async call<T>(method: Method, path: string, body?: unknown): Promise<T> {
    try {
      return await this.once(method, path, body);
    } catch (error) {
      const wanted = error instanceof ApiError && error.kind === "step_up" && this.askPassword !== null;
      if (!wanted || !(await this.askPassword?.())) throw error;
      return this.once(method, path, body);
    }
  }

  private async once<T>(
    method: Method,
    path: string,
    body?: unknown,
    base = BASE,
    heard?: (headers: Headers) => void,
  ): Promise<T> {
    const headers = new Headers({ Accept: "application/json" });
    if (body !== undefined) headers.set("Content-Type", "application/json");
    if (method !== "GET" && this.csrf !== "") headers.set("X-CSRF-Token", this.csrf);
    const init: RequestInit = { ...MANNERS, method, headers, signal: AbortSignal.timeout(TIMEOUT) };
    if (body !== undefined) init.body = JSON.stringify(body);
    const sent = Date.now();
    const response = await reached(fetch(base + path, init));
    this.clock.heed(response.headers.get("Date"), sent, Date.now());
    heard?.(response.headers);
    if (!response.ok) throw await this.refused(response);
    return (await parsed(response)) as T;
  }

  private async refused(response: Response): Promise<ApiError> {
    const wait = parseRetryAfter(response.headers.get("Retry-After"), this.now());
    return refusal(response.status, await parsed(response), wait);
  }
}

async function reached<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (cause) {
    const late = cause instanceof DOMException && cause.name === "TimeoutError";
    throw new ApiError(0, late ? "timeout" : "unreachable", []);
  }
}

function readJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

async function parsed(response: Response): Promise<unknown> {
  const text = await reachedText(response);
  if (text === "") return undefined;
  try {
    return JSON.parse(text);
  } catch {
    if (!response.ok) return undefined;
    throw new ApiError(response.status, "unexpected", ["The server's answer is not JSON."]);
  }
}

async function reachedText(response: Response): Promise<string> {
  try {
    return await response.text();
  } catch {
    throw new ApiError(0, "unreachable", []);
  }
}

/** The one client of this page. */
export const api = new Api();
