-- What the index over people's places is loaded from, and the log that keeps it current.

-- A place known only by a unit that was split among several: it may lie in each of these, and
-- they stand in the index instead of person_place.unit_id.
CREATE TABLE place_candidate (
    person_id integer NOT NULL,
    place_no smallint NOT NULL,
    unit_id integer NOT NULL REFERENCES unit,
    PRIMARY KEY (person_id, place_no, unit_id),
    FOREIGN KEY (person_id, place_no) REFERENCES person_place ON DELETE CASCADE
);

-- Whose places, language or channels a transaction may have changed: one row a statement. An
-- endpoint stands for everybody linked to it when the row is read, so that a link made at the
-- same time is not missed. Readers compare xid with a snapshot: what was still under way then
-- is found later, in whatever order transactions commit.
CREATE TABLE person_change (
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    at timestamptz NOT NULL DEFAULT now(),
    person_ids integer[] NOT NULL DEFAULT '{}',
    endpoint_ids bigint[] NOT NULL DEFAULT '{}'
);
CREATE INDEX person_change_xid ON person_change (xid);
CREATE INDEX person_change_at ON person_change USING brin (at);
ALTER TABLE person_change ALTER person_ids SET STORAGE EXTERNAL;
ALTER TABLE person_change ALTER endpoint_ids SET STORAGE EXTERNAL;

-- Everybody's places in records of fixed size, 64 people to a row (block = person_id / 64): read
-- in tenths of a second where the tables they come from take half a minute. Derived, without
-- name or address; the record is described in people/places.py.
CREATE TABLE place_index (
    block integer PRIMARY KEY,
    places bytea NOT NULL
) WITH (toast_tuple_target = 8160);
ALTER TABLE place_index ALTER places SET STORAGE EXTERNAL;

-- place_index is right for everybody who is not logged since `snapshot`. `cluster` says whose
-- transaction numbers these are: a dump taken elsewhere brings numbers that mean nothing here.
-- The log lacks what is older than `pruned`.
CREATE TABLE place_index_mark (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    snapshot pg_snapshot NOT NULL,
    cluster bigint NOT NULL,
    pruned xid8 NOT NULL DEFAULT '0'
);
INSERT INTO place_index_mark (snapshot, cluster)
    SELECT '1:1:', system_identifier FROM pg_control_system();
-- Whoever is here already has yet to be taken in.
INSERT INTO person_change (person_ids)
    SELECT array_agg(person_id) FROM person WHERE left_at IS NULL GROUP BY person_id / 100000;

CREATE FUNCTION log_people() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO person_change (person_ids)
            SELECT array_agg(DISTINCT person_id) FROM new_rows HAVING count(*) > 0;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO person_change (person_ids)
            SELECT array_agg(DISTINCT person_id) FROM old_rows HAVING count(*) > 0;
    ELSE
        INSERT INTO person_change (person_ids)
            SELECT array_agg(person_id) FROM (
                SELECT person_id FROM old_rows UNION SELECT person_id FROM new_rows) changed
            HAVING count(*) > 0;
    END IF;
    RETURN NULL;
END $$;

-- Names and consents change more often than what an index holds.
CREATE FUNCTION log_people_updated() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO person_change (person_ids)
        SELECT array_agg(person_id) FROM old_rows o JOIN new_rows n USING (person_id)
        WHERE o.lang <> n.lang OR (o.left_at IS NULL) <> (n.left_at IS NULL)
        HAVING count(*) > 0;
    RETURN NULL;
END $$;

CREATE FUNCTION log_endpoints() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO person_change (endpoint_ids)
        SELECT array_agg(endpoint_id) FROM old_rows o JOIN new_rows n USING (endpoint_id)
        WHERE (o.state = 'active') <> (n.state = 'active')
        HAVING count(*) > 0;
    RETURN NULL;
END $$;

-- Rows that vanish all at once are seen by no other trigger.
CREATE FUNCTION log_everybody() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO person_change (person_ids)
        SELECT array_agg(person_id) FROM person HAVING count(*) > 0;
    RETURN NULL;
END $$;

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY
        ARRAY['person', 'person_place', 'person_point', 'place_candidate', 'person_endpoint']
    LOOP
        EXECUTE format('CREATE TRIGGER log_insert AFTER INSERT ON %I '
            'REFERENCING NEW TABLE AS new_rows '
            'FOR EACH STATEMENT EXECUTE FUNCTION log_people()', name);
        EXECUTE format('CREATE TRIGGER log_delete AFTER DELETE ON %I '
            'REFERENCING OLD TABLE AS old_rows '
            'FOR EACH STATEMENT EXECUTE FUNCTION log_people()', name);
        EXECUTE format('CREATE TRIGGER log_update AFTER UPDATE ON %I '
            'REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows '
            'FOR EACH STATEMENT EXECUTE FUNCTION %I()', name,
            CASE name WHEN 'person' THEN 'log_people_updated' ELSE 'log_people' END);
        EXECUTE format('CREATE TRIGGER log_truncate BEFORE TRUNCATE ON %I '
            'FOR EACH STATEMENT EXECUTE FUNCTION log_everybody()', name);
    END LOOP;
END $$;
CREATE TRIGGER log_update AFTER UPDATE ON endpoint
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION log_endpoints();
CREATE TRIGGER log_truncate BEFORE TRUNCATE ON endpoint
    FOR EACH STATEMENT EXECUTE FUNCTION log_everybody();
-- Bulk loads that switch ordinary triggers off are logged all the same, by the people they add.
ALTER TABLE person ENABLE ALWAYS TRIGGER log_insert;
