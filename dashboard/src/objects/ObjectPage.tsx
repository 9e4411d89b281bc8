// The editor of an object that there is.
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import { Link, useLocation } from "wouter";
import { when } from "../age";
import { api, ApiError } from "../api";
import { explain } from "../explain";
import { usePageTitle } from "../time";
import { BackIcon, WarningIcon } from "../ui/icons";
import { notify } from "../ui/Notice";
import { Loading, Problem } from "../ui/parts";
import type { Tab } from "../ui/Tabs";
import { change, OBJECTS, useObject } from "./api";
import { decided, draftOf, isChanged, rebased } from "./change";
import { Conflicts } from "./Conflicts";
import { Editor } from "./Editor";
import { flagAt, textAt, textsAt, type Obj } from "./json";
import type { KindSpec } from "./kind";
import { ObjectMenu } from "./ObjectMenu";
import { told } from "./refusal";
import { originOf, Standing } from "./Standing";
import { UsedBy } from "./UsedBy";

/** The page of one object. */
export function ObjectPage({ kind, name }: { kind: KindSpec; name: string }) {
  const heading = usePageTitle(`${name} \u00b7 ${kind.many}`);
  const [, navigate] = useLocation();
  const object = useObject(kind, name);
  const problem = useMemo(() => (object.error === null ? null : explain(object.error, "load")), [object.error]);
  const gone = object.error instanceof ApiError && object.error.status === 404;
  return (
    <>
      <Link to={kind.path} className="back">
        <BackIcon />
        {kind.many}
      </Link>
      <div className="page-head">
        <div className="object-title">
          <h1 ref={heading} tabIndex={-1}>
            {name}
          </h1>
          {object.data !== undefined && <Standing object={object.data} />}
        </div>
        {object.data !== undefined && (
          <div className="actions">
            <ObjectMenu kind={kind} object={object.data} onDeleted={() => navigate(kind.path)} />
          </div>
        )}
      </div>
      {problem !== null &&
        (gone ? (
          <Problem error={{ text: object.data === undefined ? `There is no ${kind.one} called ${name}.` : `Somebody has deleted this ${kind.one}. What you see is what it was.`, retryAfter: null }} />
        ) : (
          <Problem error={problem} again={{ label: "Try again", act: () => void object.refetch() }} />
        ))}
      {object.isPending && problem === null && <Loading what={`Loading ${name}`} />}
      {object.data !== undefined && <ExistingObject kind={kind} name={name} object={object.data} gone={gone} />}
    </>
  );
}

interface ExistingObjectProps {
  kind: KindSpec;
  name: string;
  object: Obj;
  gone: boolean;
}

function ExistingObject({ kind, name, object, gone }: ExistingObjectProps) {
  const client = useQueryClient();
  const [draft, setDraft] = useState(() => draftOf(object));
  // What somebody else did is taken over at once where nothing of it was changed here.
  if (draft.seen !== object) setDraft(rebased(draft, object));
  const saving = useMutation({
    gcTime: 0,
    mutationFn: () => change(client, kind, name, draft),
    onSuccess: (saved) => {
      setDraft(draftOf(saved));
      notify(`${name} is saved.`);
    },
    // Most likely somebody else was faster: what they did is shown beside what is wanted.
    onError: () => void client.invalidateQueries({ queryKey: OBJECTS }),
  });
  const { problems, failure } = useMemo(() => told(kind, saving.error, false), [kind, saving.error]);
  const origin = originOf(object);
  const locked = gone ? "It is deleted." : flagAt(object, "ReadOnly") ? (origin?.why ?? "It is read-only.") : undefined;
  const changed = locked === undefined && isChanged(draft);
  const views: Tab[] = [
    ...(kind.views ?? []).map(({ id, name: title, view: View }) => ({ id, name: title, body: <View object={object} changed={changed} /> })),
    { id: "used-by", name: "Used by", body: <UsedBy kind={kind} name={name} /> },
  ];
  const Panel = kind.panel;
  return (
    <Editor
      kind={kind}
      wanted={draft.wanted}
      seen={object}
      change={(wanted) => setDraft({ ...draft, wanted })}
      changed={changed}
      problems={problems}
      failure={failure}
      locked={locked}
      held={draft.conflicts.length > 0 ? "Somebody else changed the same: decide above what is right." : null}
      saving={saving.isPending}
      save={() => saving.mutate()}
      discard={() => {
        setDraft(draftOf(object));
        saving.reset();
      }}
      views={views}
    >
      {flagAt(object, "ReadOnly") && (
        <p className="note note-info">
          {origin?.why ?? "It is read-only."} <Link to={`${kind.path}?copy=${encodeURIComponent(name)}`}>Clone it</Link> to make one to
          change.
        </p>
      )}
      {!flagAt(object, "Available") && <Unavailable kind={kind} object={object} />}
      <Conflicts draft={draft} by={textAt(object, "LastModifiedBy")} decide={(field, keep) => setDraft(decided(draft, field, keep))} />
      {Panel !== undefined && <Panel object={object} changed={changed} />}
      <Changed object={object} />
    </Editor>
  );
}

function Unavailable({ kind, object }: { kind: KindSpec; object: Obj }) {
  return (
    <div className="note note-warning" role="status">
      <WarningIcon />
      <div>
        <p>This {kind.one} cannot be used as it is:</p>
        <ul className="object-errors">
          {textsAt(object, "Errors").map((error) => (
            <li key={error}>{error}</li>
          ))}
        </ul>
      </div>
    </div>
  );
}

/** Who changed it last, and when. */
function Changed({ object }: { object: Obj }) {
  const [by, at] = [textAt(object, "LastModifiedBy"), textAt(object, "LastModifiedAt")];
  if (at === "") return null;
  return (
    <p className="hint object-changed">
      Changed {when(at, api.now())}
      {by !== "" && ` by ${by}`}
    </p>
  );
}
