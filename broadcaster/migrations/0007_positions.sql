-- A last known position is kept only by a consent of its own, with its own limit of time: never a
-- default, and proven like every other. One is in force for a person at most.
CREATE TABLE position_consent (
    position_consent_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    person_id integer NOT NULL REFERENCES person,
    given_at timestamptz NOT NULL,
    source text NOT NULL CHECK (source <> ''),
    hours smallint NOT NULL CHECK (hours BETWEEN 1 AND 72),   -- how long a fix is kept
    withdrawn_at timestamptz
);
CREATE INDEX position_consent_person ON position_consent (person_id);
CREATE UNIQUE INDEX position_consent_in_force ON position_consent (person_id)
    WHERE withdrawn_at IS NULL;

-- A position is a point with an end; nothing else ends.
ALTER TABLE person_place ADD CONSTRAINT position_ends
    CHECK ((place_no = 9) = (expires_at IS NOT NULL));
ALTER TABLE person_place ADD CONSTRAINT position_is_a_point
    CHECK (place_no <> 9 OR NOT by_unit_only);
