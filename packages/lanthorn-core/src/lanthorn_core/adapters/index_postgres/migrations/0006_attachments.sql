-- Files that users attach to resources. The bytes are in the object store; rows go with their
-- resource, and their objects after them.
CREATE TABLE attachment (
    level           smallint NOT NULL,
    resource_pk     bigint NOT NULL,
    number          integer NOT NULL,
    object_key      text NOT NULL UNIQUE,
    size_bytes      bigint NOT NULL,
    md5             text NOT NULL,
    revision        integer NOT NULL DEFAULT 0,
    PRIMARY KEY (level, resource_pk, number)
);
