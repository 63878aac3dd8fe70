-- What the indexer writes. Every statement handles a whole batch.

-- name: known
-- What the index has already of these instances ($1) and says of these object keys ($2).
SELECT public_id, object_key, false AS discarded FROM instance WHERE public_id = ANY($1::text[])
UNION ALL
SELECT NULL, object_key, true FROM object_garbage WHERE object_key = ANY($2::text[])

-- name: count_down
-- Departures of instances (negative numbers), carried to the counters of all levels above: series
-- ($1 to $3), studies ($4 to $7), patients ($8 to $12), the server ($13 to $17).
WITH counted_series AS (
    UPDATE series SET instance_count = instance_count + t.instances,
        size_bytes = size_bytes + t.bytes
    FROM unnest($1::text[], $2::integer[], $3::bigint[]) AS t (public_id, instances, bytes)
    WHERE series.public_id = t.public_id
), counted_studies AS (
    UPDATE study SET series_count = series_count + t.series,
        instance_count = instance_count + t.instances,
        size_bytes = size_bytes + t.bytes
    FROM unnest($4::text[], $5::integer[], $6::integer[], $7::bigint[])
        AS t (public_id, series, instances, bytes)
    WHERE study.public_id = t.public_id
), counted_patients AS (
    UPDATE patient SET study_count = study_count + t.studies,
        series_count = series_count + t.series,
        instance_count = instance_count + t.instances,
        size_bytes = size_bytes + t.bytes
    FROM unnest($8::text[], $9::integer[], $10::integer[], $11::integer[], $12::bigint[])
        AS t (public_id, studies, series, instances, bytes)
    WHERE patient.public_id = t.public_id
)
UPDATE statistic SET patient_count = patient_count + $13, study_count = study_count + $14,
    series_count = series_count + $15, instance_count = instance_count + $16,
    size_bytes = size_bytes + $17

-- name: log_changes
WITH numbered AS (
    UPDATE change_counter SET last_sequence = last_sequence + cardinality($1::text[])
    RETURNING last_sequence - cardinality($1::text[]) AS base
)
INSERT INTO change (sequence, change_type, level, public_id, recorded_at)
SELECT base + place, change_type, level, public_id, now()
FROM numbered, unnest($1::text[], $2::smallint[], $3::text[])
    WITH ORDINALITY AS t (change_type, level, public_id, place)

-- name: forget_changes
DELETE FROM change WHERE public_id = ANY($1::text[])

-- name: discard_objects
INSERT INTO object_garbage (object_key) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING

-- name: delete_instances
-- Instances at or below any of the resources, with the ids of all that is above them.
-- Each level is looked up by itself: one condition over all of them would read every instance.
WITH doomed AS (
    SELECT instance_pk FROM instance WHERE public_id = ANY($4::text[])
    UNION
    SELECT instance_pk FROM instance JOIN series USING (series_pk)
    WHERE series.public_id = ANY($3::text[])
    UNION
    SELECT instance_pk FROM instance JOIN series USING (series_pk) JOIN study USING (study_pk)
    WHERE study.public_id = ANY($2::text[])
    UNION
    SELECT instance_pk FROM instance JOIN series USING (series_pk) JOIN study USING (study_pk)
        JOIN patient USING (patient_pk)
    WHERE patient.public_id = ANY($1::text[])
)
DELETE FROM instance USING doomed, series, study, patient
WHERE instance.instance_pk = doomed.instance_pk AND series.series_pk = instance.series_pk
    AND study.study_pk = series.study_pk AND patient.patient_pk = study.patient_pk
RETURNING instance.instance_pk AS pk, instance.public_id, instance.object_key,
    instance.size_bytes, series.public_id AS series_id, study.public_id AS study_id,
    patient.public_id AS patient_id

-- name: delete_empty_series
DELETE FROM series WHERE public_id = ANY($1::text[]) AND instance_count = 0
RETURNING series_pk AS pk, public_id

-- name: delete_empty_studies
DELETE FROM study WHERE public_id = ANY($1::text[]) AND instance_count = 0
RETURNING study_pk AS pk, public_id

-- name: delete_empty_patients
DELETE FROM patient WHERE public_id = ANY($1::text[]) AND instance_count = 0
RETURNING patient_pk AS pk, public_id

-- name: delete_user_metadata
DELETE FROM user_metadata WHERE level = $1 AND resource_pk = ANY($2::bigint[])

-- name: delete_labels
DELETE FROM label WHERE level = $1 AND resource_pk = ANY($2::bigint[])

-- name: delete_attachments
DELETE FROM attachment WHERE level = $1 AND resource_pk = ANY($2::bigint[]) RETURNING object_key

-- name: progress
SELECT stream_epoch, applied_sequence, swept_until FROM index_progress

-- name: advance
UPDATE index_progress SET stream_epoch = $1, applied_sequence = $2

-- name: stabilise_patients
UPDATE patient SET is_stable = true
WHERE NOT is_stable AND updated_at < now() - make_interval(secs => $1) RETURNING public_id

-- name: stabilise_studies
UPDATE study SET is_stable = true
WHERE NOT is_stable AND updated_at < now() - make_interval(secs => $1) RETURNING public_id

-- name: stabilise_series
UPDATE series SET is_stable = true
WHERE NOT is_stable AND updated_at < now() - make_interval(secs => $1) RETURNING public_id

-- name: oldest_patient
SELECT public_id FROM patient WHERE NOT is_protected
ORDER BY updated_at LIMIT 1

-- name: server_size
SELECT patient_count, size_bytes FROM statistic

-- name: garbage
SELECT object_key FROM object_garbage WHERE discarded_at <= now() - make_interval(secs => $2)
ORDER BY discarded_at LIMIT $1

-- name: postpone_garbage
UPDATE object_garbage SET discarded_at = now() + make_interval(secs => $2)
WHERE object_key = ANY($1::text[])

-- name: forget_garbage
DELETE FROM object_garbage WHERE object_key = ANY($1::text[])

-- name: unknown_keys
SELECT key FROM unnest($1::text[]) AS key
WHERE NOT EXISTS (SELECT FROM instance WHERE object_key = key)
    AND NOT EXISTS (SELECT FROM object_garbage WHERE object_key = key)

-- name: swept
UPDATE index_progress SET swept_until = to_timestamp($1)

-- name: discard_attachments
INSERT INTO object_garbage (object_key) SELECT object_key FROM attachment ON CONFLICT DO NOTHING

-- name: truncate
-- The garbage stays listed: what was deleted shall not come back.
TRUNCATE patient, study, series, instance, user_metadata, label, attachment, change

-- name: clear_statistic
UPDATE statistic SET patient_count = 0, study_count = 0, series_count = 0, instance_count = 0,
    size_bytes = 0

-- name: try_lock
SELECT pg_try_advisory_lock($1)
