// How a disk image or a root tar comes to the server: a file from here, or by its URL; and the default image.
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useRef, useState } from "react";
import { api, at } from "../api";
import { explain } from "../explain";
import { setPrefs, usePrefs } from "../prefs";
import { diskSize } from "../size";
import { ConfirmDialog } from "../ui/ConfirmDialog";
import { notify } from "../ui/Notice";
import { Fact, Problem } from "../ui/parts";
import { isObj, textAt, type Json, type Obj } from "./json";
import type { ViewProps } from "./kind";

type Phase = "none" | "waiting" | "downloading" | "converting" | "done" | "failed";

/** An import as the server tells it. */
interface ImportState {
  State: Phase;
  Percent: number;
  Bytes: number;
  Total: number;
  Message: string;
  SourceDigest: string;
  Digest: string;
  Size: number;
  UnpackedSize: number;
}

const DOING: Record<Phase, string> = {
  none: "Not imported yet",
  waiting: "Waiting for other imports",
  downloading: "Coming to the server",
  converting: "Being made into what machines install",
  done: "Ready to install",
  failed: "Not imported",
};

/** Where the source is a file, and not a reference into a registry. */
function comesAsFile(image: Obj): boolean {
  const source = textAt(image, "Source");
  return source === "upload" || source.includes("://");
}

/** How far an image's import is, in words; nothing for what needs none. */
export function importWords(image: Obj): string {
  const state = comesAsFile(image) ? importOf(image["Import"]) : null;
  if (state === null) return "";
  const words = DOING[state.State];
  return state.Total > 0 && (state.State === "downloading" || state.State === "converting") ? `${words}, ${state.Percent} %` : words;
}

/** The panel above an image's form. */
export function ImageImport({ object, changed }: ViewProps) {
  const state = importOf(object["Import"]);
  return (
    <section className="panel" aria-label="State of the image">
      {comesAsFile(object) ? (
        state !== null && <Import image={object} state={state} changed={changed} />
      ) : (
        <p>Machines pull this image from its registry, through this server. It needs no import.</p>
      )}
      <Default name={textAt(object, "Name")} />
    </section>
  );
}

function importOf(value: Json | undefined): ImportState | null {
  if (!isObj(value)) return null;
  const number = (name: string) => (typeof value[name] === "number" ? value[name] : 0);
  return {
    State: phaseOf(value["State"]),
    Percent: number("Percent"),
    Bytes: number("Bytes"),
    Total: number("Total"),
    Message: textAt(value, "Message"),
    SourceDigest: textAt(value, "SourceDigest"),
    Digest: textAt(value, "Digest"),
    Size: number("Size"),
    UnpackedSize: number("UnpackedSize"),
  };
}

function phaseOf(word: Json | undefined): Phase {
  const phases: readonly Phase[] = ["waiting", "downloading", "converting", "done", "failed"];
  return phases.find((phase) => phase === word) ?? "none";
}

function Import({ image, state, changed }: { image: Obj; state: ImportState; changed: boolean }) {
  const name = textAt(image, "Name");
  const active = state.State === "waiting" || state.State === "downloading" || state.State === "converting";
  const cancel = useMutation({ mutationFn: () => api.delete(at("images", name, "import")) });
  return (
    <>
      <p className="import-state" role="status">
        <span className={`state state-${CLASS[state.State]}`}>{DOING[state.State]}</span>
        {active && state.Total > 0 && (
          <span>
            {diskSize(state.Bytes)} of {diskSize(state.Total)}
          </span>
        )}
        {state.Message !== "" && state.State !== "done" && <span className="hint">{state.Message}</span>}
      </p>
      {active && (
        <>
          <Bar label={`Import of ${name}`} percent={state.Percent} />
          <p className="actions">
            <button type="button" className="button button-small" disabled={cancel.isPending} onClick={() => cancel.mutate()}>
              Cancel import
            </button>
          </p>
        </>
      )}
      {cancel.error !== null && <Problem error={explain(cancel.error, "change")} />}
      {state.State === "done" && (
        <dl className="facts">
          <Fact name="Download">{diskSize(state.Size)}</Fact>
          <Fact name="Unpacked">{diskSize(state.UnpackedSize)}</Fact>
          <Fact name="File">
            <code>{state.SourceDigest}</code>
          </Fact>
        </dl>
      )}
      {!active && (textAt(image, "Source") === "upload" ? <Upload name={name} again={state.State === "done"} /> : <Fetch name={name} again={state.State === "done"} changed={changed} />)}
    </>
  );
}

const CLASS: Record<Phase, string> = {
  none: "discovery",
  waiting: "pending",
  downloading: "installing",
  converting: "installing",
  done: "installed",
  failed: "failed",
};

function Bar({ label, percent }: { label: string; percent: number }) {
  return (
    <progress className="import-bar" aria-label={label} max={100} value={percent}>
      {percent} %
    </progress>
  );
}

function Fetch({ name, again, changed }: { name: string; again: boolean; changed: boolean }) {
  const start = useMutation({ mutationFn: () => api.post(at("images", name, "import"), undefined) });
  return (
    <>
      <p className="actions">
        <button
          type="button"
          className="button button-small"
          disabled={start.isPending || changed}
          title={changed ? "Save your changes first" : undefined}
          onClick={() => start.mutate()}
        >
          {again ? "Import it again" : "Import it now"}
        </button>
      </p>
      {start.error !== null && <Problem error={explain(start.error, "change")} />}
    </>
  );
}

/** Sends a file of the operator's, piece by piece from the disk. */
function Upload({ name, again }: { name: string; again: boolean }) {
  const chooser = useRef<HTMLInputElement>(null);
  const abort = useRef<AbortController | null>(null);
  const [sent, setSent] = useState<{ bytes: number; total: number } | null>(null);
  const upload = useMutation({
    mutationFn: async (file: File) => {
      const controller = new AbortController();
      abort.current = controller;
      setSent({ bytes: 0, total: file.size });
      try {
        await api.upload(at("images", name, "import"), file, (bytes) => setSent({ bytes, total: file.size }), controller.signal);
        notify(`${file.name} is uploaded.`);
      } finally {
        setSent(null);
      }
    },
  });
  const busy = upload.isPending && sent !== null;
  return (
    <>
      <input
        ref={chooser}
        type="file"
        hidden
        aria-label="Image file"
        onChange={(event) => {
          const file = event.target.files?.[0];
          // The same file may be chosen again after a failure.
          event.target.value = "";
          if (file !== undefined) upload.mutate(file);
        }}
      />
      {busy && (
        <>
          <Bar label="Upload" percent={sent.total === 0 ? 0 : Math.floor((sent.bytes / sent.total) * 100)} />
          <p className="hint" role="status">
            {diskSize(sent.bytes)} of {diskSize(sent.total)} sent. Keep this page open.
          </p>
        </>
      )}
      <p className="actions">
        {busy ? (
          <button type="button" className="button button-small" onClick={() => abort.current?.abort()}>
            Stop the upload
          </button>
        ) : (
          <button type="button" className="button button-small" onClick={() => chooser.current?.click()}>
            {again ? "Upload another file\u2026" : "Upload a file\u2026"}
          </button>
        )}
      </p>
      {upload.error !== null && !busy && <Problem error={explain(upload.error, "change")} />}
      {!busy && <p className="hint">A raw or qcow2 disk image, or a tar of a root file system; gz, xz and zst too.</p>}
    </>
  );
}

/** Which image machines get whose roles name none. */
function Default({ name }: { name: string }) {
  const client = useQueryClient();
  const prefs = usePrefs();
  const button = useRef<HTMLButtonElement>(null);
  const [asking, setAsking] = useState(false);
  if (prefs.data === undefined) return null;
  const current = prefs.data["defaultImage"] ?? "";
  if (current === name) return <p>It is the default image: machines get it whose roles name none.</p>;
  return (
    <>
      <p className="actions">
        <button ref={button} type="button" className="button button-small" onClick={() => setAsking(true)}>
          Make it the default image
        </button>
      </p>
      <ConfirmDialog
        open={asking}
        close={() => setAsking(false)}
        title={`Make ${name} the default image?`}
        act={{ label: "Make it the default", busy: "Setting it\u2026" }}
        run={async () => {
          await setPrefs(client, { defaultImage: name });
          notify(`${name} is the default image.`);
        }}
        doing="change"
        danger={false}
        returnTo={button}
      >
        <p>
          Machines whose roles name no image are installed with it from now on
          {current === "" ? "." : `, instead of ${current}.`} Those that are installed already stay as they are.
        </p>
      </ConfirmDialog>
    </>
  );
}
