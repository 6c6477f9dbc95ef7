-- From version 2 to version 3 of the journal.

ALTER TABLE blocks ADD COLUMN place INTEGER;
ALTER TABLE blocks ADD COLUMN size INTEGER;
CREATE INDEX blocks_by_place ON blocks (batch, place) WHERE place IS NOT NULL;

ALTER TABLE outcomes ADD COLUMN place INTEGER;
ALTER TABLE outcomes ADD COLUMN size INTEGER;
CREATE INDEX outcomes_by_place ON outcomes (batch, place) WHERE place IS NOT NULL;

INSERT INTO meta SELECT 'summed', ifnull(max(seq), 0) FROM outcomes;
