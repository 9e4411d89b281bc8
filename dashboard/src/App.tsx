// The frame: who is signed in, the bar at the top, and the page below it.
import { Suspense, useEffect } from "react";
import { Link, Route, Switch, useLocation } from "wouter";
import { explain } from "./explain";
import { LiveStream, useSession } from "./live";
import { Login } from "./Login";
import { AREAS } from "./pages";
import { Bar } from "./Bar";
import { usePageTitle } from "./time";
import { Boundary } from "./ui/Boundary";
import { ConfirmPassword } from "./ui/ConfirmPassword";
import { Notices } from "./ui/Notice";
import { Loading, Problem } from "./ui/parts";
import type { Session } from "./wire";

/** The whole dashboard. */
export function App() {
  const session = useSession();
  if (session.isPending) return <Loading what="Connecting to the server" />;
  if (session.isError) {
    return (
      <main className="page page-narrow">
        <Problem
          error={explain(session.error, "load")}
          again={{ label: "Try again", act: () => void session.refetch() }}
        />
      </main>
    );
  }
  // Nobody goes elsewhere to sign in, so a deep link is still there afterwards.
  return session.data === null ? <Login /> : <SignedIn session={session.data} />;
}

function SignedIn({ session }: { session: Session }) {
  const [location] = useLocation();
  useEffect(() => {
    window.scrollTo(0, 0);
  }, [location]);
  return (
    <LiveStream>
      <a className="skip" href="#content">
        Skip to content
      </a>
      <Bar name={session.Username} location={location} />
      <main className="page" id="content">
        <Boundary key={location} what="this page">
          <Suspense fallback={<Loading what="Loading the page" />}>
            <Switch>
              {AREAS.map(({ path, page: Page }) => (
                <Route key={path} path={path}>
                  {(parts) => <Page {...parts} />}
                </Route>
              ))}
              <Route>
                <Missing />
              </Route>
            </Switch>
          </Suspense>
        </Boundary>
      </main>
      <Notices />
      <ConfirmPassword name={session.Username} />
    </LiveStream>
  );
}

/** Shown for an address that has no page. */
export function Missing() {
  const heading = usePageTitle("Not found");
  return (
    <section className="empty">
      <h1 ref={heading} tabIndex={-1}>
        There is no such page
      </h1>
      <p>
        <Link to="/">Go to the machines</Link>
      </p>
    </section>
  );
}
