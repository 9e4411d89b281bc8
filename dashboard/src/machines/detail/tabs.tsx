// The tabs of a machine's page, each fetched when it is first shown.
import { lazy, type ComponentType, type LazyExoticComponent } from "react";
import type { MachineFull, TabProps } from "./wire";

/** A tab: the last part of its address, its name, and what it shows. */
export interface MachineTab {
  id: string;
  name: string;
  body: LazyExoticComponent<ComponentType<TabProps>>;
  /** Which machines have it; without it, all. */
  has?(machine: MachineFull): boolean;
}

/** A tab by the name that its module exports. */
function tab<Name extends string>(
  id: string,
  name: string,
  load: () => Promise<Record<Name, ComponentType<TabProps>>>,
  component: Name,
): MachineTab {
  return { id, name, body: lazy(async () => ({ default: (await load())[component] })) };
}

/** All of them, in their order. The first one is shown where the address names none. */
export const TABS: readonly MachineTab[] = [
  tab("configuration", "Configuration", () => import("./Configuration"), "Configuration"),
  tab("hardware", "Hardware", () => import("./HardwareTab"), "HardwareTab"),
  tab("cloud-init", "Cloud-init", () => import("./CloudInit"), "CloudInit"),
  tab("provisions", "Provisions", () => import("./Provisions"), "Provisions"),
  tab("params", "Params", () => import("./Params"), "Params"),
  tab("profiles", "Profiles", () => import("./Profiles"), "Profiles"),
  tab("workflow", "Workflow", () => import("../flow/Workflow"), "Workflow"),
  tab("boot", "Boot", () => import("../flow/Boot"), "Boot"),
  tab("events", "Events", () => import("../flow/Events"), "Events"),
  {
    ...tab("peers", "Peers", () => import("../flow/Peers"), "Peers"),
    has: (machine) => machine.MeshNetwork !== "",
  },
  tab("terminal", "Terminal", () => import("../../terminal/TerminalTab"), "TerminalTab"),
];
