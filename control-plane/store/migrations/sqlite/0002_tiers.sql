-- What each tier allows, where an operator has changed it: a JSON object of values by name. What it does not name is the starting value of the program.
CREATE TABLE tier (
    name        TEXT    NOT NULL PRIMARY KEY CHECK (name IN ('free', 'standard', 'enterprise')),
    changes     TEXT    NOT NULL,
    version     INTEGER NOT NULL
) STRICT;
INSERT INTO tier (name, changes, version) VALUES ('free', '{}', 1), ('standard', '{}', 1), ('enterprise', '{}', 1);

-- Measurements accepted in the hour, day and month of each number, counted in the transaction that accepts them. Numbers count from 1970 (UTC).
CREATE TABLE tenant_quota (
    tenant    BLOB    NOT NULL PRIMARY KEY,
    hour      INTEGER NOT NULL,
    in_hour   INTEGER NOT NULL,
    day       INTEGER NOT NULL,
    in_day    INTEGER NOT NULL,
    month     INTEGER NOT NULL,
    in_month  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What a tenant used on a day (UTC), written in the transactions that use it. Jobs count on the day of their acceptance, ends on the day they end.
CREATE TABLE tenant_usage (
    tenant        BLOB    NOT NULL,
    day           INTEGER NOT NULL,
    measurements  INTEGER NOT NULL,
    jobs          INTEGER NOT NULL,
    cached_jobs   INTEGER NOT NULL,
    cost          INTEGER NOT NULL,
    completed     INTEGER NOT NULL,
    failed        INTEGER NOT NULL,
    expired       INTEGER NOT NULL,
    cancelled     INTEGER NOT NULL,
    refused       INTEGER NOT NULL,
    agent_us      INTEGER NOT NULL,
    report_bytes  INTEGER NOT NULL,
    PRIMARY KEY (tenant, day)
) STRICT, WITHOUT ROWID;

-- By the hash of its spec a tenant's last report of the same question is found again. A job answered like that points at the job whose report answers it.
ALTER TABLE measurement ADD COLUMN spec_sha256 BLOB;
CREATE INDEX measurement_by_spec ON measurement (tenant, spec_sha256, id) WHERE spec_sha256 IS NOT NULL;
ALTER TABLE job ADD COLUMN cached_from BLOB;
ALTER TABLE job ADD COLUMN cached_class TEXT CHECK (cached_class IN ('free', 'standard', 'enterprise'));
