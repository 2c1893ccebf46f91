-- Units' own templates, beside the catalogue that ships with the service, which is in no table: an
-- upgrade brings a newer one and touches nothing that a unit wrote. What is written in peace has
-- versions; a second person reviews each before it is in force, and what was reviewed never changes.

CREATE TYPE version_state AS ENUM ('draft', 'submitted', 'in_force', 'superseded');

CREATE TABLE template (
    template_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    unit_id integer NOT NULL REFERENCES unit,       -- whose shelf it stands on
    code text NOT NULL CHECK (code ~ '^[a-z][a-z0-9_]{1,59}$'),
    folder text NOT NULL DEFAULT '' CHECK (length(folder) <= 60),
    created_by integer NOT NULL REFERENCES official,
    created_at timestamptz NOT NULL,
    withdrawn_by integer REFERENCES official,       -- no longer in force; what is above holds again
    withdrawn_at timestamptz,
    UNIQUE (unit_id, code),
    CHECK ((withdrawn_by IS NULL) = (withdrawn_at IS NULL))
);

CREATE TABLE template_version (
    template_id integer NOT NULL REFERENCES template,
    version integer NOT NULL CHECK (version >= 1),
    state version_state NOT NULL DEFAULT 'draft',
    revision integer NOT NULL DEFAULT 1,            -- counts the savings of a draft
    document jsonb NOT NULL,
    -- What it was held against when it was reviewed: the shipped version it changes.
    basis jsonb NOT NULL DEFAULT '{}',
    writers integer[] NOT NULL CHECK (cardinality(writers) > 0),
    saved_by integer NOT NULL REFERENCES official,
    saved_at timestamptz NOT NULL,
    submitted_by integer REFERENCES official,
    submitted_at timestamptz,
    reviewed_by integer REFERENCES official,
    reviewed_at timestamptz,
    reason text NOT NULL DEFAULT '' CHECK (length(reason) <= 500),  -- why it was returned
    restored_from integer,                          -- the version it was made from again
    PRIMARY KEY (template_id, version),
    -- Four eyes: whoever wrote any of it, or sent it for review, does not review it.
    CHECK (reviewed_by IS NULL
        OR (submitted_by IS NOT NULL AND NOT reviewed_by = ANY (writers || submitted_by))),
    CHECK ((state IN ('in_force', 'superseded')) = (reviewed_by IS NOT NULL)),
    CHECK ((reviewed_by IS NULL) = (reviewed_at IS NULL))
);
CREATE UNIQUE INDEX template_version_in_force ON template_version (template_id)
    WHERE state = 'in_force';
CREATE UNIQUE INDEX template_version_open ON template_version (template_id)
    WHERE state IN ('draft', 'submitted');

CREATE FUNCTION refuse_reviewed_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.reviewed_by IS NULL THEN
        RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
    END IF;
    IF TG_OP = 'DELETE' OR to_jsonb(NEW) - 'state' <> to_jsonb(OLD) - 'state' THEN
        RAISE EXCEPTION '% was reviewed and cannot be changed: write a new version', TG_TABLE_NAME;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER reviewed_is_final BEFORE UPDATE OR DELETE ON template_version
    FOR EACH ROW EXECUTE FUNCTION refuse_reviewed_change();
