-- A receipt whose reference is not there looks again, later each time: receipts of messages that
-- were never ours stay a day, and must not be asked about twice a second all that time.
ALTER TABLE receipt_raw ADD COLUMN look_at timestamptz NOT NULL DEFAULT '-infinity';
-- How many of message_ids, from the first, are believed at once: another notation of one id can be
-- the id of another message, so it is tried only when the id as written was not there for a while.
ALTER TABLE receipt_raw ADD COLUMN sure smallint;
DROP INDEX receipt_waiting;
CREATE INDEX receipt_waiting ON receipt_raw (look_at)
    WHERE joined_at IS NULL AND unknown_at IS NULL;
CREATE INDEX receipt_unknown ON receipt_raw (provider_id) WHERE unknown_at IS NOT NULL;

-- Both tables grow in the order of time and are forgotten in it: a range index of a few pages
-- finds the old end, where a tree would be written to with every message.
CREATE INDEX receipt_age ON receipt_raw USING brin (received_at);
DROP INDEX provider_ref_age;
CREATE INDEX provider_ref_age ON provider_ref USING brin (created_at);

-- What a part's receipt said is written into its row: room for it beside the row spares the
-- indexes a second entry.
ALTER TABLE provider_ref SET (fillfactor = 85);
