// The CLI card: one command for a machine that runs Linux already.
import { CopyText } from "../ui/parts";
import { TokenForm, useTokenCreation } from "./TokenForm";

/** The body and buttons of the CLI method. */
export function CliMethod({ close }: { close(): void }) {
  const creation = useTokenCreation();
  return (
    <div className="method-form">
      <div className="modal-body">
        <ol className="steps">
          <li>
            <h3>Select the Token Lifetime and copy the one-line command.</h3>
            <p>Whoever has the command can register machines until it expires, so keep its lifetime short.</p>
            <TokenForm creation={creation} what="command">
              {(token) => <CopyText name="Command" text={token.Command} label="Copy command" />}
            </TokenForm>
          </li>
          <li>
            <h3>Run the command as root on the target machine.</h3>
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
