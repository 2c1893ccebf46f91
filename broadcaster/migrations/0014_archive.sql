-- What became of alerts that are over, packed into blocks of columns: a few bytes a delivery.

-- Of an alert listed here no delivery, attempt or batch is changed any more; what phones and
-- carriers still say of it goes to late_news. Its rows are read until `packed_at` is set, its
-- blocks from then on; the rows go with their partition.
CREATE TABLE archive (
    alert_id bigint PRIMARY KEY REFERENCES audience,
    begun_at timestamptz NOT NULL,
    through bigint NOT NULL DEFAULT -1,             -- endpoint id: everything up to here is packed
    deliveries integer NOT NULL DEFAULT 0,
    attempts integer NOT NULL DEFAULT 0,
    batches integer,                                -- how many there were when it was packed
    batches_unproven integer,                       -- how many of them did not verify
    packed_at timestamptz,
    segment_id integer
);
CREATE INDEX archive_open ON archive (alert_id) WHERE packed_at IS NULL;
CREATE INDEX archive_unlisted ON archive (alert_id) WHERE segment_id IS NULL;

-- Deliveries with their attempts, sorted by endpoint; `kinds` has a bit for every pair of channel
-- and state in the block, so that a search for few steps over the others.
CREATE TABLE archive_block (
    alert_id bigint NOT NULL,
    last_id bigint NOT NULL,
    first_id bigint NOT NULL,
    kinds integer NOT NULL,
    digest bytea NOT NULL CHECK (octet_length(digest) = 16),
    ids bytea NOT NULL,
    facts bytea NOT NULL,
    PRIMARY KEY (alert_id, last_id)
);
-- Compressed already.
ALTER TABLE archive_block ALTER COLUMN ids SET STORAGE EXTERNAL,
    ALTER COLUMN facts SET STORAGE EXTERNAL;

-- What became known of a packed delivery afterwards: forward only, like any receipt.
CREATE TABLE late_news (
    alert_id bigint NOT NULL REFERENCES archive,
    endpoint_id bigint NOT NULL,
    state delivery_state NOT NULL,
    reason text,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (alert_id, endpoint_id)
);

-- Which of up to 64 packed alerts went to each endpoint: the way from a person to alerts. Written
-- once for all of them; an index by endpoint on deliveries would be written to by every one.
CREATE TABLE archive_segment (
    segment_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    alert_ids bigint[] NOT NULL CHECK (cardinality(alert_ids) BETWEEN 1 AND 64),
    through bigint NOT NULL DEFAULT -1,             -- endpoint id
    begun_at timestamptz NOT NULL,
    built_at timestamptz
);
CREATE UNIQUE INDEX archive_segment_open ON archive_segment ((true)) WHERE built_at IS NULL;
CREATE TABLE archive_mask (
    block bigint NOT NULL,                          -- endpoint ids from 512 times this
    segment_id integer NOT NULL REFERENCES archive_segment,
    masks bytea NOT NULL,
    PRIMARY KEY (block, segment_id)
);
ALTER TABLE archive_mask ALTER COLUMN masks SET STORAGE EXTERNAL;
ALTER TABLE archive ADD FOREIGN KEY (segment_id) REFERENCES archive_segment;

-- Batches of an alert that is packed are deleted.
CREATE INDEX batch_alert ON batch (alert_id);

-- Say whether the deliveries of an alert are frozen, and keep them from being frozen until the end
-- of the caller's transaction. In a function of its own the look comes after the wait.
CREATE FUNCTION deliveries_frozen(of_alert bigint) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtext('archive'), (of_alert % 2147483647)::integer);
    RETURN EXISTS (SELECT FROM archive WHERE alert_id = of_alert);
END $$;

-- The partitions of one hundred alerts. Attached instead of created in place: that waits for
-- nobody who sends. Those before are left alone: they were made in their time, and may be gone.
CREATE OR REPLACE FUNCTION ensure_partitions(upto bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    lo bigint;
    parent text;
BEGIN
    IF to_regclass(format('attempt_%s', upto / 100)) IS NOT NULL
            AND to_regclass(format('attempt_%s', greatest(upto / 100 - 1, 0))) IS NOT NULL THEN
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('ensure_partitions'));
    FOR lo IN SELECT generate_series(greatest(upto / 100 - 1, 0), upto / 100) LOOP
        FOREACH parent IN ARRAY ARRAY['delivery', 'attempt'] LOOP
            IF to_regclass(format('%s_%s', parent, lo)) IS NULL THEN
                EXECUTE format('CREATE TABLE %s_%s (LIKE %s INCLUDING ALL) WITH (fillfactor = %s)',
                    parent, lo, parent, CASE parent WHEN 'delivery' THEN 80 ELSE 100 END);
                EXECUTE format('ALTER TABLE %s ATTACH PARTITION %s_%s '
                    || 'FOR VALUES FROM (%s) TO (%s)',
                    parent, parent, lo, lo * 100, lo * 100 + 100);
            END IF;
        END LOOP;
    END LOOP;
END $$;
