import { describe, expect, it } from "vitest";
import { inventory, machine } from "./fixtures";
import { diskKind, firmware, processor } from "./machines/Hardware";
import { parseRoute } from "./route";
import { matches } from "./search";
import { diskSize, memorySize } from "./size";

describe("search", () => {
  it("finds a machine by whatever it is known by", () => {
    const known = machine({ Roles: ["postgres"], MeshNetwork: "core" });
    for (const search of ["", "DB-07", "7xk21m3", "52:54:00:12", "postgres core", "discovery", "dell r650", "online"]) {
      expect(matches(known, search), search).toBe(true);
    }
    for (const search of ["offline", "db-07 nginx"]) expect(matches(known, search), search).toBe(false);
  });
});

describe("routes", () => {
  it("name a page or none", () => {
    expect(parseRoute("/")).toEqual({ page: "machines" });
    expect(parseRoute("/machines/")).toEqual({ page: "machines" });
    const uuid = "0c2c1c5e-1111-4222-8333-444455556666";
    expect(parseRoute(`/machines/${uuid.toUpperCase()}`)).toEqual({ page: "machine", uuid });
    for (const path of ["/machines/1", "/nodes", `/machines/${uuid}/x`]) {
      expect(parseRoute(path)).toEqual({ page: "missing" });
    }
  });
});

describe("hardware", () => {
  it("is sized as its makers label it", () => {
    expect([0, 999, 960_197_124_096, 1_920_383_410_176, 999_999_999_999].map(diskSize)).toEqual([
      "0 B",
      "999 B",
      "960 GB",
      "1.9 TB",
      "1.0 TB",
    ]);
    expect(memorySize(137_438_953_472)).toBe("128 GiB");
  });

  it("is described in words", () => {
    expect(processor({ Model: "EPYC 7313P", Cores: 32, Threads: 64, Sockets: 2 })).toBe(
      "2 \u00d7 EPYC 7313P, 32 cores, 64 threads",
    );
    expect(processor({ Model: "", Cores: 0, Threads: 1, Sockets: 0 })).toBe("1 thread");
    expect(firmware(inventory({ Firmware: "" }))).toBe("UEFI, Secure Boot on");
    expect(firmware(inventory({ FirmwareMode: "bios", Firmware: "SeaBIOS 1.16" }))).toBe("BIOS (SeaBIOS 1.16)");
    const disk = { Name: "", Model: "", Serial: "", Wwn: "", SizeBytes: 0, Rotational: true, Removable: false };
    expect(diskKind(disk)).toBe("hard disk");
    expect(diskKind({ ...disk, Removable: true })).toBe("removable");
  });
});
