-- Provision runs. The number is the revision that made one: all runs in their order. due_at is when
-- the server looks at it again, in milliseconds since 1970; null for never. goods is what the run works
-- with (image and disk plan), written once.
CREATE TABLE provision (
    id TEXT PRIMARY KEY,
    machine TEXT NOT NULL,
    number BIGINT NOT NULL,
    is_active BIGINT NOT NULL,
    due_at BIGINT,
    created_at BIGINT NOT NULL,
    body TEXT NOT NULL,
    goods TEXT,
    revision BIGINT NOT NULL
);
CREATE INDEX provision_by_machine ON provision (machine, number);
CREATE INDEX provision_by_number ON provision (number);
CREATE INDEX provision_by_activity ON provision (is_active, due_at);

-- The Provision column, by which machines are listed. Nothing was installed so far.
ALTER TABLE machine_index ADD COLUMN provision_state TEXT NOT NULL DEFAULT 'Discovery mode';
-- postgres: ALTER TABLE machine_index ALTER provision_state TYPE TEXT COLLATE "C";
CREATE INDEX machine_by_provision_state ON machine_index (provision_state);
