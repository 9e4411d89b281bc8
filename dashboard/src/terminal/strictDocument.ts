// The document as xterm.js is given it, so that it works under `style-src 'self'`: texts of its style elements become
// constructable style sheets, which are the CSSOM's and which the policy allows; nothing of the policy is loosened. The
// elements themselves stay out of the page: an empty one is refused, too. Its `style` attributes are vite.config.ts's.

const tamed = new WeakSet<HTMLStyleElement>();

/** Makes a style element's text a sheet of its document, for as long as the element is not removed. */
function tame(style: HTMLStyleElement): void {
  if (tamed.has(style)) return;
  tamed.add(style);
  const sheet = new CSSStyleSheet();
  const home = style.ownerDocument;
  let text = "";
  Object.defineProperty(style, "textContent", {
    get: () => text,
    set(next: string | null) {
      text = next ?? "";
      sheet.replaceSync(text);
      if (!home.adoptedStyleSheets.includes(sheet)) home.adoptedStyleSheets = [...home.adoptedStyleSheets, sheet];
    },
  });
  style.remove = () => {
    home.adoptedStyleSheets = home.adoptedStyleSheets.filter((each) => each !== sheet);
  };
}

// Some of its style elements are made by the page's own document: they are met where they would be put in.
function appendChild<T extends Node>(this: Node, child: T): T {
  if (child instanceof HTMLStyleElement) tame(child);
  else Node.prototype.appendChild.call(this, child);
  return child;
}

function createElement(home: Document, name: string, options?: ElementCreationOptions): HTMLElement {
  const element = home.createElement(name, options);
  if (element instanceof HTMLStyleElement) tame(element);
  element.appendChild = appendChild;
  return element;
}

/** The page's document in that clothing. */
export function strictDocument(home: Document = document): Document {
  const make = (name: string, options?: ElementCreationOptions) => createElement(home, name, options);
  return new Proxy(home, {
    get(target, property) {
      if (property === "createElement") return make;
      const value: unknown = Reflect.get(target, property, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
    set: (target, property, value) => Reflect.set(target, property, value, target),
  });
}
