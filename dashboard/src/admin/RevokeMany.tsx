// Ends several bootstrap tokens at once: everything that somebody made so far, or everything.
import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { ConfirmDialog } from "../ui/ConfirmDialog";
import { SelectField } from "../ui/fields";
import { notify } from "../ui/Notice";
import { revokeTokens } from "./api";
import type { BootstrapToken } from "./wire";

const EVERYBODY = "";

interface RevokeManyProps {
  open: boolean;
  close(): void;
  tokens: readonly BootstrapToken[];
}

/** The question whose, and the end of them. */
export function RevokeMany({ open, close, tokens }: RevokeManyProps) {
  const client = useQueryClient();
  const [whose, setWhose] = useState(EVERYBODY);
  const users = [...new Set(tokens.filter(({ By }) => By.startsWith("user:")).map(({ By }) => By.slice("user:".length)))];
  const run = async () => {
    const { Ended } = await revokeTokens(client, whose === EVERYBODY ? { Before: "now" } : { User: whose });
    notify(`${Ended === 1 ? "1 token that was live is" : `${Ended} tokens that were live are`} revoked.`);
  };
  return (
    <ConfirmDialog
      open={open}
      close={close}
      title="Revoke several tokens"
      act={{ label: "Revoke tokens", busy: "Revoking\u2026" }}
      doing="change"
      run={run}
      typed={{ text: "revoke", what: "the word" }}
    >
      <p>
        Every token that was made so far ends, also those in boot menus and in downloads of the ISO image. Machines that
        are registered stay. This cannot be taken back.
      </p>
      <SelectField
        label="Made by"
        value={whose}
        onChange={setWhose}
        empty="Everybody, and the server itself"
        choices={users.map((value) => ({ value }))}
      />
    </ConfirmDialog>
  );
}
