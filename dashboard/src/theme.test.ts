// What is kept of the theme, read back.
import { expect, it } from "vitest";
import { themeOf } from "./theme";

it("whatever is no theme is the system's", () => {
  expect(themeOf("dark")).toBe("dark");
  expect(themeOf("light")).toBe("light");
  for (const other of ["system", "", "Dark", "solarized", null]) expect(themeOf(other)).toBe("system");
});
