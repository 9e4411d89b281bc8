-- What is kept of a token besides its times: which key sealed it, whom it admits and where those
-- begin, when it was last used. Tokens of schema 1 were all sealed by k1 and admit anybody.
ALTER TABLE bootstrap_token ADD COLUMN kid TEXT NOT NULL DEFAULT 'k1';
ALTER TABLE bootstrap_token ADD COLUMN terms TEXT NOT NULL DEFAULT '{}';
ALTER TABLE bootstrap_token ADD COLUMN last_used_at BIGINT;

-- The list is read in parts, newest first.
CREATE INDEX bootstrap_token_by_time ON bootstrap_token (issued_at DESC, jti);

-- Nobody could revoke anything in schema 1; revocations have their own table, since they also end
-- tokens that have no row.
ALTER TABLE bootstrap_token DROP COLUMN revoked_at;

-- What ended tokens before their time. Subject is empty for the whole server.
CREATE TABLE revocation (
    scope TEXT NOT NULL,
    subject TEXT NOT NULL,
    not_before BIGINT NOT NULL,
    kept_until BIGINT NOT NULL,
    PRIMARY KEY (scope, subject)
);

-- How many tokens each key sealed, and when the last of them ends.
CREATE TABLE token_key (
    kid TEXT PRIMARY KEY,
    issued BIGINT NOT NULL,
    last_expires_at BIGINT NOT NULL
);
INSERT INTO token_key (kid, issued, last_expires_at)
    SELECT kid, COUNT(*), MAX(expires_at) FROM bootstrap_token GROUP BY kid;
