-- What becomes of a job that comes back without an answer (none, transport, always:1 to always:5), and whether another agent may do it.
ALTER TABLE measurement ADD COLUMN retry TEXT NOT NULL DEFAULT 'none';
ALTER TABLE job_open ADD COLUMN retry TEXT NOT NULL DEFAULT 'none';
ALTER TABLE job_open ADD COLUMN choice TEXT NOT NULL DEFAULT 'named' CHECK (choice IN ('named', 'matched'));
