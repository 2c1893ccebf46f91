-- The archive: what an alert says, searchable with and without accents, and which units it is for.
-- Only what every PostgreSQL brings along is used, no extension.

-- Vietnamese is typed without its marks at least as often as with them.
CREATE FUNCTION unmarked(said text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN translate(
    regexp_replace(normalize(said, NFKD), '[\u0300-\u036f]', '', 'g'), U&'\0110\0111', 'Dd');

-- The words an alert is found by: its code, what it says on any channel in any language, its source.
-- All but letters and digits parts words, or else the parser reads paths and dates of its
-- own into them; letters of other scripts are not searched for.
CREATE FUNCTION alert_words(code text, content jsonb) RETURNS tsvector
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN to_tsvector('pg_catalog.simple', regexp_replace(unmarked(left(concat_ws(' ', code,
    (SELECT string_agg(said #>> '{}', ' ') FROM (
        SELECT jsonb_path_query(content, '$.wording.*.page.headline') AS said
        UNION ALL SELECT jsonb_path_query(content, '$.wording.*.page.description')
        UNION ALL SELECT jsonb_path_query(content, '$.wording.*.page.instructions[*]')
        UNION ALL SELECT jsonb_path_query(content, '$.wording.*.push.*')
        UNION ALL SELECT jsonb_path_query(content, '$.wording.*.sms.text')
        UNION ALL SELECT jsonb_path_query(content, '$.source.issuer')
        UNION ALL SELECT jsonb_path_query(content, '$.source.number')) AS every)),
    100000)), '[^A-Za-z0-9]+', ' ', 'g'));

-- The units an area names, itself or by a group; null where it takes outlines to tell.
CREATE FUNCTION area_unit_ids(area jsonb) RETURNS integer[] LANGUAGE sql STABLE PARALLEL SAFE
RETURN CASE WHEN jsonb_path_exists(area, '$.polygons[*]')
        OR jsonb_path_exists(area, '$.circles[*]') OR jsonb_path_exists(area, '$.lines[*]')
        OR jsonb_path_exists(area, '$.exclusions.*[*]')
    THEN NULL ELSE ARRAY(
        SELECT u.unit_id FROM jsonb_path_query(area, '$.units[*]') AS named
            JOIN unit u ON u.code = named ->> 'code' AND u.vintage::text = named ->> 'vintage'
        UNION SELECT m.unit_id FROM jsonb_path_query(area, '$.groups[*]') AS named
            JOIN unit_group g ON g.code = named #>> '{}' JOIN unit_group_member m USING (group_id)
        ORDER BY 1) END;

-- Beside the alert and not in its row: that row is updated at every move, and each of its updates
-- would be written to these indexes.
CREATE TABLE alert_search (
    alert_id bigint PRIMARY KEY REFERENCES alert,
    words tsvector NOT NULL,
    unit_ids integer[]          -- null: drawn, and not yet laid over the units' outlines
);
CREATE INDEX alert_search_words ON alert_search USING gin (words);
CREATE INDEX alert_search_units ON alert_search USING gin (unit_ids);
CREATE INDEX alert_search_open ON alert_search (alert_id) WHERE unit_ids IS NULL;

INSERT INTO alert_search (alert_id, words, unit_ids)
SELECT a.alert_id, alert_words(a.code, v.content), area_unit_ids(v.content -> 'area')
FROM alert a JOIN alert_version v USING (alert_id, version);

-- The order of the archive: when sending began, else when writing did.
CREATE INDEX alert_moment ON alert (coalesce(started_at, created_at) DESC, alert_id DESC);
CREATE INDEX alert_unit_moment
    ON alert (unit_id, coalesce(started_at, created_at) DESC, alert_id DESC);
CREATE INDEX alert_event ON alert (event, coalesce(started_at, created_at) DESC, alert_id DESC);
CREATE INDEX alert_author ON alert (author_id, alert_id DESC);
CREATE INDEX alert_approver ON alert (approved_by, alert_id DESC) WHERE approved_by IS NOT NULL;
-- What somebody has in work, and what is on its way or holds: few rows at any time.
CREATE INDEX alert_in_work ON alert (state, alert_id) WHERE state IN ('draft', 'submitted', 'returned');
