// Recordings as they come, and what only looks like one.
import { describe, expect, it } from "vitest";
import { parseCast } from "./cast";

const HEADER = '{"version":2,"width":80,"height":24,"timestamp":1800000000,"title":"ada on db-07"}';

describe("parseCast", () => {
  it("reads what was shown and how large", () => {
    const cast = parseCast(`${HEADER}\n[0.5,"o","\\u001b[1mhi"]\n[1.25,"r","120x40"]\n[2,"o","bye"]\n`);
    expect(cast).toEqual({
      cols: 80,
      rows: 24,
      title: "ada on db-07",
      length: 2,
      events: [
        { at: 0.5, what: { show: "\u001b[1mhi" } },
        { at: 1.25, what: { cols: 120, rows: 40 } },
        { at: 2, what: { show: "bye" } },
      ],
    });
  });

  it("passes over what is no event, and time that runs backwards", () => {
    const odd = ['[3,"i","typed"]', "[]", "{}", "x", '["1","o","x"]', '[3,"r","0x5"]', '[3,"r","99999x5"]', '[3,"o",1]'];
    const cast = parseCast([HEADER, '[3,"o","a"]', ...odd, '[1,"o","b"]'].join("\n"));
    expect(cast?.events).toEqual([
      { at: 3, what: { show: "a" } },
      { at: 3, what: { show: "b" } },
    ]);
  });

  it.each(["", "{}", "[]", "null", '{"version":1,"width":80,"height":24}', '{"version":2,"width":-1,"height":24}', '{"version":2,"width":80}'])(
    "refuses %s",
    (text) => expect(parseCast(text)).toBeNull(),
  );
});
