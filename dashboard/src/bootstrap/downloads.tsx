// What there is to download: the ISO image, and kernel and initrd for boot servers.
import { useQuery } from "@tanstack/react-query";
import { api } from "../api";
import { explain } from "../explain";
import { diskSize } from "../size";
import { DownloadIcon } from "../ui/icons";
import { CopyText, Problem } from "../ui/parts";
import type { MediaFile } from "../wire";

/** What this server is, and which media it has. */
export function useInfo() {
  return useQuery({ queryKey: ["info"], queryFn: () => api.info(), staleTime: 30_000 });
}

/** Where a media file is served. */
export function mediaPath(name: string): string {
  return `/media/${encodeURIComponent(name)}`;
}

function Download({ file, label, primary }: { file: MediaFile | undefined; label: string; primary?: boolean }) {
  const look = primary === true ? "button button-strong" : "button";
  if (file === undefined) {
    return (
      <button type="button" className={look} disabled>
        <DownloadIcon />
        {label}
      </button>
    );
  }
  return (
    <a className={look} href={mediaPath(file.name)} download={file.name}>
      <DownloadIcon />
      {label}
      <span className="size">{diskSize(file.size)}</span>
    </a>
  );
}

function NoMedia() {
  return (
    <p className="note note-warning">
      No boot media have been built on this server yet. Run <code>muster media build</code> there, then open this dialog
      again.
    </p>
  );
}

/** The image, how to write it to a stick, and its digest. */
export function IsoDownload() {
  const info = useInfo();
  const iso = info.data?.media.find((file) => file.name === "muster.iso");
  return (
    <section className="get" aria-label="ISO image">
      <p>
        Boot the machine from this image, on a USB drive or as a virtual CD-ROM. It is made for this server and holds no
        secret.
      </p>
      <p className="actions">
        <Download file={iso} label="Download ISO Image" primary />
      </p>
      {info.error !== null && <Problem error={explain(info.error, "load")} />}
      {info.isSuccess && iso === undefined && <NoMedia />}
      {iso !== undefined && (
        <p className="get-digest">
          SHA-256 as built: <code>{iso.sha256}</code>
        </p>
      )}
      {iso !== undefined && (
        <details>
          <summary>Write it to a USB drive, check it</summary>
          <p>Everything on the drive is replaced; take care to name the right one:</p>
          <CopyText
            name="Command that writes the image"
            text="sudo dd if=muster.iso of=/dev/sdX bs=4M conv=fsync status=progress"
          />
          <p>
            The digest above is the image&rsquo;s before this server&rsquo;s address and certificate pins are put in. A
            download differs in those regions only, and this shows what is in them:
          </p>
          <CopyText name="Command that shows what the image would do" text="muster media inspect muster.iso" />
        </details>
      )}
    </section>
  );
}

/** Kernel and initial ramdisk. */
export function KernelDownloads() {
  const info = useInfo();
  const named = (name: string) => info.data?.media.find((file) => file.name === name);
  const kernel = named("vmlinuz");
  const initrd = named("initrd");
  return (
    <>
      <p className="actions">
        <Download file={kernel} label="vmlinuz" />
        <Download file={initrd} label="initrd" />
      </p>
      {info.error !== null && <Problem error={explain(info.error, "load")} />}
      {info.isSuccess && (kernel === undefined || initrd === undefined) && <NoMedia />}
    </>
  );
}
