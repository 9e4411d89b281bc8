// Bootstrap tokens: who made them, what became of them, and their end before their time.
import { useQueryClient } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import { ago, when } from "../age";
import { principalWords } from "../audit";
import { BootstrapDialog } from "../bootstrap/BootstrapDialog";
import { explain } from "../explain";
import { useNow } from "../time";
import { ConfirmDialog } from "../ui/ConfirmDialog";
import { DataTable, type Column } from "../ui/DataTable";
import { PlusIcon, TrashIcon } from "../ui/icons";
import { notify } from "../ui/Notice";
import { Loading, Problem } from "../ui/parts";
import { RowMenu } from "../ui/RowMenu";
import { revokeToken, tokensChanged, useTokens } from "./api";
import { PageHead } from "./PageHead";
import { RevokeMany } from "./RevokeMany";
import { Stated } from "./Stated";
import type { BootstrapToken } from "./wire";
import "../styles/admin.css";

/** The Tokens page. */
export function TokensPage() {
  const client = useQueryClient();
  const tokens = useTokens();
  const [ending, setEnding] = useState<BootstrapToken | null>(null);
  const [endingMany, setEndingMany] = useState(false);
  const [making, setMaking] = useState(false);
  const all = useMemo(() => tokens.data?.pages.flat() ?? [], [tokens.data]);
  const columns = useColumns();
  const made = (open: boolean) => {
    setMaking(open);
    if (!open) tokensChanged(client);
  };
  return (
    <>
      <PageHead title="Tokens" lead="Bootstrap tokens register machines without a person. The tokens themselves are not kept.">
        <div className="actions">
          <button type="button" className="button" disabled={all.length === 0} onClick={() => setEndingMany(true)}>
            Revoke several
          </button>
          <button type="button" className="button button-primary" onClick={() => setMaking(true)}>
            <PlusIcon />
            New token
          </button>
        </div>
      </PageHead>
      {tokens.error !== null && <Problem error={explain(tokens.error, "load")} />}
      {tokens.isPending && <Loading what="Loading tokens" />}
      {tokens.isSuccess && all.length === 0 && <NoTokens />}
      {all.length > 0 && (
        <DataTable
          caption="Bootstrap tokens"
          things={all}
          columns={columns}
          keyOf={(token) => token.Id}
          menu={(token) => (
            <RowMenu
              of={`token ${token.Id}`}
              acts={[
                {
                  name: "Revoke",
                  icon: <TrashIcon />,
                  danger: true,
                  locked: token.State === "live" ? undefined : "not live",
                  act: () => setEnding(token),
                },
              ]}
            />
          )}
          more={
            tokens.hasNextPage ? { load: () => void tokens.fetchNextPage(), busy: tokens.isFetchingNextPage } : undefined
          }
          inParts
        />
      )}
      <ConfirmDialog
        open={ending !== null}
        close={() => setEnding(null)}
        title="Revoke this token?"
        act={{ label: "Revoke token", busy: "Revoking\u2026" }}
        doing="change"
        run={async () => {
          if (ending === null) return;
          await revokeToken(client, ending.Id);
          notify("The token is revoked. No machine registers with it any more.");
        }}
      >
        <p>
          No machine registers with token <code>{ending?.Id}</code> from then on. Machines that came by it stay. This
          cannot be taken back.
        </p>
      </ConfirmDialog>
      <RevokeMany open={endingMany} close={() => setEndingMany(false)} tokens={all} />
      <BootstrapDialog open={making} onOpenChange={made} method="pxe" />
    </>
  );
}

function NoTokens() {
  return (
    <section className="empty">
      <h2>No tokens yet</h2>
      <p>
        Press <strong>New token</strong> to make one for a boot server or a Linux that runs already. Machines that boot
        from the ISO image need none.
      </p>
    </section>
  );
}

/** Which machines a token admits, in short. */
function limits(token: BootstrapToken): string {
  const { Cidr = [], Mac = [], Uuid = [], Serial = [] } = token.Constraints;
  const said = [
    ...Cidr.map((network) => `from ${network}`),
    ...Mac.map((mac) => `MAC ${mac}`),
    ...Uuid.map((uuid) => `UUID ${uuid}`),
    ...Serial.map((serial) => `S/N ${serial}`),
    ...(token.RequireApproval ? ["each approved by a person"] : []),
    ...token.Roles.map((role) => `role ${role}`),
    ...(token.MeshNetwork === "" ? [] : [`mesh ${token.MeshNetwork}`]),
  ];
  return said.join(", ");
}

function useColumns(): readonly Column<BootstrapToken>[] {
  const now = useNow(30_000);
  return useMemo(() => {
    return [
      { id: "id", name: "Token", value: (token) => token.Id, cell: (token) => <code>{token.Id}</code>, unsorted: true },
      { id: "state", name: "State", value: (token) => token.State, cell: (token) => <Stated state={token.State} />, unsorted: true },
      { id: "by", name: "Made by", value: (token) => principalWords(token.By), unsorted: true },
      { id: "issued", name: "Made", value: (token) => when(token.IssuedAt, now), unsorted: true },
      { id: "expires", name: "Expires", value: (token) => when(token.ExpiresAt, now), unsorted: true },
      { id: "uses", name: "Uses", value: uses, unsorted: true },
      { id: "last", name: "Last used", value: (token) => ago(token.LastUsedAt, now), unsorted: true },
      { id: "limits", name: "For", value: (token) => limits(token) || "any machine", unsorted: true },
    ];
  }, [now]);
}

function uses({ Uses, Constraints: { MaxUses } }: BootstrapToken): string {
  return MaxUses === undefined ? `${Uses}` : `${Uses} of ${MaxUses}`;
}
