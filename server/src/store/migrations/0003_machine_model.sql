-- Everything that machines refer to, in one snapshot: which commit last changed any of it, and
-- the one that all machines were last checked against.
ALTER TABLE head ADD COLUMN content_revision BIGINT NOT NULL DEFAULT 0;
ALTER TABLE head ADD COLUMN checked_revision BIGINT NOT NULL DEFAULT 0;

CREATE TABLE object (
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    bundle TEXT NOT NULL,
    body TEXT NOT NULL,
    revision BIGINT NOT NULL,
    PRIMARY KEY (kind, key)
);

CREATE TABLE pref (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

-- One run of one task on one machine. The number is the revision that made it: a machine's jobs in
-- their order. Times are milliseconds since 1970, 0 for what has not happened.
CREATE TABLE job (
    id TEXT PRIMARY KEY,
    machine TEXT NOT NULL,
    number BIGINT NOT NULL,
    is_current BIGINT NOT NULL,
    state TEXT NOT NULL,
    exit_state TEXT NOT NULL,
    task TEXT NOT NULL,
    stage TEXT NOT NULL,
    workflow TEXT NOT NULL,
    bootenv TEXT NOT NULL,
    context TEXT NOT NULL,
    previous TEXT NOT NULL,
    archived BIGINT NOT NULL,
    start_time BIGINT NOT NULL,
    end_time BIGINT NOT NULL,
    log_bytes BIGINT NOT NULL,
    body TEXT NOT NULL,
    revision BIGINT NOT NULL
);
CREATE INDEX job_by_machine ON job (machine, number);
CREATE INDEX job_by_current ON job (is_current, id);
CREATE INDEX job_by_state ON job (state, id);
CREATE INDEX job_by_exit_state ON job (exit_state, id);
CREATE INDEX job_by_task ON job (task, id);
CREATE INDEX job_by_stage ON job (stage, id);
CREATE INDEX job_by_workflow ON job (workflow, id);
CREATE INDEX job_by_bootenv ON job (bootenv, id);
CREATE INDEX job_by_context ON job (context, id);
CREATE INDEX job_by_previous ON job (previous, id);
CREATE INDEX job_by_start ON job (start_time, id);
CREATE INDEX job_by_end ON job (end_time, id);

-- What jobs wrote, in pieces of at most 64 KiB that follow each other without a gap.
CREATE TABLE job_log (
    job TEXT NOT NULL,
    start BIGINT NOT NULL,
    bytes BYTEA NOT NULL,
    PRIMARY KEY (job, start)
);
