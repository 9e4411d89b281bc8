// Lists of machines as the server gives them: filters, search, order, parts and counts of the Machines page.

/** `GET /machines?...` as `{body, headers}`. */
export function machineList(machines, query) {
  const all = [...machines.values()];
  const found = all.filter((machine) => fits(machine, query));
  found.sort(order((query.get("sort") ?? "Uuid").split(",")));
  if (query.get("reverse") === "true") found.reverse();
  // The place of a row that may be gone by now is its order's, not its number's; names do for the stand-in.
  const after = query.get("after");
  const start = (after === null ? 0 : found.findIndex(({ Uuid }) => Uuid === after) + 1) + Number(query.get("offset") ?? 0);
  const limit = Number(query.get("limit") ?? 0) || found.length;
  const part = found.slice(start, start + limit);
  const slim = (query.get("slim") ?? "").split(",");
  const headers = {
    "X-DRP-LIST-COUNT": String(part.length),
    "X-DRP-LIST-FILTER-COUNT": String(found.length),
    "X-DRP-LIST-TOTAL-COUNT": String(all.length),
    ...(part.length === limit && part.length > 0 ? { "X-MUSTER-LIST-NEXT": part[part.length - 1].Uuid } : {}),
  };
  const body = part.map((machine) => Object.fromEntries(Object.entries(machine).filter(([name]) => !slim.includes(name))));
  return { body, headers };
}

function fits(machine, query) {
  const among = (index, value) => {
    const filter = query.get(index);
    const wanted = filter === null ? undefined : (/^In\((.*)\)$/.exec(filter)?.[1]?.split(",") ?? [filter]);
    return wanted === undefined || wanted.some((each) => (Array.isArray(value) ? value.includes(each) : value === each));
  };
  const online = query.get("Online");
  const words = (query.get("q") ?? "").toLowerCase().split(/\s+/);
  const text = JSON.stringify(machine).toLowerCase();
  return (
    among("ProvisionState", machine.ProvisionState) &&
    among("MeshNetwork", machine.MeshNetwork) &&
    among("Name", machine.Name) &&
    among("Uuid", machine.Uuid) &&
    among("Roles", machine.Roles) &&
    (online === null || String(machine.Online) === online) &&
    words.every((word) => text.includes(word))
  );
}

function order(fields) {
  const value = (machine, field) => String(field === "NaturalName" ? machine.Name : machine[field]);
  return (a, b) => {
    for (const field of [...fields, "Uuid"]) {
      const by = value(a, field).localeCompare(value(b, field), "en", { numeric: field === "NaturalName" });
      if (by !== 0) return by;
    }
    return 0;
  };
}
