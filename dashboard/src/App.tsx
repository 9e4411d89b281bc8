// The frame: who is signed in, the bar at the top, and the page below it.
import * as Menu from "@radix-ui/react-dropdown-menu";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { api } from "./api";
import { explain } from "./explain";
import { SESSION, useEventStream } from "./live";
import { Login } from "./Login";
import { MachinePage } from "./machines/MachinePage";
import { MachinesPage } from "./machines/MachinesPage";
import { useRoute, type Route } from "./route";
import { usePageTitle } from "./time";
import { Boundary } from "./ui/Boundary";
import { Mark } from "./ui/icons";
import { Loading, PageLink, Problem } from "./ui/parts";
import type { Session } from "./wire";

/** The whole dashboard. */
export function App() {
  const session = useQuery({ queryKey: SESSION, queryFn: () => api.session(), staleTime: Infinity });
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
  return session.data === null ? <Login /> : <SignedIn session={session.data} />;
}

function SignedIn({ session }: { session: Session }) {
  const live = useEventStream();
  const route = useRoute();
  return (
    <>
      <a className="skip" href="#content">
        Skip to content
      </a>
      <header className="bar">
        <PageLink to="/" className="brand">
          <Mark />
          Muster
        </PageLink>
        <nav aria-label="Main">
          <PageLink to="/" className="bar-link">
            Machines
          </PageLink>
        </nav>
        <UserMenu name={session.Username} />
      </header>
      <main className="page" id="content">
        <Boundary key={JSON.stringify(route)} what="this page">
          <Page route={route} live={live} />
        </Boundary>
      </main>
    </>
  );
}

function Page({ route, live }: { route: Route; live: boolean }) {
  switch (route.page) {
    case "machines":
      return <MachinesPage live={live} />;
    case "machine":
      return <MachinePage uuid={route.uuid} live={live} />;
    case "missing":
      return <Missing />;
  }
}

function Missing() {
  const heading = usePageTitle("Not found");
  return (
    <section className="empty">
      <h1 ref={heading} tabIndex={-1}>
        There is no such page
      </h1>
      <p>
        <PageLink to="/">Go to the machines</PageLink>
      </p>
    </section>
  );
}

function UserMenu({ name }: { name: string }) {
  const client = useQueryClient();
  const leave = async () => {
    try {
      await api.logout();
    } finally {
      // Nothing of this operator's stays in memory, even when the server was not reached.
      client.clear();
      window.location.assign("/");
    }
  };
  return (
    <Menu.Root modal={false}>
      <Menu.Trigger className="avatar" aria-label={`Account of ${name}`}>
        {name.slice(0, 2).toUpperCase()}
      </Menu.Trigger>
      <Menu.Portal>
        <Menu.Content className="menu" align="end" sideOffset={6}>
          <Menu.Label className="menu-label">Signed in as {name}</Menu.Label>
          <Menu.Item className="menu-item" onSelect={() => void leave()}>
            Sign out
          </Menu.Item>
        </Menu.Content>
      </Menu.Portal>
    </Menu.Root>
  );
}
