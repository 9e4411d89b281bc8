// One's own account: what one may do, password, API tokens, sessions.
import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { useSession } from "../live";
import { chooseTheme, themeOf, THEME_NAMES, THEMES, useTheme } from "../theme";
import { SelectField } from "../ui/fields";
import { PlusIcon } from "../ui/icons";
import { Loading } from "../ui/parts";
import { useAccessRoles, useUser } from "./api";
import { NewApiToken } from "./NewApiToken";
import { PageHead } from "./PageHead";
import { RoleList } from "./RoleList";
import { SetPassword } from "./SetPassword";
import { SignIns } from "./SignIns";
import "../styles/admin.css";

/** The page. */
export function AccountPage() {
  const session = useSession();
  const name = session.data?.Username;
  return name === undefined ? <Loading what="Loading your account" /> : <Account name={name} />;
}

function Account({ name }: { name: string }) {
  const [making, setMaking] = useState(false);
  return (
    <>
      <PageHead
        title="Your account"
        lead={
          <>
            Signed in as <strong>{name}</strong>
          </>
        }
      />
      <OwnRoles name={name} />
      <SetPassword name={name} own />
      <SignIns
        name={name}
        own
        makeToken={
          <button type="button" className="button button-small" onClick={() => setMaking(true)}>
            <PlusIcon />
            New API token
          </button>
        }
      />
      <Appearance />
      <NewApiToken open={making} close={() => setMaking(false)} name={name} />
    </>
  );
}

// Only those who may read users and access roles see what their own come to.
function OwnRoles({ name }: { name: string }) {
  const client = useQueryClient();
  const user = useUser(client, name);
  const roles = useAccessRoles(client);
  if (user.data === undefined) return null;
  return (
    <section className="card" aria-labelledby="own-roles">
      <h2 id="own-roles">What you may do</h2>
      <RoleList names={user.data.Roles} roles={roles.data ?? []} />
    </section>
  );
}

function Appearance() {
  const theme = useTheme();
  return (
    <section className="card" aria-labelledby="appearance">
      <h2 id="appearance">Appearance</h2>
      <div className="form">
        <SelectField
          label="Theme"
          hint="Kept in this browser."
          value={theme}
          onChange={(value) => chooseTheme(themeOf(value))}
          choices={THEMES.map((value) => ({ value, name: THEME_NAMES[value] }))}
        />
      </div>
    </section>
  );
}
