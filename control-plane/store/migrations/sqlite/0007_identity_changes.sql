-- Agents and certificates by when they changed: who may open a session is read again for those that changed lately only.
CREATE INDEX agent_by_state_change ON agent (state_changed_at);
CREATE INDEX certificate_by_issue ON certificate (issued_at);
CREATE INDEX certificate_by_burning ON certificate (burnt_at) WHERE burnt_at IS NOT NULL;
