-- How many groups of outcomes are committed under the fence in force. A connection that dies while
-- it commits leaves open whether it did: the writer asks here, and writes each group exactly once.
ALTER TABLE batch ADD COLUMN written integer NOT NULL DEFAULT 0;
