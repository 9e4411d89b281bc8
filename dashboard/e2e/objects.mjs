// Machines and enrollments as the server's JSON shows them, for tests of the page.
import { randomUUID } from "node:crypto";

/** An inventory of a rack server. */
export function inventory(part = {}) {
  return {
    Vendor: "Dell Inc.",
    Product: "PowerEdge R650",
    Serial: "7XK21M3",
    BoardSerial: "CNIVC0019B00A2",
    SystemUuid: "4c4c4544-0058-4b10-8032-b7c04f4d3333",
    Firmware: "Dell 1.12.1",
    FirmwareMode: "uefi",
    SecureBoot: true,
    Arch: "amd64",
    Kernel: "6.1.0-31-amd64",
    Cpu: { Model: "Intel Xeon Gold 6342", Threads: 48, Cores: 24, Sockets: 1 },
    MemoryBytes: 137_438_953_472,
    MemoryModules: ["A1", "A2"].map((slot, index) => ({
      Slot: `DIMM_${slot}`,
      SizeBytes: 68_719_476_736,
      Kind: "DDR5",
      SpeedMts: 4800,
      Manufacturer: "Samsung",
      PartNumber: "M321R8GA0BB0-CQKZJ",
      Serial: `4C02A1B${index}`,
    })),
    Disks: [
      disk("nvme0n1", 1_920_383_410_176, "Samsung PM9A3", "S63UNE0R100001"),
      disk("sda", 480_103_981_056, "Micron 5300", "2140B9D0"),
    ],
    Links: [
      {
        Name: "eno1",
        Mac: "52:54:00:12:34:56",
        Driver: "i40e",
        Carrier: true,
        Addresses: ["10.20.4.17/24"],
        SpeedMbps: 25_000,
        Lldp: {
          ChassisId: "02:00:00:00:00:01",
          PortId: "Eth1/7",
          PortDescription: "db-07 left",
          SystemName: "sw-3",
          SystemDescription: "Arista EOS 4.31",
          ManagementAddress: "10.20.0.3",
          Vlan: 120,
        },
      },
      { Name: "eno2", Mac: "52:54:00:12:34:57", Driver: "i40e", Carrier: false, Addresses: [], SpeedMbps: 0 },
    ],
    Pci: [
      pci("0000:3b:00.0", "020000", "8086", "1592", "i40e"),
      pci("0000:5e:00.0", "010802", "144d", "a824", "nvme"),
      pci("0000:00:1f.5", "0c8000", "8086", "a1a4", ""),
    ],
    Tpm: { Present: true, Version: "2.0" },
    Bmc: { Present: true, Address: "10.20.3.17", AddressV6: "", Mac: "52:54:00:ab:cd:01" },
    Ebpf: true,
    HostName: "",
    Abridged: false,
    ...part,
  };
}

/** A disk with nothing on it. */
export function disk(Name, SizeBytes, Model, Serial, part = {}) {
  return {
    Name,
    SizeBytes,
    Model,
    Serial,
    Wwn: "0x5000c500a1b2c3d4",
    Rotational: false,
    Removable: false,
    ReadOnly: false,
    ById: [`wwn-${Serial}`],
    Transport: "nvme",
    Path: `pci0000:00/${Name}`,
    BootMedium: false,
    Contents: { Table: "", Filesystem: "", Label: "", Partitions: [], Error: "" },
    ...part,
  };
}

function pci(Address, Class, Vendor, Device, Driver) {
  return { Address, Class, Vendor, Device, SubsystemVendor: Vendor, SubsystemDevice: "0001", Driver };
}

/** A registered machine; `offlineFor` seconds make it offline. */
export function machine({ offlineFor, ...part } = {}) {
  return {
    Uuid: randomUUID(),
    Name: "m-525400123456",
    Description: "",
    Address: "10.20.4.17",
    HardwareAddrs: ["52:54:00:12:34:56"],
    Arch: "amd64",
    BootEnv: "local",
    Params: {},
    Profiles: [],
    Meta: {},
    OS: "",
    Runnable: true,
    Locked: false,
    Validated: true,
    Available: true,
    Errors: [],
    ReadOnly: false,
    Online: offlineFor === undefined,
    LastSeenAt: new Date(Date.now() - (offlineFor ?? 3) * 1000).toISOString(),
    CreatedAt: "2026-02-01T12:00:00Z",
    ProvisionState: "Discovery mode",
    Roles: [],
    MeshNetwork: "",
    MeshAddresses: [],
    LastModifiedAt: "2026-02-01T12:00:00Z",
    LastModifiedBy: "",
    Origin: "iso",
    Inventory: inventory(),
    Ebpf: true,
    PendingChanges: false,
    ...part,
  };
}

/** A waiting machine and its code. */
export function enrollment(code, part = {}) {
  const preview = {
    id: randomUUID(),
    state: "Pending",
    fingerprint: "QM4T-9HXR-2VKD",
    key: "Ku6bHTYFWV7wGUDpQL-hgsQ7TlGqYkzbmU8rVMgSGvU",
    vendor: "Dell Inc.",
    product: "PowerEdge R650",
    serial: "7XK21M3",
    host_name: "",
    suggested_name: "m-525400123456",
    macs: ["52:54:00:12:34:56", "52:54:00:12:34:57"],
    source_ip: "10.20.4.17",
    origin: "iso",
    created_at: Math.floor(Date.now() / 1000) - 75,
    last_polled_seconds: 2,
    code_expires_in: 461,
    warnings: [],
    matches: [],
    inventory: inventory(),
    ...part,
  };
  return { code: code.replace("-", ""), preview };
}

/** A list with every state that a row can have. */
export function fleet() {
  return [
    machine({ Name: "db-07.dc1.example", Roles: ["postgres", "backup"], MeshNetwork: "core", ProvisionState: "Installed", PendingChanges: true }),
    machine({ Name: "web-2.dc1.example", Roles: ["nginx"], MeshNetwork: "edge", ProvisionState: "Installing", Ebpf: false }),
    machine({ Name: "web-10.dc1.example", Roles: ["nginx"], MeshNetwork: "edge", ProvisionState: "Install pending" }),
    machine({ Name: "m-525400ab12cd", offlineFor: 4 * 86_400 + 50, Ebpf: false }),
    machine({ Name: "gpu-01.dc2.example", offlineFor: 200, ProvisionState: "Failed", Roles: ["cuda"] }),
    machine({ Name: "m-525400fe0001" }),
  ];
}
