-- Audience, deliveries, batches, attempts, receipts.

CREATE TYPE delivery_state AS ENUM ('pending', 'handed_off', 'confirmed', 'seen', 'failed',
    'expired', 'stopped', 'unknown');

-- The frozen set of person ids: one row, compressed (roaring), hashed over the plain sorted ids
-- and chained to the hash of the approved content.
CREATE TABLE audience (
    alert_id bigint PRIMARY KEY REFERENCES alert,
    people integer NOT NULL CHECK (people >= 0),
    ids bytea NOT NULL,
    ids_hash bytea NOT NULL CHECK (octet_length(ids_hash) = 32),
    chain_hash bytea NOT NULL CHECK (octet_length(chain_hash) = 32),
    frozen_at timestamptz NOT NULL,
    expanded_through integer NOT NULL DEFAULT -1,   -- person id: everyone up to here is expanded
    unreachable integer NOT NULL DEFAULT 0,         -- people without one active endpoint
    expanded_at timestamptz,
    fence bigint NOT NULL DEFAULT 0,                -- who expands now
    lease_until timestamptz
);

-- A delivery is `claimed` while the batch that lists it is: the lease lives there, so claiming
-- a thousand deliveries costs one row written instead of a thousand.
CREATE TABLE delivery (
    alert_id bigint NOT NULL,
    endpoint_id bigint NOT NULL,
    channel channel NOT NULL,
    lang lang NOT NULL,
    state delivery_state NOT NULL DEFAULT 'pending',
    attempts smallint NOT NULL DEFAULT 0,
    updated_at timestamptz NOT NULL,
    reason text,
    PRIMARY KEY (alert_id, endpoint_id)
) PARTITION BY RANGE (alert_id);
CREATE INDEX delivery_endpoint ON delivery (endpoint_id, alert_id);

CREATE TABLE attempt (
    alert_id bigint NOT NULL,
    endpoint_id bigint NOT NULL,
    attempt smallint NOT NULL,
    at timestamptz NOT NULL,
    provider_id smallint NOT NULL,
    fence bigint NOT NULL,
    result text NOT NULL,
    reason text
) PARTITION BY RANGE (alert_id);
CREATE INDEX attempt_delivery ON attempt (alert_id, endpoint_id);

-- A hundred alerts to a partition. Made ahead of need; safe to call from anywhere at any time.
CREATE FUNCTION ensure_partitions(upto bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    lo bigint;
BEGIN
    IF to_regclass(format('delivery_%s', upto / 100)) IS NOT NULL THEN
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('ensure_partitions'));
    FOR lo IN SELECT generate_series(0, upto / 100) LOOP
        IF to_regclass(format('delivery_%s', lo)) IS NULL THEN
            EXECUTE format('CREATE TABLE delivery_%s PARTITION OF delivery '
                || 'FOR VALUES FROM (%s) TO (%s) WITH (fillfactor = 80)',
                lo, lo * 100, lo * 100 + 100);
            EXECUTE format('CREATE TABLE attempt_%s PARTITION OF attempt '
                || 'FOR VALUES FROM (%s) TO (%s)', lo, lo * 100, lo * 100 + 100);
        END IF;
    END LOOP;
END $$;
SELECT ensure_partitions(199);

CREATE TYPE batch_state AS ENUM ('ready', 'claimed', 'done');
CREATE SEQUENCE fence_seq;
CREATE TABLE batch (
    batch_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    alert_id bigint NOT NULL REFERENCES alert,
    channel channel NOT NULL,
    endpoint_ids bigint[] NOT NULL,
    state batch_state NOT NULL DEFAULT 'ready',
    not_before timestamptz NOT NULL,
    fence bigint NOT NULL DEFAULT 0,
    worker text,
    lease_until timestamptz,
    CHECK (state <> 'claimed' OR lease_until IS NOT NULL)
);
CREATE INDEX batch_open ON batch (channel, alert_id, batch_id) WHERE state <> 'done';
CREATE INDEX batch_alert_open ON batch (alert_id) WHERE state <> 'done';

-- Round-robin over senders inside a lane: whoever was served longest ago is next.
CREATE TABLE sender_turn (
    unit_id integer NOT NULL REFERENCES unit,
    channel channel NOT NULL,
    turn bigint NOT NULL,
    PRIMARY KEY (unit_id, channel)
);

-- Counts kept by the same transaction that moves deliveries: cheap to read at any size.
CREATE TABLE progress (
    alert_id bigint NOT NULL REFERENCES alert,
    channel channel NOT NULL,
    pending integer NOT NULL DEFAULT 0,
    handed_off integer NOT NULL DEFAULT 0,
    confirmed integer NOT NULL DEFAULT 0,
    seen integer NOT NULL DEFAULT 0,
    failed integer NOT NULL DEFAULT 0,
    expired integer NOT NULL DEFAULT 0,
    stopped integer NOT NULL DEFAULT 0,
    unknown integer NOT NULL DEFAULT 0,
    PRIMARY KEY (alert_id, channel)
);
-- The clock asks every second which ended alerts still have deliveries to close.
CREATE INDEX progress_pending ON progress (alert_id) WHERE pending > 0;

CREATE TABLE provider (
    provider_id smallint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    channel channel NOT NULL,
    name text NOT NULL,
    account text NOT NULL,
    paused_until timestamptz,
    paused_reason text,
    retirement_paused_until timestamptz,
    UNIQUE (channel, name, account)
);

-- Carrier message id → delivery, kept a week. Written with the outcome; a receipt may be here
-- first, so receipts wait in receipt_raw until their row appears.
CREATE TABLE provider_ref (
    provider_id smallint NOT NULL REFERENCES provider,
    message_id text NOT NULL,
    alert_id bigint NOT NULL,
    endpoint_id bigint NOT NULL,
    part smallint NOT NULL DEFAULT 1,
    parts smallint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    news text,                           -- what this part's receipt said
    PRIMARY KEY (provider_id, message_id, alert_id, endpoint_id)
);
CREATE INDEX provider_ref_delivery ON provider_ref (alert_id, endpoint_id);
CREATE INDEX provider_ref_age ON provider_ref (created_at);

CREATE TABLE receipt_raw (
    receipt_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    provider_id smallint NOT NULL REFERENCES provider,
    message_ids text[] NOT NULL,         -- hex and decimal forms of the carrier's id
    news text NOT NULL CHECK (news IN ('confirmed', 'seen', 'failed', 'none')),
    reason text,
    dead boolean NOT NULL DEFAULT false, -- the network says there is no such subscriber
    raw_enc bytea NOT NULL,
    received_at timestamptz NOT NULL,
    joined_at timestamptz,
    unknown_at timestamptz               -- given up on after 24 hours, and counted
);
CREATE INDEX receipt_waiting ON receipt_raw (receipt_id)
    WHERE joined_at IS NULL AND unknown_at IS NULL;

-- One message to one endpoint that is no alert: a code, an acknowledgement, a reminder.
CREATE TABLE direct_message (
    message_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    endpoint_id bigint NOT NULL REFERENCES endpoint,
    channel channel NOT NULL,
    purpose text NOT NULL CHECK (purpose IN ('verification', 'acknowledgement', 'reminder', 'follow_up')),
    content jsonb NOT NULL,
    dedupe_key text UNIQUE,
    created_at timestamptz NOT NULL,
    expires timestamptz NOT NULL,
    not_before timestamptz NOT NULL,
    state delivery_state NOT NULL DEFAULT 'pending',
    attempts smallint NOT NULL DEFAULT 0,
    fence bigint NOT NULL DEFAULT 0,
    lease_until timestamptz,
    reason text
);
CREATE INDEX direct_message_open ON direct_message (channel, not_before) WHERE state = 'pending';

-- Workers that live: each limiter divides its limit by their number.
CREATE TABLE worker (
    worker text PRIMARY KEY,
    role text NOT NULL,
    started_at timestamptz NOT NULL,
    lease_until timestamptz NOT NULL
);
