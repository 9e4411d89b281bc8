// One machine: what it is and what it is made of, to read.
import { useQuery } from "@tanstack/react-query";
import { api } from "../api";
import { ageWords, localTime, secondsSince } from "../age";
import { explain } from "../explain";
import { machineKey } from "../live";
import { navigate } from "../route";
import { useNow, usePageTitle } from "../time";
import { BackIcon } from "../ui/icons";
import { Age, Badges, Fact, Liveness, Loading, PageLink, Problem, Provision } from "../ui/parts";
import type { Machine, Origin } from "../wire";
import { DiskTable, HardwareFacts, LinkTable, MemoryTable, PciTable } from "./Hardware";
import { MachineMenu } from "./MachineMenu";

const ORIGIN: Record<Origin, string> = {
  iso: "ISO image",
  pxe: "Network boot",
  cli: "Command on an installed Linux",
  api: "Created by an operator",
};

/** The detail page. */
export function MachinePage({ uuid, live }: { uuid: string; live: boolean }) {
  const machine = useQuery({
    queryKey: machineKey(uuid),
    queryFn: () => api.machine(uuid),
    refetchInterval: live ? 20_000 : 5_000,
  });
  return (
    <>
      <PageLink to="/" className="back">
        <BackIcon />
        Machines
      </PageLink>
      {machine.isPending && <Loading what="Loading the machine" />}
      {machine.error !== null && <Problem error={explain(machine.error, "load")} />}
      {machine.data !== undefined && machine.error === null && <Details machine={machine.data} />}
    </>
  );
}

function Details({ machine }: { machine: Machine }) {
  const heading = usePageTitle(machine.Name);
  const now = useNow(5_000);
  return (
    <>
      <div className="page-head">
        <h1 ref={heading} tabIndex={-1} className="hostname">
          <Liveness machine={machine} now={now} />
          <span className="hostname-text">{machine.Name}</span>
          <Age machine={machine} now={now} />
          <Badges machine={machine} />
        </h1>
        <MachineMenu machine={machine} onDeleted={() => navigate("/")} />
      </div>
      {machine.Errors.length > 0 && <Problem error={{ text: machine.Errors.join(" "), retryAfter: null }} />}
      <div className="cards">
        <section className="card">
          <h2>Machine</h2>
          <dl className="facts">
            <Fact name="Provision">
              <Provision state={machine.ProvisionState} />
            </Fact>
            <Fact name="Mesh network">{machine.MeshNetwork}</Fact>
            <Fact name="Roles">{machine.Roles.join(", ")}</Fact>
            <Fact name="Operating system">{machine.OS}</Fact>
            <Fact name="Address">
              <Mono text={machine.Address} />
            </Fact>
            <Fact name="Last seen">{lastSeen(machine, now)}</Fact>
            <Fact name="Registered">{localTime(Date.parse(machine.CreatedAt), now)}</Fact>
            <Fact name="Came by">{ORIGIN[machine.Origin]}</Fact>
            <Fact name="UUID">
              <Mono text={machine.Uuid} />
            </Fact>
            <Fact name="Description">{machine.Description}</Fact>
          </dl>
        </section>
        <section className="card">
          <h2>Hardware</h2>
          <HardwareFacts inventory={machine.Inventory} />
        </section>
      </div>
      <section className="card">
        <h2>Disks</h2>
        <DiskTable disks={machine.Inventory.Disks} />
      </section>
      <section className="card">
        <h2>Network links</h2>
        <LinkTable links={machine.Inventory.Links} />
      </section>
      <section className="card">
        <h2>Memory modules</h2>
        <MemoryTable modules={machine.Inventory.MemoryModules} abridged={machine.Inventory.Abridged} />
      </section>
      <section className="card">
        <h2>PCI devices</h2>
        <PciTable functions={machine.Inventory.Pci} abridged={machine.Inventory.Abridged} />
      </section>
    </>
  );
}

function Mono({ text }: { text: string }) {
  return text === "" ? <span className="none">&ndash;</span> : <code>{text}</code>;
}

function lastSeen(machine: Machine, now: number): string {
  if (machine.Online) return "Online now";
  const seconds = secondsSince(machine.LastSeenAt, now);
  return seconds === null ? "Never" : `${ageWords(seconds)} ago`;
}
