// What a user is signed in with: sessions and API tokens, and their end.
import { useQueryClient } from "@tanstack/react-query";
import { useMemo, useState, type ReactNode } from "react";
import { ago, when } from "../age";
import { explain } from "../explain";
import { useNow } from "../time";
import { ConfirmDialog } from "../ui/ConfirmDialog";
import { DataTable, type Column } from "../ui/DataTable";
import { TrashIcon } from "../ui/icons";
import { notify } from "../ui/Notice";
import { Loading, Problem } from "../ui/parts";
import { RowMenu } from "../ui/RowMenu";
import { endSignIn, useSignIns } from "./api";
import type { SignIn } from "./wire";

interface SignInsProps {
  name: string;
  /** They are one's own. */
  own: boolean;
  /** Beside the heading of the API tokens. */
  makeToken?: ReactNode;
}

/** Both lists. */
export function SignIns({ name, own, makeToken }: SignInsProps) {
  const signIns = useSignIns(name);
  const all = signIns.data ?? [];
  return (
    <>
      {signIns.error !== null && <Problem error={explain(signIns.error, "load")} />}
      <section className="card" aria-labelledby="api-tokens">
        <div className="card-head">
          <h2 id="api-tokens">API tokens</h2>
          {makeToken}
        </div>
        <SignInList name={name} own={own} kind="api-token" all={all} pending={signIns.isPending} />
      </section>
      <section className="card" aria-labelledby="sessions">
        <h2 id="sessions">Sessions</h2>
        <SignInList name={name} own={own} kind="session" all={all} pending={signIns.isPending} />
      </section>
    </>
  );
}

interface SignInListProps {
  name: string;
  own: boolean;
  kind: SignIn["Kind"];
  all: readonly SignIn[];
  pending: boolean;
}

const WORDS: Record<SignIn["Kind"], { none: string; end: string; caption: string }> = {
  "api-token": { none: "No API tokens.", end: "Revoke", caption: "API tokens" },
  session: { none: "Not signed in anywhere.", end: "Sign out", caption: "Sessions" },
};

function SignInList({ name, own, kind, all, pending }: SignInListProps) {
  const client = useQueryClient();
  const [ending, setEnding] = useState<SignIn | null>(null);
  const columns = useColumns(kind);
  const shown = useMemo(() => all.filter((one) => one.Kind === kind), [all, kind]);
  const words = WORDS[kind];
  if (pending) return <Loading what={`Loading ${words.caption}`} />;
  if (shown.length === 0) return <p className="none">{words.none}</p>;
  const run = async () => {
    if (ending === null) return;
    await endSignIn(client, name, ending.Id);
    notify(kind === "session" ? "The session is ended." : "The token is revoked.");
  };
  return (
    <>
      <DataTable
        caption={words.caption}
        things={shown}
        columns={columns}
        keyOf={(one) => one.Id}
        menu={(one) => (
          <RowMenu
            of={one.Description || one.Id}
            acts={[
              {
                name: words.end,
                icon: <TrashIcon />,
                danger: true,
                locked: one.Current ? "this one" : undefined,
                act: () => setEnding(one),
              },
            ]}
          />
        )}
      />
      <ConfirmDialog
        open={ending !== null}
        close={() => setEnding(null)}
        title={kind === "session" ? "End this session?" : "Revoke this API token?"}
        act={{ label: words.end, busy: "Ending\u2026" }}
        doing="change"
        run={run}
      >
        <p>
          {kind === "session"
            ? `Whoever uses it ${own ? "" : `as ${name} `}has to sign in again. API tokens that were made in it end too.`
            : `Whatever uses ${ending?.Description ? `\u201c${ending.Description}\u201d` : "it"} is refused from then on.`}
        </p>
      </ConfirmDialog>
    </>
  );
}

function useColumns(kind: SignIn["Kind"]): readonly Column<SignIn>[] {
  const now = useNow(30_000);
  return useMemo(() => {
    const first: Column<SignIn> =
      kind === "session"
        ? {
            id: "from",
            name: "From",
            value: (one) => one.Source ?? "unknown",
            cell: (one) => (
              <>
                {one.Source ?? "unknown"} {one.Current && <span className="label label-accent">This session</span>}
              </>
            ),
          }
        : { id: "for", name: "For", value: (one) => one.Description || one.Id, cell: TokenName };
    return [
      first,
      { id: "made", name: kind === "session" ? "Signed in" : "Made", value: (one) => when(one.CreatedAt, now), unsorted: true },
      { id: "used", name: "Last used", value: (one) => ago(one.LastUsedAt, now) || "never", unsorted: true },
      { id: "ends", name: "Expires", value: (one) => when(one.ExpiresAt, now), unsorted: true },
      ...(kind === "session" ? [] : [{ id: "good", name: "Good for", value: goodFor, unsorted: true }]),
    ];
  }, [kind, now]);
}

function TokenName(one: SignIn) {
  return (
    <>
      {one.Description || <code>{one.Id}</code>} {one.OfSession && <span className="label">Ends with its session</span>}
    </>
  );
}

function goodFor({ Roles }: SignIn): string {
  return Roles === null ? "everything" : Roles.join(", ");
}
