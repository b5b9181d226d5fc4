-- Agents of the operator's shared fleet serve every tenant; they stay their own tenant's.
ALTER TABLE agent ADD COLUMN sharing TEXT NOT NULL DEFAULT 'own' CHECK (sharing IN ('own', 'shared'));
