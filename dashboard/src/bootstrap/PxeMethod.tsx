// The PXE card: kernel and initrd for an existing boot server, and the token that lets
// machines in. The token is a secret: it lives in this component and nowhere else.
import { useId, useState } from "react";
import { useMutation } from "@tanstack/react-query";
import { api } from "../api";
import { localTime } from "../age";
import { explain } from "../explain";
import { CopyText, Problem } from "../ui/parts";
import type { TokenCreated } from "../wire";
import { KernelDownloads } from "./downloads";

const DAY = 86_400;

/** The lifetimes there are, as `protocol/src/rest.rs` has them. */
const LIFETIMES: readonly { seconds: number; label: string }[] = [
  { seconds: 600, label: "10 minutes" },
  { seconds: DAY, label: "1 day" },
  { seconds: 7 * DAY, label: "7 days" },
  { seconds: 30 * DAY, label: "30 days" },
  { seconds: 90 * DAY, label: "90 days" },
  { seconds: 365 * DAY, label: "365 days" },
];

/** The body and buttons of the PXE method. */
export function PxeMethod({ close }: { close(): void }) {
  const [lifetime, setLifetime] = useState(600);
  // Kept out of every cache (`gcTime` 0), and gone when the dialog closes.
  const creation = useMutation({ mutationFn: () => api.createToken(lifetime), gcTime: 0 });
  return (
    <div className="method-form">
      <div className="modal-body">
        <ol className="steps">
          <li>
            <h3>Put the kernel and the initial ramdisk on your boot server</h3>
            <p>
              By TFTP, HTTP or NFS, in a folder named <code>muster</code>: the menu entries below look there. They hold no
              secret and fit every machine.
            </p>
            <KernelDownloads />
          </li>
          <li>
            <h3>Make a bootstrap token</h3>
            <p>
              Any number of machines may register with it until it expires. Whoever can read the boot menu can use it, so
              keep its lifetime short.
            </p>
            <div className="token-form">
              <label className="field">
                <span>Token Lifetime</span>
                <select
                  className="input"
                  name="token-lifetime"
                  value={lifetime}
                  onChange={(event) => {
                    setLifetime(Number(event.target.value));
                    creation.reset();
                  }}
                >
                  {LIFETIMES.map(({ seconds, label }) => (
                    <option key={seconds} value={seconds}>
                      {label}
                    </option>
                  ))}
                </select>
              </label>
              <button
                type="button"
                className="button button-strong"
                disabled={creation.isPending}
                onClick={() => creation.mutate()}
              >
                {creation.isPending ? "Generating\u2026" : "Generate token"}
              </button>
            </div>
            {creation.error !== null && <Problem error={explain(creation.error, "token")} />}
          </li>
          {creation.data !== undefined && (
            <li>
              <Token token={creation.data} />
            </li>
          )}
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

type Form = "Kernel arguments" | "PXELINUX" | "GRUB" | "iPXE";

function Token({ token }: { token: TokenCreated }) {
  const forms: Record<Form, string> = {
    "Kernel arguments": token.KernelArgs,
    PXELINUX: token.Menus.Pxelinux,
    GRUB: token.Menus.Grub,
    iPXE: token.Menus.Ipxe,
  };
  const [form, setForm] = useState<Form>("Kernel arguments");
  const name = useId();
  return (
    <>
      <h3>Pass it to the kernel</h3>
      <p>
        It expires {localTime(Date.parse(token.ExpiresAt), api.now())} and is not shown again once this dialog closes.
      </p>
      <CopyText name="Token" text={token.Token} label="Copy token" />
      <fieldset className="segments">
        <legend className="visually-hidden">Ready to paste as</legend>
        {(Object.keys(forms) as Form[]).map((each) => (
          <label key={each} className="segment">
            <input
              type="radio"
              className="visually-hidden"
              name={name}
              checked={form === each}
              onChange={() => setForm(each)}
            />
            <span>{each}</span>
          </label>
        ))}
      </fieldset>
      <CopyText name={form} text={forms[form]} />
    </>
  );
}
