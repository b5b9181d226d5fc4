-- What was taken in of an agent since the revision that stands was made: an agent may say anything, and no more comes than there can have been.
ALTER TABLE standing_agent ADD COLUMN counted_revision INTEGER NOT NULL DEFAULT 0;
ALTER TABLE standing_agent ADD COLUMN windows INTEGER NOT NULL DEFAULT 0;
ALTER TABLE standing_agent ADD COLUMN late_bytes INTEGER NOT NULL DEFAULT 0;
