-- Reports can be listed by what they are about and what they say; their numbers are kept as series.

ALTER TABLE measurement ADD COLUMN probe TEXT NOT NULL DEFAULT '';
ALTER TABLE measurement ADD COLUMN target TEXT NOT NULL DEFAULT '';
UPDATE measurement SET probe = COALESCE(spec ->> 'probe', ''), target = COALESCE(spec ->> 'target', spec ->> 'url', '');

ALTER TABLE report RENAME TO report_before;
CREATE TABLE report (
    retention_class  TEXT    NOT NULL CHECK (retention_class IN ('free', 'standard', 'enterprise')),
    job              BLOB    NOT NULL,
    tenant           BLOB    NOT NULL,
    attempt          INTEGER NOT NULL,
    late             INTEGER NOT NULL CHECK (late IN (0, 1)),
    probe            TEXT    NOT NULL,
    target           TEXT    NOT NULL,
    status           TEXT    NOT NULL,
    fault            TEXT    NOT NULL,
    started_at       INTEGER NOT NULL,
    measured_at      INTEGER NOT NULL,
    skewed           INTEGER NOT NULL CHECK (skewed IN (0, 1)),
    received_at      INTEGER NOT NULL,
    body             TEXT    NOT NULL,
    PRIMARY KEY (retention_class, job)
) STRICT;
INSERT INTO report (retention_class, job, tenant, attempt, late, probe, target, status, fault, started_at, measured_at, skewed, received_at, body)
SELECT r.retention_class, r.job, j.tenant, r.attempt, r.late, m.probe, m.target, COALESCE(r.body ->> 'status', 'failed'), COALESCE(r.body ->> 'fault', 'none'),
       r.started_at, r.received_at, 0, r.received_at, r.body
FROM report_before r JOIN job j ON j.id = r.job JOIN measurement m ON m.id = j.measurement;
DROP TABLE report_before;
-- What people look for: a target, what went wrong, what came too late. Tenant, agent and measurement are found by the indexes of job.
CREATE INDEX report_by_target ON report (tenant, target, job);
CREATE INDEX report_not_ok ON report (tenant, job) WHERE status <> 'ok';
CREATE INDEX report_late ON report (tenant, job) WHERE late = 1;
-- Jobs leave by their class, oldest first.
CREATE INDEX job_by_class ON job (retention_class, id);
CREATE INDEX report_discarded_by_time ON report_discarded (at);
CREATE INDEX report_quarantine_by_time ON report_quarantine (at);

-- Reports whose numbers are not in the series yet: a row comes with the report and goes with the commit that rolls it up.
CREATE TABLE series_due (
    job       BLOB    NOT NULL PRIMARY KEY,
    tenant    BLOB    NOT NULL,
    agent     BLOB    NOT NULL,
    probe     TEXT    NOT NULL,
    target    TEXT    NOT NULL,
    at        INTEGER NOT NULL,
    good      INTEGER NOT NULL CHECK (good IN (0, 1)),
    readings  TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

-- The nil UUID as agent stands for all agents together, the empty target for the agent's own host or for all targets together.
CREATE TABLE series (
    id          INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    tenant      BLOB    NOT NULL REFERENCES tenant (id),
    agent       BLOB    NOT NULL,
    probe       TEXT    NOT NULL,
    name        TEXT    NOT NULL,
    target      TEXT    NOT NULL,
    created_at  INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX series_identity ON series (tenant, agent, probe, name, target);

-- What dashboards read: all they show in one row.
CREATE TABLE series_latest (
    tenant  BLOB    NOT NULL,
    series  INTEGER NOT NULL REFERENCES series (id),
    agent   BLOB    NOT NULL,
    probe   TEXT    NOT NULL,
    name    TEXT    NOT NULL,
    target  TEXT    NOT NULL,
    at      INTEGER NOT NULL,
    value   REAL    NOT NULL,
    good    INTEGER NOT NULL CHECK (good IN (0, 1)),
    PRIMARY KEY (tenant, series)
) STRICT, WITHOUT ROWID;
CREATE INDEX series_latest_by_series ON series_latest (series);

-- samples: those of the hour, packed, until they are sealed into their day.
CREATE TABLE rollup_1h (
    series   INTEGER NOT NULL REFERENCES series (id),
    hour     INTEGER NOT NULL,
    n        INTEGER NOT NULL,
    ok       INTEGER NOT NULL,
    min      REAL    NOT NULL,
    max      REAL    NOT NULL,
    sum      REAL    NOT NULL,
    sketch   BLOB    NOT NULL,
    samples  BLOB,
    PRIMARY KEY (series, hour)
) STRICT, WITHOUT ROWID;
CREATE INDEX rollup_1h_unsealed ON rollup_1h (hour, series) WHERE samples IS NOT NULL;

CREATE TABLE chunk_day (
    series   INTEGER NOT NULL REFERENCES series (id),
    day      INTEGER NOT NULL,
    n        INTEGER NOT NULL,
    samples  BLOB    NOT NULL,
    PRIMARY KEY (series, day)
) STRICT, WITHOUT ROWID;
