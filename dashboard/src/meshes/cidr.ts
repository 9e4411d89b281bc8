// Networks of mesh networks: how many machines they have addresses for, and unique local ones made up.
// What the server takes, it decides itself: this is what the form says beforehand.

/** As many as the largest private IPv4 network has addresses for: no mesh network holds more. */
const MOST = 2 ** 24 - 2;

/** Whether a network is of IPv6. */
export function isV6(cidr: string): boolean {
  return cidr.includes(":");
}

/** How many machines a network has addresses for; null when it is none. */
export function capacity(cidr: string): number | null {
  const [, network, text] = /^([0-9a-fA-F:.]+)\/(\d{1,3})$/u.exec(cidr.trim()) ?? [];
  if (network === undefined || text === undefined) return null;
  const prefix = Number(text);
  if (isV6(network)) return prefix > 128 ? null : Math.min(MOST, 2 ** (128 - prefix) - 1);
  return prefix > 30 ? null : Math.min(MOST, 2 ** (32 - prefix) - 2);
}

/** A unique local /64 that nobody else is likely to have (RFC 4193). */
export function uniqueLocal(random: Uint8Array): string {
  const hex = [0xfd, ...random.slice(0, 5)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  const groups = hex.match(/.{4}/gu) ?? [];
  return `${groups.map((group) => group.replace(/^0{1,3}/u, "")).join(":")}::/64`;
}
