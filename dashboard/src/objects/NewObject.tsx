// A new object, empty or as a copy of another one.
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useEffect, useMemo, useState } from "react";
import { Link, useLocation } from "wouter";
import { at } from "../api";
import { explain } from "../explain";
import { usePageTitle } from "../time";
import { BackIcon } from "../ui/icons";
import { notify } from "../ui/Notice";
import { Loading, Problem } from "../ui/parts";
import { create, useObject } from "./api";
import { authored } from "./change";
import { Editor } from "./Editor";
import { same, type Obj } from "./json";
import { hiddenFields, keyOf, type KindSpec } from "./kind";
import { told } from "./refusal";

/** The page of one that is not there yet. */
export function NewObject({ kind, copyOf }: { kind: KindSpec; copyOf: string | null }) {
  const title = copyOf === null ? `New ${kind.one}` : `Clone of ${copyOf}`;
  const heading = usePageTitle(title);
  return (
    <>
      <Link to={kind.path} className="back">
        <BackIcon />
        {kind.many}
      </Link>
      <div className="page-head">
        <h1 ref={heading} tabIndex={-1}>
          {title}
        </h1>
      </div>
      {copyOf === null ? <Creation kind={kind} start={kind.blank} /> : <Copy kind={kind} copyOf={copyOf} />}
    </>
  );
}

function Copy({ kind, copyOf }: { kind: KindSpec; copyOf: string }) {
  const original = useObject(kind, copyOf);
  const problem = useMemo(() => (original.error === null ? null : explain(original.error, "load")), [original.error]);
  if (original.data !== undefined) return <Creation kind={kind} start={copied(kind, original.data, copyOf)} />;
  return problem === null ? <Loading what={`Loading ${copyOf}`} /> : <Problem error={problem} />;
}

/** What its author wrote of an object, under another name. */
function copied(kind: KindSpec, original: Obj, from: string): Obj {
  const hidden = hiddenFields(kind);
  const kept = Object.entries(authored(original)).filter(([name]) => !hidden.includes(name));
  // Letters that every kind's names may have.
  const copy: Obj = { ...kind.blank, ...Object.fromEntries(kept), [kind.key]: `${from}_copy` };
  return kind.copied?.(copy, from) ?? copy;
}

function Creation({ kind, start }: { kind: KindSpec; start: Obj }) {
  const client = useQueryClient();
  const [, navigate] = useLocation();
  const [wanted, setWanted] = useState(start);
  // Where its page is, once it is made: the way there is free only when nothing is unsaved any more.
  const [made, setMade] = useState<string | null>(null);
  useEffect(() => {
    if (made !== null) navigate(kind.path + at(made), { replace: true });
  }, [made, navigate, kind.path]);
  const saving = useMutation({
    gcTime: 0,
    mutationFn: () => create(client, kind, wanted),
    onSuccess: (object) => {
      notify(`${keyOf(kind, object)} is made.`);
      setMade(keyOf(kind, object));
    },
  });
  const { problems, failure } = useMemo(() => told(kind, saving.error, true), [kind, saving.error]);
  return (
    <Editor
      kind={kind}
      wanted={wanted}
      seen={null}
      change={setWanted}
      changed={made === null && !same(wanted, start)}
      problems={problems}
      failure={failure}
      locked={undefined}
      held={null}
      saving={saving.isPending}
      save={() => saving.mutate()}
      discard={() => navigate(kind.path)}
      views={[]}
    />
  );
}
