-- What each tier allows, where an operator has changed it: a JSON object of values by name. What it does not name is the starting value of the program.
CREATE TABLE tier (
    name        TEXT    NOT NULL PRIMARY KEY CHECK (name IN ('free', 'standard', 'enterprise')),
    changes     TEXT    NOT NULL,
    version     BIGINT  NOT NULL
);
INSERT INTO tier (name, changes, version) VALUES ('free', '{}', 1), ('standard', '{}', 1), ('enterprise', '{}', 1);

-- Measurements accepted in the hour, day and month of each number, counted in the transaction that accepts them. Numbers count from 1970 (UTC).
CREATE TABLE tenant_quota (
    tenant    UUID    NOT NULL PRIMARY KEY,
    hour      BIGINT  NOT NULL,
    in_hour   BIGINT  NOT NULL,
    day       BIGINT  NOT NULL,
    in_day    BIGINT  NOT NULL,
    month     BIGINT  NOT NULL,
    in_month  BIGINT  NOT NULL
);

-- What a tenant used on a day (UTC), written in the transactions that use it. Jobs count on the day of their acceptance, ends on the day they end.
CREATE TABLE tenant_usage (
    tenant        UUID    NOT NULL,
    day           BIGINT  NOT NULL,
    measurements  BIGINT  NOT NULL,
    jobs          BIGINT  NOT NULL,
    cached_jobs   BIGINT  NOT NULL,
    cost          BIGINT  NOT NULL,
    completed     BIGINT  NOT NULL,
    failed        BIGINT  NOT NULL,
    expired       BIGINT  NOT NULL,
    cancelled     BIGINT  NOT NULL,
    refused       BIGINT  NOT NULL,
    agent_us      BIGINT  NOT NULL,
    report_bytes  BIGINT  NOT NULL,
    PRIMARY KEY (tenant, day)
);

-- By the hash of its spec a tenant's last report of the same question is found again. A job answered like that points at the job whose report answers it.
ALTER TABLE measurement ADD COLUMN spec_sha256 BYTEA;
CREATE INDEX measurement_by_spec ON measurement (tenant, spec_sha256, id) WHERE spec_sha256 IS NOT NULL;
ALTER TABLE job ADD COLUMN cached_from UUID;
ALTER TABLE job ADD COLUMN cached_class TEXT CHECK (cached_class IN ('free', 'standard', 'enterprise'));

ALTER TABLE tenant_quota ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON tenant_quota TO probeops_tenant USING (tenant = probeops_tenant());
ALTER TABLE tenant_usage ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON tenant_usage TO probeops_tenant USING (tenant = probeops_tenant());
GRANT SELECT ON tenant_quota, tenant_usage TO probeops_tenant;
