-- Units that ended and today's in their place, and asking people whose unit was split.

-- Until the reform there were townships among the communes and towns among the districts.
ALTER TABLE unit DROP CONSTRAINT unit_kind_check, ADD CONSTRAINT unit_kind_check
    CHECK (kind IN ('city', 'district', 'town', 'ward', 'commune', 'township'));
UPDATE cadence_rule SET unit_kinds = unit_kinds || '{township}'
WHERE unit_kinds = '{ward,commune}';

-- Old to new, many to many: a commune may be merged, split, or both.
CREATE TABLE unit_successor (
    unit_id integer NOT NULL REFERENCES unit,
    successor_id integer NOT NULL REFERENCES unit,
    known_by text NOT NULL CHECK (known_by IN ('table', 'same', 'outline')),
    share real CHECK (share > 0 AND share <= 1),   -- of the old area; null without real outlines
    PRIMARY KEY (unit_id, successor_id),
    CHECK (unit_id <> successor_id)
);
CREATE INDEX unit_successor_successor ON unit_successor (successor_id);

-- One row for each place known only by a unit that was split. A person is asked about all of them
-- in one message, so these rows of a person share their token.
CREATE TABLE place_question (
    person_id integer NOT NULL,
    place_no smallint NOT NULL,
    former_id integer NOT NULL REFERENCES unit,    -- what they told us once
    times smallint NOT NULL DEFAULT 0 CHECK (times BETWEEN 0 AND 3),
    next_at timestamptz,                           -- null: asked no more
    asked_at timestamptz,
    endpoint_id bigint REFERENCES endpoint,        -- where they were asked last
    token_hash bytea,
    token_expires timestamptz,
    answered_at timestamptz,                       -- "I do not know" is an answer too
    PRIMARY KEY (person_id, place_no),
    FOREIGN KEY (person_id, place_no) REFERENCES person_place ON DELETE CASCADE,
    CHECK ((token_hash IS NULL) = (token_expires IS NULL))
);
CREATE INDEX place_question_due ON place_question (next_at) WHERE next_at IS NOT NULL;
CREATE INDEX place_question_token ON place_question (token_hash) WHERE token_hash IS NOT NULL;
CREATE INDEX place_question_endpoint ON place_question (endpoint_id, asked_at)
    WHERE endpoint_id IS NOT NULL;
