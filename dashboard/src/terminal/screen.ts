// One xterm.js terminal in the page: its looks by our colours, its size by its place. Only what shows a terminal
// imports this, so that xterm.js is fetched when it is wanted.
import { FitAddon } from "@xterm/addon-fit";
import { Terminal, type ITheme } from "@xterm/xterm";
import "@xterm/xterm/css/xterm.css";
import { strictDocument } from "./strictDocument";

/** Lines that can be scrolled back to. */
const SCROLLBACK = 5_000;

/** The colours of the tokens, as they are now. */
function theme(place: HTMLElement): ITheme {
  const style = getComputedStyle(place);
  const colour = (name: string) => style.getPropertyValue(name).trim();
  return {
    background: style.backgroundColor,
    foreground: style.color,
    cursor: style.color,
    cursorAccent: style.backgroundColor,
    selectionBackground: colour("--term-selection"),
  };
}

/** A terminal at a place of the page. */
export class Screen {
  readonly terminal: Terminal;
  private readonly fit = new FitAddon();
  private readonly watch: ResizeObserver;

  constructor(place: HTMLElement, options: { fixed?: { cols: number; rows: number }; readOnly?: boolean } = {}) {
    this.terminal = new Terminal({
      allowProposedApi: false,
      cursorBlink: false,
      disableStdin: options.readOnly === true,
      documentOverride: strictDocument(),
      fontFamily: getComputedStyle(place).fontFamily,
      fontSize: 14,
      minimumContrastRatio: 4.5,
      scrollback: SCROLLBACK,
      theme: theme(place),
      ...options.fixed,
    });
    this.terminal.loadAddon(this.fit);
    this.terminal.open(place);
    this.watch = new ResizeObserver(() => options.fixed === undefined && this.fit.fit());
    this.watch.observe(place);
    if (options.fixed === undefined) this.fit.fit();
  }

  get size(): { cols: number; rows: number } {
    return { cols: this.terminal.cols, rows: this.terminal.rows };
  }

  close(): void {
    this.watch.disconnect();
    this.terminal.dispose();
  }
}
