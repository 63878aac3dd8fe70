-- What arrives changes when its study and series were changed last. While no index holds that,
-- PostgreSQL writes their rows alone, on their page, and nothing into the tables' eighteen indexes.
-- Few resources are unstable: their times need no order.
DROP INDEX study_unstable, series_unstable;
CREATE INDEX study_unstable ON study (study_pk) WHERE NOT is_stable;
CREATE INDEX series_unstable ON series (series_pk) WHERE NOT is_stable;
ALTER TABLE study SET (fillfactor = 90);
ALTER TABLE series SET (fillfactor = 90);

-- Garbage is collected oldest first, a little at a time, however much there is.
CREATE INDEX object_garbage_oldest ON object_garbage (discarded_at);
