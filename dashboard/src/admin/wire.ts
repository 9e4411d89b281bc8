// The JSON of the administration's pages, as `protocol/src/{rest,model}` writes it.

export type TokenState = "live" | "expired" | "revoked" | "used_up";

/** A bootstrap token as it is listed: everything but the token. */
export interface BootstrapToken {
  Id: string;
  By: string;
  IssuedAt: string;
  ExpiresAt: string;
  Kid: string;
  State: TokenState;
  Uses: number;
  LastUsedAt: string | null;
  Constraints: {
    Cidr?: string[];
    Mac?: string[];
    MaxUses?: number;
    Uuid?: string[];
    Serial?: string[];
  };
  Roles: string[];
  MeshNetwork: string;
  RequireApproval: boolean;
}

/** What a revocation names: exactly one of them. */
export type Revocation = { User: string } | { Before: string };

export interface Revoked {
  Revoked: string;
  Ended: number;
}

export interface User {
  Name: string;
  Description: string;
  Roles: string[];
  CreatedAt?: string;
  Available: boolean;
  ReadOnly: boolean;
}

/** Something that is allowed; each part is `*` or a comma list. */
export interface Claim {
  scope: string;
  action: string;
  specific: string;
}

export interface AccessRole {
  Name: string;
  Description: string;
  Documentation: string;
  Claims: Claim[];
  ReadOnly: boolean;
}

/** A session or an API token, as it is listed. */
export interface SignIn {
  Id: string;
  Kind: "session" | "api-token";
  Description: string;
  CreatedAt: string | null;
  LastUsedAt: string | null;
  ExpiresAt: string;
  Source: string | null;
  /** Null for all of the user's. */
  Roles: string[] | null;
  Current: boolean;
  OfSession: boolean;
}

export interface ApiTokenCreate {
  Ttl: string;
  Roles: string[];
  Description: string;
  Lasting: boolean;
}

export interface ApiToken {
  Token: string;
  ExpiresAt: string;
}

/** A key that seals and opens bootstrap tokens. */
export interface TokenKey {
  Kid: string;
  Current: boolean;
  CreatedAt: string;
  RolledAt: string | null;
  Issued: number;
  LastExpiresAt: string | null;
}

/** What the media were built of: the part of `manifest.json` that is shown. */
export interface MediaManifest {
  version: string;
  arch: string;
  kernel: string;
  profile: string;
  /** Seconds since 1970. */
  build_time: number;
  packages: { name: string; version: string }[];
}
