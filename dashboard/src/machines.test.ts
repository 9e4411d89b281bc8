import { describe, expect, it } from "vitest";
import { disk, inventory, lldp } from "./fixtures";
import { bmc, diskKind, firmware, memory, neighbour, pciClass, processor, speed, tpm } from "./machines/detail/Hardware";
import { isAt } from "./pages";
import { diskSize, memorySize } from "./size";

describe("places in the bar", () => {
  it("are where their pages are", () => {
    expect(["/", "/machines", "/machines/x/boot", "/roles"].map((at) => isAt("/", at))).toEqual([true, true, true, false]);
    expect(["/roles", "/roles/web", "/rolesets"].map((at) => isAt("/roles", at))).toEqual([true, true, false]);
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

  it("names what is plugged in and where", () => {
    const module = { Slot: "A1", SizeBytes: 1, Kind: "DDR5", SpeedMts: 4800, Manufacturer: "", PartNumber: "", Serial: "" };
    expect(memory(inventory())).toBe("128 GiB");
    expect(memory(inventory({ MemoryModules: [module, module] }))).toBe("128 GiB in 2 modules");
    expect(memory(inventory({ MemoryBytes: 0 }))).toBe("");
    expect([0, 100, 1_000, 2_500, 25_000].map(speed)).toEqual(["", "100 Mb/s", "1 Gb/s", "2.5 Gb/s", "25 Gb/s"]);
    expect(neighbour(lldp())).toBe("sw-3 port Eth1/7");
    expect(neighbour(lldp({ SystemName: "" }))).toBe("02:00:00:00:00:01 port Eth1/7");
    expect(tpm({ Present: true, Version: "" })).toBe("present");
    expect(tpm({ Present: false, Version: "" })).toBe("none");
    expect(bmc(inventory().Bmc)).toBe("10.20.3.17, 52:54:00:ab:cd:01");
    expect(bmc({ Present: true, Address: "", AddressV6: "", Mac: "" })).toBe("present, address unknown");
    expect([pciClass("020000"), pciClass("ff0000")]).toEqual(["Network", "ff0000"]);
  });

  it("is described in words", () => {
    expect(processor({ Model: "EPYC 7313P", Cores: 32, Threads: 64, Sockets: 2 })).toBe(
      "2 \u00d7 EPYC 7313P, 32 cores, 64 threads",
    );
    expect(processor({ Model: "", Cores: 0, Threads: 1, Sockets: 0 })).toBe("1 thread");
    expect(firmware(inventory({ Firmware: "" }))).toBe("UEFI, Secure Boot on");
    expect(firmware(inventory({ FirmwareMode: "bios", Firmware: "SeaBIOS 1.16" }))).toBe("BIOS (SeaBIOS 1.16)");
    expect(diskKind(disk({ Rotational: true }))).toBe("hard disk");
    expect(diskKind(disk({ Rotational: true, Removable: true }))).toBe("removable");
  });
});
