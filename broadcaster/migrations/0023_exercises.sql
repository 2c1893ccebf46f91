-- Exercises: marked in every word, for those who agreed to them; and accounts that only train.

-- An alert is real or an exercise from its first version to its last, and so is what follows it.
ALTER TABLE alert
    DROP CONSTRAINT only_actual_leaves,
    ADD CONSTRAINT actual_or_exercise_leaves CHECK (
        status IN ('Actual', 'Exercise')
        OR state IN ('draft', 'submitted', 'returned', 'rejected', 'stopped', 'expired')),
    -- Written by a training account: nothing of it is ever given to a carrier.
    ADD COLUMN training boolean NOT NULL DEFAULT false,
    -- Who opened an exercise to everybody in its area, with a second factor, by name.
    ADD COLUMN widened_by integer REFERENCES official,
    ADD COLUMN widened_at timestamptz,
    ADD CONSTRAINT training_is_exercise CHECK (NOT training OR status = 'Exercise'),
    ADD CONSTRAINT widened_by_another CHECK (widened_by IS NULL OR (status = 'Exercise'
        AND widened_at IS NOT NULL AND approved_by IS NOT NULL
        AND widened_by <> author_id AND widened_by <> submitted_by));

CREATE FUNCTION refuse_another_status() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF (NEW.status, NEW.training) IS DISTINCT FROM (OLD.status, OLD.training) THEN
            RAISE EXCEPTION 'alert %: real or exercise is decided once', NEW.alert_id
                USING ERRCODE = 'check_violation', CONSTRAINT = 'status_is_final';
        END IF;
        RETURN NEW;
    END IF;
    IF NEW.predecessor_id IS NOT NULL AND NOT EXISTS (SELECT FROM alert
            WHERE alert_id = NEW.predecessor_id
                AND (status, training) = (NEW.status, NEW.training)) THEN
        RAISE EXCEPTION 'what follows alert % is as real as that one', NEW.predecessor_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'status_is_final';
    END IF;
    IF NOT NEW.training AND EXISTS (SELECT FROM official
            WHERE official_id = NEW.author_id AND training) THEN
        RAISE EXCEPTION 'a training account writes for training alone'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'training_stays_here';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER status_is_final BEFORE INSERT OR UPDATE OF status, training ON alert
    FOR EACH ROW EXECUTE FUNCTION refuse_another_status();

-- A training account has no part in an alert that reaches anybody: it neither writes, nor submits,
-- nor approves one, and does not stop one.
CREATE FUNCTION refuse_trainee() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    named integer[];
BEGIN
    named := CASE TG_TABLE_NAME
        WHEN 'alert' THEN ARRAY[(to_jsonb(NEW) ->> 'submitted_by')::integer,
            (to_jsonb(NEW) ->> 'approved_by')::integer, (to_jsonb(NEW) ->> 'ended_by')::integer]
        ELSE ARRAY[(to_jsonb(NEW) ->> 'saved_by')::integer] END;
    IF EXISTS (SELECT FROM official WHERE official_id = ANY (named) AND training)
            AND NOT (SELECT training FROM alert WHERE alert_id = NEW.alert_id) THEN
        RAISE EXCEPTION 'alert %: a training account has no part in it', NEW.alert_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'training_stays_here';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER training_stays_here BEFORE UPDATE OF submitted_by, approved_by, ended_by ON alert
    FOR EACH ROW WHEN (NOT NEW.training
        AND (NEW.submitted_by, NEW.approved_by, NEW.ended_by)
            IS DISTINCT FROM (OLD.submitted_by, OLD.approved_by, OLD.ended_by))
    EXECUTE FUNCTION refuse_trainee();
CREATE TRIGGER training_stays_here BEFORE INSERT ON alert_version
    FOR EACH ROW EXECUTE FUNCTION refuse_trainee();

-- An emergency is confirmed by a second factor, in an exercise too: the same movements. Between
-- training accounts it is not, because what they send goes nowhere.
CREATE OR REPLACE FUNCTION refuse_unproven() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM approval_proof WHERE alert_id = NEW.alert_id
            AND version = NEW.version AND official_id = NEW.approved_by)
        AND NOT (NEW.training AND EXISTS (SELECT FROM official
            WHERE official_id = NEW.approved_by AND training)) THEN
        RAISE EXCEPTION 'alert %: an emergency approved without a second factor', NEW.alert_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'emergency_is_proven';
    END IF;
    RETURN NEW;
END $$;

-- An exercise is opened to everybody by somebody who wrote none of it and proved who they are. What
-- was approved with it, a cancel or a correction, goes to whom it went.
CREATE FUNCTION refuse_unproven_widening() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.kind IN ('cancel', 'correction') THEN
        IF EXISTS (SELECT FROM alert WHERE alert_id = NEW.predecessor_id
                AND widened_by = NEW.widened_by) THEN
            RETURN NEW;
        END IF;
    ELSIF NOT EXISTS (SELECT FROM alert_version
                WHERE alert_id = NEW.alert_id AND saved_by = NEW.widened_by)
            AND EXISTS (SELECT FROM approval_proof WHERE alert_id = NEW.alert_id
                AND version = NEW.version AND official_id = NEW.widened_by) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'alert %: opened to everybody without a second person''s proof', NEW.alert_id
        USING ERRCODE = 'check_violation', CONSTRAINT = 'widening_is_proven';
END $$;
CREATE TRIGGER widening_is_proven BEFORE INSERT OR UPDATE OF widened_by ON alert FOR EACH ROW
    WHEN (NEW.widened_by IS NOT NULL) EXECUTE FUNCTION refuse_unproven_widening();

-- Whom exercises reach: addresses whose owners agreed, kept by units. Rows are never deleted: who
-- agreed, and until when, can be told.
CREATE TABLE exercise_recipient (
    recipient_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    endpoint_id bigint NOT NULL REFERENCES endpoint,
    unit_id integer NOT NULL REFERENCES unit,       -- whose list it stands on
    note text NOT NULL DEFAULT '' CHECK (length(note) <= 120),
    consent text NOT NULL CHECK (length(consent) BETWEEN 1 AND 200),  -- how it was given
    consented_on date NOT NULL,
    added_by integer REFERENCES official,           -- null: the service itself
    added_at timestamptz NOT NULL,
    removed_by integer REFERENCES official,
    removed_at timestamptz,
    removed_why text CHECK (removed_why <> ''),
    CHECK ((removed_at IS NULL) = (removed_why IS NULL))
);
CREATE UNIQUE INDEX exercise_recipient_once ON exercise_recipient (endpoint_id)
    WHERE removed_at IS NULL;
CREATE INDEX exercise_recipient_unit ON exercise_recipient (unit_id, recipient_id);

-- A time in which what the officials of some units begin is an exercise unless they say otherwise.
CREATE TABLE exercise_session (
    session_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 120),
    unit_ids integer[] NOT NULL CHECK (cardinality(unit_ids) > 0),    -- and what is under them
    begins_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL,
    opened_by integer REFERENCES official,
    opened_at timestamptz NOT NULL,
    closed_by integer REFERENCES official,
    closed_at timestamptz,
    CHECK (ends_at > begins_at AND ends_at <= begins_at + interval '14 days'),
    CHECK (closed_by IS NULL OR closed_at IS NOT NULL)
);
CREATE INDEX exercise_session_open ON exercise_session (ends_at) WHERE closed_at IS NULL;

-- The words themselves say so, and a real alert's never do: a photograph of a screen must tell.
CREATE FUNCTION is_marked(said text) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN said ^@ '[DIỄN TẬP]' OR said ^@ '[DIEN TAP]' OR said ^@ '[EXERCISE]';
CREATE FUNCTION refuse_wrong_mark() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    document jsonb := nullif(convert_from(NEW.canonical, 'UTF8'), '')::jsonb;
    said jsonb := document -> 'content';
    exercise boolean;
BEGIN
    SELECT status = 'Exercise' INTO exercise FROM alert WHERE alert_id = NEW.alert_id;
    IF (coalesce(document ->> 'status', 'Actual') = 'Exercise') IS DISTINCT FROM exercise OR EXISTS (
            SELECT FROM (
                SELECT jsonb_path_query(said, '$.wording.*') UNION ALL
                SELECT jsonb_path_query(said, '$.update_wording.*') UNION ALL
                SELECT jsonb_path_query(said, '$.left_wording.*') UNION ALL
                SELECT jsonb_path_query(said, '$.prepared.*.*')) written(words),
            LATERAL (VALUES (words #>> '{push,title}'), (words #>> '{push,body}'),
                (words #>> '{sms,text}'), (words #>> '{email,subject}'),
                (words #>> '{email,text}'), (words #>> '{page,headline}'),
                (words #>> '{page,description}')) piece(text)
            WHERE is_marked(piece.text) IS DISTINCT FROM exercise) THEN
        RAISE EXCEPTION 'alert %: its words do not say whether it is an exercise', NEW.alert_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'exercise_is_marked';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER exercise_is_marked BEFORE INSERT ON alert_snapshot
    FOR EACH ROW EXECUTE FUNCTION refuse_wrong_mark();

-- Whatever wrote it, a batch of an exercise lists those who agreed and nobody else. Of one that
-- trains it is said in the row, so that a check can hold carriers away from it.
ALTER TABLE batch ADD COLUMN training boolean NOT NULL DEFAULT false,
    ADD CONSTRAINT training_stays_here
        CHECK (state <> 'claimed' OR training = (coalesce(worker, '') = 'training'));
CREATE FUNCTION refuse_bystanders() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    ours record;
BEGIN
    SELECT status = 'Exercise' AS exercise, training, widened_by IS NOT NULL AS widened,
            coalesce(started_at, now()) AS began
        INTO ours FROM alert WHERE alert_id = NEW.alert_id;
    NEW.training := ours.training;
    IF ours.exercise AND NOT ours.widened AND EXISTS (
            SELECT FROM unnest(NEW.endpoint_ids) listed(id) WHERE NOT EXISTS (
                SELECT FROM exercise_recipient r
                WHERE r.endpoint_id = listed.id
                    -- Whoever left since is passed over when the batch is read, not here: a retry
                    -- that cannot be written would be tried for ever.
                    AND (r.removed_at IS NULL OR r.removed_at > ours.began))) THEN
        RAISE EXCEPTION 'alert %: an exercise for somebody who did not agree', NEW.alert_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'exercise_recipients_only';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER exercise_recipients_only BEFORE INSERT OR UPDATE OF endpoint_ids ON batch
    FOR EACH ROW EXECUTE FUNCTION refuse_bystanders();

-- A single message that a training account causes is no carrier's either.
ALTER TABLE direct_message ADD COLUMN training boolean NOT NULL DEFAULT false,
    ADD CONSTRAINT training_stays_here CHECK (NOT training OR lease_until IS NULL);

-- What came of an exercise is kept apart from what happened.
ALTER TABLE incident ADD COLUMN exercise boolean NOT NULL DEFAULT false;
