// What a server may say on a terminal's websocket.
import { expect, it } from "vitest";
import { parseHeard } from "./wire";

it.each([
  ['{"Type":"waiting","Message":"m"}', { Type: "waiting", Message: "m" }],
  ['{"Type":"opened","Uuid":"u"}', { Type: "opened", Uuid: "u" }],
  ['{"Type":"notice","Message":1}', { Type: "notice", Message: "" }],
  ['{"Type":"ended","Reason":"idle","Message":"m"}', { Type: "ended", Reason: "idle", Message: "m" }],
  ['{"Type":"ended"}', { Type: "ended", Reason: "", Message: "" }],
  ['{"Type":"hologram"}', null],
  ["[]", null],
  ["null", null],
  ["<html>", null],
])("reads %s", (text, heard) => expect(parseHeard(text)).toEqual(heard));
