-- Agents of the operator's shared fleet serve every tenant; they stay their own tenant's.
ALTER TABLE agent ADD COLUMN sharing TEXT NOT NULL DEFAULT 'own' CHECK (sharing IN ('own', 'shared'));
-- Their names and places are every tenant's to read, their certificates are not.
DROP POLICY own_tenant ON agent;
CREATE POLICY own_tenant ON agent TO probeops_tenant USING (tenant = probeops_tenant() OR sharing = 'shared');
DROP POLICY own_tenant ON certificate;
CREATE POLICY own_tenant ON certificate TO probeops_tenant USING (EXISTS (SELECT 1 FROM agent a WHERE a.id = certificate.agent AND a.tenant = probeops_tenant()));
