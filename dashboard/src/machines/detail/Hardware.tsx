// A machine's inventory, read-only: facts and tables. Its texts come from firmware and are shown as text
// only.
import { memorySize } from "../../size";
import { Fact } from "../../ui/parts";
import type { Bmc, Cpu, Disk, Inventory, Link, Lldp, MemoryModule, PciDevice, Tpm } from "../../wire";

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
      <Fact name="Memory">{memory(inventory)}</Fact>
      <Fact name="Architecture">{inventory.Arch}</Fact>
      <Fact name="Firmware">{firmware(inventory)}</Fact>
      <Fact name="TPM">{tpm(inventory.Tpm)}</Fact>
      <Fact name="BMC">{bmc(inventory.Bmc)}</Fact>
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

/** `128 GiB in 8 modules`. */
export function memory(inventory: Inventory): string {
  if (inventory.MemoryBytes === 0) return "";
  const size = memorySize(inventory.MemoryBytes);
  const modules = inventory.MemoryModules.length;
  return modules === 0 ? size : `${size} in ${counted(modules, "module")}`;
}

/** `2.0`, or that there is none. */
export function tpm(tpm: Tpm): string {
  if (!tpm.Present) return "none";
  return tpm.Version === "" ? "present" : tpm.Version;
}

/** The addresses of the management controller. */
export function bmc(bmc: Bmc): string {
  if (!bmc.Present) return "none";
  const known = [bmc.Address, bmc.AddressV6, bmc.Mac].filter((text) => text !== "");
  return known.length === 0 ? "present, address unknown" : known.join(", ");
}

/** `25 Gb/s`; nothing when unknown. */
export function speed(mbps: number): string {
  if (mbps === 0) return "";
  return mbps >= 1000 ? `${mbps / 1000} Gb/s` : `${mbps} Mb/s`;
}

/** `sw-3 port Eth1/7`: the switch by its name, or by its chassis. */
export function neighbour(lldp: Lldp): string {
  return `${lldp.SystemName === "" ? lldp.ChassisId : lldp.SystemName} port ${lldp.PortId}`;
}

/** What else the switch says, for whoever points at it. */
function neighbourMore(lldp: Lldp): string {
  const vlan = lldp.Vlan === undefined ? "" : `VLAN ${lldp.Vlan}`;
  return [lldp.PortDescription, vlan, lldp.ManagementAddress, lldp.SystemDescription]
    .filter((text) => text !== "")
    .join(", ");
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
            <th scope="col">Speed</th>
            <th scope="col">Switch</th>
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
              <td>{speed(link.SpeedMbps)}</td>
              <td>{link.Lldp !== undefined && <Neighbour lldp={link.Lldp} />}</td>
              <td>{link.Driver}</td>
              <td>{link.Addresses.join(", ")}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Neighbour({ lldp }: { lldp: Lldp }) {
  const more = neighbourMore(lldp);
  return (
    <>
      {neighbour(lldp)}
      {more !== "" && <span className="more">{more}</span>}
    </>
  );
}

/** Memory modules that are plugged in. */
export function MemoryTable({ modules, abridged }: { modules: MemoryModule[]; abridged: boolean }) {
  if (modules.length === 0) return <Untold what="memory modules" abridged={abridged} />;
  return (
    <div className="scroll" tabIndex={0} role="region" aria-label="Memory modules">
      <table className="plain">
        <thead>
          <tr>
            <th scope="col">Slot</th>
            <th scope="col">Size</th>
            <th scope="col">Kind</th>
            <th scope="col">Speed</th>
            <th scope="col">Manufacturer</th>
            <th scope="col">Part number</th>
            <th scope="col">Serial number</th>
          </tr>
        </thead>
        <tbody>
          {modules.map((module, index) => (
            <tr key={index}>
              <td>{module.Slot}</td>
              <td>{memorySize(module.SizeBytes)}</td>
              <td>{module.Kind}</td>
              <td>{module.SpeedMts > 0 && `${module.SpeedMts} MT/s`}</td>
              <td>{module.Manufacturer}</td>
              <td>{module.PartNumber}</td>
              <td>{module.Serial}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** PCI functions: how many there are, and all of them on request. */
export function PciTable({ functions, abridged }: { functions: PciDevice[]; abridged: boolean }) {
  if (functions.length === 0) return <Untold what="PCI devices" abridged={abridged} />;
  return (
    <details>
      <summary>{counted(functions.length, "function")}</summary>
      <div className="scroll" tabIndex={0} role="region" aria-label="PCI devices">
        <table className="plain">
          <thead>
            <tr>
              <th scope="col">Address</th>
              <th scope="col">Class</th>
              <th scope="col">Vendor and device</th>
              <th scope="col">Subsystem</th>
              <th scope="col">Driver</th>
            </tr>
          </thead>
          <tbody>
            {functions.map((each, index) => (
              <tr key={index}>
                <td>
                  <code>{each.Address}</code>
                </td>
                <td>{pciClass(each.Class)}</td>
                <td>
                  <code>{pair(each.Vendor, each.Device)}</code>
                </td>
                <td>
                  <code>{pair(each.SubsystemVendor, each.SubsystemDevice)}</code>
                </td>
                <td>{each.Driver === "" ? <span className="none">none</span> : each.Driver}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </details>
  );
}

function pair(vendor: string, device: string): string {
  return vendor === "" ? "" : `${vendor}:${device}`;
}

// Base classes of the PCI Code and ID Assignment Specification.
const PCI_CLASSES: Record<string, string> = {
  "01": "Storage",
  "02": "Network",
  "03": "Display",
  "04": "Multimedia",
  "05": "Memory",
  "06": "Bridge",
  "07": "Communication",
  "08": "System",
  "09": "Input",
  "0b": "Processor",
  "0c": "Serial bus",
  "0d": "Wireless",
  "10": "Encryption",
  "11": "Signal processing",
  "12": "Accelerator",
};

/** `Network`, or the number of a class without a name here. */
export function pciClass(code: string): string {
  return PCI_CLASSES[code.slice(0, 2)] ?? code;
}

function Untold({ what, abridged }: { what: string; abridged: boolean }) {
  return <p className="none">{abridged ? `The machine has not sent its ${what} yet.` : `No ${what} were found.`}</p>;
}
