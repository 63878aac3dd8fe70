-- What an import adds to resources that are stored. What users wrote here before stays.

-- name: present
SELECT public_id FROM {level} WHERE public_id = ANY($1::text[])

-- name: restore_instances
-- Where an instance came from is replaced as a whole: a name of the upload's user would not fit the
-- modality that sent it.
UPDATE instance SET received_at = coalesce(t.changed_at, received_at),
    metadata = CASE WHEN t.history::jsonb ? 'Origin' THEN metadata - $4::text[] ELSE metadata END
        || t.history::jsonb
FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS t (public_id, history, changed_at)
WHERE instance.public_id = t.public_id

-- name: restore_parents
-- Nothing is older than what lies in it: that may have come here on another way meanwhile.
UPDATE {level} SET metadata = metadata || t.history::jsonb,
    updated_at = CASE WHEN t.changed_at IS NULL THEN updated_at ELSE greatest(
        t.changed_at,
        (SELECT max({arrival}) FROM {child} WHERE {child}.{level}_pk = {level}.{level}_pk)
    ) END
FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS t (public_id, history, changed_at)
WHERE {level}.public_id = t.public_id

-- name: add_metadata
INSERT INTO user_metadata (level, resource_pk, name, value)
SELECT $1, {level}_pk, t.name, t.value
FROM unnest($2::text[], $3::text[], $4::text[]) AS t (public_id, name, value)
    JOIN {level} USING (public_id)
FOR KEY SHARE OF {level}
ON CONFLICT DO NOTHING

-- name: add_labels
INSERT INTO label (level, resource_pk, name)
SELECT $1, {level}_pk, t.name
FROM unnest($2::text[], $3::text[]) AS t (public_id, name) JOIN {level} USING (public_id)
FOR KEY SHARE OF {level}
ON CONFLICT DO NOTHING

-- name: protect
UPDATE patient SET is_protected = true WHERE public_id = ANY($1::text[])
