// Makes an API token: what for, how long, with which rights. It is shown once, and kept nowhere here.
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState, type FormEvent } from "react";
import { api } from "../api";
import { when } from "../age";
import { explain } from "../explain";
import { SelectField, TextField } from "../ui/fields";
import { Modal } from "../ui/Modal";
import { CopyText, Problem } from "../ui/parts";
import { Tags } from "../ui/Tags";
import { createApiToken, useUser } from "./api";

const TTLS = [
  { value: "1d", name: "1 day" },
  { value: "7d", name: "7 days" },
  { value: "30d", name: "30 days" },
  { value: "90d", name: "90 days" },
  { value: "365d", name: "365 days" },
] as const;

interface NewApiTokenProps {
  open: boolean;
  close(): void;
  name: string;
}

/** The dialog. The token is gone when it closes. */
export function NewApiToken({ open, close, name }: NewApiTokenProps) {
  return (
    <Modal
      open={open}
      onOpenChange={(next) => !next && close()}
      title="New API token"
      description={`For a script or program that works as ${name}. It lasts also when you sign out.`}
    >
      <TokenForm close={close} name={name} />
    </Modal>
  );
}

function TokenForm({ close, name }: { close(): void; name: string }) {
  const client = useQueryClient();
  const user = useUser(client, name);
  const [description, setDescription] = useState("");
  const [ttl, setTtl] = useState("30d");
  const [roles, setRoles] = useState<string[]>([]);
  const creation = useMutation({
    gcTime: 0,
    mutationFn: () =>
      createApiToken(client, name, { Ttl: ttl, Roles: roles, Description: description.trim(), Lasting: true }),
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (!creation.isPending && creation.data === undefined) creation.mutate();
  };
  const made = creation.data;
  const options = (user.data?.Roles ?? []).map((value) => ({ value }));
  return (
    <form className="method-form" onSubmit={submit}>
      <div className="modal-body">
        {made === undefined ? (
          <>
            <TextField
              label="What it is for"
              value={description}
              onChange={setDescription}
              placeholder="Backup script on db-01"
              hint="Shown in the list, so that you know later what breaks when you revoke it."
            />
            <SelectField label="Lifetime" value={ttl} onChange={setTtl} choices={TTLS} />
            {options.length > 0 && (
              <div className="field">
                <span>Good for</span>
                <Tags
                  label="Good for"
                  one="role"
                  values={roles}
                  options={options}
                  onChange={setRoles}
                  none={`Everything that ${name} may do`}
                />
              </div>
            )}
            {creation.error !== null && <Problem error={explain(creation.error, "change")} />}
          </>
        ) : (
          <div className="form" role="status">
            <p>
              This is the token. It is not shown again once this dialog closes, and expires{" "}
              {when(made.ExpiresAt, api.now())}.
            </p>
            <CopyText name="API token" text={made.Token} label="Copy token" />
            <p className="hint">
              Send it as <code>Authorization: Bearer</code>, or give it to <code>muster</code> as{" "}
              <code>MUSTER_TOKEN</code>.
            </p>
          </div>
        )}
      </div>
      <footer className="modal-actions">
        <button type="button" className={made === undefined ? "button" : "button button-primary"} onClick={close}>
          {made === undefined ? "Cancel" : "Done"}
        </button>
        {made === undefined && (
          <button type="submit" className="button button-primary" disabled={creation.isPending}>
            {creation.isPending ? "Making\u2026" : "Make token"}
          </button>
        )}
      </footer>
    </form>
  );
}
