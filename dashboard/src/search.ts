// The search box of the Machines page.
import type { Machine } from "./wire";

/** Whether a machine has every word of a search somewhere in what an operator knows it by. */
export function matches(machine: Machine, search: string): boolean {
  const words = search.toLowerCase().split(/\s+/).filter((word) => word !== "");
  if (words.length === 0) return true;
  const text = known(machine);
  return words.every((word) => text.includes(word));
}

function known(machine: Machine): string {
  const { Inventory: inventory } = machine;
  return [
    machine.Name,
    machine.Uuid,
    machine.Description,
    machine.Address,
    machine.ProvisionState,
    machine.MeshNetwork,
    machine.Online ? "online" : "offline",
    ...machine.Roles,
    ...machine.HardwareAddrs,
    inventory.Vendor,
    inventory.Product,
    inventory.Serial,
    inventory.Bmc.Address,
    ...inventory.Links.flatMap((link) => [link.Mac, link.Lldp?.SystemName ?? "", ...link.Addresses]),
  ]
    .join("\n")
    .toLowerCase();
}
