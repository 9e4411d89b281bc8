// Paths of the pages, and what remains of a page in its address.

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** Whether a part of a path is a UUID. */
export function isUuid(part: string): boolean {
  return UUID.test(part);
}

/** The path of a machine's detail page, or of one of its tabs. */
export function machinePath(uuid: string, tab?: string): string {
  return tab === undefined ? `/machines/${uuid}` : `/machines/${uuid}/${tab}`;
}
