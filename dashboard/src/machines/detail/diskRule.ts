// Which disk becomes the system disk, as a choice from a list: pure.
import { isObj, same, type Json, type Obj } from "../../objects/json";
import type { Disk } from "../../wire";
import { diskInWords, stableName } from "./disks";

/** A choice and the rule (`muster/disk`) that it stands for. */
export interface RuleChoice {
  value: string;
  name: string;
  rule: Obj;
}

/** A rule that is none of the list. */
export const OTHER = "other";

const PICKS: readonly RuleChoice[] = [
  { value: "only", name: "The only disk that there is", rule: { Pick: "only" } },
  { value: "smallest", name: "The smallest disk", rule: { Pick: "smallest" } },
  { value: "largest", name: "The largest disk", rule: { Pick: "largest" } },
  { value: "first-nvme", name: "The first NVMe disk", rule: { Pick: "first-nvme" } },
];

/** Each disk that has a name which lasts, then the ways to pick one. */
export function ruleChoices(disks: readonly Disk[]): RuleChoice[] {
  const named = disks
    .filter((disk) => !disk.Removable && !disk.BootMedium)
    .flatMap((disk): RuleChoice[] => {
      const name = stableName(disk);
      if (name === null) return [];
      return [{ value: `${name.field}:${name.value}`, name: diskInWords(disk), rule: { [name.field]: name.value } }];
    });
  return [...named, ...PICKS];
}

/** The choice that a rule is: empty for none, `other` for one that the list does not have. */
export function choiceOf(rule: Json | undefined, choices: readonly RuleChoice[]): string {
  if (rule === undefined || rule === null) return "";
  if (!isObj(rule)) return OTHER;
  return choices.find((choice) => same(choice.rule, rule))?.value ?? OTHER;
}
