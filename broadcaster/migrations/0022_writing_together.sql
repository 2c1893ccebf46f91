-- Several people on one draft: what they remark, who is there now, and where a version came from.

CREATE TABLE alert_comment (
    comment_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    alert_id bigint NOT NULL REFERENCES alert,
    version integer NOT NULL,                       -- what its writer was looking at
    field text NOT NULL DEFAULT '' CHECK (length(field) <= 80),     -- empty: the whole draft
    text text NOT NULL CHECK (length(text) BETWEEN 1 AND 1000),
    written_by integer NOT NULL REFERENCES official,
    written_at timestamptz NOT NULL,
    resolved_by integer REFERENCES official,
    resolved_at timestamptz,
    CHECK ((resolved_by IS NULL) = (resolved_at IS NULL))
);
CREATE INDEX alert_comment_alert ON alert_comment (alert_id, comment_id);

-- A lease for each open page of a draft. Unlogged: after a crash every page says again that it is
-- there, and nothing of it is worth a write to the log each few seconds.
CREATE UNLOGGED TABLE draft_presence (
    alert_id bigint NOT NULL,
    official_id integer NOT NULL,
    page text NOT NULL CHECK (length(page) BETWEEN 1 AND 40),       -- one open page among theirs
    field text NOT NULL DEFAULT '' CHECK (length(field) <= 80),     -- where the cursor stands
    opened_at timestamptz NOT NULL,
    field_at timestamptz NOT NULL,                  -- since when it stands there
    seen_at timestamptz NOT NULL,
    PRIMARY KEY (alert_id, official_id, page)
);

-- A version made from an earlier one of the same draft, and a draft begun as a copy.
ALTER TABLE alert_version ADD COLUMN restored_from integer;
ALTER TABLE alert ADD COLUMN copied_from bigint REFERENCES alert;
