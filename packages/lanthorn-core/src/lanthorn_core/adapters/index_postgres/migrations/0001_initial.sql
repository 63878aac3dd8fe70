-- The index: four levels, what users add to them, the changes log, and how far it has come.
-- Texts in `main_tags` are what Orthanc shows, by keyword; expressions over them are indexed below.

CREATE TABLE patient (
    patient_pk      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    public_id       text NOT NULL UNIQUE,
    main_tags       jsonb NOT NULL,
    metadata        jsonb NOT NULL DEFAULT '{}',
    updated_at      timestamptz NOT NULL,
    is_stable       boolean NOT NULL DEFAULT false,
    is_protected    boolean NOT NULL DEFAULT false,
    study_count     integer NOT NULL DEFAULT 0,
    series_count    integer NOT NULL DEFAULT 0,
    instance_count  integer NOT NULL DEFAULT 0,
    size_bytes      bigint NOT NULL DEFAULT 0
);

CREATE TABLE study (
    study_pk        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    patient_pk      bigint NOT NULL REFERENCES patient,
    public_id       text NOT NULL UNIQUE,
    main_tags       jsonb NOT NULL,
    patient_tags    jsonb NOT NULL, -- the patient's main tags as this study's first instance has them
    metadata        jsonb NOT NULL DEFAULT '{}',
    updated_at      timestamptz NOT NULL,
    is_stable       boolean NOT NULL DEFAULT false,
    series_count    integer NOT NULL DEFAULT 0,
    instance_count  integer NOT NULL DEFAULT 0,
    size_bytes      bigint NOT NULL DEFAULT 0
);

CREATE TABLE series (
    series_pk       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    study_pk        bigint NOT NULL REFERENCES study,
    public_id       text NOT NULL UNIQUE,
    main_tags       jsonb NOT NULL,
    metadata        jsonb NOT NULL DEFAULT '{}',
    updated_at      timestamptz NOT NULL,
    is_stable       boolean NOT NULL DEFAULT false,
    expected_number_of_instances integer,
    instance_count  integer NOT NULL DEFAULT 0,
    size_bytes      bigint NOT NULL DEFAULT 0
);

CREATE TABLE instance (
    instance_pk     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    series_pk       bigint NOT NULL REFERENCES series,
    public_id       text NOT NULL UNIQUE,
    main_tags       jsonb NOT NULL,
    metadata        jsonb NOT NULL,
    object_key      text NOT NULL UNIQUE,
    size_bytes      bigint NOT NULL,
    sha256          text NOT NULL,
    sop_class_uid   text NOT NULL,
    transfer_syntax_uid text NOT NULL,
    pixel_data_offset bigint,
    index_in_series integer,
    number_of_frames integer NOT NULL,
    received_at     timestamptz NOT NULL
);

CREATE INDEX study_of_patient ON study (patient_pk);
CREATE INDEX series_of_study ON series (study_pk);
CREATE INDEX instance_of_series ON instance (series_pk);
CREATE INDEX patient_unstable ON patient (updated_at) WHERE NOT is_stable;
CREATE INDEX study_unstable ON study (updated_at) WHERE NOT is_stable;
CREATE INDEX series_unstable ON series (updated_at) WHERE NOT is_stable;
CREATE INDEX patient_oldest ON patient (updated_at) WHERE NOT is_protected;

-- What is searched for, in the words of search.py: values that know case in lower case (an exact
-- comparison adds a filter), dates and UIDs byte by byte.
CREATE INDEX patient_patient_id ON patient (lower(main_tags ->> 'PatientID') text_pattern_ops);
CREATE INDEX patient_name ON patient (lower(main_tags ->> 'PatientName') text_pattern_ops);
CREATE INDEX study_patient_id ON study (lower(patient_tags ->> 'PatientID') text_pattern_ops);
CREATE INDEX study_patient_name ON study (lower(patient_tags ->> 'PatientName') text_pattern_ops);
CREATE INDEX study_uid ON study (((main_tags ->> 'StudyInstanceUID') COLLATE "C"));
CREATE INDEX study_date ON study (((main_tags ->> 'StudyDate') COLLATE "C"));
CREATE INDEX study_accession ON study (lower(main_tags ->> 'AccessionNumber') text_pattern_ops);
CREATE INDEX series_uid ON series (((main_tags ->> 'SeriesInstanceUID') COLLATE "C"));
CREATE INDEX instance_uid ON instance (((main_tags ->> 'SOPInstanceUID') COLLATE "C"));

-- What users add. Levels: 0 patient, 1 study, 2 series, 3 instance; rows go with their resource.
CREATE TABLE user_metadata (
    level           smallint NOT NULL,
    resource_pk     bigint NOT NULL,
    name            text NOT NULL,
    value           text NOT NULL,
    revision        integer NOT NULL DEFAULT 0,
    PRIMARY KEY (level, resource_pk, name)
);

CREATE TABLE label (
    level           smallint NOT NULL,
    resource_pk     bigint NOT NULL,
    name            text NOT NULL,
    PRIMARY KEY (level, resource_pk, name)
);
CREATE INDEX label_name ON label (name, level);

-- The numbers of the log are given out under the lock of this one row, so that they become
-- visible in their order: a reader that asks "after 567" never misses a late 566.
CREATE TABLE change_counter (
    only_row        boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    last_sequence   bigint NOT NULL DEFAULT 0
);
INSERT INTO change_counter DEFAULT VALUES;

CREATE TABLE change (
    sequence        bigint PRIMARY KEY,
    change_type     text NOT NULL,
    level           smallint NOT NULL,
    public_id       text NOT NULL,
    recorded_at     timestamptz NOT NULL
);
CREATE INDEX change_of_resource ON change (public_id);

-- Counters are maintained, never counted.
CREATE TABLE statistic (
    only_row        boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    patient_count   bigint NOT NULL DEFAULT 0,
    study_count     bigint NOT NULL DEFAULT 0,
    series_count    bigint NOT NULL DEFAULT 0,
    instance_count  bigint NOT NULL DEFAULT 0,
    size_bytes      bigint NOT NULL DEFAULT 0
);
INSERT INTO statistic DEFAULT VALUES;

-- Objects that no instance needs any more; removed from the store after the transaction.
CREATE TABLE object_garbage (
    object_key      text PRIMARY KEY,
    discarded_at    timestamptz NOT NULL DEFAULT now()
);

-- How far the index has come in which incarnation of the stream, and how far the sweep.
CREATE TABLE index_progress (
    only_row        boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    stream_epoch    text NOT NULL DEFAULT '',
    applied_sequence bigint NOT NULL DEFAULT 0,
    swept_until     timestamptz
);
INSERT INTO index_progress DEFAULT VALUES;
