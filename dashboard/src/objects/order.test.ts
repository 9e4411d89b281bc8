// Moving something in a list.
import { expect, it } from "vitest";
import { movedItem } from "./order";

it("moves one step and stops at the ends", () => {
  expect(movedItem(["a", "b", "c"], 0, 1)).toEqual(["b", "a", "c"]);
  expect(movedItem(["a", "b", "c"], 2, -1)).toEqual(["a", "c", "b"]);
  expect(movedItem(["a", "b"], 1, 1)).toBeNull();
  expect(movedItem(["a", "b"], 0, -1)).toBeNull();
  expect(movedItem(["a", "a", "b"], 1, 1)).toEqual(["a", "b", "a"]);
});
