import { describe, expect, it } from "vitest";
import { ApiError, parseRetryAfter, refusal } from "./api";
import { asSentence, explain, type Doing } from "./explain";

function body(kind: string, code: number, ...messages: string[]) {
  return { Model: "", Key: "", Type: kind, Messages: messages, Code: code };
}

function told(status: number, kind: string, doing: Doing, ...messages: string[]): string {
  return explain(refusal(status, body(kind, status, ...messages), null), doing).text;
}

describe("refusals", () => {
  it("of a code say what to do next", () => {
    expect(told(404, "code_not_found", "lookup")).toMatch(/^No machine is waiting with this code\. Compare it/);
    expect(told(410, "machine_gone", "approve")).toMatch(/stopped asking.*console/);
    expect(told(409, "fingerprint_mismatch", "approve")).toMatch(/not the one you looked at/);
    expect(told(409, "already_decided", "approve", "approved by mia at 14:02")).toBe(
      "This request has been decided already. Approved by mia at 14:02.",
    );
    expect(told(400, "malformed_code", "lookup")).toMatch(/six characters such as K7P-3XB/);
  });

  it("that limit carry the wait", () => {
    const error = explain(refusal(429, body("too_many_attempts", 429), 332), "lookup");
    expect(error.retryAfter).toBe(332);
    expect(error.text).toMatch(/waiting list can still be approved/);
    expect(told(503, "temporarily_unavailable", "lookup")).toMatch(/Try again in a moment/);
  });

  it("of a session tell a wrong password from one that ended", () => {
    expect(told(401, "AUTH", "login")).toBe("User name or password is wrong.");
    expect(told(401, "AUTH", "load")).toMatch(/Sign in again/);
    expect(told(401, "step_up", "lookup")).toMatch(/Many wrong codes/);
    expect(told(401, "step_up", "change")).toMatch(/needs your password once more/);
    expect(told(403, "AUTH", "confirm")).toBe("The password is wrong.");
  });

  it("about rules are the server's own words, as sentences", () => {
    expect(told(422, "ValidationError", "approve", "name web_1 is not a host name: use letters, digits and dashes")).toBe(
      "Name web_1 is not a host name: use letters, digits and dashes.",
    );
    expect(told(403, "AUTH", "approve")).toMatch(/bootstrap:approve/);
    expect(asSentence(" is it? ")).toBe("Is it?");
  });

  it("without a known body still say something true", () => {
    expect(explain(refusal(502, "<html>", null), "load").text).toBe("The server refused with status 502.");
    expect(explain(new ApiError(0, "unreachable", []), "load").text).toMatch(/does not answer/);
    expect(explain(new TypeError("x is undefined"), "load").text).toMatch(/Reload/);
  });
});

describe("Retry-After", () => {
  it("is read as seconds or as a date", () => {
    const now = Date.parse("Wed, 21 Oct 2026 07:28:00 GMT");
    expect(parseRetryAfter("120", now)).toBe(120);
    expect(parseRetryAfter("Wed, 21 Oct 2026 07:29:30 GMT", now)).toBe(90);
    expect(parseRetryAfter("Wed, 21 Oct 2020 07:28:00 GMT", now)).toBe(0);
    expect(parseRetryAfter("soon", now)).toBeNull();
    expect(parseRetryAfter(null, now)).toBeNull();
  });
});
