-- Times of one delivery never run backwards, whatever is done to the server's clock: each change is at least as late as
-- the one before, which is kept here. Rows of before have none and go by the times that they have.
alter table deliveries add column changed_at timestamptz(3);

-- When a message was last taken, put back or made. A time that lies ahead says that the server's clock was set back since,
-- and with it everything that is reckoned from such a time (`due_at`): see `REALIGN` in store/webhooks.ts.
alter table webhook_messages add column touched_at timestamptz(3) not null default clock_timestamp();
-- All that is over is purged, not only what was sent.
drop index webhook_messages_ended;
create index webhook_messages_ended on webhook_messages (ended_at) where state <> 'waiting';
create index webhook_messages_touched on webhook_messages (touched_at) where state = 'waiting';
