// How a task list reads, and where a machine stands in words.
import { describe, expect, it } from "vitest";
import { job as anyJob } from "../../fixtures";
import { entriesOf, jobWords, kindOf, secondsOf, standOf, type Walker } from "./tasks";
import type { Job } from "./wire";

const TASKS = ["stage:prepare", "bootenv:muster", "wipe", "stage:hello", "greet"];

function machine(part: Partial<Walker>): Walker {
  return {
    Tasks: TASKS,
    CurrentTask: 2,
    Workflow: "hello",
    WorkflowComplete: false,
    Runnable: true,
    Online: true,
    JobState: "running",
    JobResultErrors: [],
    WaitReason: "",
    ...part,
  };
}

function job(part: Partial<Job>): Job {
  return anyJob({ Task: "wipe", State: "running", StartTime: "2026-01-01T00:00:00Z", Current: true, CurrentIndex: 2, ...part });
}

describe("a task list", () => {
  it("tells stages from tasks, and what ran from what is to come", () => {
    expect(kindOf("stage:a:b")).toEqual({ kind: "stage", name: "a:b" });
    expect(kindOf("stages")).toEqual({ kind: "task", name: "stages" });
    const read = entriesOf(machine({}), [job({}), job({ Uuid: "older" }), job({ Uuid: "x", CurrentIndex: 4, Task: "greet" })]);
    expect(read.map(({ kind, standing }) => `${kind} ${standing}`)).toEqual([
      "stage done",
      "bootenv done",
      "task now",
      "stage next",
      "task later",
    ]);
    expect(read.map((entry) => entry.job?.Uuid)).toEqual([undefined, undefined, "j", undefined, undefined]);
  });

  it("has no run of another task that stood at the same place", () => {
    expect(entriesOf(machine({}), [job({ Task: "other" })])[2]?.job).toBeNull();
    expect(entriesOf(machine({ CurrentTask: -1 }), [job({})])[2]?.standing).toBe("later");
  });
});

describe("where a machine stands", () => {
  const title = (part: Partial<Walker>) => standOf(machine(part)).title;

  it("is said in a few words, with what to do", () => {
    expect(title({})).toBe("Runs wipe (3 of 5)");
    expect(title({ Tasks: [] })).toBe("Nothing to do");
    expect(title({ WorkflowComplete: true, CurrentTask: 5 })).toBe("Done");
    expect(title({ CurrentTask: -1, JobState: "" })).toBe("Not begun yet");
    expect(title({ Runnable: false, JobState: "finished" })).toBe("Paused at wipe (3 of 5)");
    const failed = standOf(machine({ Runnable: false, JobState: "failed", JobResultErrors: ["exit status 3"] }));
    expect(failed).toMatchObject({ tone: "bad", title: "wipe failed (3 of 5)", errors: ["exit status 3"] });
    expect(failed.text).toMatch(/press Run again/);
  });

  it("says why nothing happens", () => {
    const paused = "it is not runnable: somebody or something stopped it; set Runnable to let it go on";
    const told = standOf(machine({ Runnable: false, JobState: "finished", WaitReason: paused })).text;
    expect(told).toBe("It waits: it is not runnable: somebody or something stopped it. Press Run to let it go on.");
    expect(standOf(machine({ Online: false })).text).toMatch(/goes on when its agent is back/);
    expect(standOf(machine({ JobState: "", WaitReason: "its task failed and is tried again at x" })).tone).toBe("warn");
  });
});

describe("a job", () => {
  it("takes its time", () => {
    const now = Date.parse("2026-01-01T00:03:20Z");
    expect(secondsOf(job({}), now)).toBe(200);
    expect(secondsOf(job({ State: "finished", EndTime: "2026-01-01T00:00:04Z" }), now)).toBe(4);
    expect(secondsOf(job({ StartTime: "0001-01-01T00:00:00Z" }), now)).toBeNull();
  });

  it("says how it ended", () => {
    expect(jobWords(job({ State: "finished", ExitState: "complete" }))).toBe("finished");
    expect(jobWords(job({ State: "finished", ExitState: "reboot" }))).toBe("finished, then reboots");
    expect(jobWords(job({ State: "incomplete" }))).toBe("not done yet");
  });
});
