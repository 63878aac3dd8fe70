-- What instances bring into the index, a batch in each statement.

-- name: store
-- A batch of new instances with the parents that are missing, the counters above them, the changes
-- log and the progress: one statement, because to send, start and answer each of its parts costs
-- more than what it does. Where the index knows one of the instances, or was told to discard one of
-- the objects, nothing happens. Answers how many instances were stored.
--
-- Every part sees the tables as they were before. So parents that were there are counted up, and
-- those that were not are inserted with their counts: the key of such a one is NULL in
-- arriving_*. What later instances say of their patient, study and series is not looked at.
WITH arriving AS MATERIALIZED (
    SELECT * FROM unnest(
        $1::text[], $2::text[], $3::text[], $4::integer[], $5::integer[], $6::text[], $7::text[],
        $8::bigint[], $9::text[], $10::text[], $11::text[], $12::bigint[], $13::float8[]
    ) WITH ORDINALITY AS t (
        public_id, main_tags, metadata, index_in_series, number_of_frames, series_id, object_key,
        size_bytes, sha256, sop_class_uid, transfer_syntax_uid, pixel_data_offset, received_at,
        place
    )
    WHERE NOT EXISTS (SELECT FROM instance WHERE public_id = ANY($1))
        AND NOT EXISTS (SELECT FROM object_garbage WHERE object_key = ANY($7))
), arriving_series AS MATERIALIZED (
    SELECT t.*, series_pk, instances, bytes, place, coalesce(instance_count, 0) AS instances_before,
        CASE WHEN series_pk IS NULL THEN t.expected ELSE expected_number_of_instances END
            AS expected_in_all
    FROM (
        SELECT series_id AS public_id, count(*) AS instances, sum(size_bytes)::bigint AS bytes,
            min(place) AS place
        FROM arriving GROUP BY series_id
    ) AS counted
        JOIN unnest($14::text[], $15::text[], $16::text[], $17::integer[], $18::text[])
            AS t (public_id, main_tags, metadata, expected, study_id) USING (public_id)
        LEFT JOIN series USING (public_id)
), arriving_studies AS MATERIALIZED (
    SELECT t.*, study_pk, series, instances, bytes, place
    FROM (
        SELECT study_id AS public_id, count(*) FILTER (WHERE series_pk IS NULL) AS series,
            sum(instances)::bigint AS instances, sum(bytes)::bigint AS bytes, min(place) AS place
        FROM arriving_series GROUP BY study_id
    ) AS counted
        JOIN unnest($19::text[], $20::text[], $21::text[], $22::text[], $23::text[])
            AS t (public_id, main_tags, metadata, patient_tags, patient_id) USING (public_id)
        LEFT JOIN study USING (public_id)
), arriving_patients AS MATERIALIZED (
    SELECT t.*, patient_pk, studies, series, instances, bytes, place
    FROM (
        SELECT patient_id AS public_id, count(*) FILTER (WHERE study_pk IS NULL) AS studies,
            sum(series)::bigint AS series, sum(instances)::bigint AS instances,
            sum(bytes)::bigint AS bytes, min(place) AS place
        FROM arriving_studies GROUP BY patient_id
    ) AS counted
        JOIN unnest($24::text[], $25::text[], $26::text[])
            AS t (public_id, main_tags, metadata) USING (public_id)
        LEFT JOIN patient USING (public_id)
), new_patients AS (
    INSERT INTO patient (
        public_id, main_tags, metadata, updated_at,
        study_count, series_count, instance_count, size_bytes
    )
    SELECT public_id, main_tags::jsonb, metadata::jsonb, now(), studies, series, instances, bytes
    FROM arriving_patients WHERE patient_pk IS NULL ORDER BY place
    RETURNING patient_pk, public_id
), counted_patients AS (
    UPDATE patient SET updated_at = now(), is_stable = false,
        study_count = study_count + studies, series_count = series_count + series,
        instance_count = instance_count + instances, size_bytes = size_bytes + bytes
    FROM arriving_patients AS a WHERE patient.patient_pk = a.patient_pk
), new_studies AS (
    INSERT INTO study (
        patient_pk, public_id, main_tags, metadata, patient_tags, updated_at,
        series_count, instance_count, size_bytes
    )
    SELECT coalesce(p.patient_pk, new.patient_pk), s.public_id, s.main_tags::jsonb,
        s.metadata::jsonb, patient_tags::jsonb, now(), s.series, s.instances, s.bytes
    FROM arriving_studies AS s JOIN arriving_patients AS p ON p.public_id = patient_id
        LEFT JOIN new_patients AS new ON new.public_id = patient_id
    WHERE study_pk IS NULL ORDER BY s.place
    RETURNING study_pk, public_id
), counted_studies AS (
    UPDATE study SET updated_at = now(), is_stable = false, series_count = series_count + series,
        instance_count = instance_count + instances, size_bytes = size_bytes + bytes
    FROM arriving_studies AS a WHERE study.study_pk = a.study_pk
), new_series AS (
    INSERT INTO series (
        study_pk, public_id, main_tags, metadata, expected_number_of_instances, updated_at,
        instance_count, size_bytes
    )
    SELECT coalesce(s.study_pk, new.study_pk), a.public_id, a.main_tags::jsonb,
        a.metadata::jsonb, expected, now(), a.instances, a.bytes
    FROM arriving_series AS a JOIN arriving_studies AS s ON s.public_id = study_id
        LEFT JOIN new_studies AS new ON new.public_id = study_id
    WHERE series_pk IS NULL ORDER BY a.place
    RETURNING series_pk, public_id
), counted_series AS (
    UPDATE series SET updated_at = now(), is_stable = false,
        instance_count = instance_count + instances, size_bytes = size_bytes + bytes
    FROM arriving_series AS a WHERE series.series_pk = a.series_pk
), new_instances AS (
    INSERT INTO instance (
        series_pk, public_id, main_tags, metadata, object_key, size_bytes, sha256, sop_class_uid,
        transfer_syntax_uid, pixel_data_offset, index_in_series, number_of_frames, received_at
    )
    SELECT coalesce(s.series_pk, new.series_pk), a.public_id, a.main_tags::jsonb,
        a.metadata::jsonb, object_key, size_bytes, sha256, sop_class_uid, transfer_syntax_uid,
        pixel_data_offset, index_in_series, number_of_frames, to_timestamp(received_at)
    FROM arriving AS a JOIN arriving_series AS s ON s.public_id = series_id
        LEFT JOIN new_series AS new ON new.public_id = series_id
    ORDER BY a.place
), counted AS (
    UPDATE statistic SET patient_count = patient_count + a.patients,
        study_count = study_count + a.studies, series_count = series_count + a.series,
        instance_count = instance_count + a.instances, size_bytes = size_bytes + a.bytes
    FROM (
        SELECT count(*) FILTER (WHERE patient_pk IS NULL) AS patients, sum(studies) AS studies,
            sum(series) AS series, sum(instances) AS instances, sum(bytes) AS bytes
        FROM arriving_patients HAVING count(*) > 0
    ) AS a
), completed_series AS (
    SELECT public_id FROM arriving_series AS a
    WHERE instances_before + instances = expected_in_all AND expected_in_all = (
        SELECT count(DISTINCT index_in_series) FROM (
            SELECT index_in_series FROM instance WHERE instance.series_pk = a.series_pk
            UNION ALL
            SELECT index_in_series FROM arriving WHERE series_id = a.public_id
        ) AS every WHERE index_in_series BETWEEN 1 AND expected_in_all
    )
), changes AS MATERIALIZED (
    SELECT 'NewInstance' AS change_type, 3 AS level, public_id, place FROM arriving
    UNION ALL
    SELECT 'NewSeries', 2, public_id, place FROM arriving_series WHERE series_pk IS NULL
    UNION ALL
    SELECT 'NewStudy', 1, public_id, place FROM arriving_studies WHERE study_pk IS NULL
    UNION ALL
    SELECT 'NewPatient', 0, public_id, place FROM arriving_patients WHERE patient_pk IS NULL
    UNION ALL
    SELECT 'CompletedSeries', 2, public_id, NULL FROM completed_series
), numbered AS (
    UPDATE change_counter SET last_sequence = last_sequence + n
    FROM (SELECT count(*) AS n FROM changes HAVING count(*) > 0) AS a
    RETURNING last_sequence - n AS base
), logged AS (
    -- In Orthanc's order: an instance, then what came into being above it; last what is complete.
    INSERT INTO change (sequence, change_type, level, public_id, recorded_at)
    SELECT base + row_number() OVER (ORDER BY place, level DESC), change_type, level, public_id,
        now()
    FROM numbered, changes
), advanced AS (
    UPDATE index_progress SET stream_epoch = $27, applied_sequence = $28
    WHERE $27::text IS NOT NULL AND EXISTS (SELECT FROM arriving)
)
SELECT count(*) FROM arriving

-- name: history
-- What no file tells (`HISTORY` of ports/imported.py); part of the statements that follow.
(SELECT coalesce(jsonb_object_agg(key, value), jsonb_build_object())
FROM jsonb_each({table}.metadata) WHERE key IN (
    'AnonymizedFrom', 'CalledAET', 'HttpUsername', 'ModifiedFrom', 'Origin', 'ReceptionDate',
    'RemoteAET', 'RemoteIP'
))

-- name: reindex_instance
-- Main tags and metadata are read again; what users added stays, and the history.
UPDATE instance SET main_tags = t.main_tags::jsonb, metadata = t.metadata::jsonb || {history},
    index_in_series = t.index_in_series, number_of_frames = t.number_of_frames
FROM unnest($1::text[], $2::text[], $3::text[], $4::integer[], $5::integer[])
    AS t (public_id, main_tags, metadata, index_in_series, number_of_frames)
WHERE instance.public_id = t.public_id

-- name: reindex_patient
UPDATE patient SET main_tags = t.main_tags::jsonb, metadata = t.metadata::jsonb || {history}
FROM unnest($1::text[], $2::text[], $3::text[]) AS t (public_id, main_tags, metadata)
WHERE patient.public_id = t.public_id

-- name: reindex_study
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
