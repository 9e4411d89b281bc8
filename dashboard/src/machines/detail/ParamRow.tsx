// A param: its value that holds, who says so, and who else says something.
import { Link } from "wouter";
import { at } from "../../api";
import { pretty } from "../../objects/json";
import { diskSize } from "../../size";
import { complaint } from "./draft";
import { SourceLink } from "./Inherited";
import { effective, isOwn, others } from "./values";
import type { ParamDefinition, ParamInForce, ParamSource } from "./wire";

interface ParamRowProps {
  param: ParamInForce;
  definition: ParamDefinition | undefined;
  /** What the server says is wrong with the value that holds. */
  error: string | undefined;
  locked: string | undefined;
  edit(): void;
}

/** The row. */
export function ParamRow({ param, definition, error, locked, edit }: ParamRowProps) {
  const holds = effective(param);
  const overruled = others(param);
  const own = isOwn(param);
  return (
    <article className="param-row" aria-label={param.Name}>
      <div className="param-row-name">
        {definition === undefined ? <strong>{param.Name}</strong> : <Link to={`/params${at(param.Name)}`}>{param.Name}</Link>}
        {definition !== undefined && definition.Description !== "" && <p className="hint">{definition.Description}</p>}
      </div>
      <div className="param-row-value">
        {holds !== null && <Value source={holds} />}
        {error !== undefined && <p className="field-problem">{complaint(error)}</p>}
        {overruled.length > 0 && (
          <details>
            <summary>
              Overrules {overruled.length} other{overruled.length === 1 ? "" : "s"}
            </summary>
            <ul>
              {overruled.map((source, index) => (
                <li key={index}>
                  <SourceLink source={source} />
                  <Value source={source} />
                </li>
              ))}
            </ul>
          </details>
        )}
      </div>
      <div className="param-row-from">
        {holds !== null && (
          <span className={own ? "badge badge-own" : "badge"}>
            <SourceLink source={holds} />
          </span>
        )}
        <button
          type="button"
          className="button button-small"
          disabled={locked !== undefined}
          title={locked}
          aria-label={own ? `Edit ${param.Name}` : `Override ${param.Name} for this machine`}
          onClick={edit}
        >
          {own ? "Edit" : "Override"}
        </button>
      </div>
    </article>
  );
}

function Value({ source }: { source: ParamSource }) {
  if (source.Cut > 0) return <p className="hint">A value of {diskSize(source.Cut)}, too long to be shown in this list.</p>;
  const text = typeof source.Value === "string" ? source.Value : pretty(source.Value);
  return text === "" ? <p className="none">an empty text</p> : <pre className="value" tabIndex={0} aria-label="Value">{text}</pre>;
}
