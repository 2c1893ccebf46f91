-- Scenarios: a template, an area and a policy put together and reviewed in peace, with a few values
-- left to be asked. Their versions live as those of templates do.

CREATE TABLE scenario (
    scenario_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    unit_id integer NOT NULL REFERENCES unit,       -- whose shelf it stands on
    code text NOT NULL CHECK (code ~ '^[a-z][a-z0-9_]{1,59}$'),
    folder text NOT NULL DEFAULT '' CHECK (length(folder) <= 60),
    created_by integer NOT NULL REFERENCES official,
    created_at timestamptz NOT NULL,
    withdrawn_by integer REFERENCES official,       -- no longer to be used
    withdrawn_at timestamptz,
    UNIQUE (unit_id, code),
    CHECK ((withdrawn_by IS NULL) = (withdrawn_at IS NULL))
);

CREATE TABLE scenario_version (
    scenario_id integer NOT NULL REFERENCES scenario,
    version integer NOT NULL CHECK (version >= 1),
    state version_state NOT NULL DEFAULT 'draft',
    revision integer NOT NULL DEFAULT 1,            -- counts the savings of a draft
    document jsonb NOT NULL,
    -- What it was reviewed with: the template, the area and the policy as they were. When one of
    -- them is another today, the scenario is stale and says so.
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
    PRIMARY KEY (scenario_id, version),
    -- Four eyes: whoever wrote any of it, or sent it for review, does not review it.
    CHECK (reviewed_by IS NULL
        OR (submitted_by IS NOT NULL AND NOT reviewed_by = ANY (writers || submitted_by))),
    CHECK ((state IN ('in_force', 'superseded')) = (reviewed_by IS NOT NULL)),
    CHECK ((reviewed_by IS NULL) = (reviewed_at IS NULL))
);
CREATE UNIQUE INDEX scenario_version_in_force ON scenario_version (scenario_id)
    WHERE state = 'in_force';
CREATE UNIQUE INDEX scenario_version_open ON scenario_version (scenario_id)
    WHERE state IN ('draft', 'submitted');

CREATE TRIGGER reviewed_is_final BEFORE UPDATE OR DELETE ON scenario_version
    FOR EACH ROW EXECUTE FUNCTION refuse_reviewed_change();
