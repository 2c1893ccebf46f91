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
-- Of those that are there already the moment their audience was frozen is the nearest known.
UPDATE delivery d SET created_at = u.frozen_at FROM audience u WHERE u.alert_id = d.alert_id;
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

-- What failed before there were dead letters, of alerts that something can still be done for. The
-- families are those the program gives (reasons.py); what was left unknown the clockwork books.
WITH word (reason, family) AS (VALUES
    ('RETIRED', 'retired'), ('UNDECIPHERABLE', 'our_key'), ('UNREGISTERED', 'gone'),
    ('INVALID_ARGUMENT', 'bad_address'), ('SENDER_ID_MISMATCH', 'bad_address'),
    ('0x0000000b', 'bad_address'), ('0x00000062', 'too_late'), ('0x00000065', 'refused'),
    ('not a number', 'bad_address'), ('unknown subscriber', 'gone'), ('UNDELIV', 'not_reached'),
    ('DELETED', 'not_reached'), ('REJECTD', 'refused'), ('EXPIRED', 'too_late'),
    ('invalid address', 'bad_address'), ('556', 'gone')
), failed AS (
    SELECT d.alert_id, d.endpoint_id, d.channel, coalesce(d.reason, '') AS reason, d.updated_at,
        substring(d.reason FROM '(?:^|\s)(5\.\d{1,3}\.\d{1,3})$') AS mail
    FROM alert a JOIN delivery d USING (alert_id)
    WHERE d.state = 'failed' AND a.state IN ('sending', 'sent') AND a.expires > now()
        AND NOT EXISTS (SELECT FROM alert n WHERE n.root_id = coalesce(a.root_id, a.alert_id)
            AND n.sequence > a.sequence AND n.started_at IS NOT NULL)
)
INSERT INTO dead_letter (alert_id, endpoint_id, channel, provider_id, state, reason, family, at)
    SELECT f.alert_id, f.endpoint_id, f.channel, t.provider_id, 'failed', f.reason,
        coalesce(whole.family, first.family, CASE
            WHEN mail IN ('5.1.0', '5.1.9') THEN 'refused'
            WHEN mail LIKE '5.1.%' THEN 'gone'
            WHEN mail LIKE '5.2.%' THEN 'mailbox'
            WHEN mail = '5.4.7' THEN 'too_late'
            WHEN mail IS NOT NULL OR f.reason ~ '^5\d\d$' THEN 'refused'
            ELSE 'other' END),
        f.updated_at
    FROM failed f
    LEFT JOIN word whole ON whole.reason = f.reason
    LEFT JOIN word first ON first.reason = split_part(f.reason, ' ', 1)
    LEFT JOIN LATERAL (SELECT provider_id FROM attempt
        WHERE alert_id = f.alert_id AND endpoint_id = f.endpoint_id ORDER BY at DESC LIMIT 1
    ) t ON true;
