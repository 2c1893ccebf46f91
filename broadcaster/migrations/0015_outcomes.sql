-- What officials and operators see of outcomes: alarms, dead letters, how long deliveries took.

-- What an operator has to look at now. Raised again, a standing alarm stays one row.
CREATE TABLE alarm (
    alarm_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    what text NOT NULL,
    subject text NOT NULL DEFAULT '',    -- which provider, alert or channel; codes, never addresses
    since timestamptz NOT NULL,
    until timestamptz,                   -- lapses by itself then; NULL: in force until cleared
    cleared_at timestamptz,
    detail jsonb NOT NULL DEFAULT '{}'
);
CREATE UNIQUE INDEX alarm_standing ON alarm (what, subject) WHERE cleared_at IS NULL;

-- Deliveries and direct messages that ended failed, or unknown with no try left. A table of its
-- own: an index on the state of deliveries would take away the cheap (HOT) update of every one.
CREATE TABLE dead_letter (
    letter_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    alert_id bigint REFERENCES alert,
    message_id bigint REFERENCES direct_message ON DELETE CASCADE,
    endpoint_id bigint NOT NULL,
    channel channel NOT NULL,
    provider_id smallint REFERENCES provider,
    state delivery_state NOT NULL CHECK (state IN ('failed', 'unknown')),
    reason text NOT NULL DEFAULT '',     -- the carrier's own code, or our word for it
    family text NOT NULL,                -- what the code means, in one word
    at timestamptz NOT NULL,
    replays smallint NOT NULL DEFAULT 0,
    replayed_at timestamptz,             -- under way again; NULL: it lies here
    CHECK ((alert_id IS NULL) <> (message_id IS NULL))
);
CREATE UNIQUE INDEX dead_letter_delivery ON dead_letter (alert_id, endpoint_id)
    WHERE alert_id IS NOT NULL;
CREATE UNIQUE INDEX dead_letter_message ON dead_letter (message_id) WHERE message_id IS NOT NULL;
CREATE INDEX dead_letter_at ON dead_letter (at);

-- Which carrier a direct message went through last.
ALTER TABLE direct_message ADD COLUMN provider_id smallint REFERENCES provider;

-- From the moment a delivery was written to its hand-off and to its confirmation. Counted in the row
-- of `progress` that the same transaction updates anyway: no statement more, no row more to wait for.
ALTER TABLE delivery ADD COLUMN created_at timestamptz NOT NULL DEFAULT now();
ALTER TABLE progress
    ADD COLUMN handed_off_within integer[] NOT NULL DEFAULT '{}',
    ADD COLUMN handed_off_seconds double precision NOT NULL DEFAULT 0,
    ADD COLUMN confirmed_within integer[] NOT NULL DEFAULT '{}',
    ADD COLUMN confirmed_seconds double precision NOT NULL DEFAULT 0;
-- What is not yet in the totals; the totals are all that is ever read of alerts long over.
CREATE INDEX progress_timed ON progress (alert_id)
    WHERE handed_off_within <> '{}' OR confirmed_within <> '{}';
CREATE TABLE timing_total (
    channel channel NOT NULL,
    lane smallint NOT NULL,
    what text NOT NULL CHECK (what IN ('handed_off', 'confirmed')),
    within bigint[] NOT NULL,
    seconds double precision NOT NULL,
    PRIMARY KEY (channel, lane, what)
);

-- How often and how long messages waited for the limits of an account, summed over all workers.
CREATE TABLE limiter_wait (
    provider_id smallint NOT NULL REFERENCES provider,
    lane smallint NOT NULL,
    waits bigint NOT NULL DEFAULT 0,
    seconds double precision NOT NULL DEFAULT 0,
    PRIMARY KEY (provider_id, lane)
);

-- Receipts that nobody claimed within a day are counted; looking for them must not read the others.
CREATE INDEX receipt_given_up ON receipt_raw (unknown_at) WHERE unknown_at IS NOT NULL;
