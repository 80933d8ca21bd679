-- Who was thrown out: a principal (`courier:cur_1`) or one token (`token:` and its jti), and the time before which its
-- credentials count no more. Few rows, made by operators; kept a little longer than the longest token lives.
create table revocations (
  subject text collate "C" primary key,
  not_before timestamptz(3) not null default clock_timestamp()
);
create index revocations_not_before on revocations (not_before);

-- Ended deliveries that still say whom they were for: an empty phone is the mark of those that do not any more.
create index deliveries_personal on deliveries (ended_at) where ended_at is not null and phone <> '';
