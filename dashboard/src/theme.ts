// The theme: light, dark, or the system's. Kept in this browser; tokens.css does what it says, and
// public/theme.js puts it on before the first paint.
import { useSyncExternalStore } from "react";

/** What can be chosen. */
export const THEMES = ["light", "dark", "system"] as const;
export type Theme = (typeof THEMES)[number];

/** What they are called. */
export const THEME_NAMES: Record<Theme, string> = { light: "Light", dark: "Dark", system: "As the system" };

// Also named in public/theme.js.
const KEY = "muster-theme";

const listeners = new Set<() => void>();
let chosen: Theme = stored();

/** Reads a theme; whatever is none is the system's. */
export function themeOf(text: string | null): Theme {
  return THEMES.find((theme) => theme === text) ?? "system";
}

function stored(): Theme {
  try {
    return themeOf(localStorage.getItem(KEY));
  } catch {
    // Storage is switched off, or there is none (tests).
    return "system";
  }
}

function putOn(theme: Theme): void {
  chosen = theme;
  if (theme === "system") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = theme;
  listeners.forEach((tell) => tell());
}

/** Chooses a theme for this browser. */
export function chooseTheme(theme: Theme): void {
  try {
    if (theme === "system") localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, theme);
  } catch {
    // Storage is switched off: it holds until the page is closed.
  }
  putOn(theme);
}

function subscribe(tell: () => void): () => void {
  listeners.add(tell);
  // Chosen in another tab.
  const heed = (event: StorageEvent) => {
    if (event.key === KEY || event.key === null) putOn(themeOf(event.newValue));
  };
  window.addEventListener("storage", heed);
  return () => {
    listeners.delete(tell);
    window.removeEventListener("storage", heed);
  };
}

/** The chosen theme. */
export function useTheme(): Theme {
  return useSyncExternalStore(subscribe, () => chosen);
}
