-- Packages: observations of tenants' own, which of them each agent is to have, and what its observer said last.
CREATE TABLE package (
    tenant      UUID    NOT NULL REFERENCES tenant (id),
    sha256      BYTEA   NOT NULL,
    name        TEXT    NOT NULL,
    version     TEXT    NOT NULL,
    summary     TEXT    NOT NULL,
    signer      TEXT    NOT NULL,
    body        TEXT    NOT NULL,
    created_by  TEXT    NOT NULL,
    created_at  BIGINT NOT NULL,
    PRIMARY KEY (tenant, sha256)
);
CREATE UNIQUE INDEX package_version ON package (tenant, name, version);
CREATE INDEX package_by_age ON package (tenant, created_at, sha256);

CREATE TABLE package_on_agent (
    tenant         UUID    NOT NULL REFERENCES tenant (id),
    agent          UUID    NOT NULL REFERENCES agent (id),
    name           TEXT    NOT NULL,
    sha256         BYTEA,
    previous       BYTEA,
    deployed_by    TEXT,
    deployed_at    BIGINT,
    heard_sha256   BYTEA,
    heard_status   TEXT,
    heard_code     TEXT,
    heard_message  TEXT,
    heard_at       BIGINT,
    PRIMARY KEY (tenant, agent, name)
);
CREATE INDEX package_on_agent_by_name ON package_on_agent (tenant, name, agent);

ALTER TABLE package ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON package TO probeops_tenant USING (tenant = probeops_tenant());
ALTER TABLE package_on_agent ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON package_on_agent TO probeops_tenant USING (tenant = probeops_tenant());
GRANT SELECT ON package, package_on_agent TO probeops_tenant;
