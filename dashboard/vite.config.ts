// Builds the dashboard into `dist/`, which the server embeds.
//
// The server sends a Content-Security-Policy without inline script, inline style or `data:`:
// so nothing is inlined here, and the module preload polyfill (an inline script in older
// browsers' place) stays out.
import { loadEnv, type Plugin } from "vite";
import { defineConfig } from "vitest/config";

// `npm run dev` works against a running `muster serve`; its certificate is of its own CA.
const target = loadEnv("", ".", "MUSTER_")["MUSTER_URL"] ?? "https://127.0.0.1:8092";

/** What xterm.js writes colours of programs with, which `style-src 'self'` refuses. */
const STYLE_ATTRIBUTE = /(\w+)\.setAttribute\("style",(`\$\{\1\.getAttribute\("style"\)\|\|""\}\$\{\w+\};`)\)/g;

/** Has xterm.js write them as a property, which the policy allows. What else it needs is src/terminal/strictDocument.ts. */
const strictColours: Plugin = {
  name: "strict-colours",
  transform(code, id) {
    if (!id.includes("/@xterm/xterm/lib/")) return null;
    if (code.match(STYLE_ATTRIBUTE)?.length !== 1) this.error("xterm.js writes colours another way than vite.config.ts knows");
    return { code: code.replace(STYLE_ATTRIBUTE, "$1.style.cssText=$2"), map: null };
  },
};

export default defineConfig({
  plugins: [strictColours],
  build: {
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rollupOptions: {
      // "use client" marks files for server rendering, which there is none of.
      onwarn: (warning, warn) => {
        if (warning.code !== "MODULE_LEVEL_DIRECTIVE") warn(warning);
      },
    },
  },
  server: {
    host: "127.0.0.1",
    proxy: {
      "/api": { target, secure: false, ws: true },
      "/media": { target, secure: false },
    },
  },
  test: { include: ["src/**/*.test.ts"], environment: "node", css: true },
});
