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

-- By what machines are listed: a small row each, beside the large one, filled from its body. The
-- digest is of the rows in hint and machine_mark. Texts are ordered byte by byte on both engines.
CREATE TABLE machine_index (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    address TEXT NOT NULL,
    arch TEXT NOT NULL,
    bootenv TEXT NOT NULL,
    stage TEXT NOT NULL,
    workflow TEXT NOT NULL,
    context TEXT NOT NULL,
    os TEXT NOT NULL,
    pool TEXT NOT NULL,
    pool_status TEXT NOT NULL,
    pool_allocated BIGINT NOT NULL,
    runnable BIGINT NOT NULL,
    locked BIGINT NOT NULL,
    available BIGINT NOT NULL,
    workflow_complete BIGINT NOT NULL,
    is_self BIGINT NOT NULL,
    current_task BIGINT NOT NULL,
    current_job TEXT NOT NULL,
    job_state TEXT NOT NULL,
    job_exit_state TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    modified_at BIGINT NOT NULL,
    modified_by TEXT NOT NULL,
    digest TEXT NOT NULL
);

-- Profiles, params with their values, and hardware addresses of machines.
CREATE TABLE machine_mark (
    machine TEXT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (machine, kind, name)
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
    available BIGINT NOT NULL,
    current_index BIGINT NOT NULL,
    next_index BIGINT NOT NULL,
    start_time BIGINT NOT NULL,
    end_time BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    modified_at BIGINT NOT NULL,
    modified_by TEXT NOT NULL,
    log_bytes BIGINT NOT NULL,
    body TEXT NOT NULL,
    revision BIGINT NOT NULL
);

-- What jobs wrote, in pieces of at most 64 KiB that follow each other without a gap.
-- sqlite: CREATE TABLE job_log (job TEXT NOT NULL, start BIGINT NOT NULL, bytes BLOB NOT NULL, PRIMARY KEY (job, start));
-- postgres: CREATE TABLE job_log (job TEXT NOT NULL, start BIGINT NOT NULL, bytes BYTEA NOT NULL, PRIMARY KEY (job, start));

-- SQLite orders by bytes already.
-- postgres: ALTER TABLE machine_index ALTER name TYPE TEXT COLLATE "C", ALTER address TYPE TEXT COLLATE "C", ALTER arch TYPE TEXT COLLATE "C";
-- postgres: ALTER TABLE machine_index ALTER bootenv TYPE TEXT COLLATE "C", ALTER stage TYPE TEXT COLLATE "C", ALTER workflow TYPE TEXT COLLATE "C";
-- postgres: ALTER TABLE machine_index ALTER context TYPE TEXT COLLATE "C", ALTER os TYPE TEXT COLLATE "C", ALTER pool TYPE TEXT COLLATE "C";
-- postgres: ALTER TABLE machine_index ALTER pool_status TYPE TEXT COLLATE "C", ALTER current_job TYPE TEXT COLLATE "C", ALTER job_state TYPE TEXT COLLATE "C";
-- postgres: ALTER TABLE machine_index ALTER job_exit_state TYPE TEXT COLLATE "C", ALTER created_by TYPE TEXT COLLATE "C", ALTER modified_by TYPE TEXT COLLATE "C";
-- postgres: ALTER TABLE job ALTER state TYPE TEXT COLLATE "C", ALTER exit_state TYPE TEXT COLLATE "C", ALTER task TYPE TEXT COLLATE "C";
-- postgres: ALTER TABLE job ALTER stage TYPE TEXT COLLATE "C", ALTER workflow TYPE TEXT COLLATE "C", ALTER bootenv TYPE TEXT COLLATE "C";
-- postgres: ALTER TABLE job ALTER context TYPE TEXT COLLATE "C", ALTER created_by TYPE TEXT COLLATE "C", ALTER modified_by TYPE TEXT COLLATE "C";

-- Of one column each: new rows come at the end of their value's, so that a commit touches few pages.
-- What comes out in another order than was asked for is sorted, or not looked for by these.
CREATE INDEX machine_by_name ON machine_index (name);
CREATE INDEX machine_by_address ON machine_index (address);
CREATE INDEX machine_by_arch ON machine_index (arch);
CREATE INDEX machine_by_bootenv ON machine_index (bootenv);
CREATE INDEX machine_by_stage ON machine_index (stage);
CREATE INDEX machine_by_workflow ON machine_index (workflow);
CREATE INDEX machine_by_context ON machine_index (context);
CREATE INDEX machine_by_os ON machine_index (os);
CREATE INDEX machine_by_pool ON machine_index (pool);
CREATE INDEX machine_by_runnable ON machine_index (runnable);
CREATE INDEX machine_by_locked ON machine_index (locked);
CREATE INDEX machine_by_available ON machine_index (available);
CREATE INDEX machine_by_completion ON machine_index (workflow_complete);
CREATE INDEX machine_by_job_state ON machine_index (job_state);
CREATE INDEX machine_by_creation ON machine_index (created_at);
CREATE INDEX machine_by_change ON machine_index (modified_at);

CREATE INDEX machine_mark_by_name ON machine_mark (kind, name, value);

CREATE INDEX job_by_number ON job (machine, number);
CREATE INDEX job_by_current ON job (is_current);
CREATE INDEX job_by_state ON job (state);
CREATE INDEX job_by_exit_state ON job (exit_state);
CREATE INDEX job_by_task ON job (task);
CREATE INDEX job_by_stage ON job (stage);
CREATE INDEX job_by_workflow ON job (workflow);
CREATE INDEX job_by_bootenv ON job (bootenv);
CREATE INDEX job_by_context ON job (context);
CREATE INDEX job_by_previous ON job (previous);
CREATE INDEX job_by_start ON job (start_time);
CREATE INDEX job_by_end ON job (end_time);
