-- Alerts, their versions, the frozen snapshot, the audit trail and the outbox.

CREATE TYPE alert_state AS ENUM ('draft', 'submitted', 'returned', 'rejected', 'approved',
    'scheduled', 'sending', 'sent', 'stopped', 'expired');
CREATE TYPE alert_class AS ENUM ('emergency', 'warning', 'information');

CREATE TABLE alert (
    alert_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    code text NOT NULL UNIQUE,           -- HN-2026-0910-017: what people say on the telephone
    cap_identifier text NOT NULL UNIQUE CHECK (cap_identifier !~ '[\s,<&]'),
    status text NOT NULL DEFAULT 'Actual'
        CHECK (status IN ('Actual', 'Exercise', 'System', 'Test', 'Draft')),
    kind text NOT NULL DEFAULT 'alert'
        CHECK (kind IN ('alert', 'update', 'cancel', 'all_clear', 'correction')),
    state alert_state NOT NULL DEFAULT 'draft',
    class alert_class NOT NULL,
    lane smallint NOT NULL CHECK (lane BETWEEN 0 AND 2),   -- 0 emergency, 1 warning, 2 routine
    event text NOT NULL,
    title text NOT NULL DEFAULT '',
    unit_id integer NOT NULL REFERENCES unit,              -- the issuing unit
    author_id integer NOT NULL REFERENCES official,
    predecessor_id bigint REFERENCES alert,
    root_id bigint REFERENCES alert,                       -- one notification per root
    sequence integer NOT NULL DEFAULT 1 CHECK (sequence >= 1),
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    submitted_by integer REFERENCES official,
    submitted_at timestamptz,
    approved_version integer,
    approved_by integer REFERENCES official,
    approved_at timestamptz,
    scheduled_for timestamptz,
    expires timestamptz,
    started_at timestamptz,
    first_handoff_at timestamptz,
    sent_at timestamptz,
    ended_by integer REFERENCES official,                  -- who returned, rejected or stopped it
    ended_at timestamptz,
    ended_reason text,
    CONSTRAINT four_eyes CHECK (approved_by <> author_id AND approved_by <> submitted_by),
    CONSTRAINT approved_whole CHECK (
        state NOT IN ('approved', 'scheduled', 'sending', 'sent')
        OR (approved_by IS NOT NULL AND approved_at IS NOT NULL AND approved_version = version)),
    CONSTRAINT has_an_end CHECK (
        state IN ('draft', 'returned', 'rejected') OR expires IS NOT NULL),
    CONSTRAINT follows_something CHECK ((kind = 'alert') = (predecessor_id IS NULL)),
    -- Exercises never leave for a real provider; until exercises exist, nothing but Actual does.
    CONSTRAINT only_actual_leaves CHECK (
        status = 'Actual'
        OR state IN ('draft', 'submitted', 'returned', 'rejected', 'stopped', 'expired')),
    CONSTRAINT ends_with_a_reason CHECK (
        state NOT IN ('returned', 'rejected', 'stopped') OR ended_reason <> '')
);
CREATE INDEX alert_state_idx ON alert (state, lane, alert_id)
    WHERE state IN ('submitted', 'approved', 'scheduled', 'sending');
CREATE INDEX alert_due ON alert (expires)
    WHERE state IN ('approved', 'scheduled', 'sending', 'sent');
CREATE INDEX alert_recent ON alert (created_at DESC, alert_id DESC);
CREATE INDEX alert_unit ON alert (unit_id, first_handoff_at);

-- Every save is a version; the checks' answer is kept with the version it was given for.
CREATE TABLE alert_version (
    alert_id bigint NOT NULL REFERENCES alert,
    version integer NOT NULL CHECK (version >= 1),
    content jsonb NOT NULL,
    saved_by integer NOT NULL REFERENCES official,
    saved_at timestamptz NOT NULL,
    problems jsonb,
    checked_at timestamptz,
    PRIMARY KEY (alert_id, version)
);

-- What was approved, byte for byte (RFC 8785). Sending reads this and nothing else.
CREATE TABLE alert_snapshot (
    alert_id bigint NOT NULL REFERENCES alert,
    version integer NOT NULL,
    canonical bytea NOT NULL,
    content_hash bytea NOT NULL CHECK (octet_length(content_hash) = 32),
    approved_at timestamptz NOT NULL,
    PRIMARY KEY (alert_id, version)
);

CREATE TABLE audit (
    audit_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL,
    official_id integer REFERENCES official,   -- null: the service itself
    action text NOT NULL,
    subject text NOT NULL,                     -- alert, official, unit, incident, ...
    subject_id bigint,
    detail jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX audit_subject ON audit (subject, subject_id, audit_id);

-- Four eyes, where no code path can forget it: who wrote any of its words does not approve it.
CREATE FUNCTION refuse_own_words() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM alert_version
            WHERE alert_id = NEW.alert_id AND saved_by = NEW.approved_by) THEN
        RAISE EXCEPTION 'alert %: approved by one of its writers', NEW.alert_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'four_eyes';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER others_approve BEFORE INSERT OR UPDATE OF approved_by ON alert
    FOR EACH ROW WHEN (NEW.approved_by IS NOT NULL) EXECUTE FUNCTION refuse_own_words();

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% rows are never changed', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER snapshot_is_final BEFORE UPDATE OR DELETE ON alert_snapshot
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER audit_is_final BEFORE UPDATE OR DELETE ON audit
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- Work that a committed change asks for. The queue only wakes; this row is the order.
CREATE TABLE outbox (
    outbox_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic text NOT NULL,
    subject_id bigint NOT NULL,
    created_at timestamptz NOT NULL,
    done_at timestamptz
);
CREATE INDEX outbox_open ON outbox (topic, outbox_id) WHERE done_at IS NULL;
