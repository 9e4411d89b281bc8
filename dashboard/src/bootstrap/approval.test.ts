import { describe, expect, it } from "vitest";
import { match, preview } from "../fixtures";
import { approveRequest, isConfirmed, likelyMatch, previewed, type Previewed, type Step } from "./approval";

function shown(step: Step): Previewed {
  if (step.kind !== "preview") throw new Error("not a preview");
  return step;
}

const WARNING = { kind: "known_machine", message: "serial number also on db-07" };

describe("an approval", () => {
  it("names the fingerprint that was shown, and the code it was found by", () => {
    expect(approveRequest(shown(previewed(preview(), "K7P3XB")))).toEqual({
      code: "K7P3XB",
      fingerprint: "QM4T-9HXR-2VKD",
      fingerprint_confirmed: false,
    });
  });

  it("needs the fingerprint compared only with a warning or without a code", () => {
    expect(isConfirmed(shown(previewed(preview(), "K7P3XB")))).toBe(true);
    expect(isConfirmed(shown(previewed(preview(), null)))).toBe(false);
    const warned = shown(previewed(preview({ warnings: [WARNING] }), "K7P3XB"));
    expect(isConfirmed(warned)).toBe(false);
    expect(isConfirmed({ ...warned, choice: { ...warned.choice, confirmed: true } })).toBe(true);
  });

  it("proposes a merge only with a strong match that is offline", () => {
    expect(likelyMatch([match({ score: 99 })])).toBeNull();
    expect(likelyMatch([match({ online: true })])).toBeNull();
    const found = shown(previewed(preview({ matches: [match({ online: true }), match({ uuid: "m-2" })] }), "K7P3XB"));
    expect(found.choice.merge).toBe("m-2");
    expect(approveRequest(found)).toMatchObject({ merge: "m-2" });
  });

  it("carries a name only when it is another than proposed", () => {
    const found = shown(previewed(preview(), "K7P3XB"));
    const named = (name: string) => approveRequest({ ...found, choice: { ...found.choice, name } }).name;
    expect(named("m-525400123456")).toBeUndefined();
    expect(named("  ")).toBeUndefined();
    expect(named(" web-1 ")).toBe("web-1");
  });
});
