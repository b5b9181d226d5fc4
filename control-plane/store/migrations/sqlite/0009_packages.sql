-- Packages: observations of tenants' own, which of them each agent is to have, and what its observer said last.
CREATE TABLE package (
    tenant      BLOB    NOT NULL REFERENCES tenant (id),
    sha256      BLOB    NOT NULL,
    name        TEXT    NOT NULL,
    version     TEXT    NOT NULL,
    summary     TEXT    NOT NULL,
    signer      TEXT    NOT NULL,
    body        TEXT    NOT NULL,
    created_by  TEXT    NOT NULL,
    created_at  INTEGER NOT NULL,
    PRIMARY KEY (tenant, sha256)
) STRICT;
CREATE UNIQUE INDEX package_version ON package (tenant, name, version);
CREATE INDEX package_by_age ON package (tenant, created_at, sha256);

CREATE TABLE package_on_agent (
    tenant         BLOB    NOT NULL REFERENCES tenant (id),
    agent          BLOB    NOT NULL REFERENCES agent (id),
    name           TEXT    NOT NULL,
    sha256         BLOB,
    previous       BLOB,
    deployed_by    TEXT,
    deployed_at    INTEGER,
    heard_sha256   BLOB,
    heard_status   TEXT,
    heard_code     TEXT,
    heard_message  TEXT,
    heard_at       INTEGER,
    PRIMARY KEY (tenant, agent, name)
) STRICT;
CREATE INDEX package_on_agent_by_name ON package_on_agent (tenant, name, agent);
