// Provision runs in words.
import { describe, expect, it } from "vitest";
import { job as anyJob } from "../../fixtures";
import { jobsOf, stepDuration, stepState, title, tone } from "./runs";
import type { Job } from "../flow/wire";
import type { Run } from "./wire";

const RUN: Run = {
  Uuid: "r-1",
  Machine: "m-1",
  Mode: "rebuild",
  Status: "downloading",
  IsActive: true,
  IsTerminal: false,
  Percent: 40,
  Progress: { Step: "write", Percent: 10, Message: "layer 1 of 3", Bytes: 1, Total: 10 },
  Steps: [],
  Error: "",
  NextAction: "",
  Image: "debian-12",
  ImageDigest: "",
  Workflow: "muster-install",
  Reboot: "firmware",
  CreatedAt: "2026-03-01T12:00:00Z",
  CreatedBy: "mia",
  StartedAt: "2026-03-01T12:00:10Z",
  EndedAt: null,
};

function job(part: Partial<Job>): Job {
  return anyJob({ Task: "muster-write", Workflow: "muster-install", StartTime: "2026-03-01T12:01:00Z", ...part });
}

describe("a run", () => {
  it("is named after what it does", () => {
    expect(title(RUN)).toBe("Install debian-12");
    expect(title({ ...RUN, Image: "" })).toBe("Install");
    expect(title({ ...RUN, Mode: "discover" })).toBe("Bring to Discovery mode");
  });

  it("has the colours of how it stands", () => {
    expect(tone(RUN)).toBe("installing");
    expect(tone({ ...RUN, IsActive: false, Status: "completed" })).toBe("installed");
    expect(tone({ ...RUN, IsActive: false, Status: "degraded" })).toBe("pending");
    expect(tone({ ...RUN, IsActive: false, Status: "timeout" })).toBe("failed");
    expect(tone({ ...RUN, IsActive: false, Status: "canceled" })).toBe("canceled");
  });

  it("has steps that took, take, or failed", () => {
    const step = { Step: "write", StartedAt: "2026-03-01T12:01:00Z", EndedAt: null };
    const now = Date.parse("2026-03-01T12:02:05Z");
    expect(stepDuration(step, RUN, now)).toBe("1 min 5 s");
    expect(stepState(step, RUN)).toBe("now");
    const over = { ...RUN, IsActive: false, EndedAt: "2026-03-01T12:01:30Z" };
    expect(stepDuration(step, over, now)).toBe("30 s");
    expect(stepState(step, over)).toBe("failed");
    expect(stepState({ ...step, EndedAt: "2026-03-01T12:01:09Z" }, over)).toBe("done");
  });

  it("has the jobs of its workflow and its time, oldest first", () => {
    const jobs = [
      job({ Uuid: "later", StartTime: "2026-03-01T13:00:00Z" }),
      job({ Uuid: "second" }),
      job({ Uuid: "other", Workflow: "site" }),
      job({ Uuid: "first", StartTime: "2026-03-01T12:00:30Z" }),
      job({ Uuid: "before", StartTime: "2026-03-01T11:59:00Z" }),
    ];
    const over = { ...RUN, EndedAt: "2026-03-01T12:30:00Z" };
    expect(jobsOf(over, jobs).map(({ Uuid }) => Uuid)).toEqual(["first", "second"]);
    expect(jobsOf(RUN, jobs).map(({ Uuid }) => Uuid)).toEqual(["first", "second", "later"]);
  });
});
