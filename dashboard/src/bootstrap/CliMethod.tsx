// The CLI card: one command for a machine that runs Linux already. Its token is a secret: it lives in this
// component and nowhere else.
import { useState } from "react";
import { useMutation } from "@tanstack/react-query";
import { api } from "../api";
import { localTime } from "../age";
import { explain } from "../explain";
import { CopyText, Problem } from "../ui/parts";
import type { TokenCreated } from "../wire";
import { LifetimeField } from "./LifetimeField";

/** The body and buttons of the CLI method. */
export function CliMethod({ close }: { close(): void }) {
  const [lifetime, setLifetime] = useState(600);
  // Kept out of every cache (`gcTime` 0), and gone when the dialog closes.
  const creation = useMutation({ mutationFn: () => api.createToken({ Lifetime: lifetime }), gcTime: 0 });
  return (
    <div className="method-form">
      <div className="modal-body">
        <ol className="steps">
          <li>
            <h3>Select the Token Lifetime and generate the command.</h3>
            <p>Whoever has the command can register machines until it expires, so keep its lifetime short.</p>
            <div className="token-form">
              <LifetimeField
                lifetime={lifetime}
                change={(seconds) => {
                  setLifetime(seconds);
                  creation.reset();
                }}
              />
              <button
                type="button"
                className="button button-strong"
                disabled={creation.isPending}
                onClick={() => creation.mutate()}
              >
                {creation.isPending ? "Generating\u2026" : "Generate command"}
              </button>
            </div>
            {creation.error !== null && <Problem error={explain(creation.error, "token")} />}
            {creation.data !== undefined && <Command token={creation.data} />}
          </li>
          <li>
            <h3>Paste it into a shell on the machine.</h3>
            <p>
              It needs a Linux with systemd, curl and sudo, and installs the agent as the service{" "}
              <code>muster-agent</code>. Running it twice does no harm; with <code>sudo sh -s -- --uninstall</code> at
              the end of its first line it takes the agent away.
            </p>
          </li>
          <li>
            <h3>Click Done to close the dialog.</h3>
            <p>
              The machine appears in the list in Discovery mode. Its disks are write-protected until you lift that.
            </p>
          </li>
        </ol>
      </div>
      <footer className="modal-actions">
        <button type="button" className="button button-primary" onClick={close}>
          Done
        </button>
      </footer>
    </div>
  );
}

function Command({ token }: { token: TokenCreated }) {
  return (
    <>
      <p>
        It expires {localTime(Date.parse(token.ExpiresAt), api.now())} and is not shown again once this dialog closes.
      </p>
      <CopyText name="Command" text={token.Command} label="Copy command" />
    </>
  );
}
