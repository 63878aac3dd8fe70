-- What the indexer writes. Every statement handles a whole batch.

-- name: known
-- What the index has already of these instances ($1) and says of these object keys ($2).
SELECT public_id, object_key, false AS discarded FROM instance WHERE public_id = ANY($1::text[])
UNION ALL
SELECT NULL, object_key, true FROM object_garbage WHERE object_key = ANY($2::text[])

-- name: insert_patients
-- The first values stay: what later instances say of their patient is not looked at. Answers the
-- keys of all; the second part sees the table as it was before, so that no row comes twice.
WITH made AS (
INSERT INTO patient (public_id, main_tags, metadata, updated_at)
SELECT public_id, main_tags::jsonb, metadata::jsonb, now()
FROM unnest($1::text[], $2::text[], $3::text[])
    WITH ORDINALITY AS t (public_id, main_tags, metadata, place)
ORDER BY place
ON CONFLICT (public_id) DO NOTHING
RETURNING patient_pk, public_id
)
SELECT patient_pk AS pk, public_id, true AS is_new FROM made
UNION ALL
SELECT patient_pk, public_id, false FROM patient WHERE public_id = ANY($1::text[])

-- name: insert_studies
WITH made AS (
INSERT INTO study (public_id, main_tags, metadata, patient_pk, patient_tags, updated_at)
SELECT public_id, main_tags::jsonb, metadata::jsonb, parent_pk, patient_tags::jsonb, now()
FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[])
    WITH ORDINALITY AS t (public_id, main_tags, metadata, parent_pk, patient_tags, place)
ORDER BY place
ON CONFLICT (public_id) DO NOTHING
RETURNING study_pk, public_id
)
SELECT study_pk AS pk, public_id, true AS is_new FROM made
UNION ALL
SELECT study_pk, public_id, false FROM study WHERE public_id = ANY($1::text[])

-- name: insert_series
WITH made AS (
INSERT INTO series (
    public_id, main_tags, metadata, study_pk, expected_number_of_instances, updated_at
)
SELECT public_id, main_tags::jsonb, metadata::jsonb, parent_pk, expected, now()
FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::integer[])
    WITH ORDINALITY AS t (public_id, main_tags, metadata, parent_pk, expected, place)
ORDER BY place
ON CONFLICT (public_id) DO NOTHING
RETURNING series_pk, public_id
)
SELECT series_pk AS pk, public_id, true AS is_new FROM made
UNION ALL
SELECT series_pk, public_id, false FROM series WHERE public_id = ANY($1::text[])

-- name: insert_instances
INSERT INTO instance (
    public_id, main_tags, metadata, series_pk, object_key, size_bytes, sha256, sop_class_uid,
    transfer_syntax_uid, pixel_data_offset, index_in_series, number_of_frames, received_at
)
SELECT public_id, main_tags::jsonb, metadata::jsonb, series_pk, object_key, size_bytes, sha256,
    sop_class_uid, transfer_syntax_uid, pixel_data_offset, index_in_series, number_of_frames,
    to_timestamp(received_at)
FROM unnest(
    $1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::bigint[], $7::text[],
    $8::text[], $9::text[], $10::bigint[], $11::integer[], $12::integer[], $13::float8[]
) WITH ORDINALITY AS t (
    public_id, main_tags, metadata, series_pk, object_key, size_bytes, sha256, sop_class_uid,
    transfer_syntax_uid, pixel_data_offset, index_in_series, number_of_frames, received_at, place
)
ORDER BY place

-- name: history
-- What no file tells (`HISTORY` of ports/imported.py); part of the statements that follow.
(SELECT coalesce(jsonb_object_agg(key, value), jsonb_build_object())
FROM jsonb_each({table}.metadata) WHERE key IN (
    'AnonymizedFrom', 'CalledAET', 'HttpUsername', 'ModifiedFrom', 'Origin', 'ReceptionDate',
    'RemoteAET', 'RemoteIP'
))

-- name: reindex_instances
-- Main tags and metadata are read again; what users added stays, and the history.
UPDATE instance SET main_tags = t.main_tags::jsonb, metadata = t.metadata::jsonb || {history},
    index_in_series = t.index_in_series, number_of_frames = t.number_of_frames
FROM unnest($1::text[], $2::text[], $3::text[], $4::integer[], $5::integer[])
    AS t (public_id, main_tags, metadata, index_in_series, number_of_frames)
WHERE instance.public_id = t.public_id

-- name: reindex_patients
UPDATE patient SET main_tags = t.main_tags::jsonb, metadata = t.metadata::jsonb || {history}
FROM unnest($1::text[], $2::text[], $3::text[]) AS t (public_id, main_tags, metadata)
WHERE patient.public_id = t.public_id

-- name: reindex_studies
UPDATE study SET main_tags = t.main_tags::jsonb, metadata = t.metadata::jsonb || {history},
    patient_tags = t.patient_tags::jsonb
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[])
    AS t (public_id, main_tags, metadata, patient_tags)
WHERE study.public_id = t.public_id

-- name: reindex_series
UPDATE series SET main_tags = t.main_tags::jsonb, metadata = t.metadata::jsonb || {history},
    expected_number_of_instances = t.expected
FROM unnest($1::text[], $2::text[], $3::text[], $4::integer[])
    AS t (public_id, main_tags, metadata, expected)
WHERE series.public_id = t.public_id

-- name: count_up
-- Arrivals and departures of instances, carried to the counters of all levels above: series ($1 to
-- $3), studies ($4 to $7), patients ($8 to $12), the server ($13 to $17). Where something arrived
-- ($18), nothing is stable any more.
WITH counted_series AS (
    UPDATE series SET instance_count = instance_count + t.instances,
        size_bytes = size_bytes + t.bytes,
        updated_at = CASE WHEN $18 THEN now() ELSE updated_at END,
        is_stable = is_stable AND NOT $18
    FROM unnest($1::text[], $2::integer[], $3::bigint[]) AS t (public_id, instances, bytes)
    WHERE series.public_id = t.public_id
), counted_studies AS (
    UPDATE study SET series_count = series_count + t.series,
        instance_count = instance_count + t.instances,
        size_bytes = size_bytes + t.bytes,
        updated_at = CASE WHEN $18 THEN now() ELSE updated_at END,
        is_stable = is_stable AND NOT $18
    FROM unnest($4::text[], $5::integer[], $6::integer[], $7::bigint[])
        AS t (public_id, series, instances, bytes)
    WHERE study.public_id = t.public_id
), counted_patients AS (
    UPDATE patient SET study_count = study_count + t.studies,
        series_count = series_count + t.series,
        instance_count = instance_count + t.instances,
        size_bytes = size_bytes + t.bytes,
        updated_at = CASE WHEN $18 THEN now() ELSE updated_at END,
        is_stable = is_stable AND NOT $18
    FROM unnest($8::text[], $9::integer[], $10::integer[], $11::integer[], $12::bigint[])
        AS t (public_id, studies, series, instances, bytes)
    WHERE patient.public_id = t.public_id
)
UPDATE statistic SET patient_count = patient_count + $13, study_count = study_count + $14,
    series_count = series_count + $15, instance_count = instance_count + $16,
    size_bytes = size_bytes + $17

-- name: completed_series
-- Of the series just touched, those whose instances are now all there (Orthanc's CompletedSeries).
SELECT series.public_id FROM series
WHERE series.public_id = ANY($1::text[])
    AND instance_count = expected_number_of_instances
    AND expected_number_of_instances = (
        SELECT count(DISTINCT index_in_series) FROM instance
        WHERE instance.series_pk = series.series_pk
            AND index_in_series BETWEEN 1 AND expected_number_of_instances
    )

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
WITH doomed AS (
    SELECT instance_pk FROM instance
        JOIN series USING (series_pk) JOIN study USING (study_pk) JOIN patient USING (patient_pk)
    WHERE instance.public_id = ANY($4::text[]) OR series.public_id = ANY($3::text[])
        OR study.public_id = ANY($2::text[]) OR patient.public_id = ANY($1::text[])
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
