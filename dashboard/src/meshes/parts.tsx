// Small pieces that the pages of mesh networks share.
import { Fragment } from "react";
import { ageLabel, ageWords, secondsSince } from "../age";
import { memorySize } from "../size";
import { useNow } from "../time";
import { WarningIcon } from "../ui/icons";
import { CopyButton, Nothing } from "../ui/parts";
import { rateWords, type Rate, type Reached } from "./peers";

/** The coloured dot of a member, as the server says. */
export function PresenceDot({ online }: { online: boolean }) {
  const words = online ? "Online" : "Offline";
  return <span className={online ? "dot dot-online" : "dot dot-offline"} role="img" aria-label={words} title={words} />;
}

/** Addresses, one in a line. */
export function Addresses({ of }: { of: readonly string[] }) {
  if (of.length === 0) return <Nothing />;
  return (
    <span className="mesh-addresses">
      {of.map((address) => (
        <code key={address}>{address}</code>
      ))}
    </span>
  );
}

/** A WireGuard public key, to compare and to copy. */
export function Key({ text }: { text: string }) {
  return (
    <span className="mesh-key">
      <span className="hint">Key</span>
      <code>{text}</code>
      <CopyButton text={text} />
    </span>
  );
}

/** How two members reach each other. */
export function WayMark({ standing, words, why }: Reached) {
  return (
    <span className={`way way-${standing}`} title={why}>
      {words}
    </span>
  );
}

/** Where a member is reached. An IPv6 address has room to break at its colons. */
export function Endpoint({ text }: { text: string | null }) {
  if (text === null) return <Nothing />;
  return (
    <code className="mesh-endpoint">
      {text.split(":").map((part, index) => (
        <Fragment key={index}>
          {index > 0 && (
            <>
              :<wbr />
            </>
          )}
          {part}
        </Fragment>
      ))}
    </code>
  );
}

/** What somebody should know and may mend. */
export function Warning({ text }: { text: string }) {
  return (
    <div className="note note-warning" role="status">
      <WarningIcon />
      <p>{text}</p>
    </div>
  );
}

/** How long ago a handshake was, by the server's clock. */
export function Handshake({ at }: { at: string | null }) {
  const seconds = secondsSince(at, useNow(1_000));
  if (at === null || seconds === null) return <Nothing />;
  return (
    <time dateTime={at} className="mesh-count" title={`${ageWords(seconds)} ago`}>
      {ageLabel(seconds)} ago
    </time>
  );
}

/** Bytes so far, both ways. */
interface TrafficProps {
  received: number;
  sent: number;
  /** How many a second, where it is known. */
  rate: Rate | null;
}

/** What came, and what went. */
export function Traffic({ received, sent, rate }: TrafficProps) {
  return (
    <span className="mesh-traffic">
      <Direction arrow={"\u2193"} name="Received" bytes={received} rate={rate?.received} />
      <Direction arrow={"\u2191"} name="Sent" bytes={sent} rate={rate?.sent} />
    </span>
  );
}

function Direction({ arrow, name, bytes, rate }: { arrow: string; name: string; bytes: number; rate: number | undefined }) {
  return (
    <span className="mesh-count" title={name}>
      <span aria-hidden="true">{arrow}</span>
      <span className="visually-hidden">{name}</span> {memorySize(bytes)}
      {rate !== undefined && <span className="mesh-rate"> {rateWords(rate)}</span>}
    </span>
  );
}
