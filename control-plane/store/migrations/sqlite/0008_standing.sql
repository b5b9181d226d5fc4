-- What is observed until it is taken back: what is wanted, how it fares on each agent, and the reports of its windows.
CREATE TABLE standing (
    id          BLOB    NOT NULL PRIMARY KEY,
    tenant      BLOB    NOT NULL REFERENCES tenant (id),
    name        TEXT    NOT NULL,
    revision    INTEGER NOT NULL,
    state       TEXT    NOT NULL CHECK (state IN ('running', 'stopped')),
    spec        TEXT    NOT NULL,
    selection   TEXT    NOT NULL,
    created_by  TEXT    NOT NULL,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    deleted_at  INTEGER
) STRICT;
CREATE INDEX standing_by_tenant ON standing (tenant, id);
CREATE INDEX standing_deleted ON standing (deleted_at) WHERE deleted_at IS NOT NULL;

-- chosen: 0 where the agent was meant once; its late windows are still taken in. applied: the revision that the agent says it has.
CREATE TABLE standing_agent (
    standing        BLOB    NOT NULL REFERENCES standing (id),
    agent           BLOB    NOT NULL REFERENCES agent (id),
    tenant          BLOB    NOT NULL,
    chosen          INTEGER NOT NULL CHECK (chosen IN (0, 1)),
    applied         INTEGER,
    state           TEXT    NOT NULL CHECK (state IN ('waiting', 'running', 'degraded', 'refused', 'unsupported')),
    reason          TEXT,
    message         TEXT,
    lost            INTEGER NOT NULL,
    told_at         INTEGER,
    last_window_at  INTEGER,
    PRIMARY KEY (standing, agent)
) STRICT, WITHOUT ROWID;
CREATE INDEX standing_agent_by_agent ON standing_agent (agent, standing);

-- Ids are ordered by when the windows count, so that a stretch of time is a range of them and they leave by ranges.
CREATE TABLE standing_window (
    retention_class  TEXT    NOT NULL CHECK (retention_class IN ('free', 'standard', 'enterprise')),
    id               BLOB    NOT NULL,
    tenant           BLOB    NOT NULL,
    standing         BLOB    NOT NULL,
    agent            BLOB    NOT NULL,
    revision         INTEGER NOT NULL,
    started_at       INTEGER NOT NULL,
    measured_at      INTEGER NOT NULL,
    skewed           INTEGER NOT NULL CHECK (skewed IN (0, 1)),
    received_at      INTEGER NOT NULL,
    status           TEXT    NOT NULL,
    fault            TEXT    NOT NULL,
    body             TEXT    NOT NULL,
    PRIMARY KEY (retention_class, id)
) STRICT;
CREATE UNIQUE INDEX standing_window_once ON standing_window (standing, agent, started_at, revision);
CREATE INDEX standing_window_by_standing ON standing_window (standing, id);
