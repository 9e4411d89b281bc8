// Boot media: what there is to download, with sizes and digests, and what it was built of.
import { api } from "../api";
import { localTime } from "../age";
import { mediaPath, useInfo } from "../bootstrap/downloads";
import { explain } from "../explain";
import { diskSize } from "../size";
import { DataTable, type Column } from "../ui/DataTable";
import { DownloadIcon } from "../ui/icons";
import { CopyButton, Fact, Loading, Problem } from "../ui/parts";
import type { MediaFile } from "../wire";
import { useManifest } from "./api";
import type { MediaManifest } from "./wire";

/** What the files of a media directory are for. */
const PURPOSE: Readonly<Record<string, string>> = {
  "muster.iso": "Boots from a USB drive or a virtual CD-ROM, by BIOS and UEFI",
  vmlinuz: "Kernel, for boot servers",
  initrd: "Initial ramdisk, for boot servers",
  "muster-agent": "The agent, as an installed Linux runs it",
  "muster-installer": "What writes an operating system",
  "licenses.txt": "Licences of everything inside",
  "sbom.spdx.json": "Parts list (SPDX)",
};

const COLUMNS: readonly Column<MediaFile>[] = [
  {
    id: "name",
    name: "File",
    value: (file) => file.name,
    cell: (file) => (
      <a href={mediaPath(file.name)} download={file.name} className="file-name">
        {file.name}
      </a>
    ),
  },
  { id: "purpose", name: "What it is", value: (file) => PURPOSE[file.name] ?? "" },
  { id: "size", name: "Size", value: (file) => file.size, cell: (file) => diskSize(file.size), width: "narrow" },
  {
    id: "sha256",
    name: "SHA-256",
    value: (file) => file.sha256,
    cell: (file) => <span className="digest">{file.sha256}</span>,
    unsorted: true,
  },
];

/** The section. */
export function MediaSettings() {
  const server = useInfo();
  const media = server.data?.media ?? [];
  const manifest = useManifest(media.length > 0);
  if (server.error !== null) return <Problem error={explain(server.error, "load")} />;
  if (server.isPending) return <Loading what="Loading media" />;
  if (media.length === 0) return <NotBuilt />;
  return (
    <>
      {manifest.error !== null && <Problem error={explain(manifest.error, "load")} />}
      {manifest.data !== undefined && <Built manifest={manifest.data} />}
      <section className="card" aria-labelledby="media-files">
        <h2 id="media-files">Files</h2>
        <p className="hint">
          Digests are of the files as they were built. <code>muster.iso</code> gets this server&rsquo;s address and
          certificate pins as it is downloaded; <code>muster media inspect</code> shows them.
        </p>
        <DataTable
          caption="Boot media"
          things={media}
          columns={COLUMNS}
          keyOf={(file) => file.name}
          menu={(file) => (
            <a className="button button-icon" href={mediaPath(file.name)} download={file.name} aria-label={`Download ${file.name}`}>
              <DownloadIcon />
            </a>
          )}
        />
        <p className="actions media-more">
          <a href="/media/SHA256SUMS" download="SHA256SUMS">
            SHA256SUMS
          </a>
          <a href="/media/manifest.json" download="manifest.json">
            manifest.json
          </a>
        </p>
      </section>
    </>
  );
}

function Built({ manifest }: { manifest: MediaManifest }) {
  const { version, kernel, arch, profile, build_time, packages } = manifest;
  return (
    <section className="card" aria-labelledby="media-build">
      <h2 id="media-build">Build</h2>
      <dl className="facts">
        <Fact name="Built">{localTime(build_time * 1000, api.now())}</Fact>
        <Fact name="By">Muster {version}</Fact>
        <Fact name="Kernel">{kernel}</Fact>
        <Fact name="Architecture">{arch}</Fact>
        <Fact name="Drivers">{profile}</Fact>
        <Fact name="Packages">
          <details>
            <summary>{packages.length} packages</summary>
            <ul className="packages">
              {packages.map(({ name, version: of }) => (
                <li key={name}>
                  <code>
                    {name} {of}
                  </code>
                </li>
              ))}
            </ul>
          </details>
        </Fact>
      </dl>
    </section>
  );
}

function NotBuilt() {
  return (
    <section className="empty">
      <h2>No boot media yet</h2>
      <p>
        Run <code>muster media build</code> on this server, or <code>make media</code> in the source tree.
      </p>
      <CopyButton text="muster media build" label="Copy command" />
    </section>
  );
}
