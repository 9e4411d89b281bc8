// Yes or no as a param of the machine, or whatever its roles and profiles say.
import type { ReactNode } from "react";
import { SelectField } from "../../ui/fields";
import { inWords, sourceInWords } from "./draft";
import type { Editing } from "./editing";

interface FlagFieldProps {
  edit: Editing;
  param: string;
  label: string;
  hint: ReactNode;
  /** What holds where nobody says anything. */
  usual: boolean;
}

/** A select: as inherited, yes, no. */
export function FlagField({ edit, param, label, hint, usual }: FlagFieldProps) {
  const own = edit.value("Params", param);
  const from = edit.from(param);
  const inherited = from === null ? `${inWords(usual)} (default)` : `${inWords(from.Value)} (${sourceInWords(from)})`;
  return (
    <SelectField
      label={label}
      hint={hint}
      locked={edit.locked}
      problem={edit.problem(`Params/${param}`)}
      value={own === undefined || own === null ? "" : String(own)}
      empty={`As inherited: ${inherited}`}
      choices={[
        { value: "true", name: "Yes" },
        { value: "false", name: "No" },
      ]}
      onChange={(value) => edit.set(value === "" ? undefined : value === "true", "Params", param)}
    />
  );
}
