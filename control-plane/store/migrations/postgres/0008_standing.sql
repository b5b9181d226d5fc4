-- What is observed until it is taken back: what is wanted, how it fares on each agent, and the reports of its windows.
CREATE TABLE standing (
    id          UUID    NOT NULL PRIMARY KEY,
    tenant      UUID    NOT NULL REFERENCES tenant (id),
    name        TEXT    NOT NULL,
    revision    BIGINT  NOT NULL,
    state       TEXT    NOT NULL CHECK (state IN ('running', 'stopped')),
    spec        TEXT    NOT NULL,
    selection   TEXT    NOT NULL,
    created_by  TEXT    NOT NULL,
    created_at  BIGINT  NOT NULL,
    updated_at  BIGINT  NOT NULL,
    deleted_at  BIGINT
);
CREATE INDEX standing_by_tenant ON standing (tenant, id);
CREATE INDEX standing_deleted ON standing (deleted_at) WHERE deleted_at IS NOT NULL;

-- chosen: 0 where the agent was meant once; its late windows are still taken in. applied: the revision that the agent says it has.
CREATE TABLE standing_agent (
    standing        UUID    NOT NULL REFERENCES standing (id),
    agent           UUID    NOT NULL REFERENCES agent (id),
    tenant          UUID    NOT NULL,
    chosen          BIGINT  NOT NULL CHECK (chosen IN (0, 1)),
    applied         BIGINT,
    state           TEXT    NOT NULL CHECK (state IN ('waiting', 'running', 'degraded', 'refused', 'unsupported')),
    reason          TEXT,
    message         TEXT,
    lost            BIGINT  NOT NULL,
    told_at         BIGINT,
    last_window_at  BIGINT,
    PRIMARY KEY (standing, agent)
);
CREATE INDEX standing_agent_by_agent ON standing_agent (agent, standing);

-- Ids are ordered by when the windows count, so that a stretch of time is a range of them and they leave by ranges.
CREATE TABLE standing_window (
    retention_class  TEXT    NOT NULL CHECK (retention_class IN ('free', 'standard', 'enterprise')),
    id               UUID    NOT NULL,
    tenant           UUID    NOT NULL,
    standing         UUID    NOT NULL,
    agent            UUID    NOT NULL,
    revision         BIGINT  NOT NULL,
    started_at       BIGINT  NOT NULL,
    measured_at      BIGINT  NOT NULL,
    skewed           BIGINT  NOT NULL CHECK (skewed IN (0, 1)),
    received_at      BIGINT  NOT NULL,
    status           TEXT    NOT NULL,
    fault            TEXT    NOT NULL,
    body             TEXT    NOT NULL,
    PRIMARY KEY (retention_class, id)
);
CREATE UNIQUE INDEX standing_window_once ON standing_window (standing, agent, started_at, revision);
CREATE INDEX standing_window_by_standing ON standing_window (standing, id);

ALTER TABLE standing ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON standing TO probeops_tenant USING (tenant = probeops_tenant());
ALTER TABLE standing_agent ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON standing_agent TO probeops_tenant USING (tenant = probeops_tenant());
ALTER TABLE standing_window ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON standing_window TO probeops_tenant USING (tenant = probeops_tenant());
GRANT SELECT ON standing, standing_agent, standing_window TO probeops_tenant;
