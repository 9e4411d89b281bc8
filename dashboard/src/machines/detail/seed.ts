// What is wrong with a rendered configuration: which role, which line, and why. Pure.
import { asSentence } from "../../explain";

/** One complaint. */
export interface SeedProblem {
  /** The role whose template it is about; null for all else. */
  role: string | null;
  line: number | null;
  text: string;
}

// `template "role web", line 2: ...` is of the template, `role web: its rendered template, line 3: ...` of what
// became of it.
const OF_TEMPLATE = /^template "role (?<role>[^"]+)", line (?<line>\d+): (?<rest>.*)$/su;
const OF_RENDERED = /^role (?<role>[^\s:]+): its rendered template, (?:line (?<line>\d+): )?(?<rest>.*)$/su;
const OF_ROLE = /^role (?<role>[^\s:]+):? (?<rest>.*)$/su;

/** The complaint in its parts. */
export function seedProblem(error: string): SeedProblem {
  const template = OF_TEMPLATE.exec(error)?.groups;
  if (template !== undefined) return problem(template, "");
  const rendered = OF_RENDERED.exec(error)?.groups;
  if (rendered !== undefined) return problem(rendered, " (in what the template became)");
  const role = OF_ROLE.exec(error)?.groups;
  return role === undefined ? { role: null, line: null, text: asSentence(error) } : problem(role, "");
}

function problem(groups: Partial<Record<string, string>>, after: string): SeedProblem {
  const { role = null, line, rest = "" } = groups;
  return { role, line: line === undefined ? null : Number(line), text: `${asSentence(rest)}${after}` };
}
