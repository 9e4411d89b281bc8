// The card Roles: machine roles, and the image that follows from them.
import { Link } from "wouter";
import { at } from "../../api";
import { useNames } from "../../names";
import { textsAt } from "../../objects/json";
import { isRole, priorityOf } from "../../objects/roles";
import { Tags } from "../../ui/Tags";
import { SelectField } from "../../ui/fields";
import { useProfiles } from "./api";
import { complaint, sourceInWords } from "./draft";
import type { Editing } from "./editing";
import { SourceLink } from "./Inherited";

const IMAGE = "muster/image";

/** The card. */
export function RolesCard({ edit }: { edit: Editing }) {
  const profiles = useProfiles();
  const images = useNames("images");
  const roles = (profiles.data ?? []).filter(isRole);
  const inForce = new Map(edit.setup?.Roles.map(({ Name, Priority }) => [Name, Priority]));
  const from = edit.from(IMAGE);
  return (
    <section className="card fields" aria-labelledby="card-roles">
      <h2 id="card-roles">Roles</h2>
      <div className="field">
        <Tags
          label="Roles"
          one="role"
          none="No roles yet. Roles say which image is installed and how it is configured."
          values={textsAt(edit.draft.wanted, "Roles")}
          options={roles.map((role) => ({
            value: role.Name,
            note: String(inForce.get(role.Name) ?? priorityOf(role)),
            to: `/roles${at(role.Name)}`,
          }))}
          onChange={(values) => edit.set(values, "Roles")}
          {...(edit.locked === undefined ? {} : { locked: edit.locked })}
        />
        <Trouble text={edit.problem("Roles")} />
        <p className="field-hint">The number is the merge priority: where roles disagree, the higher one wins.</p>
      </div>
      <SelectField
        label="Image"
        locked={edit.locked}
        problem={edit.text("Params", IMAGE) === "" ? undefined : edit.problem(`Params/${IMAGE}`)}
        value={edit.text("Params", IMAGE)}
        empty={from === null ? "As roles and preferences say" : `As inherited: ${String(from.Value)} (${sourceInWords(from)})`}
        choices={(images.data ?? []).map((value) => ({ value }))}
        onChange={(name) => edit.set(name === "" ? undefined : name, "Params", IMAGE)}
      />
      <Resolved edit={edit} />
    </section>
  );
}

/** What would be installed, and who says so; or why nothing can be. */
function Resolved({ edit: { setup } }: { edit: Editing }) {
  if (setup === undefined) return <p className="field-hint">Asking the server what would be installed&hellip;</p>;
  const missing = setup.Roles.filter(({ Exists }) => !Exists).map(({ Name }) => Name);
  const why = setup.Errors[IMAGE];
  return (
    <div className="resolved" aria-live="polite">
      {setup.Image === "" ? (
        <p>
          <strong>No image would be installed:</strong> {complaint(why ?? "nobody names one")}.
        </p>
      ) : (
        <p>
          <Link to={`/images${at(setup.Image)}`}>{setup.Image}</Link> would be installed: <SourceLink source={setup.ImageFrom} /> says so.
        </p>
      )}
      {missing.length > 0 && (
        <p className="field-problem">There is no role {missing.join(", ")} any more. Remove it, or make it again.</p>
      )}
    </div>
  );
}

function Trouble({ text }: { text: string | undefined }) {
  return text === undefined ? null : <p className="field-problem">{text}</p>;
}
