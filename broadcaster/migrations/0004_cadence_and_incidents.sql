-- The duty of one notice in three days, and what citizens send back.

CREATE TABLE cadence_rule (
    rule_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('at_least', 'at_most')),
    count integer NOT NULL CHECK (count >= 1),
    period_hours integer NOT NULL CHECK (period_hours >= 1),
    unit_id integer REFERENCES unit,          -- one unit, or
    unit_kinds text[],                        -- every unit of these kinds
    classes alert_class[] NOT NULL,
    counts_notices_of text NOT NULL DEFAULT 'own'
        CHECK (counts_notices_of IN ('own', 'own_or_delegated', 'own_or_superior')),
    cover_share real NOT NULL DEFAULT 0.5 CHECK (cover_share > 0 AND cover_share <= 1),
    due_soon_hours integer NOT NULL DEFAULT 24 CHECK (due_soon_hours >= 0),
    valid_from timestamptz NOT NULL,
    valid_to timestamptz CHECK (valid_to > valid_from),
    CHECK (num_nonnulls(unit_id, unit_kinds) = 1)
);
-- The city's order: at least one notice in every 3 days, and more whenever needed.
INSERT INTO cadence_rule (kind, count, period_hours, unit_kinds, classes, valid_from)
VALUES ('at_least', 1, 72, '{ward,commune}', '{emergency,warning,information}',
        '2024-01-01T00:00:00+07:00');

-- A published notice: dated by its first successful hand-off.
CREATE TABLE notice (
    notice_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    unit_id integer NOT NULL REFERENCES unit,
    alert_id bigint UNIQUE REFERENCES alert,  -- null: published before this service was here
    class alert_class NOT NULL,
    event text NOT NULL,
    at timestamptz NOT NULL
);
CREATE INDEX notice_unit ON notice (unit_id, at DESC);

-- What came in, byte for byte, stored before it is acknowledged.
CREATE TABLE inbound_raw (
    inbound_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    channel text NOT NULL CHECK (channel IN ('sms', 'email', 'app', 'web', 'phone')),
    raw_enc bytea NOT NULL,                   -- holds addresses: encrypted
    dedupe_hash bytea NOT NULL UNIQUE,        -- a carrier redelivers: once is enough
    received_at timestamptz NOT NULL,
    part_key bytea,                           -- parts of one long SMS share it
    part smallint,
    parts smallint,
    handled_at timestamptz,
    problem text,
    sender_hash bytea,                        -- keyed; with the text's, set when handled: loop guard
    text_hash bytea
);
CREATE INDEX inbound_open ON inbound_raw (inbound_id) WHERE handled_at IS NULL;
CREATE INDEX inbound_parts ON inbound_raw (part_key) WHERE part_key IS NOT NULL;
CREATE INDEX inbound_sender ON inbound_raw (sender_hash, received_at) WHERE sender_hash IS NOT NULL;

-- One message from one person: raw, append-only, no state.
CREATE TABLE report (
    report_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    code text NOT NULL UNIQUE,                -- the tracking code the sender is told
    inbound_id bigint REFERENCES inbound_raw,
    channel text NOT NULL,
    received_at timestamptz NOT NULL,
    endpoint_id bigint REFERENCES endpoint,
    person_id integer REFERENCES person,
    sender_enc bytea,                         -- a sender we do not know
    text text NOT NULL,
    alert_id bigint REFERENCES alert,
    match_reason text NOT NULL DEFAULT '',
    unit_id integer REFERENCES unit,
    x integer,
    y integer,
    place_source text NOT NULL DEFAULT 'none'
        CHECK (place_source IN ('given', 'named', 'home', 'none')),
    place_confidence real NOT NULL DEFAULT 0 CHECK (place_confidence BETWEEN 0 AND 1),
    CHECK ((x IS NULL) = (y IS NULL))
);
CREATE INDEX report_recent ON report (received_at DESC, report_id DESC);
CREATE INDEX report_alert ON report (alert_id, report_id);
CREATE INDEX report_inbound ON report (inbound_id);
CREATE TRIGGER report_is_final BEFORE UPDATE OR DELETE ON report
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TYPE incident_state AS ENUM ('received', 'triaged', 'assigned', 'under_way', 'resolved',
    'closed', 'reopened', 'duplicate', 'out_of_remit');
CREATE TABLE incident (
    incident_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    code text NOT NULL UNIQUE,
    state incident_state NOT NULL DEFAULT 'received',
    category text NOT NULL DEFAULT 'other',
    urgency text NOT NULL DEFAULT 'normal'
        CHECK (urgency IN ('life_threatening', 'urgent', 'normal')),
    title text NOT NULL,
    alert_id bigint REFERENCES alert,
    unit_id integer REFERENCES unit,
    x integer,
    y integer,
    place_source text NOT NULL DEFAULT 'none',
    opened_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    assigned_to integer REFERENCES official,
    CHECK ((x IS NULL) = (y IS NULL))
);
CREATE INDEX incident_open ON incident (urgency, opened_at)
    WHERE state NOT IN ('closed', 'duplicate', 'out_of_remit');
CREATE INDEX incident_unit ON incident (unit_id, incident_id);
CREATE INDEX incident_changed ON incident (updated_at, incident_id);

-- Where a report belongs, and every time somebody moved it: the newest row of a report holds.
CREATE TABLE incident_report (
    link_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    report_id bigint NOT NULL REFERENCES report,
    from_incident bigint REFERENCES incident,
    to_incident bigint NOT NULL REFERENCES incident,
    by_official integer REFERENCES official,  -- null: the service itself
    at timestamptz NOT NULL
);
CREATE INDEX incident_report_report ON incident_report (report_id, link_id DESC);
CREATE INDEX incident_report_to ON incident_report (to_incident);
