// An object as a whole, as JSON. What is never shown stands in neither direction of it.
import { authored } from "./change";
import { JsonField } from "./fields/JsonField";
import { isObj, type Json, type Obj } from "./json";
import { hiddenFields, type KindSpec } from "./kind";

interface JsonViewProps {
  kind: KindSpec;
  object: Obj;
  locked: string | undefined;
  change(object: Obj): void;
}

/** The text. Fields that the server sets are not part of it. */
export function JsonView({ kind, object, locked, change }: JsonViewProps) {
  const hidden = hiddenFields(kind);
  const shown = Object.fromEntries(Object.entries(authored(object)).filter(([name]) => !hidden.includes(name)));
  const kept = Object.fromEntries(Object.entries(object).filter(([name]) => hidden.includes(name)));
  const take = (value: Json | undefined) => {
    if (isObj(value)) change({ ...value, ...kept });
  };
  return (
    
      <JsonField
        label={`The ${kind.one} as JSON`}
        hint={`All that can be written of it.${hidden.length === 0 ? "" : ` ${hidden.join(", ")} is never shown.`}`}
        locked={locked}
        value={shown}
        lines={20}
        shape="object"
        onChange={take}
      />
    
  );
}
