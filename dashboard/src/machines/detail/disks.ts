// What disks are and what is on them, in words: pure.
import { diskSize } from "../../size";
import type { Disk, DiskContents, PartitionFound } from "../../wire";

/** Something on a disk. */
export interface Held {
  /** `whole disk`, or `part 2`. */
  on: string;
  size: number;
  /** `ext4`, `LVM2_member`, or why it is not known. */
  what: string;
  label: string;
  used: number | null;
  lastMounted: string;
}

/** Everything on a disk, as its superblocks tell. */
export function held(disk: Disk): Held[] {
  const { Contents: contents, SizeBytes: size } = disk;
  const whole = (what: string, label: string): Held => ({ on: "whole disk", size, what, label, used: null, lastMounted: "" });
  return [
    ...(contents.Filesystem === "" ? [] : [whole(contents.Filesystem, contents.Label)]),
    ...(contents.Error === "" ? [] : [whole(contents.Error, "")]),
    ...contents.Partitions.map(ofPartition),
  ];
}

function ofPartition(found: PartitionFound): Held {
  return {
    on: `part ${found.Number}`,
    size: found.Size,
    what: found.Filesystem === "" ? "not recognised" : found.Filesystem,
    label: found.Label === "" ? found.Name : found.Label,
    used: found.Used,
    lastMounted: found.LastMounted,
  };
}

/** Whether a disk was read and has nothing on it that anybody would miss. */
export function isEmpty(contents: DiskContents): boolean {
  return contents.Table === "" && contents.Filesystem === "" && contents.Error === "" && contents.Partitions.length === 0;
}

/** `GPT, 3 partitions`; `empty`. */
export function contentsInShort(contents: DiskContents): string {
  if (contents.Error !== "") return contents.Error;
  if (isEmpty(contents)) return "empty";
  const count = contents.Partitions.length;
  const parts = [
    contents.Table.toUpperCase(),
    contents.Filesystem,
    count === 0 ? "" : `${count} partition${count === 1 ? "" : "s"}`,
  ];
  return parts.filter((part) => part !== "").join(", ");
}

/** What a disk is chosen by that stays the same after a restart, best first; null when nothing does. */
export function stableName(disk: Disk): { field: "Serial" | "Wwn" | "ById"; value: string } | null {
  if (disk.Serial !== "") return { field: "Serial", value: disk.Serial };
  if (disk.Wwn !== "") return { field: "Wwn", value: disk.Wwn };
  const [byId] = disk.ById;
  return byId === undefined ? null : { field: "ById", value: byId };
}

/** `Samsung PM9A3, 1.9 TB (S63UNE0R100001)`. */
export function diskInWords(disk: Disk): string {
  const name = stableName(disk)?.value;
  return `${disk.Model === "" ? disk.Name : disk.Model}, ${diskSize(disk.SizeBytes)}${name === undefined ? "" : ` (${name})`}`;
}
