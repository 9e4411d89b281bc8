// Sizes as people read them: disks and files in powers of ten as their makers label them,
// memory in powers of two.

const DECIMAL = ["B", "kB", "MB", "GB", "TB", "PB"] as const;
const BINARY = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"] as const;

function scaled(bytes: number, base: number, units: readonly string[]): string {
  let value = Math.max(0, bytes);
  let unit = 0;
  // 999.5 would be shown as 1000: one unit up instead.
  while (value >= base - 0.5 && unit < units.length - 1) {
    value /= base;
    unit += 1;
  }
  const digits = unit > 0 && value < 9.95 ? 1 : 0;
  return `${value.toFixed(digits)} ${units[unit] ?? ""}`;
}

/** A disk's or file's size: `960 GB`. */
export function diskSize(bytes: number): string {
  return scaled(bytes, 1000, DECIMAL);
}

/** A memory's size: `64 GiB`. */
export function memorySize(bytes: number): string {
  return scaled(bytes, 1024, BINARY);
}
