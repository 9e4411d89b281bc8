// Sets a password, one's own or somebody else's. It ends everything that the user is signed in with.
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState, type FormEvent } from "react";
import { api } from "../api";
import { explain } from "../explain";
import { SESSION, SESSION_END } from "../live";
import { notify } from "../ui/Notice";
import { Problem } from "../ui/parts";
import { setPassword } from "./api";
import { isWhole, NO_PASSWORD, PasswordFields } from "./PasswordFields";

interface SetPasswordProps {
  name: string;
  /** It is one's own: this session ends too, and is begun anew. */
  own: boolean;
}

/** The card. */
export function SetPassword({ name, own }: SetPasswordProps) {
  const client = useQueryClient();
  const [value, setValue] = useState(NO_PASSWORD);
  const change = useMutation({
    gcTime: 0,
    mutationFn: async () => {
      await setPassword(name, value.password);
      // A password ends the sessions that the one before began: with the new one this goes on.
      if (!own) return;
      client.setQueryData(SESSION, await api.login(name, value.password));
      client.removeQueries({ queryKey: SESSION_END });
    },
    onSuccess: () => {
      setValue(NO_PASSWORD);
      notify(own ? "Your password is changed. You are signed out everywhere else." : `${name} has another password now.`);
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (isWhole(value) && !change.isPending) change.mutate();
  };
  return (
    <section className="card" aria-labelledby="set-password">
      <h2 id="set-password">Password</h2>
      <p className="hint">
        {own
          ? "Another password ends your other sessions, your API tokens, and the bootstrap tokens you made."
          : "Another password ends the user\u2019s sessions, API tokens, and the bootstrap tokens the user made."}
      </p>
      <form className="form" onSubmit={submit}>
        <PasswordFields value={value} onChange={setValue} />
        {change.error !== null && <Problem error={explain(change.error, "change")} />}
        <p className="actions">
          <button type="submit" className="button button-strong" disabled={!isWhole(value) || change.isPending}>
            {change.isPending ? "Changing\u2026" : "Change password"}
          </button>
        </p>
      </form>
    </section>
  );
}
