// The PXE card: kernel and initrd for an existing boot server, and the token that lets machines in.
import { useEffect, useId, useRef, useState } from "react";
import { CopyText } from "../ui/parts";
import type { BootLink, TokenCreate, TokenCreated } from "../wire";
import { KernelDownloads } from "./downloads";
import { TokenForm, useTokenCreation } from "./TokenForm";

/** The body and buttons of the PXE method. */
export function PxeMethod({ close }: { close(): void }) {
  const [places, setPlaces] = useState<Places>({ Kernel: "", Initrd: "" });
  const creation = useTokenCreation();
  return (
    <div className="method-form">
      <div className="modal-body">
        <ol className="steps">
          <li>
            <h3>Click the vmlinuz and initrd download buttons to get the kernel and initial ramdisk files.</h3>
            <KernelDownloads />
          </li>
          <li>
            <h3>Place these files on your PXE server (TFTP, HTTP, or NFS).</h3>
            <p>They hold no secret and fit every machine.</p>
            <PlacesForm
              places={places}
              change={(changed) => {
                setPlaces(changed);
                creation.reset();
              }}
            />
          </li>
          <li>
            <h3>
              Configure your PXE boot menu to boot from these files, passing the bootstrap token as a kernel parameter.
            </h3>
            <p>The next step writes the menu entries. One entry serves any number of machines.</p>
          </li>
          <li>
            <h3>Select the Token Lifetime and copy the generated token from the dialog.</h3>
            <p>
              Whoever can read the boot menu can register machines with the token until it expires, so keep its lifetime
              short.
            </p>
            <TokenForm creation={creation} more={named(places)} what="token">
              {(token) => <Token token={token} />}
            </TokenForm>
          </li>
          <li>
            <h3>Click Done to close the dialog.</h3>
            <p>Machines that boot from the entry appear in the list in Discovery mode.</p>
          </li>
        </ol>
        <WithoutServer />
      </div>
      <footer className="modal-actions">
        <button type="button" className="button button-primary" onClick={close}>
          Done
        </button>
      </footer>
    </div>
  );
}

/** Where the files lie on the boot server; empty for where they usually do. */
type Places = Required<Pick<TokenCreate, "Kernel" | "Initrd">>;

/** What was said, without blanks around it. */
function named({ Kernel, Initrd }: Places): Partial<Places> {
  const said = Object.entries({ Kernel, Initrd }).map(([key, place]) => [key, place.trim()]);
  return Object.fromEntries(said.filter(([, place]) => place !== ""));
}

function PlacesForm({ places, change }: { places: Places; change(places: Places): void }) {
  const field = (key: keyof Places, label: string, usual: string) => (
    <label className="field">
      <span>{label}</span>
      <input
        className="input"
        name={label}
        value={places[key]}
        placeholder={usual}
        maxLength={255}
        autoComplete="off"
        autoCapitalize="none"
        spellCheck={false}
        onChange={(event) => change({ ...places, [key]: event.target.value })}
      />
    </label>
  );
  return (
    <details>
      <summary>
        Menu entries look for <code>{places.Kernel.trim() || "muster/vmlinuz"}</code> and{" "}
        <code>{places.Initrd.trim() || "muster/initrd"}</code>
      </summary>
      <p>If they lie elsewhere, say where: a path on the boot server, or an http or tftp URL.</p>
      <div className="places">
        {field("Kernel", "Kernel", "muster/vmlinuz")}
        {field("Initrd", "Initial ramdisk", "muster/initrd")}
      </div>
    </details>
  );
}

function Token({ token }: { token: TokenCreated }) {
  const forms: readonly [string, string | undefined][] = [
    ["Kernel arguments", token.KernelArgs],
    ["PXELINUX", token.Menus.Pxelinux],
    ["GRUB", token.Menus.Grub],
    ["iPXE", token.Menus.Ipxe],
    ["iPXE from here", token.Menus.IpxeFromServer],
    ["Fetch files", fetching(token.Files)],
  ];
  const [chosen, setChosen] = useState("Kernel arguments");
  const name = useId();
  const end = useRef<HTMLDivElement>(null);
  // In braces: newer browsers return a promise here, which is no way to clean up.
  useEffect(() => {
    end.current?.scrollIntoView({ block: "nearest" });
  }, [chosen]);
  return (
    <>
      <CopyText name="Token" text={token.Token} label="Copy token" />
      <fieldset className="segments">
        <legend className="visually-hidden">Ready to paste as</legend>
        {forms.map(
          ([form, text]) =>
            text !== undefined && (
              <label key={form} className="segment">
                <input
                  type="radio"
                  className="visually-hidden"
                  name={name}
                  checked={form === chosen}
                  onChange={() => setChosen(form)}
                />
                <span>{form}</span>
              </label>
            ),
        )}
      </fieldset>
      <div ref={end} className="menu-text">
        {forms.map(
          ([form, text]) => form === chosen && text !== undefined && <CopyText key={form} name={form} text={text} />,
        )}
      </div>
    </>
  );
}

/** Commands for the boot server itself; none where the files come by HTTPS, which only knows our own CA. */
function fetching(files: readonly BootLink[]): string | undefined {
  if (files.length === 0 || files.some((file) => !file.Url.startsWith("http://"))) return undefined;
  const fetch = files.map((file) => `curl -fO ${file.Url}\n`);
  const sums = files.map((file) => `${file.Sha256}  ${file.Name}\n`);
  return `${fetch.join("")}sha256sum -c <<END\n${sums.join("")}END\n`;
}

/** How this server boots machines itself. */
function WithoutServer() {
  return (
    <details className="aside">
      <summary>No PXE server? This one boots machines by itself</summary>
      <p>
        Start <code>muster serve</code> with two more flags, beside the DHCP server that you have. The address is this
        server&rsquo;s own on the machines&rsquo; network:
      </p>
      <CopyText name="Flags of the server" text="--tftp-listen 0.0.0.0:69 --proxy-dhcp ADDRESS" />
      <p>Then let every machine that it does not know boot into Discovery mode, each with a token of its own:</p>
      <CopyText name="Preference" text="muster pref set unknownBootEnv=discovery" />
      <p>
        From then on whoever can plug a machine into that network can register it. <code>docs/network-boot.md</code> has
        the details, and what to tell a DHCP server that shall point here itself.
      </p>
    </details>
  );
}
