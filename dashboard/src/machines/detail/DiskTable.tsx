// The disks of a machine, with what is on each.
import { Fragment } from "react";
import { diskSize } from "../../size";
import { contentsInShort, held } from "./disks";
import { diskKind } from "./Hardware";
import type { Disk } from "../../wire";

/** Whole disks; what is on one is shown on request. */
export function DiskTable({ disks }: { disks: readonly Disk[] }) {
  if (disks.length === 0) return <p className="none">No disks were found.</p>;
  return (
    <div className="scroll" tabIndex={0} role="region" aria-label="Disks">
      <table className="plain">
        <thead>
          <tr>
            <th scope="col">Name</th>
            <th scope="col">Size</th>
            <th scope="col">Kind</th>
            <th scope="col">Model</th>
            <th scope="col">Serial number</th>
            <th scope="col">WWN</th>
            <th scope="col">Place</th>
            <th scope="col">On it</th>
          </tr>
        </thead>
        <tbody>
          {disks.map((disk, index) => (
            <tr key={index}>
              <td>
                <code>{disk.Name}</code>
                {disk.BootMedium && <span className="more">booted from</span>}
              </td>
              <td>{diskSize(disk.SizeBytes)}</td>
              <td>
                {diskKind(disk)}
                {disk.Transport !== "" && <span className="more">{disk.Transport}</span>}
                {disk.ReadOnly && <span className="more">read-only</span>}
              </td>
              <td>{disk.Model}</td>
              <td>{disk.Serial}</td>
              <td>
                {disk.Wwn}
                {disk.ById.length > 0 && (
                  <details>
                    <summary>by-id</summary>
                    {disk.ById.map((name) => (
                      <code key={name} className="more">
                        {name}
                      </code>
                    ))}
                  </details>
                )}
              </td>
              <td>{disk.Path}</td>
              <td>
                <Held disk={disk} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Held({ disk }: { disk: Disk }) {
  const list = held(disk);
  if (list.length === 0) return contentsInShort(disk.Contents);
  return (
    <details>
      <summary>{contentsInShort(disk.Contents)}</summary>
      <HeldList disk={disk} />
    </details>
  );
}

/** Everything on a disk, one line each. */
export function HeldList({ disk }: { disk: Disk }) {
  return (
    <dl className="held">
      {held(disk).map((one, index) => (
        <Fragment key={index}>
          <dt>
            {one.on}, {diskSize(one.size)}
          </dt>
          <dd>
            {[
              one.what,
              one.label === "" ? "" : `\u201c${one.label}\u201d`,
              one.used === null ? "" : `${diskSize(one.used)} used`,
              one.lastMounted === "" ? "" : `last mounted at ${one.lastMounted}`,
            ]
              .filter((word) => word !== "")
              .join(", ")}
          </dd>
        </Fragment>
      ))}
    </dl>
  );
}
