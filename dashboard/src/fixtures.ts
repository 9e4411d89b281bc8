// Whole objects for tests; never part of the built page.
import type { Job } from "./machines/flow/wire";
import type { Disk, EnrollmentPreview, Inventory, Link, Lldp, Machine, MachineMatch } from "./wire";

/** An inventory of a small server. */
export function inventory(part: Partial<Inventory> = {}): Inventory {
  return {
    Vendor: "Dell Inc.",
    Product: "PowerEdge R650",
    Serial: "7XK21M3",
    BoardSerial: "",
    SystemUuid: "4c4c4544-0058-4b10-8032-b7c04f4d3333",
    Firmware: "Dell 1.12.1",
    FirmwareMode: "uefi",
    SecureBoot: true,
    Arch: "amd64",
    Kernel: "6.1.0-31-amd64",
    Cpu: { Model: "Xeon Gold 6342", Threads: 48, Cores: 24, Sockets: 1 },
    MemoryBytes: 137_438_953_472,
    MemoryModules: [],
    Disks: [],
    Links: [link()],
    Pci: [],
    Tpm: { Present: true, Version: "2.0" },
    Bmc: { Present: true, Address: "10.20.3.17", AddressV6: "", Mac: "52:54:00:ab:cd:01" },
    Ebpf: true,
    HostName: "",
    Abridged: false,
    ...part,
  };
}

/** A disk with nothing on it. */
export function disk(part: Partial<Disk> = {}): Disk {
  return {
    Name: "sda",
    Model: "Micron 5300",
    Serial: "2140B9D0",
    Wwn: "0x5000c500a1b2c3d4",
    SizeBytes: 480_103_981_056,
    Rotational: false,
    Removable: false,
    ReadOnly: false,
    ById: ["ata-Micron_5300_2140B9D0"],
    Transport: "sata",
    Path: "pci0000:00/0000:00:17.0/ata1",
    BootMedium: false,
    Contents: { Table: "", Filesystem: "", Label: "", Partitions: [], Error: "" },
    ...part,
  };
}

/** A link that is plugged in. */
export function link(part: Partial<Link> = {}): Link {
  return {
    Name: "eno1",
    Mac: "52:54:00:12:34:56",
    Driver: "i40e",
    Carrier: true,
    Addresses: ["10.20.4.17/24"],
    SpeedMbps: 25_000,
    ...part,
  };
}

/** What a switch says. */
export function lldp(part: Partial<Lldp> = {}): Lldp {
  return {
    ChassisId: "02:00:00:00:00:01",
    PortId: "Eth1/7",
    PortDescription: "",
    SystemName: "sw-3",
    SystemDescription: "Arista EOS 4.31",
    ManagementAddress: "10.20.0.3",
    ...part,
  };
}

/** A machine in Discovery mode. */
export function machine(part: Partial<Machine> = {}): Machine {
  return {
    Uuid: "0c2c1c5e-1111-4222-8333-444455556666",
    Name: "db-07.dc1.example",
    Description: "",
    Address: "10.20.4.17",
    HardwareAddrs: ["52:54:00:12:34:56"],
    Arch: "amd64",
    OS: "",
    Errors: [],
    Online: true,
    LastSeenAt: "2026-03-01T12:00:00Z",
    CreatedAt: "2026-02-01T12:00:00Z",
    ProvisionState: "Discovery mode",
    Roles: [],
    MeshNetwork: "",
    Origin: "iso",
    Inventory: inventory(),
    Ebpf: true,
    PendingChanges: false,
    Locked: false,
    ...part,
  };
}

/** A machine that an enrollment resembles. */
export function match(part: Partial<MachineMatch> = {}): MachineMatch {
  return { uuid: "m-1", name: "db-07", score: 150, online: false, reasons: ["serial number"], ...part };
}

/** A machine that asks. */
export function preview(part: Partial<EnrollmentPreview> = {}): EnrollmentPreview {
  return {
    id: "e-1",
    state: "Pending",
    fingerprint: "QM4T-9HXR-2VKD",
    key: "key",
    vendor: "Dell Inc.",
    product: "PowerEdge R650",
    serial: "7XK21M3",
    host_name: "",
    suggested_name: "m-525400123456",
    macs: ["52:54:00:12:34:56"],
    source_ip: "10.20.4.17",
    origin: "iso",
    created_at: 1_772_366_400,
    last_polled_seconds: 2,
    code_expires_in: 540,
    warnings: [],
    matches: [],
    inventory: inventory(),
    ...part,
  };
}

/** A job that is over. */
export function job(part: Partial<Job> = {}): Job {
  return {
    Uuid: "j",
    Machine: "m",
    Task: "",
    Stage: "",
    Workflow: "",
    BootEnv: "",
    Context: "",
    State: "finished",
    ExitState: "",
    StartTime: "0001-01-01T00:00:00Z",
    EndTime: "0001-01-01T00:00:00Z",
    Current: false,
    CurrentIndex: 0,
    ResultErrors: [],
    ...part,
  };
}
