-- The twin of the SQLite migration with the same number: ids are UUIDs, instants microseconds since 1970 (UTC), enumerations text with a CHECK,
-- documents JSON text. Text that lists are ordered by compares by its bytes, as it does in SQLite.
-- No foreign key leads to or from job, job_open and report: they are written in bulk and leave in bulk.

CREATE TABLE tenant (
    id          UUID    NOT NULL PRIMARY KEY,
    name        TEXT    NOT NULL,
    tier        TEXT    NOT NULL CHECK (tier IN ('free', 'standard', 'enterprise')),
    created_at  BIGINT  NOT NULL
);

CREATE TABLE api_key (
    id            TEXT    COLLATE "C" NOT NULL PRIMARY KEY,
    tenant        UUID    NOT NULL REFERENCES tenant (id),
    name          TEXT    NOT NULL,
    scopes        TEXT    NOT NULL,
    mac           BYTEA   NOT NULL,
    created_at    BIGINT  NOT NULL,
    expires_at    BIGINT  NOT NULL,
    revoked_at    BIGINT,
    last_used_at  BIGINT
);
CREATE INDEX api_key_by_tenant ON api_key (tenant, created_at, id);

CREATE TABLE join_token (
    id             TEXT    COLLATE "C" NOT NULL PRIMARY KEY,
    tenant         UUID    NOT NULL REFERENCES tenant (id),
    secret_sha256  BYTEA   NOT NULL,
    name           TEXT,
    labels         TEXT    NOT NULL,
    created_by     TEXT    NOT NULL,
    created_at     BIGINT  NOT NULL,
    expires_at     BIGINT  NOT NULL,
    revoked_at     BIGINT,
    used_at        BIGINT,
    spki_sha256    BYTEA,
    agent          UUID
);
CREATE INDEX join_token_by_tenant ON join_token (tenant, created_at, id);

CREATE TABLE agent (
    id                UUID    NOT NULL PRIMARY KEY,
    tenant            UUID    NOT NULL REFERENCES tenant (id),
    name              TEXT    NOT NULL,
    labels            TEXT    NOT NULL,
    state             TEXT    NOT NULL CHECK (state IN ('active', 'suspended', 'revoked')),
    state_changed_at  BIGINT  NOT NULL,
    created_at        BIGINT  NOT NULL,
    last_seen_at      BIGINT,
    version           TEXT,
    capabilities      TEXT,
    host              TEXT
);
CREATE INDEX agent_by_tenant ON agent (tenant, id);
-- A revoked agent gives its name free: its successor on the same host may carry it on.
CREATE UNIQUE INDEX agent_name ON agent (tenant, name) WHERE state <> 'revoked';

CREATE TABLE certificate (
    serial       BYTEA   NOT NULL PRIMARY KEY,
    agent        UUID    NOT NULL REFERENCES agent (id),
    spki_sha256  BYTEA   NOT NULL,
    der          BYTEA   NOT NULL,
    issued_at    BIGINT  NOT NULL,
    not_before   BIGINT  NOT NULL,
    not_after    BIGINT  NOT NULL
);
CREATE UNIQUE INDEX certificate_spki ON certificate (spki_sha256);
CREATE INDEX certificate_by_agent ON certificate (agent, not_after);

CREATE TABLE agent_session (
    agent     UUID    NOT NULL PRIMARY KEY REFERENCES agent (id),
    epoch     BIGINT  NOT NULL,
    instance  UUID    NOT NULL,
    begun_at  BIGINT  NOT NULL
);

CREATE TABLE agent_outbox (
    agent        UUID    NOT NULL PRIMARY KEY REFERENCES agent (id),
    incarnation  UUID    NOT NULL,
    up_to        BIGINT  NOT NULL
);

CREATE TABLE measurement (
    id           UUID    NOT NULL PRIMARY KEY,
    tenant       UUID    NOT NULL,
    spec         TEXT    NOT NULL,
    selection    TEXT    NOT NULL,
    created_at   BIGINT  NOT NULL,
    deadline_at  BIGINT  NOT NULL
);
CREATE INDEX measurement_by_tenant ON measurement (tenant, id);

CREATE TABLE job (
    id                   UUID    NOT NULL PRIMARY KEY,
    tenant               UUID    NOT NULL,
    agent                UUID    NOT NULL,
    measurement          UUID    NOT NULL,
    tier                 TEXT    NOT NULL CHECK (tier IN ('free', 'standard', 'enterprise')),
    cost                 BIGINT  NOT NULL,
    retention_class      TEXT    NOT NULL CHECK (retention_class IN ('free', 'standard', 'enterprise')),
    created_at           BIGINT  NOT NULL,
    deadline_at          BIGINT  NOT NULL,
    outcome              TEXT    CHECK (outcome IN ('completed', 'failed', 'expired', 'cancelled', 'refused')),
    reason               TEXT,
    attempt              BIGINT,
    cancel_requested_at  BIGINT,
    ended_at             BIGINT
);
CREATE INDEX job_by_measurement ON job (measurement, id);
CREATE INDEX job_by_tenant ON job (tenant, id);
CREATE INDEX job_by_agent ON job (tenant, agent, id);

CREATE TABLE job_open (
    id                   UUID    NOT NULL PRIMARY KEY,
    agent                UUID    NOT NULL,
    tenant               UUID    NOT NULL,
    tier                 TEXT    NOT NULL CHECK (tier IN ('free', 'standard', 'enterprise')),
    cost                 BIGINT  NOT NULL,
    state                TEXT    NOT NULL CHECK (state IN ('queued', 'leased', 'running')),
    attempt              BIGINT  NOT NULL,
    lease_epoch          BIGINT,
    leased_at            BIGINT,
    deadline_at          BIGINT  NOT NULL,
    not_before           BIGINT,
    cancel_requested_at  BIGINT
);
CREATE INDEX job_open_by_agent ON job_open (agent, id);
-- Open jobs of a tenant are counted against its tier's cap in each enqueue.
CREATE INDEX job_open_by_tenant ON job_open (tenant, id);

CREATE TABLE report (
    retention_class  TEXT    NOT NULL CHECK (retention_class IN ('free', 'standard', 'enterprise')),
    job              UUID    NOT NULL,
    attempt          BIGINT  NOT NULL,
    late             BIGINT  NOT NULL CHECK (late IN (0, 1)),
    started_at       BIGINT  NOT NULL,
    received_at      BIGINT  NOT NULL,
    body             TEXT    NOT NULL,
    PRIMARY KEY (retention_class, job)
);

CREATE TABLE report_discarded (
    agent        UUID    NOT NULL,
    incarnation  UUID    NOT NULL,
    seq          BIGINT  NOT NULL,
    last_seq     BIGINT  NOT NULL,
    job          UUID,
    why          TEXT    NOT NULL,
    at           BIGINT  NOT NULL,
    PRIMARY KEY (agent, incarnation, seq)
);

CREATE TABLE report_quarantine (
    agent        UUID    NOT NULL,
    incarnation  UUID    NOT NULL,
    seq          BIGINT  NOT NULL,
    job          UUID    NOT NULL,
    attempt      BIGINT  NOT NULL,
    why          TEXT    NOT NULL,
    body         TEXT    NOT NULL,
    at           BIGINT  NOT NULL,
    PRIMARY KEY (agent, incarnation, seq)
);

CREATE TABLE idempotency (
    tenant       UUID    NOT NULL,
    key          TEXT    COLLATE "C" NOT NULL,
    body_sha256  BYTEA   NOT NULL,
    measurement  UUID    NOT NULL,
    expires_at   BIGINT  NOT NULL,
    PRIMARY KEY (tenant, key)
);
CREATE INDEX idempotency_by_expiry ON idempotency (expires_at);

-- Rows are only ever added.
CREATE TABLE audit (
    n        BIGINT  GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    at       BIGINT  NOT NULL,
    tenant   UUID,
    actor    TEXT    NOT NULL,
    action   TEXT    NOT NULL,
    subject  TEXT    NOT NULL,
    detail   TEXT    NOT NULL
);
CREATE INDEX audit_by_tenant ON audit (tenant, n);

-- The second wall between tenants. Reading on behalf of a tenant is done as the role probeops_tenant, which sees the rows of the tenant
-- that the setting probeops.tenant names, and none where it names none; the owner of the tables, the control plane itself, sees all.
CREATE FUNCTION probeops_tenant() RETURNS UUID LANGUAGE sql STABLE PARALLEL SAFE
    RETURN NULLIF(current_setting('probeops.tenant', true), '')::uuid;

ALTER TABLE tenant ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON tenant TO probeops_tenant USING (id = probeops_tenant());
ALTER TABLE api_key ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON api_key TO probeops_tenant USING (tenant = probeops_tenant());
ALTER TABLE join_token ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON join_token TO probeops_tenant USING (tenant = probeops_tenant());
ALTER TABLE agent ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON agent TO probeops_tenant USING (tenant = probeops_tenant());
ALTER TABLE certificate ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON certificate TO probeops_tenant USING (EXISTS (SELECT 1 FROM agent a WHERE a.id = certificate.agent));
ALTER TABLE measurement ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON measurement TO probeops_tenant USING (tenant = probeops_tenant());
ALTER TABLE job ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON job TO probeops_tenant USING (tenant = probeops_tenant());
ALTER TABLE job_open ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON job_open TO probeops_tenant USING (tenant = probeops_tenant());
ALTER TABLE report ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON report TO probeops_tenant USING (EXISTS (SELECT 1 FROM job j WHERE j.id = report.job));
ALTER TABLE idempotency ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON idempotency TO probeops_tenant USING (tenant = probeops_tenant());
ALTER TABLE audit ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON audit TO probeops_tenant USING (tenant = probeops_tenant());
-- The other tables hold no tenant's data by themselves: that role reads none of them.
GRANT SELECT ON tenant, api_key, join_token, agent, certificate, measurement, job, job_open, report, idempotency, audit TO probeops_tenant;
