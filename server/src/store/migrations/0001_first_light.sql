-- One row: the revision every commit advances (which puts all commits in one order on both
-- engines), the latest time of any commit, and the end of the audit chain.
CREATE TABLE head (
    id BIGINT PRIMARY KEY,
    revision BIGINT NOT NULL,
    latest BIGINT NOT NULL,
    audit_rows BIGINT NOT NULL,
    audit_hash TEXT NOT NULL
);
INSERT INTO head (id, revision, latest, audit_rows, audit_hash) VALUES (1, 0, 0, 0, '');

CREATE TABLE enrollment (
    id TEXT PRIMARY KEY,
    machine_key TEXT NOT NULL,
    state TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    ended_at BIGINT,
    fingerprint TEXT NOT NULL,
    decided_by TEXT,
    body TEXT NOT NULL,
    revision BIGINT NOT NULL
);
CREATE INDEX enrollment_by_key ON enrollment (machine_key, created_at);
CREATE INDEX enrollment_by_state ON enrollment (state, created_at);

-- Live codes, and retired ones for as long as nothing near them is given out.
CREATE TABLE code (
    code TEXT PRIMARY KEY,
    enrollment TEXT NOT NULL,
    retired_at BIGINT
);

CREATE TABLE machine (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    machine_key TEXT UNIQUE,
    last_seen BIGINT,
    body TEXT NOT NULL,
    revision BIGINT NOT NULL
);

-- By which identifiers a machine (kind 'machine') or an enrollment ('enrollment') is found again.
CREATE TABLE hint (
    value TEXT NOT NULL,
    kind TEXT NOT NULL,
    owner TEXT NOT NULL,
    PRIMARY KEY (value, kind, owner)
);
CREATE INDEX hint_by_owner ON hint (owner);

CREATE TABLE bootstrap_token (
    jti TEXT PRIMARY KEY,
    issued_by TEXT NOT NULL,
    issued_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    uses BIGINT NOT NULL,
    revoked_at BIGINT
);

CREATE TABLE record (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    body TEXT NOT NULL,
    revision BIGINT NOT NULL,
    PRIMARY KEY (kind, name)
);

-- Append-only. Each hash covers the one before it and its own body.
CREATE TABLE audit (
    number BIGINT PRIMARY KEY,
    body TEXT NOT NULL,
    hash TEXT NOT NULL
);
