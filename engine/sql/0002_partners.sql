-- Partners and what is told outwards: who may come in over NATS, which addresses get webhooks and how each message
-- stands, which notices to customers have gone out.

-- Public keys only: the private part is given to the partner once and is not kept.
create table partners (
  name text collate "C" primary key,
  -- One, or two while a key is being rotated, the newest last.
  keys text[] not null,
  added_at timestamptz(3) not null default clock_timestamp()
);

create table webhooks (
  id text collate "C" primary key,
  owner text collate "C" not null,
  url text not null,
  -- Needed to sign, so it cannot be a hash. The old one signs as well until `old_until`.
  secret text not null,
  old_secret text,
  old_until timestamptz(3),
  created_at timestamptz(3) not null default clock_timestamp(),
  -- Set when the receiver answered 410, or an operator stopped it.
  disabled_reason text
);
create index webhooks_by_owner on webhooks (owner);

-- One row for each event and address. The number, not an id of the stream, is what makes a repeat a repeat (D5).
create table webhook_messages (
  webhook_id text collate "C" not null,
  delivery_id text collate "C" not null,
  number integer not null,
  type text not null,
  body text not null,
  state text not null default 'waiting' check (state in ('waiting', 'sent', 'dead')),
  attempts smallint not null default 0,
  due_at timestamptz(3) not null default clock_timestamp(),
  created_at timestamptz(3) not null default clock_timestamp(),
  ended_at timestamptz(3),
  last_error text,
  primary key (webhook_id, delivery_id, number)
);
create index webhook_messages_due on webhook_messages (due_at) where state = 'waiting';
create index webhook_messages_dead on webhook_messages (webhook_id, created_at) where state = 'dead';
create index webhook_messages_ended on webhook_messages (ended_at) where state = 'sent';

create table notices (
  delivery_id text collate "C" not null,
  number integer not null,
  outcome text not null check (outcome in ('sent', 'failed')),
  at timestamptz(3) not null default clock_timestamp(),
  primary key (delivery_id, number)
);
