// One machine: who it is at the top, and its tabs below.
import { Suspense } from "react";
import { Link, useLocation } from "wouter";
import { ageWords, isOnline, secondsSince } from "../../age";
import { at } from "../../api";
import { explain } from "../../explain";
import { Missing } from "../../App";
import { useNow, usePageTitle } from "../../time";
import { Boundary } from "../../ui/Boundary";
import { BackIcon, LockIcon } from "../../ui/icons";
import { Age, Badges, Liveness, Loading, Problem, Provision } from "../../ui/parts";
import { Sections } from "../../ui/Sections";
import { MachineMenu } from "../MachineMenu";
import { useMachine } from "./api";
import { TABS } from "./tabs";
import type { MachineFull } from "./wire";
import "../../styles/machine.css";

/** The page. */
export function MachinePage({ uuid, tab }: { uuid: string; tab?: string }) {
  const machine = useMachine(uuid);
  return (
    <>
      <Link to="/" className="back">
        <BackIcon />
        Machines
      </Link>
      {machine.isPending && <Loading what="Loading the machine" />}
      {machine.error !== null && <Problem error={explain(machine.error, "load")} />}
      {machine.data !== undefined && machine.error === null && <Details machine={machine.data} tab={tab} />}
    </>
  );
}

function Details({ machine, tab }: { machine: MachineFull; tab: string | undefined }) {
  const tabs = TABS.filter(({ has }) => has === undefined || has(machine));
  const [first] = tabs;
  const chosen = tab === undefined ? first : tabs.find(({ id }) => id === tab);
  if (chosen === undefined) return <Missing />;
  const path = (id: string) => (id === first?.id ? at("machines", machine.Uuid) : at("machines", machine.Uuid, id));
  const Body = chosen.body;
  return (
    <>
      <Head machine={machine} tab={chosen === first ? "" : chosen.name} />
      {machine.Errors.length > 0 && <Problem error={{ text: machine.Errors.join(" "), retryAfter: null }} />}
      <Sections
        label="Parts of the machine"
        sections={tabs.map(({ id, name }) => ({ name, path: path(id) }))}
        here={path(chosen.id)}
      >
        <section aria-label={chosen.name}>
          <Boundary key={chosen.id} what={`the tab ${chosen.name}`}>
            <Suspense fallback={<Loading what={`Loading ${chosen.name}`} />}>
              <Body machine={machine} />
            </Suspense>
          </Boundary>
        </section>
      </Sections>
    </>
  );
}

function Head({ machine, tab }: { machine: MachineFull; tab: string }) {
  const heading = usePageTitle(tab === "" ? machine.Name : `${tab} \u00b7 ${machine.Name}`);
  const now = useNow(5_000);
  const [, navigate] = useLocation();
  return (
    <header className="machine-head">
      <div className="page-head">
        <h1 ref={heading} tabIndex={-1} className="hostname">
          <Liveness machine={machine} now={now} />
          <span className="hostname-text">{machine.Name}</span>
          <Age machine={machine} now={now} />
        </h1>
        <MachineMenu machine={machine} onDeleted={() => navigate("/")} />
      </div>
      <p className="machine-facts">
        <Provision state={machine.ProvisionState} />
        <Badges machine={machine} />
        {machine.Locked && (
          <span className="badge badge-locked">
            <LockIcon />
            Locked
          </span>
        )}
        <span>{lastSeen(machine, now)}</span>
        {machine.Address !== "" && <code>{machine.Address}</code>}
        {machine.OS !== "" && <span>{machine.OS}</span>}
        {machine.Description !== "" && <span>{machine.Description}</span>}
      </p>
    </header>
  );
}

function lastSeen(machine: MachineFull, now: number): string {
  if (isOnline(machine, now)) return "Online now";
  const seconds = secondsSince(machine.LastSeenAt, now);
  return seconds === null ? "Never seen" : `Last seen ${ageWords(seconds)} ago`;
}
