-- Revocations are read by position: the transaction that wrote the row, not the time in it. Any number of rows may share a
-- time (a mass revocation is one statement), and a transaction that began early may commit late; what a reader has not
-- seen is exactly what was not visible in the snapshot of its last reading. Rows of before get this migration's number.
alter table revocations add column made_by xid8 not null default pg_current_xact_id();
create index revocations_position on revocations (made_by, subject);

-- Whatever writes a row, an operator's own statement or a gateway of the version before, gives it a new position.
create function revocation_moves() returns trigger language plpgsql as
'begin new.made_by := pg_current_xact_id(); return new; end';
create trigger revocation_moves before insert or update on revocations
  for each row execute function revocation_moves();

-- Since when each key of a partner is good, in the order of the keys: a revocation of the partner ends the older ones.
alter table partners add column keyed_at timestamptz(3)[];
update partners set keyed_at = array_fill(clock_timestamp(), array[cardinality(keys)]);
