// The colours of tokens.css, checked for contrast as WCAG 2 computes it.
import { describe, expect, it } from "vitest";
import css from "./styles/tokens.css?raw";

type Palette = Map<string, string>;

/** The colours of one theme: `--name: light-dark(#light, #dark);`. */
function palette(theme: "light" | "dark"): Palette {
  const colours = css.matchAll(/--([\w-]+):\s*light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\);/g);
  return new Map([...colours].map(([, name = "", light = "", dark = ""]) => [name, theme === "light" ? light : dark]));
}

function luminance(hex: string): number {
  const [red, green, blue] = [1, 3, 5].map((at) => {
    const channel = Number.parseInt(hex.slice(at, at + 2), 16) / 255;
    return channel <= 0.04045 ? channel / 12.92 : ((channel + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * (red ?? 0) + 0.7152 * (green ?? 0) + 0.0722 * (blue ?? 0);
}

function contrast(a: string, b: string): number {
  const [light, dark] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return ((light ?? 0) + 0.05) / ((dark ?? 0) + 0.05);
}

const TEXTS: [string, string[]][] = [
  ["text", ["ground", "surface", "sunken", "bad-soft", "warn-soft", "accent-soft"]],
  ["muted", ["ground", "surface", "sunken", "accent-soft"]],
  ["accent", ["ground", "surface", "sunken", "accent-soft"]],
  ["bad", ["surface", "sunken", "bad-soft"]],
  ["warn", ["warn-soft"]],
  ["good", ["good-soft"]],
  ["on-accent", ["accent", "accent-strong"]],
  ["on-bad", ["bad", "bad-strong"]],
];

describe.each([
  ["light", palette("light")],
  ["dark", palette("dark")],
])("the %s colours", (_name, colours) => {
  const of = (name: string): string => {
    const colour = colours.get(name);
    if (colour === undefined) throw new Error(`tokens.css has no colour --${name}`);
    return colour;
  };

  it("keep text readable", () => {
    for (const [text, grounds] of TEXTS) {
      for (const ground of grounds) {
        expect(contrast(of(text), of(ground)), `${text} on ${ground}`).toBeGreaterThanOrEqual(4.5);
      }
    }
  });

  it("keep dots and borders of controls visible", () => {
    for (const mark of ["dot-online", "dot-offline", "line-strong"]) {
      expect(contrast(of(mark), of("surface")), mark).toBeGreaterThanOrEqual(3);
    }
  });
});
