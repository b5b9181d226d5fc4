-- Ids are 16-byte UUIDs, instants microseconds since 1970 (UTC), enumerations text with a CHECK, documents JSON text.
-- No foreign key leads to or from job, job_open and report: they are written in bulk and leave in bulk.

CREATE TABLE tenant (
    id          BLOB    NOT NULL PRIMARY KEY,
    name        TEXT    NOT NULL,
    tier        TEXT    NOT NULL CHECK (tier IN ('free', 'standard', 'enterprise')),
    created_at  INTEGER NOT NULL
) STRICT;

CREATE TABLE api_key (
    id            TEXT    NOT NULL PRIMARY KEY,
    tenant        BLOB    NOT NULL REFERENCES tenant (id),
    name          TEXT    NOT NULL,
    scopes        TEXT    NOT NULL,
    mac           BLOB    NOT NULL,
    created_at    INTEGER NOT NULL,
    expires_at    INTEGER NOT NULL,
    revoked_at    INTEGER,
    last_used_at  INTEGER
) STRICT;
CREATE INDEX api_key_by_tenant ON api_key (tenant, created_at, id);

CREATE TABLE join_token (
    id             TEXT    NOT NULL PRIMARY KEY,
    tenant         BLOB    NOT NULL REFERENCES tenant (id),
    secret_sha256  BLOB    NOT NULL,
    name           TEXT,
    labels         TEXT    NOT NULL,
    created_by     TEXT    NOT NULL,
    created_at     INTEGER NOT NULL,
    expires_at     INTEGER NOT NULL,
    revoked_at     INTEGER,
    used_at        INTEGER,
    spki_sha256    BLOB,
    agent          BLOB
) STRICT;
CREATE INDEX join_token_by_tenant ON join_token (tenant, created_at, id);

CREATE TABLE agent (
    id                BLOB    NOT NULL PRIMARY KEY,
    tenant            BLOB    NOT NULL REFERENCES tenant (id),
    name              TEXT    NOT NULL,
    labels            TEXT    NOT NULL,
    state             TEXT    NOT NULL CHECK (state IN ('active', 'suspended', 'revoked')),
    state_changed_at  INTEGER NOT NULL,
    created_at        INTEGER NOT NULL,
    last_seen_at      INTEGER,
    version           TEXT,
    capabilities      TEXT,
    host              TEXT
) STRICT;
CREATE INDEX agent_by_tenant ON agent (tenant, id);
-- A revoked agent gives its name free: its successor on the same host may carry it on.
CREATE UNIQUE INDEX agent_name ON agent (tenant, name) WHERE state <> 'revoked';

CREATE TABLE certificate (
    serial       BLOB    NOT NULL PRIMARY KEY,
    agent        BLOB    NOT NULL REFERENCES agent (id),
    spki_sha256  BLOB    NOT NULL,
    der          BLOB    NOT NULL,
    issued_at    INTEGER NOT NULL,
    not_before   INTEGER NOT NULL,
    not_after    INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX certificate_spki ON certificate (spki_sha256);
CREATE INDEX certificate_by_agent ON certificate (agent, not_after);

CREATE TABLE agent_session (
    agent     BLOB    NOT NULL PRIMARY KEY REFERENCES agent (id),
    epoch     INTEGER NOT NULL,
    instance  BLOB    NOT NULL,
    begun_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE agent_outbox (
    agent        BLOB    NOT NULL PRIMARY KEY REFERENCES agent (id),
    incarnation  BLOB    NOT NULL,
    up_to        INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE measurement (
    id           BLOB    NOT NULL PRIMARY KEY,
    tenant       BLOB    NOT NULL,
    spec         TEXT    NOT NULL,
    selection    TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    deadline_at  INTEGER NOT NULL
) STRICT;
CREATE INDEX measurement_by_tenant ON measurement (tenant, id);

CREATE TABLE job (
    id                   BLOB    NOT NULL PRIMARY KEY,
    tenant               BLOB    NOT NULL,
    agent                BLOB    NOT NULL,
    measurement          BLOB    NOT NULL,
    tier                 TEXT    NOT NULL CHECK (tier IN ('free', 'standard', 'enterprise')),
    cost                 INTEGER NOT NULL,
    retention_class      TEXT    NOT NULL CHECK (retention_class IN ('free', 'standard', 'enterprise')),
    created_at           INTEGER NOT NULL,
    deadline_at          INTEGER NOT NULL,
    outcome              TEXT    CHECK (outcome IN ('completed', 'failed', 'expired', 'cancelled', 'refused')),
    reason               TEXT,
    attempt              INTEGER,
    cancel_requested_at  INTEGER,
    ended_at             INTEGER
) STRICT;
CREATE INDEX job_by_measurement ON job (measurement, id);
CREATE INDEX job_by_tenant ON job (tenant, id);
CREATE INDEX job_by_agent ON job (tenant, agent, id);

CREATE TABLE job_open (
    id                   BLOB    NOT NULL PRIMARY KEY,
    agent                BLOB    NOT NULL,
    tenant               BLOB    NOT NULL,
    tier                 TEXT    NOT NULL CHECK (tier IN ('free', 'standard', 'enterprise')),
    cost                 INTEGER NOT NULL,
    state                TEXT    NOT NULL CHECK (state IN ('queued', 'leased', 'running')),
    attempt              INTEGER NOT NULL,
    lease_epoch          INTEGER,
    leased_at            INTEGER,
    deadline_at          INTEGER NOT NULL,
    not_before           INTEGER,
    cancel_requested_at  INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX job_open_by_agent ON job_open (agent, id);
-- Open jobs of a tenant are counted against its tier's cap in each enqueue.
CREATE INDEX job_open_by_tenant ON job_open (tenant, id);

CREATE TABLE report (
    retention_class  TEXT    NOT NULL CHECK (retention_class IN ('free', 'standard', 'enterprise')),
    job              BLOB    NOT NULL,
    attempt          INTEGER NOT NULL,
    late             INTEGER NOT NULL CHECK (late IN (0, 1)),
    started_at       INTEGER NOT NULL,
    received_at      INTEGER NOT NULL,
    body             TEXT    NOT NULL,
    PRIMARY KEY (retention_class, job)
) STRICT;

CREATE TABLE report_discarded (
    agent        BLOB    NOT NULL,
    incarnation  BLOB    NOT NULL,
    seq          INTEGER NOT NULL,
    last_seq     INTEGER NOT NULL,
    job          BLOB,
    why          TEXT    NOT NULL,
    at           INTEGER NOT NULL,
    PRIMARY KEY (agent, incarnation, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE report_quarantine (
    agent        BLOB    NOT NULL,
    incarnation  BLOB    NOT NULL,
    seq          INTEGER NOT NULL,
    job          BLOB    NOT NULL,
    attempt      INTEGER NOT NULL,
    why          TEXT    NOT NULL,
    body         TEXT    NOT NULL,
    at           INTEGER NOT NULL,
    PRIMARY KEY (agent, incarnation, seq)
) STRICT;

CREATE TABLE idempotency (
    tenant       BLOB    NOT NULL,
    key          TEXT    NOT NULL,
    body_sha256  BLOB    NOT NULL,
    measurement  BLOB    NOT NULL,
    expires_at   INTEGER NOT NULL,
    PRIMARY KEY (tenant, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_by_expiry ON idempotency (expires_at);

-- Rows are only ever added.
CREATE TABLE audit (
    n        INTEGER PRIMARY KEY,
    at       INTEGER NOT NULL,
    tenant   BLOB,
    actor    TEXT    NOT NULL,
    action   TEXT    NOT NULL,
    subject  TEXT    NOT NULL,
    detail   TEXT    NOT NULL
) STRICT;
CREATE INDEX audit_by_tenant ON audit (tenant, n);
