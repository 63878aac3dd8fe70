-- What readers ask. `{level}`, `{where}` and their like are filled by reader.py and search.py with
-- fragments of their own; values are always parameters.

-- name: select_patient
SELECT patient.public_id, patient.main_tags, patient.metadata, patient.updated_at,
    patient.is_stable, patient.is_protected, NULL AS parent_id,
    ARRAY(SELECT public_id FROM study WHERE patient_pk = patient.patient_pk ORDER BY study_pk)
        AS child_ids

-- name: select_study
SELECT study.public_id, study.main_tags, study.metadata, study.updated_at, study.is_stable,
    patient.public_id AS parent_id, study.patient_tags AS patient_main_tags,
    ARRAY(SELECT public_id FROM series WHERE study_pk = study.study_pk ORDER BY series_pk)
        AS child_ids

-- name: select_series
SELECT series.public_id, series.main_tags, series.metadata, series.updated_at, series.is_stable,
    study.public_id AS parent_id, series.expected_number_of_instances,
    ARRAY(SELECT public_id FROM instance WHERE series_pk = series.series_pk ORDER BY instance_pk)
        AS child_ids,
    ARRAY(SELECT index_in_series FROM instance WHERE series_pk = series.series_pk
        ORDER BY instance_pk) AS child_indexes

-- name: select_instance
SELECT instance.public_id, instance.main_tags, instance.metadata,
    instance.received_at AS updated_at, series.public_id AS parent_id, instance.object_key,
    instance.size_bytes, instance.index_in_series, instance.number_of_frames

-- name: levels_of
SELECT 0 AS depth FROM patient WHERE public_id = $1
UNION ALL SELECT 1 FROM study WHERE public_id = $1
UNION ALL SELECT 2 FROM series WHERE public_id = $1
UNION ALL SELECT 3 FROM instance WHERE public_id = $1

-- name: lookup
SELECT 0 AS depth, public_id FROM patient
WHERE lower(main_tags ->> 'PatientID') = lower($1)
UNION ALL SELECT 1, public_id FROM study WHERE (main_tags ->> 'StudyInstanceUID') COLLATE "C" = $1
UNION ALL SELECT 2, public_id FROM series WHERE (main_tags ->> 'SeriesInstanceUID') COLLATE "C" = $1
UNION ALL SELECT 3, public_id FROM instance WHERE (main_tags ->> 'SOPInstanceUID') COLLATE "C" = $1

-- name: stored_instances
SELECT instance.public_id, object_key, instance.size_bytes, sop_class_uid,
    instance.main_tags ->> 'SOPInstanceUID' AS sop_instance_uid, transfer_syntax_uid,
    pixel_data_offset, number_of_frames
FROM instance JOIN series USING (series_pk) JOIN study USING (study_pk)
    JOIN patient USING (patient_pk)
WHERE {level}.public_id = $1
ORDER BY study_pk, series_pk, index_in_series, instance_pk

-- name: first_instances
SELECT resource.public_id AS resource_id, first.*
FROM {level} AS resource CROSS JOIN LATERAL (
    SELECT instance.public_id, object_key, instance.size_bytes, sop_class_uid,
        instance.main_tags ->> 'SOPInstanceUID' AS sop_instance_uid, transfer_syntax_uid,
        pixel_data_offset, number_of_frames
    FROM instance JOIN series USING (series_pk) JOIN study USING (study_pk)
    WHERE {level}_pk = resource.{level}_pk
    ORDER BY study_pk, series_pk, index_in_series, instance_pk
    LIMIT 1
) AS first
WHERE resource.public_id = ANY($1::text[])

-- name: stored_instance
SELECT public_id, object_key, size_bytes, sop_class_uid,
    main_tags ->> 'SOPInstanceUID' AS sop_instance_uid, transfer_syntax_uid,
    pixel_data_offset, number_of_frames
FROM instance WHERE public_id = $1

-- name: statistics
SELECT patient_count, study_count, series_count, instance_count, size_bytes FROM statistic

-- name: patient_statistics
SELECT 1 AS patient_count, study_count, series_count, instance_count, size_bytes
FROM patient WHERE public_id = $1

-- name: study_statistics
SELECT 1 AS patient_count, 1 AS study_count, series_count, instance_count, size_bytes
FROM study WHERE public_id = $1

-- name: series_statistics
SELECT 1 AS patient_count, 1 AS study_count, 1 AS series_count, instance_count, size_bytes
FROM series WHERE public_id = $1

-- name: instance_statistics
SELECT 1 AS patient_count, 1 AS study_count, 1 AS series_count, 1 AS instance_count, size_bytes
FROM instance WHERE public_id = $1

-- name: changes_after
SELECT sequence, change_type, level, public_id, recorded_at FROM change
WHERE sequence > $1 AND ($2::bigint IS NULL OR sequence <= $2)
    AND (cardinality($3::text[]) = 0 OR change_type = ANY($3))
ORDER BY sequence LIMIT $4

-- name: changes_before
SELECT sequence, change_type, level, public_id, recorded_at FROM change
WHERE sequence <= $1 AND (cardinality($2::text[]) = 0 OR change_type = ANY($2))
ORDER BY sequence DESC LIMIT $3

-- name: last_sequence
SELECT last_sequence FROM change_counter

-- name: labels_in_use
SELECT DISTINCT name FROM label ORDER BY name

-- name: objects_at
-- One row at least: how far the index had come when it said so.
SELECT stream_epoch, applied_sequence, public_id, object_key
FROM index_progress LEFT JOIN instance ON public_id = ANY($1::text[])

-- name: ModalitiesInStudy
SELECT study.public_id, string_agg(DISTINCT series.main_tags ->> 'Modality', '\') AS value
FROM study JOIN series USING (study_pk) WHERE study.public_id = ANY($1::text[])
GROUP BY study.public_id

-- name: SOPClassesInStudy
SELECT study.public_id, string_agg(DISTINCT sop_class_uid, '\') AS value
FROM study JOIN series USING (study_pk) JOIN instance USING (series_pk)
WHERE study.public_id = ANY($1::text[]) GROUP BY study.public_id

-- name: NumberOfStudyRelatedSeries
SELECT public_id, series_count::text AS value FROM study WHERE public_id = ANY($1::text[])

-- name: NumberOfStudyRelatedInstances
SELECT public_id, instance_count::text AS value FROM study WHERE public_id = ANY($1::text[])

-- name: NumberOfSeriesRelatedInstances
SELECT public_id, instance_count::text AS value FROM series WHERE public_id = ANY($1::text[])

-- name: NumberOfPatientRelatedStudies
SELECT public_id, study_count::text AS value FROM patient WHERE public_id = ANY($1::text[])

-- name: NumberOfPatientRelatedSeries
SELECT public_id, series_count::text AS value FROM patient WHERE public_id = ANY($1::text[])

-- name: NumberOfPatientRelatedInstances
SELECT public_id, instance_count::text AS value FROM patient WHERE public_id = ANY($1::text[])

-- name: InstanceAvailability
SELECT public_id, 'ONLINE' AS value FROM instance WHERE public_id = ANY($1::text[])

-- name: lock_resource
SELECT {level}_pk FROM {level} WHERE public_id = $1 FOR KEY SHARE

-- name: set_label
INSERT INTO label (level, resource_pk, name) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING

-- name: remove_label
DELETE FROM label WHERE level = $1 AND resource_pk = $2 AND name = $3

-- name: user_metadata
SELECT value, revision FROM user_metadata
WHERE level = $1 AND name = $3
    AND resource_pk = (SELECT {level}_pk FROM {level} WHERE public_id = $2)

-- name: lock_metadata
SELECT value, revision FROM user_metadata
WHERE level = $1 AND resource_pk = $2 AND name = $3 FOR UPDATE

-- name: set_metadata
INSERT INTO user_metadata (level, resource_pk, name, value) VALUES ($1, $2, $3, $4)
ON CONFLICT (level, resource_pk, name)
DO UPDATE SET value = excluded.value, revision = user_metadata.revision + 1
RETURNING value, revision

-- name: delete_metadata
DELETE FROM user_metadata WHERE level = $1 AND resource_pk = $2 AND name = $3

-- name: log_change
WITH numbered AS (
    UPDATE change_counter SET last_sequence = last_sequence + 1 RETURNING last_sequence
)
INSERT INTO change (sequence, change_type, level, public_id, recorded_at)
SELECT last_sequence, $1, $2, $3, now() FROM numbered

-- name: attachments
SELECT public_id, number, attachment.object_key, attachment.size_bytes, md5, revision
FROM attachment JOIN {level} ON resource_pk = {level}_pk
WHERE level = $1 AND public_id = ANY($2::text[]) ORDER BY number

-- name: lock_attachment
SELECT object_key, md5, revision FROM attachment
WHERE level = $1 AND resource_pk = $2 AND number = $3 FOR UPDATE

-- name: attach
INSERT INTO attachment (level, resource_pk, number, object_key, size_bytes, md5)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (level, resource_pk, number) DO UPDATE SET object_key = excluded.object_key,
    size_bytes = excluded.size_bytes, md5 = excluded.md5, revision = attachment.revision + 1
RETURNING revision

-- name: detach
DELETE FROM attachment WHERE level = $1 AND resource_pk = $2 AND number = $3

-- name: discard_object
INSERT INTO object_garbage (object_key) VALUES ($1) ON CONFLICT DO NOTHING

-- name: set_protected
UPDATE patient SET is_protected = $2 WHERE public_id = $1 RETURNING public_id

-- name: clear_changes
DELETE FROM change
