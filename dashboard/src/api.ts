// Every REST call the dashboard makes, typed. Nothing else calls `fetch`.
//
// The session is a cookie the page cannot read; changes carry the session's CSRF token in a
// header, so that no other site can make them in the operator's name.
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

type Method = "GET" | "POST" | "DELETE";

class Api {
  private csrf = "";
  /** Milliseconds by which the server's clock is ahead of the browser's. */
  private ahead = 0;

  /** The server's clock, in milliseconds since 1970: ages are counted by it. */
  now(): number {
    return Date.now() + this.ahead;
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

  async logout(): Promise<void> {
    await this.call<void>("DELETE", "/session");
    this.csrf = "";
  }

  info(): Promise<Info> {
    return this.call("GET", "/info");
  }

  machines(): Promise<Machine[]> {
    return this.call("GET", "/machines");
  }

  machine(uuid: string): Promise<Machine> {
    return this.call("GET", `/machines/${encodeURIComponent(uuid)}`);
  }

  deleteMachine(uuid: string): Promise<Machine> {
    return this.call("DELETE", `/machines/${encodeURIComponent(uuid)}`);
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

  private keep(session: Session): Session {
    this.csrf = session.CsrfToken;
    return session;
  }

  private async call<T>(method: Method, path: string, body?: object): Promise<T> {
    const headers = new Headers({ Accept: "application/json" });
    if (body !== undefined) headers.set("Content-Type", "application/json");
    if (method !== "GET" && this.csrf !== "") headers.set("X-CSRF-Token", this.csrf);
    const init: RequestInit = {
      method,
      headers,
      credentials: "same-origin",
      cache: "no-store",
      redirect: "error",
      signal: AbortSignal.timeout(TIMEOUT),
    };
    if (body !== undefined) init.body = JSON.stringify(body);
    const response = await reached(fetch(BASE + path, init));
    this.heed(response.headers.get("Date"));
    const answer = await parsed(response);
    if (!response.ok) {
      throw refusal(response.status, answer, parseRetryAfter(response.headers.get("Retry-After"), this.now()));
    }
    return answer as T;
  }

  private heed(date: string | null): void {
    const server = date === null ? Number.NaN : Date.parse(date);
    // The header counts whole seconds, so a smaller difference means nothing.
    if (Number.isNaN(server)) return;
    const ahead = server - Date.now();
    this.ahead = Math.abs(ahead) < 2_000 ? 0 : ahead;
  }
}

async function reached(answer: Promise<Response>): Promise<Response> {
  try {
    return await answer;
  } catch (cause) {
    const late = cause instanceof DOMException && cause.name === "TimeoutError";
    throw new ApiError(0, late ? "timeout" : "unreachable", []);
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
