// A machine's inventory, read-only. Its texts come from firmware and are shown as text only.
import { diskSize, memorySize } from "../size";
import { Fact } from "../ui/parts";
import type { Cpu, Disk, Inventory, Link } from "../wire";

/** Who made it, and what is inside. */
export function HardwareFacts({ inventory }: { inventory: Inventory }) {
  return (
    <dl className="facts">
      <Fact name="Vendor">{inventory.Vendor}</Fact>
      <Fact name="Product">{inventory.Product}</Fact>
      <Fact name="Serial number">{inventory.Serial}</Fact>
      <Fact name="Board serial number">{inventory.BoardSerial}</Fact>
      <Fact name="System UUID">{inventory.SystemUuid === "" ? "" : <code>{inventory.SystemUuid}</code>}</Fact>
      <Fact name="Processor">{processor(inventory.Cpu)}</Fact>
      <Fact name="Memory">{inventory.MemoryBytes > 0 ? memorySize(inventory.MemoryBytes) : ""}</Fact>
      <Fact name="Architecture">{inventory.Arch}</Fact>
      <Fact name="Firmware">{firmware(inventory)}</Fact>
      <Fact name="Kernel">{inventory.Kernel}</Fact>
    </dl>
  );
}

/** `AMD EPYC 7313P, 16 cores, 32 threads`. */
export function processor(cpu: Cpu): string {
  const sockets = cpu.Sockets > 1 ? `${cpu.Sockets} \u00d7 ` : "";
  const parts = [`${sockets}${cpu.Model}`];
  if (cpu.Cores > 0) parts.push(counted(cpu.Cores, "core"));
  if (cpu.Threads > 0) parts.push(counted(cpu.Threads, "thread"));
  return parts.filter((part) => part !== "").join(", ");
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}

/** `UEFI, Secure Boot on (EDK II 2024.02)`. */
export function firmware(inventory: Inventory): string {
  const mode =
    inventory.FirmwareMode === "uefi" ? `UEFI, Secure Boot ${inventory.SecureBoot ? "on" : "off"}` : "BIOS";
  return inventory.Firmware === "" ? mode : `${mode} (${inventory.Firmware})`;
}

/** Whole disks. */
export function DiskTable({ disks }: { disks: Disk[] }) {
  if (disks.length === 0) return <p className="none">No disks were found.</p>;
  return (
    <div className="scroll" tabIndex={0} role="region" aria-label="Disks">
      <table className="plain">
        <thead>
          <tr>
            <th scope="col">Name</th>
            <th scope="col">Size</th>
            <th scope="col">Kind</th>
            <th scope="col">Model</th>
            <th scope="col">Serial number</th>
            <th scope="col">WWN</th>
          </tr>
        </thead>
        <tbody>
          {disks.map((disk, index) => (
            <tr key={index}>
              <td>
                <code>{disk.Name}</code>
              </td>
              <td>{diskSize(disk.SizeBytes)}</td>
              <td>{diskKind(disk)}</td>
              <td>{disk.Model}</td>
              <td>{disk.Serial}</td>
              <td>{disk.Wwn}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** `SSD`, `hard disk`, and whether it can be pulled. */
export function diskKind(disk: Disk): string {
  const kind = disk.Rotational ? "hard disk" : "SSD";
  return disk.Removable ? "removable" : kind;
}

/** Physical links. */
export function LinkTable({ links }: { links: Link[] }) {
  if (links.length === 0) return <p className="none">No links were found.</p>;
  return (
    <div className="scroll" tabIndex={0} role="region" aria-label="Network links">
      <table className="plain">
        <thead>
          <tr>
            <th scope="col">Name</th>
            <th scope="col">MAC</th>
            <th scope="col">Carrier</th>
            <th scope="col">Driver</th>
            <th scope="col">Addresses</th>
          </tr>
        </thead>
        <tbody>
          {links.map((link, index) => (
            <tr key={index}>
              <td>
                <code>{link.Name}</code>
              </td>
              <td>
                <code>{link.Mac}</code>
              </td>
              <td>{link.Carrier ? "up" : "down"}</td>
              <td>{link.Driver}</td>
              <td>{link.Addresses.join(", ")}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
