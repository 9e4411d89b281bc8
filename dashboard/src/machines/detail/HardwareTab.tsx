// The tab Hardware: everything in the inventory, and where the machine comes from.
import { when } from "../../age";
import { useNow } from "../../time";
import { Fact } from "../../ui/parts";
import type { Origin } from "../../wire";
import { DiskTable } from "./DiskTable";
import { HardwareFacts, LinkTable, MemoryTable, PciTable } from "./Hardware";
import type { TabProps } from "./wire";

const ORIGIN: Record<Origin, string> = {
  iso: "ISO image",
  pxe: "Network boot",
  cli: "Command on an installed Linux",
  api: "Created by an operator",
};

/** The tab. */
export function HardwareTab({ machine }: TabProps) {
  const { Inventory: inventory } = machine;
  const now = useNow(60_000);
  return (
    <>
      <div className="cards">
        <section className="card">
          <h2>Hardware</h2>
          <HardwareFacts inventory={inventory} />
        </section>
        <section className="card">
          <h2>Machine</h2>
          <dl className="facts">
            <Fact name="UUID">
              <code>{machine.Uuid}</code>
            </Fact>
            <Fact name="Registered">{when(machine.CreatedAt, now)}</Fact>
            <Fact name="Came by">{ORIGIN[machine.Origin]}</Fact>
            <Fact name="Address">{machine.Address === "" ? "" : <code>{machine.Address}</code>}</Fact>
            <Fact name="Hardware addresses">{machine.HardwareAddrs.join(", ")}</Fact>
            <Fact name="Operating system">{machine.OS}</Fact>
            <Fact name="Name by DHCP">{inventory.HostName}</Fact>
            <Fact name="eBPF">{inventory.Ebpf ? "BTF and the bpf system call are there" : "not offered by the kernel"}</Fact>
          </dl>
        </section>
      </div>
      {inventory.Abridged && (
        <p className="note note-warning">
          The inventory was cut to fit: what is missing from a list may be there all the same.
        </p>
      )}
      <section className="card">
        <h2>Disks</h2>
        <DiskTable disks={inventory.Disks} />
      </section>
      <section className="card">
        <h2>Network links</h2>
        <LinkTable links={inventory.Links} />
      </section>
      <section className="card">
        <h2>Memory modules</h2>
        <MemoryTable modules={inventory.MemoryModules} abridged={inventory.Abridged} />
      </section>
      <section className="card">
        <h2>PCI devices</h2>
        <PciTable functions={inventory.Pci} abridged={inventory.Abridged} />
      </section>
    </>
  );
}
