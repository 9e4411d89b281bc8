// What asks to be registered: looked at before anything is approved.
import { useId } from "react";
import { localTime } from "../age";
import { asSentence } from "../explain";
import { bmc, diskKind, firmware, memory, neighbour, processor, tpm } from "../machines/detail/Hardware";
import { diskSize } from "../size";
import { useNow } from "../time";
import { Fact } from "../ui/parts";
import { WarningIcon } from "../ui/icons";
import type { EnrollmentPreview, Inventory, MachineMatch } from "../wire";
import { mustCompare, proposedName, type Choice, type Previewed } from "./approval";

/** Most entries of a list that are shown at first. */
const MOST = 6;

interface PreviewProps {
  found: Previewed;
  onChoice(choice: Choice): void;
  /** A decision is on its way. */
  locked: boolean;
}

/** What to compare with the console, beside the code as it is there. */
export function Fingerprint({ value }: { value: string }) {
  const id = useId();
  return (
    <section className="fingerprint" aria-labelledby={id}>
      <h3 id={id}>Check</h3>
      <code className="fingerprint-value">{value}</code>
      <p className="code-note">The machine&rsquo;s console shows the same check.</p>
    </section>
  );
}

/** Hardware, warnings and the choices of an approval. */
export function Preview({ found, onChoice, locked }: PreviewProps) {
  const { preview, choice } = found;
  const compare = mustCompare(preview, found.code);
  const now = useNow(10_000);
  const title = [preview.vendor, preview.product].filter((word) => word !== "").join(" ") || "Unknown hardware";
  return (
    <section className="preview" aria-label="Machine that asks to be registered">
      <p className="visually-hidden" role="status">
        Found {title}, check {preview.fingerprint}
      </p>
      <div className="preview-head">
        <h3>{title}</h3>
        <p className="preview-origin">
          from <code>{preview.source_ip}</code> since {localTime(preview.created_at * 1000, now)}
          {preview.last_polled_seconds > 30 && `, last heard ${preview.last_polled_seconds} s ago`}
        </p>
      </div>
      {preview.warnings.length > 0 && (
        <ul className="note note-warning warnings">
          {preview.warnings.map((warning) => (
            <li key={`${warning.kind} ${warning.message}`} data-warning={warning.kind}>
              <WarningIcon />
              <span>{asSentence(warning.message)}</span>
            </li>
          ))}
        </ul>
      )}
      {compare && (
        <label className="check">
          <input
            type="checkbox"
            name="fingerprint-confirmed"
            checked={choice.confirmed}
            disabled={locked}
            onChange={(event) => onChoice({ ...choice, confirmed: event.target.checked })}
          />
          <span>
            <strong>{preview.fingerprint}</strong> matches the check on the machine&rsquo;s console
          </span>
        </label>
      )}
      {preview.matches.length > 0 && (
        <Merge preview={preview} choice={choice} onChoice={onChoice} locked={locked} />
      )}
      <PreviewFacts preview={preview} />
      <label className="field">
        <span>Name</span>
        <input
          className="input"
          name="machine-name"
          value={choice.name}
          placeholder={proposedName(preview, choice.merge)}
          disabled={locked}
          maxLength={253}
          autoComplete="off"
          autoCapitalize="none"
          spellCheck={false}
          onChange={(event) => onChoice({ ...choice, name: event.target.value })}
        />
      </label>
    </section>
  );
}

function PreviewFacts({ preview }: { preview: EnrollmentPreview }) {
  const { inventory } = preview;
  return (
    <dl className="facts facts-two">
      <Fact name="Serial number">{preview.serial || <None />}</Fact>
      <Fact name="Host name">{preview.host_name || <None />}</Fact>
      <Fact name="Processor">{processor(inventory.Cpu)}</Fact>
      <Fact name="Memory">{memory(inventory)}</Fact>
      <Fact name="Disks">
        <Few
          items={inventory.Disks.map(
            (disk) => `${disk.Name}, ${diskSize(disk.SizeBytes)} ${diskKind(disk)}${disk.Model === "" ? "" : `, ${disk.Model}`}`,
          )}
        />
      </Fact>
      <Fact name="MACs">
        <Few items={preview.macs} />
      </Fact>
      <Switches inventory={inventory} />
      <Fact name="BMC">{bmc(inventory.Bmc)}</Fact>
      <Fact name="TPM">{tpm(inventory.Tpm)}</Fact>
      <Fact name="Firmware">{firmware(inventory)}</Fact>
      <Fact name="Booted from">{preview.origin === "pxe" ? "Network" : "ISO image"}</Fact>
    </dl>
  );
}

/** Which switch ports the machine is plugged into, once a switch was heard. */
function Switches({ inventory }: { inventory: Inventory }) {
  const heard = inventory.Links.flatMap((link) => (link.Lldp === undefined ? [] : [`${neighbour(link.Lldp)} (${link.Name})`]));
  if (heard.length === 0) return null;
  return (
    <Fact name="Switch">
      <Few items={heard} />
    </Fact>
  );
}

function None() {
  return <span className="none">none</span>;
}

function Few({ items }: { items: string[] }) {
  if (items.length === 0) return <None />;
  return (
    <ul className="few">
      {items.slice(0, MOST).map((item, index) => (
        <li key={index}>{item}</li>
      ))}
      {items.length > MOST && <li className="none">and {items.length - MOST} more</li>}
    </ul>
  );
}

interface MergeProps {
  preview: EnrollmentPreview;
  choice: Choice;
  onChoice(choice: Choice): void;
  locked: boolean;
}

function Merge({ preview, choice, onChoice, locked }: MergeProps) {
  const name = useId();
  const choose = (merge: string | null) => {
    // A name that was typed stays; one that was only proposed follows the choice.
    const typed = choice.name !== proposedName(preview, choice.merge);
    onChoice({ ...choice, merge, name: typed ? choice.name : proposedName(preview, merge) });
  };
  return (
    <fieldset className="merge" disabled={locked}>
      <legend>Is it a machine you know?</legend>
      {preview.matches.map((match) => (
        <label key={match.uuid} className="check">
          <input
            type="radio"
            name={name}
            checked={choice.merge === match.uuid}
            disabled={match.online}
            onChange={() => choose(match.uuid)}
          />
          <MatchText match={match} />
        </label>
      ))}
      <label className="check">
        <input type="radio" name={name} checked={choice.merge === null} onChange={() => choose(null)} />
        <span>
          <strong>A new machine</strong>
        </span>
      </label>
    </fieldset>
  );
}

function MatchText({ match }: { match: MachineMatch }) {
  return (
    <span>
      <strong>It is {match.name}</strong>: keep its identity and history
      <span className="check-more">
        {match.online && "Online now, so it cannot be this one. "}
        {match.reasons.length > 0 && `The same: ${match.reasons.join(", ")}.`}
      </span>
    </span>
  );
}
