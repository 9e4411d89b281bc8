// Which machines a bootstrap token is for, and where they begin: what was typed, what is wrong with it, and what
// the server is told. Pure.
import type { TokenCreate } from "../wire";

/** What was typed and chosen. Lists are separated by commas, and where no entry has blanks, by those. */
export interface Limits {
  networks: string;
  macs: string;
  serials: string;
  uuids: string;
  /** Most machines; null for any number. */
  uses: number | null;
  roles: readonly string[];
  mesh: string;
  /** Each machine waits for a person all the same. */
  approval: boolean;
}

/** For any machine, which begins where machines do. */
export const NO_LIMITS: Limits = { networks: "", macs: "", serials: "", uuids: "", uses: null, roles: [], mesh: "", approval: false };

/** What is wrong, by field. */
export type LimitProblems = { readonly [Field in keyof Limits]?: string };

/** Most entries of each list, as the server takes them. */
const MOST = 64;
/** Most machines that a token counts. */
const MOST_USES = 4_294_967_295;
const MAC = /^[0-9a-f]{2}([:-][0-9a-f]{2}){5}$/iu;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/iu;
const SERIAL = /^[ -~]{1,128}$/u;
const V4 = /^\d{1,3}(\.\d{1,3}){3}$/u;
const V6 = /^[0-9a-f:.]*:[0-9a-f:.]*$/iu;

function entries(text: string, separator: RegExp): string[] {
  return text.split(separator).map((entry) => entry.trim()).filter(Boolean);
}

const words = (text: string) => entries(text, /[\s,]+/u);
const lines = (text: string) => entries(text, /[\n,]+/u);

function isNetwork(text: string): boolean {
  const [address = "", prefix = "", more] = text.split("/");
  if (more !== undefined || !/^\d{1,3}$/u.test(prefix)) return false;
  if (V4.test(address)) return Number(prefix) <= 32 && address.split(".").every((byte) => Number(byte) <= 255);
  return V6.test(address) && Number(prefix) <= 128;
}

function wrong(all: readonly string[], fits: (entry: string) => boolean, what: string): string | undefined {
  const odd = all.find((entry) => !fits(entry));
  if (odd !== undefined) return `\u201c${odd}\u201d is no ${what}.`;
  return all.length > MOST ? `At most ${MOST}; these are ${all.length}.` : undefined;
}

/** What the server would refuse. */
export function limitProblems({ networks, macs, serials, uuids, uses }: Limits): LimitProblems {
  const all = {
    networks: wrong(words(networks), isNetwork, "network: write an address and a length, such as 10.20.0.0/16"),
    macs: wrong(words(macs), (mac) => MAC.test(mac), "MAC address: write it as 52:54:00:12:34:56"),
    serials: wrong(lines(serials), (serial) => SERIAL.test(serial), "serial number: they have printable characters of ASCII"),
    uuids: wrong(words(uuids), (uuid) => UUID.test(uuid), "system UUID: they have 36 characters, as dmidecode shows them"),
    uses: uses === null || (uses >= 1 && uses <= MOST_USES) ? undefined : "One machine at least; leave it empty for any number.",
  };
  return Object.fromEntries(Object.entries(all).filter(([, problem]) => problem !== undefined));
}

/** What the server is told. */
export function asTerms({ networks, macs, serials, uuids, uses, roles, mesh, approval }: Limits): Omit<TokenCreate, "Lifetime"> {
  const some = <Name extends string>(name: Name, list: readonly string[]) => (list.length === 0 ? {} : { [name]: list });
  return {
    ...some("Cidr", words(networks)),
    ...some("Mac", words(macs)),
    ...some("Serial", lines(serials)),
    ...some("Uuid", words(uuids)),
    ...(uses === null ? {} : { MaxUses: uses }),
    // Whoever approves a machine says where it begins.
    ...(approval ? { RequireApproval: true } : { ...some("Roles", roles), ...(mesh === "" ? {} : { MeshNetwork: mesh }) }),
  };
}

/** How many of them there are, for whoever does not see them. */
export function countLimits(limits: Limits): number {
  return Object.keys(asTerms(limits)).length;
}
