// The JSON that the server speaks, as `protocol/src/{rest,inventory,event}.rs` writes it:
// objects in PascalCase, `/bootstrap` bodies in snake_case. Dashboard and server are one
// binary, so versions never differ and answers are typed, not re-validated; only what comes
// unasked (websocket events) is checked before use.

export type ProvisionState = "Discovery mode" | "Install pending" | "Installing" | "Installed" | "Failed";
export type Origin = "iso" | "pxe" | "cli" | "api";

export interface Cpu {
  Model: string;
  Threads: number;
  Cores: number;
  Sockets: number;
}

export interface Disk {
  Name: string;
  Model: string;
  Serial: string;
  Wwn: string;
  SizeBytes: number;
  Rotational: boolean;
  Removable: boolean;
  ReadOnly: boolean;
  /** Names in `/dev/disk/by-id`, without the folder. */
  ById: string[];
  /** `nvme`, `sata`, `usb` and such, or empty. */
  Transport: string;
  /** Where it is plugged in. */
  Path: string;
  /** The medium that the machine booted from. */
  BootMedium: boolean;
  Contents: DiskContents;
}

/** A partition, and what its superblock says. */
export interface PartitionFound {
  Number: number;
  Size: number;
  Name: string;
  Filesystem: string;
  Label: string;
  /** Bytes in use, where the superblock tells. */
  Used: number | null;
  LastMounted: string;
}

/** What a disk holds. */
export interface DiskContents {
  /** `gpt`, `mbr`, or empty. */
  Table: string;
  Filesystem: string;
  Label: string;
  Partitions: PartitionFound[];
  /** Why it could not be read. */
  Error: string;
}

export interface MemoryModule {
  Slot: string;
  SizeBytes: number;
  Kind: string;
  /** Megatransfers a second, 0 when unknown. */
  SpeedMts: number;
  Manufacturer: string;
  PartNumber: string;
  Serial: string;
}

export interface PciDevice {
  Address: string;
  Vendor: string;
  Device: string;
  /** Class, subclass and programming interface: six hexadecimal digits. */
  Class: string;
  SubsystemVendor: string;
  SubsystemDevice: string;
  Driver: string;
}

export interface Tpm {
  Present: boolean;
  Version: string;
}

export interface Bmc {
  Present: boolean;
  Address: string;
  AddressV6: string;
  Mac: string;
}

/** The switch on the other end of a link. */
export interface Lldp {
  ChassisId: string;
  PortId: string;
  PortDescription: string;
  SystemName: string;
  SystemDescription: string;
  ManagementAddress: string;
  Vlan?: number;
}

export interface Link {
  Name: string;
  Mac: string;
  Driver: string;
  Carrier: boolean;
  Addresses: string[];
  /** 0 when unknown. */
  SpeedMbps: number;
  /** Absent as long as no switch was heard. */
  Lldp?: Lldp;
}

export interface Inventory {
  Vendor: string;
  Product: string;
  Serial: string;
  BoardSerial: string;
  SystemUuid: string;
  Firmware: string;
  FirmwareMode: "bios" | "uefi";
  SecureBoot: boolean;
  Arch: string;
  Kernel: string;
  Cpu: Cpu;
  MemoryBytes: number;
  MemoryModules: MemoryModule[];
  Disks: Disk[];
  Links: Link[];
  Pci: PciDevice[];
  Tpm: Tpm;
  Bmc: Bmc;
  Ebpf: boolean;
  HostName: string;
  /** Lists were left out to fit: an empty one says nothing. */
  Abridged: boolean;
}

export interface Machine {
  Uuid: string;
  Name: string;
  Description: string;
  Address: string;
  HardwareAddrs: string[];
  Arch: string;
  OS: string;
  Errors: string[];
  Online: boolean;
  /** RFC 3339, or null when no heartbeat was ever seen. */
  LastSeenAt: string | null;
  CreatedAt: string;
  ProvisionState: ProvisionState;
  Roles: string[];
  MeshNetwork: string;
  Origin: Origin;
  Inventory: Inventory;
  Ebpf: boolean;
  PendingChanges: boolean;
  /** Users cannot change it. */
  Locked: boolean;
}

export interface Session {
  Username: string;
  CsrfToken: string;
  ExpiresAt: string;
}

export interface ErrorBody {
  Model: string;
  Key: string;
  Type: string;
  Messages: string[];
  Code: number;
}

export type EnrollmentState =
  | "Pending"
  | "Approved"
  | "Enrolled"
  | "Denied"
  | "Cancelled"
  | "Expired"
  | "Unclaimed";

export interface Warning {
  kind: string;
  message: string;
}

export interface MachineMatch {
  uuid: string;
  name: string;
  /** 100 and more is a strong match. */
  score: number;
  /** Online now, which forbids a merge. */
  online: boolean;
  reasons: string[];
}

export interface EnrollmentPreview {
  id: string;
  state: EnrollmentState;
  fingerprint: string;
  key: string;
  vendor: string;
  product: string;
  serial: string;
  host_name: string;
  suggested_name: string;
  macs: string[];
  source_ip: string;
  origin: Origin;
  /** Seconds since 1970. */
  created_at: number;
  last_polled_seconds: number;
  code_expires_in: number;
  warnings: Warning[];
  matches: MachineMatch[];
  inventory: Inventory;
}

export interface ApproveRequest {
  code?: string;
  fingerprint: string;
  name?: string;
  merge?: string;
  fingerprint_confirmed: boolean;
}

export interface DenyRequest {
  reason?: string;
}

export interface TokenCreated {
  Token: string;
  Id: string;
  ExpiresAt: string;
  /** Brings the agent onto a Linux that runs already. */
  Command: string;
  KernelArgs: string;
  Menus: {
    Pxelinux: string;
    Grub: string;
    Ipxe: string;
    /** Absent when the server's door for boot files is shut. */
    IpxeFromServer?: string;
  };
  /** Empty when no media were built. */
  Files: BootLink[];
}

/** A file for a boot server, fetched without logging in. */
export interface BootLink {
  Name: string;
  Url: string;
  Size: number;
  Sha256: string;
}

/** What `createToken` sends. Places are those of the boot server; absent for `muster/vmlinuz` and `muster/initrd`. */
export interface TokenCreate {
  Lifetime: number;
  Kernel?: string;
  Initrd?: string;
  /** Which machines it is for; absent for any. */
  Cidr?: readonly string[];
  Mac?: readonly string[];
  Uuid?: readonly string[];
  Serial?: readonly string[];
  MaxUses?: number;
  /** Where they begin. */
  Roles?: readonly string[];
  MeshNetwork?: string;
  RequireApproval?: boolean;
}

export interface MediaFile {
  name: string;
  size: number;
  /** Hexadecimal, of the file before it is personalised. */
  sha256: string;
}

export interface Info {
  id: string;
  muster_version: string;
  protocol: number;
  server_hostname: string;
  file_port: number;
  arch: string;
  os: string;
  advertise: string[];
  ca_hash: string[];
  /** What may be done, by what it is done with. */
  scopes: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  media: MediaFile[];
}

export interface Event {
  Time: string;
  Type: string;
  Action: string;
  Key: string;
  Principal: string;
  Object: unknown;
  /** The object as it was before, if it was. */
  Original?: unknown;
}
