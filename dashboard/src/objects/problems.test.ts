// Complaints at the fields they are about, in the words of the real server.
import { expect, it } from "vitest";
import { lined, placed } from "./problems";

const STAGE = { fields: ["Name", "BootEnv", "Templates", "Tasks", "Params"], key: "Name", noun: "stage" };

it("puts complaints at the fields that they begin with", () => {
  const { at, others } = placed(
    [
      "stage name has 1 character, at least 2 are needed",
      "BootEnv: bootenv name must not contain '/'; use letters",
      "Templates: a needs a Path",
      "Templates: entry 1 has no Name",
      "Tasks: action:b is not action:PLUGIN:NAME",
      "something else is wrong",
    ],
    STAGE,
  );
  expect(at.get("Name")).toEqual([{ text: "Name has 1 character, at least 2 are needed." }]);
  expect(at.get("BootEnv")?.[0]?.text).toMatch(/^Bootenv name must not/);
  expect(at.get("Templates")).toHaveLength(2);
  expect(at.get("Tasks")).toHaveLength(1);
  expect(others).toEqual(["Something else is wrong."]);
});

it("knows params, whether they have a field of their own or not", () => {
  const message = 'Params: muster/merge-priority: value is not of type "integer"';
  const role = { fields: ["Params/muster/merge-priority", "Params"], key: "Name", noun: "profile" };
  expect(placed([message], role).at.get("Params/muster/merge-priority")).toEqual([
    { text: 'Value is not of type "integer".' },
  ]);
  expect(placed([message], STAGE).at.get("Params")).toEqual([
    { text: 'muster/merge-priority: value is not of type "integer"' },
  ]);
});

it("says the line of a template", () => {
  const template = { fields: ["ID", "Contents"], key: "ID", noun: "template", text: "Contents" };
  const { at } = placed(['template "t", line 2: {{ .x  c: function "c" not defined'], template);
  expect(at.get("Contents")).toEqual([{ line: 2, text: '{{ .x  c: function "c" not defined.' }]);
  expect(lined("the value is another one")).toEqual({ text: "The value is another one." });
});

it("takes a schema's complaint to the schema", () => {
  const param = { fields: ["Name", "Schema"], key: "Name", noun: "param" };
  expect(placed(["Schema is not valid: value is not valid"], param).at.get("Schema")).toHaveLength(1);
});

it("keeps what fits nowhere", () => {
  expect(placed(["Nowhere: is wrong"], STAGE).others).toEqual(["Nowhere: is wrong."]);
});
