// What can be done with many machines: one row each.
import { assignMesh, changeRoles, discover, diskPlan, forget, install, lock } from "./acts";
import type { Target } from "./bulk";

/** What is chosen before it begins. */
export interface Choices {
  addRoles: readonly string[];
  removeRoles: readonly string[];
  mesh: string;
}

/** One action. */
export interface BulkAct {
  id: "provision" | "discover" | "lock" | "unlock" | "roles" | "mesh" | "delete";
  name: string;
  /** Of one machine: `Deleting db-07`. */
  doing: string;
  /** The button that begins it. */
  label: string;
  /** What it means, in plain sentences. */
  means: string;
  danger: boolean;
  /** Whether how many machines there are has to be typed first. */
  typed: boolean;
  /** Looks at a machine before anything begins; answers what would happen to it. */
  preview?: (target: Target) => Promise<string>;
  run(target: Target, choices: Choices): Promise<string | undefined>;
}

/** What an installation would erase of one machine, in words; fails where none can begin. */
async function erased({ Uuid }: Target): Promise<string> {
  const { Disks: disks, Error: why } = await diskPlan(Uuid);
  if (why !== "") throw new Error(why);
  const lost = disks.filter(({ Fate }) => Fate === "Erase").map(({ Disk: { Name, Model } }) => `${Name} ${Model}`.trim());
  return lost.length === 0 ? "no disk is erased" : `erases ${lost.join(", ")}`;
}

const nothing = (done: Promise<unknown>): Promise<undefined> => done.then(() => undefined);

/** The actions, in the order of the menu. */
export const BULK: readonly BulkAct[] = [
  {
    id: "provision",
    name: "Provision\u2026",
    doing: "Asking for its installation",
    label: "Provision",
    means: "Each machine boots its installer, and its operating system is installed anew.",
    danger: true,
    typed: true,
    preview: erased,
    run: (target) => nothing(install(target)),
  },
  {
    id: "discover",
    name: "Discover\u2026",
    doing: "Bringing it back",
    label: "Discover",
    means: "Each machine leaves what it runs now and goes back to Discovery mode. Disks are not touched.",
    danger: false,
    typed: false,
    run: ({ Uuid }) => nothing(discover(Uuid)),
  },
  {
    id: "lock",
    name: "Lock\u2026",
    doing: "Locking",
    label: "Lock",
    means: "Users cannot change these machines until they are unlocked.",
    danger: false,
    typed: false,
    run: ({ Uuid }) => nothing(lock(Uuid, true)),
  },
  {
    id: "unlock",
    name: "Unlock\u2026",
    doing: "Unlocking",
    label: "Unlock",
    means: "Users can change these machines again.",
    danger: false,
    typed: false,
    run: ({ Uuid }) => nothing(lock(Uuid, false)),
  },
  {
    id: "roles",
    name: "Roles\u2026",
    doing: "Changing its roles",
    label: "Change roles",
    means: "Roles that the machines have besides stay as they are.",
    danger: false,
    typed: false,
    run: ({ Uuid }, { addRoles, removeRoles }) => nothing(changeRoles(Uuid, addRoles, removeRoles)),
  },
  {
    id: "mesh",
    name: "Mesh network\u2026",
    doing: "Assigning",
    label: "Assign",
    means: "Each machine gets an address in the network and leaves the one it was in.",
    danger: false,
    typed: false,
    run: ({ Uuid }, { mesh }) => nothing(assignMesh(Uuid, mesh)),
  },
  {
    id: "delete",
    name: "Delete\u2026",
    doing: "Deleting",
    label: "Delete machines",
    means:
      "Muster forgets these machines and their keys. Their disks are not touched. To come back, each has to be bootstrapped again.",
    danger: true,
    typed: true,
    run: ({ Uuid }) => nothing(forget(Uuid)),
  },
];
