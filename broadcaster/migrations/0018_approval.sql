-- Who may approve, how an approval is proven, and who is asked when nobody answers.

-- By class: whose approval an alert needs, from how much of the city it covers, and the steps by
-- which others are asked. A change is a new version; the newest is in force.
CREATE TABLE approval_policy (
    class alert_class NOT NULL,
    version integer NOT NULL CHECK (version >= 1),
    policy jsonb NOT NULL,
    saved_by integer REFERENCES official,           -- null: what the service comes with
    saved_at timestamptz NOT NULL,
    PRIMARY KEY (class, version)
);
CREATE TRIGGER approval_policy_is_final BEFORE UPDATE OR DELETE ON approval_policy
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

INSERT INTO approval_policy (class, version, policy, saved_at) VALUES
    ('emergency', 1, '{
        "own": "unit", "several": "area", "city": "city", "city_share": 0.5,
        "second_factor": true,
        "escalation": [{"after_minutes": 3, "ask": ["superior", "substitutes"]},
                       {"after_minutes": 6, "ask": ["superior", "substitutes"]},
                       {"after_minutes": 9, "ask": ["all"]}]}', now()),
    ('warning', 1, '{
        "own": "unit", "several": "area", "city": "city", "city_share": 0.5,
        "second_factor": false,
        "escalation": [{"after_minutes": 10, "ask": ["superior", "substitutes"]},
                       {"after_minutes": 20, "ask": ["superior", "substitutes"]},
                       {"after_minutes": 40, "ask": ["all"]}]}', now()),
    ('information', 1, '{
        "own": "unit", "several": "unit", "city": "city", "city_share": 0.5,
        "second_factor": false,
        "escalation": [{"after_minutes": 60, "ask": ["superior", "substitutes"]},
                       {"after_minutes": 240, "ask": ["all"]}]}', now());

-- Which units a version covers and how much of the city's residents, found with its checks: what
-- decides who may approve. A version checked before has none, and needs the whole city's approver.
ALTER TABLE alert_version ADD COLUMN covered integer[],
    ADD COLUMN city_share real CHECK (city_share BETWEEN 0 AND 1);

-- Who stands in for a unit's approvers once they have not answered. The right begins when the
-- stand-in is asked (approval_ask), not before.
CREATE TABLE approval_substitute (
    substitute_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    unit_id integer NOT NULL REFERENCES unit,
    official_id integer NOT NULL REFERENCES official,
    named_by integer REFERENCES official,           -- null: the service itself
    named_at timestamptz NOT NULL,
    ended_by integer REFERENCES official,
    ended_at timestamptz
);
CREATE UNIQUE INDEX approval_substitute_once ON approval_substitute (unit_id, official_id)
    WHERE ended_at IS NULL;

-- Who was asked for an approval, step by step; next_at is when somebody else will be. The row and
-- the messages of its step are one transaction, so a step is taken once or not at all.
CREATE TABLE approval_ask (
    alert_id bigint NOT NULL REFERENCES alert,
    version integer NOT NULL,
    step smallint NOT NULL CHECK (step >= 0),
    asked_at timestamptz NOT NULL,
    officials integer[] NOT NULL,
    substitutes integer[] NOT NULL DEFAULT '{}',    -- those among them who stand in: now they may
    next_at timestamptz,                            -- null: this was the last step
    PRIMARY KEY (alert_id, version, step)
);

-- Six digits that change every half minute, made from a secret on the official's phone.
CREATE TABLE second_factor (
    official_id integer PRIMARY KEY REFERENCES official,
    secret_enc bytea,                               -- in force
    enrolled_at timestamptz,
    last_step bigint NOT NULL DEFAULT -1,           -- of the newest code used: none serves twice
    offered_enc bytea,                              -- shown to be scanned, not yet confirmed
    offered_at timestamptz,
    failures integer NOT NULL DEFAULT 0,
    locked_until timestamptz,
    CHECK ((secret_enc IS NULL) = (enrolled_at IS NULL)),
    CHECK ((offered_enc IS NULL) = (offered_at IS NULL))
);
CREATE TABLE recovery_code (
    official_id integer NOT NULL REFERENCES official,
    code_hash bytea NOT NULL CHECK (octet_length(code_hash) = 32),
    made_at timestamptz NOT NULL,
    used_at timestamptz,
    PRIMARY KEY (official_id, code_hash)
);
-- What an approval was confirmed with.
CREATE TABLE approval_proof (
    alert_id bigint NOT NULL REFERENCES alert,
    version integer NOT NULL,
    official_id integer NOT NULL REFERENCES official,
    kind text NOT NULL CHECK (kind IN ('totp', 'recovery')),
    at timestamptz NOT NULL,
    PRIMARY KEY (alert_id, version, official_id)
);
CREATE TRIGGER proof_is_final BEFORE UPDATE OR DELETE ON approval_proof
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- Nobody approves an emergency by a password alone, whatever path the program takes. A cancel and
-- a correction are approved with the alert they follow.
CREATE FUNCTION refuse_unproven() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM approval_proof WHERE alert_id = NEW.alert_id
            AND version = NEW.version AND official_id = NEW.approved_by) THEN
        RAISE EXCEPTION 'alert %: an emergency approved without a second factor', NEW.alert_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'emergency_is_proven';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER emergency_is_proven BEFORE UPDATE OF approved_by ON alert FOR EACH ROW
    WHEN (NEW.approved_by IS NOT NULL AND NEW.approved_by IS DISTINCT FROM OLD.approved_by
        AND NEW.class = 'emergency' AND NEW.kind NOT IN ('cancel', 'correction'))
    EXECUTE FUNCTION refuse_unproven();

-- Officials see their own sessions, and end one by its number.
ALTER TABLE session ADD COLUMN session_id bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    ADD COLUMN agent text NOT NULL DEFAULT '';
CREATE INDEX session_official ON session (official_id);
ALTER TABLE official ADD COLUMN password_changed_at timestamptz;

ALTER TABLE direct_message DROP CONSTRAINT direct_message_purpose_check,
    ADD CONSTRAINT direct_message_purpose_check CHECK (purpose IN
        ('verification', 'acknowledgement', 'reminder', 'follow_up', 'approval'));
