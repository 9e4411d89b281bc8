// The dialog in which a machine's own value of a param is set or taken away, typed by the param's schema.
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { api, ApiError, at } from "../../api";
import { explain } from "../../explain";
import { machineKey } from "../../live";
import { useFaults } from "../../objects/faults";
import { ParamValue } from "../../objects/fields/ParamValue";
import type { Json } from "../../objects/json";
import { startOf } from "../../objects/params";
import { placed } from "../../objects/problems";
import { Modal } from "../../ui/Modal";
import { notify } from "../../ui/Notice";
import { Problem } from "../../ui/parts";
import { inWords, sourceInWords } from "./draft";
import type { MachineFull, ParamDefinition, ParamSource } from "./wire";

interface ParamEditorProps {
  machine: MachineFull;
  name: string;
  definition: ParamDefinition | undefined;
  /** What holds when the machine says nothing. */
  inherited: ParamSource | undefined;
  close(): void;
}

/** The dialog. */
export function ParamEditor({ machine, name, definition, inherited, close }: ParamEditorProps) {
  const own = machine.Params[name];
  const schema = definition?.Schema ?? null;
  const [value, setValue] = useState<Json>(() => own ?? firstValue(inherited, schema));
  const { faults, gather } = useFaults();
  const path = at("machines", machine.Uuid, "params", name);
  const save = useWrite(machine, () => api.post<Json>(path, value), `${name} of ${machine.Name} is set.`, close);
  const remove = useWrite(machine, () => api.delete<Json>(path), `${name} of ${machine.Name} is taken away.`, close);
  const busy = save.isPending || remove.isPending;
  const { problem, failure } = refusal(name, save.error ?? remove.error);
  return (
    <Modal open onOpenChange={(open) => !open && !busy && close()} title={name} description={definition?.Description ?? "No such param is defined: any value is taken."}>
      <form
        className="method-form"
        onSubmit={(event) => {
          event.preventDefault();
          if (!busy && faults.length === 0) save.mutate();
        }}
      >
        <div className="modal-body">
          {gather(
            <ParamValue
              name={name}
              schema={schema}
              note={definition?.Documentation ?? ""}
              value={value}
              problem={problem}
              locked={undefined}
              onChange={setValue}
            />,
          )}
          <p className="hint">
            {inherited === undefined
              ? "Nobody else says anything of it."
              : `Without a value of its own the machine gets ${inherited.Cut > 0 ? "a long text" : inWords(inherited.Value)}, from ${sourceInWords(inherited)}.`}
          </p>
          {failure !== null && <Problem error={failure} />}
        </div>
        <div className="modal-actions">
          {own !== undefined && (
            <button type="button" className="button button-quiet-danger push" disabled={busy} onClick={() => remove.mutate()}>
              {remove.isPending ? "Removing\u2026" : "Remove own value"}
            </button>
          )}
          <button type="button" className="button" disabled={busy} onClick={close}>
            Cancel
          </button>
          <button type="submit" className="button button-primary" disabled={busy || faults.length > 0} title={faults[0]}>
            {save.isPending ? "Saving\u2026" : "Save"}
          </button>
        </div>
      </form>
    </Modal>
  );
}

/** What holds now is where most changes begin. */
function firstValue(inherited: ParamSource | undefined, schema: Json): Json {
  return inherited === undefined || inherited.Cut > 0 || inherited.Value === null ? startOf(schema) : inherited.Value;
}

function useWrite(machine: MachineFull, write: () => Promise<Json>, said: string, close: () => void) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: write,
    onSuccess: () => {
      void client.invalidateQueries({ queryKey: machineKey(machine.Uuid) });
      void client.invalidateQueries({ queryKey: ["setup", machine.Uuid] });
      notify(said);
      close();
    },
  });
}

function refusal(name: string, error: Error | null) {
  if (error === null) return { problem: undefined, failure: null };
  if (!(error instanceof ApiError) || (error.status !== 422 && error.status !== 400)) {
    return { problem: undefined, failure: explain(error, "change") };
  }
  const { at: found, others } = placed(error.messages, { fields: [`Params/${name}`], key: "", noun: "" });
  const problem = found.get(`Params/${name}`)?.map(({ text }) => text).join(" ");
  return { problem, failure: others.length === 0 ? null : { text: others.join(" "), retryAfter: null } };
}
