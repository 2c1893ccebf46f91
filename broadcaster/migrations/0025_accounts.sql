-- Accounts that are run from the console, a sign-in in steps, and a trail that is read by who and what.

-- A password somebody else set is good once and for a while: at sign-in its owner chooses another.
ALTER TABLE official ADD COLUMN password_until timestamptz,   -- null: it is of their own choice
    ADD COLUMN signed_in_at timestamptz;
UPDATE official o SET signed_in_at = (SELECT max(at) FROM audit WHERE subject = 'official'
    AND subject_id = o.official_id AND action = 'official.signed_in');

-- What is still to be shown before a sign-in is a session; nothing opens while any of it is.
ALTER TABLE session ADD COLUMN steps text[] NOT NULL DEFAULT '{}'
    CHECK (steps <@ ARRAY['code', 'password']);

-- Who enrols a phone for the first time shows a code that an administrator handed to them.
CREATE TABLE enrolment_code (
    official_id integer PRIMARY KEY REFERENCES official,
    code_hash bytea NOT NULL CHECK (octet_length(code_hash) = 32),
    made_by integer REFERENCES official,            -- null: the service itself
    made_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    CHECK (made_by IS DISTINCT FROM official_id)
);

-- The trail is read newest first: all of it, of one official, of one kind of act.
CREATE INDEX audit_at ON audit (at, audit_id);
CREATE INDEX audit_official ON audit (official_id, at, audit_id);
CREATE INDEX audit_action ON audit (action, at, audit_id);
-- Its rows are neither changed nor deleted, nor all of them at once.
CREATE TRIGGER audit_stays BEFORE TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
