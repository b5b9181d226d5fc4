-- Agents made before they enrol, what their tenant wants of them, where they are, and a number that grows with every change.

-- Absent while the agent's token was not used.
ALTER TABLE agent ADD COLUMN enrolled_at BIGINT;
UPDATE agent SET enrolled_at = created_at;
ALTER TABLE agent ADD COLUMN duty TEXT NOT NULL DEFAULT 'working' CHECK (duty IN ('working', 'draining', 'stopped'));
-- The tenant's words; without them those of the agent's labels and of its own configuration hold.
ALTER TABLE agent ADD COLUMN region TEXT;
ALTER TABLE agent ADD COLUMN zone TEXT;
ALTER TABLE agent ADD COLUMN network TEXT;
ALTER TABLE agent ADD COLUMN revision BIGINT NOT NULL DEFAULT 1;

-- A certificate that another one of the same agent took the place of: its key opens no session any more.
ALTER TABLE certificate ADD COLUMN burnt_at BIGINT;

-- The agent that the token is for, where it is there already.
ALTER TABLE join_token ADD COLUMN for_agent UUID;
CREATE INDEX join_token_by_agent ON join_token (for_agent) WHERE for_agent IS NOT NULL;
