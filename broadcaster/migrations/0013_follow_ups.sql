-- What follows an alert: updates and all-clears, which are written and approved like any alert, and
-- cancels and corrections, whose words were approved with the alert they follow.

-- Set when a follow-up begins to be sent: from then on nothing of this alert leaves any more.
ALTER TABLE alert ADD COLUMN superseded_by bigint REFERENCES alert,
    ADD CONSTRAINT superseded_by_another CHECK (superseded_by <> alert_id);

-- On a phone the newest wins by its number, so a root never gives one twice.
CREATE UNIQUE INDEX alert_sequence ON alert (coalesce(root_id, alert_id), sequence);
-- Nobody overtakes silently: one follow-up of a root is in work at a time.
CREATE UNIQUE INDEX alert_one_open_follow_up ON alert (root_id)
    WHERE kind <> 'alert'
        AND state IN ('draft', 'submitted', 'returned', 'approved', 'scheduled');

-- A cancel and a correction go out by one person's click, because two agreed on every word before.
-- Here no code path can forget it: they say what was prepared in the approved snapshot of their
-- predecessor, of the same thing and the same place, in the name of the same two people.
CREATE FUNCTION refuse_unprepared() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    ours alert;
    before alert;
    said jsonb;
    agreed jsonb;
    free CONSTANT text[] := ARRAY['wording', 'update_wording', 'left_wording', 'prepared',
        'expires', 'scheduled_for'];
BEGIN
    SELECT * INTO ours FROM alert WHERE alert_id = NEW.alert_id;
    IF ours.kind NOT IN ('cancel', 'correction') THEN
        RETURN NEW;
    END IF;
    SELECT * INTO before FROM alert WHERE alert_id = ours.predecessor_id;
    SELECT convert_from(canonical, 'UTF8')::jsonb -> 'content' INTO agreed FROM alert_snapshot
        WHERE alert_id = before.alert_id AND version = before.approved_version;
    said := convert_from(NEW.canonical, 'UTF8')::jsonb -> 'content';
    IF agreed -> 'prepared' -> ours.kind IS NULL
            OR said -> 'wording' IS DISTINCT FROM agreed -> 'prepared' -> ours.kind
            OR said - free IS DISTINCT FROM agreed - free
            OR (ours.author_id, ours.approved_by)
                IS DISTINCT FROM (before.author_id, before.approved_by) THEN
        RAISE EXCEPTION 'alert %: not what was prepared and approved with alert %',
            NEW.alert_id, before.alert_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'says_what_was_prepared';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER says_what_was_prepared BEFORE INSERT ON alert_snapshot
    FOR EACH ROW EXECUTE FUNCTION refuse_unprepared();
