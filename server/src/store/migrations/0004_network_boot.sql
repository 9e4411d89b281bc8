-- One-time nonces of known machines' boots, until they are used or over: SHA-256 digests.
CREATE TABLE boot_nonce (
    digest TEXT PRIMARY KEY,
    machine TEXT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX boot_nonce_by_machine ON boot_nonce (machine, expires_at);
