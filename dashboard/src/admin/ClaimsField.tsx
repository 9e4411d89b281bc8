// The rights of an access role: each a row of scope, actions and objects, told in words below it.
import { useInfo } from "../bootstrap/downloads";
import { useFault } from "../objects/faults";
import { isList, isObj } from "../objects/json";
import type { OwnFieldProps } from "../objects/kind";
import { TextField } from "../ui/fields";
import { CloseIcon, PlusIcon } from "../ui/icons";
import { actionsIn, claimOf, claimWords, missing, NEW_CLAIM, scopesOf } from "./claims";
import type { Claim } from "./wire";

/** All of them; none is a role that allows nothing. */
export function ClaimsField({ value, problem, locked, onChange }: OwnFieldProps) {
  const claims = isList(value) ? value.filter(isObj).map(claimOf) : [];
  const put = (index: number, claim: Claim) => onChange(claims.map((each, at) => ({ ...(at === index ? claim : each) })));
  const incomplete = claims.some((claim) => missing(claim).length > 0);
  useFault("Rights", incomplete ? "A right lacks something: name it, or write * for all." : null);
  return (
    <div className="templates" role="group" aria-label="Rights">
      {claims.length === 0 && <p className="none">Nothing yet: who has only this role may sign in, and no more.</p>}
      {claims.map((claim, index) => (
        <ClaimRow
          key={index}
          claim={claim}
          place={index + 1}
          locked={locked}
          put={(changed) => put(index, changed)}
          remove={() => onChange(claims.filter((_, at) => at !== index).map((each) => ({ ...each })))}
        />
      ))}
      {problem !== undefined && (
        <p className="field-problem" role="alert">
          {problem}
        </p>
      )}
      {locked === undefined && (
        <p>
          <button
            type="button"
            className="button button-small"
            onClick={() => onChange([...claims, NEW_CLAIM].map((each) => ({ ...each })))}
          >
            <PlusIcon />
            Add right
          </button>
        </p>
      )}
    </div>
  );
}

interface ClaimRowProps {
  claim: Claim;
  place: number;
  locked: string | undefined;
  put(claim: Claim): void;
  remove(): void;
}

const LACKS = "Name some, or write * for all.";

function ClaimRow({ claim, place, locked, put, remove }: ClaimRowProps) {
  const scopes = useInfo().data?.scopes ?? {};
  const lacking = missing(claim);
  // Nobody is told what is wrong with what they have not begun.
  const begun = claim.scope !== "" || claim.action !== "";
  const field = (part: keyof Claim) => ({
    mono: true,
    value: claim[part],
    locked,
    problem: begun && lacking.includes(part) ? LACKS : undefined,
    onChange: (text: string) => put({ ...claim, [part]: text }),
  });
  return (
    <fieldset className="template-card">
      <legend className="visually-hidden">Right {place}</legend>
      {locked === undefined && (
        <span className="ordered-acts">
          <button type="button" className="button button-icon" aria-label={`Remove right ${place}`} onClick={remove}>
            <CloseIcon />
          </button>
        </span>
      )}
      <div className="form-row">
        <TextField label="Scope" {...field("scope")} placeholder="machines" choices={scopesOf(scopes)} />
        <TextField label="Actions" {...field("action")} placeholder="get,list" choices={actionsIn(scopes, claim.scope)} />
        <TextField label="Objects" {...field("specific")} placeholder="*" />
      </div>
      {lacking.length === 0 && <p className="hint">{claimWords(claim)}</p>}
    </fieldset>
  );
}
