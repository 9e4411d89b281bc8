// What this server is: version, addresses, the pins of its CA, its keys, licences.
import { api } from "../api";
import { when } from "../age";
import { mediaPath, useInfo } from "../bootstrap/downloads";
import { explain } from "../explain";
import { useLive } from "../live";
import { CopyText, Fact, Loading, Problem } from "../ui/parts";
import { useTokenKeys } from "./api";

/** The section. */
export function ServerSettings() {
  const server = useInfo();
  const live = useLive();
  if (server.error !== null) return <Problem error={explain(server.error, "load")} />;
  if (server.data === undefined) return <Loading what="Loading" />;
  const facts = server.data;
  const hasLicences = facts.media.some((file) => file.name === "licenses.txt");
  return (
    <>
      <section className="card" aria-labelledby="server-facts">
        <h2 id="server-facts">This server</h2>
        <dl className="facts">
          <Fact name="Muster">{facts.muster_version}</Fact>
          <Fact name="Name">{facts.server_hostname}</Fact>
          <Fact name="Id">
            <code>{facts.id}</code>
          </Fact>
          <Fact name="Agent protocol">{facts.protocol}</Fact>
          <Fact name="Runs on">
            {facts.os}, {facts.arch}
          </Fact>
          <Fact name="Machines call">{facts.advertise.join(", ") || "the address they were booted from"}</Fact>
          <Fact name="Boot files">port {facts.file_port}, by HTTP</Fact>
          <Fact name="Events">{live ? "connected" : "reconnecting\u2026"}</Fact>
          <Fact name="Licences">
            Muster is under the Apache License 2.0.{" "}
            {hasLicences && <a href={mediaPath("licenses.txt")}>Licences of everything in the boot media</a>}
          </Fact>
        </dl>
      </section>
      <section className="card" aria-labelledby="ca-pins">
        <h2 id="ca-pins">CA fingerprints</h2>
        <p className="hint">
          Agents trust this server by these pins: the CA that signs now, and the one that follows it. Machines&rsquo;
          consoles and <code>muster media inspect</code> show the same.
        </p>
        <div className="form">
          {facts.ca_hash.map((pin, index) => (
            <CopyText key={pin} name={index === 0 ? "Current CA" : "Next CA"} text={pin} />
          ))}
        </div>
      </section>
      <TokenKeys />
    </>
  );
}

function TokenKeys() {
  const keys = useTokenKeys();
  if (keys.error !== null) return <Problem error={explain(keys.error, "load")} />;
  const now = api.now();
  return (
    <section className="card" aria-labelledby="token-keys">
      <h2 id="token-keys">Keys of bootstrap tokens</h2>
      <p className="hint">
        <code>muster key roll token</code> lets another key seal new tokens; the one before goes on opening its own.
      </p>
      <div className="scroll" tabIndex={0} role="region" aria-label="Keys of bootstrap tokens">
        <table className="plain">
          <thead>
            <tr>
              <th>Key</th>
              <th>Made</th>
              <th>Tokens sealed</th>
              <th>Last one ends</th>
            </tr>
          </thead>
          <tbody>
            {(keys.data ?? []).map((key) => (
              <tr key={key.Kid}>
                <td>
                  <code>{key.Kid}</code> {key.Current && <span className="label label-good">Current</span>}
                </td>
                <td>{when(key.CreatedAt, now)}</td>
                <td>{key.Issued}</td>
                <td>{when(key.LastExpiresAt, now)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}
