-- Exercises, held tighter: what follows one that everybody got, the rest of the words, addresses
-- that change hands, and what a training account is at all.

-- Whoever an exercise opened to everybody has reached hears what becomes of it too: what follows it
-- is opened again by whoever approves that, or is not approved.
CREATE FUNCTION refuse_narrowing() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM alert WHERE alert_id = NEW.predecessor_id AND widened_by IS NOT NULL) THEN
        RAISE EXCEPTION 'alert %: it follows an exercise everybody got, and is for some', NEW.alert_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'widening_goes_on';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER widening_goes_on BEFORE INSERT OR UPDATE OF approved_by, widened_by ON alert
    FOR EACH ROW WHEN (NEW.status = 'Exercise' AND NEW.predecessor_id IS NOT NULL
        AND NEW.approved_by IS NOT NULL AND NEW.widened_by IS NULL)
    EXECUTE FUNCTION refuse_narrowing();

-- A mail's HTML and the steps of the public page say it too.
CREATE OR REPLACE FUNCTION refuse_wrong_mark() RETURNS trigger LANGUAGE plpgsql AS $$
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
            LATERAL (
                SELECT words #>> '{push,title}' UNION ALL SELECT words #>> '{push,body}' UNION ALL
                SELECT words #>> '{sms,text}' UNION ALL SELECT words #>> '{email,subject}' UNION ALL
                SELECT words #>> '{email,text}' UNION ALL
                SELECT regexp_replace(coalesce(words #>> '{email,html}', ''), '^\s*<p><strong>', '')
                UNION ALL
                SELECT words #>> '{page,headline}' UNION ALL
                SELECT words #>> '{page,description}' UNION ALL
                SELECT jsonb_array_elements_text(coalesce(words #> '{page,instructions}', '[]'))
            ) piece(text)
            WHERE is_marked(piece.text) IS DISTINCT FROM exercise) THEN
        RAISE EXCEPTION 'alert %: its words do not say whether it is an exercise', NEW.alert_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'exercise_is_marked';
    END IF;
    RETURN NEW;
END $$;

-- An address is enrolled by who has it. When they leave it, and when somebody else proves that an
-- address out of use is theirs, nobody behind it has agreed any more.
CREATE FUNCTION end_enrolment() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE exercise_recipient SET removed_at = now(), removed_why = 'địa chỉ đã đổi chủ'
        WHERE endpoint_id = NEW.endpoint_id AND removed_at IS NULL;
    RETURN NULL;
END $$;
CREATE TRIGGER enrolment_ends AFTER UPDATE OF state, retired_reason ON endpoint FOR EACH ROW
    WHEN (NEW.state = 'retired' AND NEW.retired_reason = 'left') EXECUTE FUNCTION end_enrolment();
CREATE FUNCTION end_enrolment_of_claimed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE exercise_recipient r SET removed_at = now(), removed_why = 'địa chỉ đã đổi chủ'
        FROM endpoint e WHERE e.endpoint_id = NEW.endpoint_id AND e.state = 'retired'
            AND r.endpoint_id = e.endpoint_id AND r.removed_at IS NULL
            AND NOT EXISTS (SELECT FROM person_endpoint l
                WHERE l.endpoint_id = e.endpoint_id AND l.person_id = NEW.person_id);
    RETURN NULL;
END $$;
CREATE TRIGGER enrolment_ends AFTER UPDATE OF used_at ON endpoint_claim FOR EACH ROW
    WHEN (NEW.used_at IS NOT NULL) EXECUTE FUNCTION end_enrolment_of_claimed();

-- An administrator makes accounts, lists and policies that real alerts go by: no training account is
-- one, and one that trains never becomes another kind.
CREATE FUNCTION refuse_training_admin() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM official WHERE official_id = NEW.official_id AND training) THEN
        RAISE EXCEPTION 'official %: a training account administers nothing', NEW.official_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'training_stays_here';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER training_stays_here BEFORE INSERT OR UPDATE ON official_role
    FOR EACH ROW WHEN (NEW.role = 'admin') EXECUTE FUNCTION refuse_training_admin();
CREATE FUNCTION refuse_other_kind() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'official %: whether an account trains is decided once', NEW.official_id
        USING ERRCODE = 'check_violation', CONSTRAINT = 'training_stays_here';
END $$;
CREATE TRIGGER training_stays_here BEFORE UPDATE OF training ON official
    FOR EACH ROW WHEN (NEW.training IS DISTINCT FROM OLD.training)
    EXECUTE FUNCTION refuse_other_kind();
