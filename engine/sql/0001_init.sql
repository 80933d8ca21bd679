-- Everything that must survive: deliveries, couriers, shards' epochs, the outbox, idempotency keys,
-- positions. Ids are ASCII and compared by bytes (collate "C"), so their order is the same on every
-- server. Times are timestamptz(3): milliseconds, the precision of the code, so that a time read
-- back compares equal. There are no foreign keys: the statements that name a courier hold the lock
-- on that courier's row, nothing deletes couriers, and a key check would be one more lookup for
-- each accept.

-- Few checks, those of the invariants: Postgres parses each one anew for every statement that touches the table, and
-- parsing a range for each column stood first in its profile. What a column may hold is checked at the doors.
create table deliveries (
  id text collate "C" primary key,
  shard smallint not null,
  -- Rises with each status event; equals the number of the latest event (D5).
  version integer not null default 1,
  status text not null default 'pending' check (
    status in ('pending', 'assigned', 'picked_up', 'delivered', 'canceled', 'unfilled', 'returned')
  ),
  status_reason text,
  owner text collate "C" not null,
  external_id text,
  pickup_address text,
  pickup_lng double precision not null,
  pickup_lat double precision not null,
  dropoff_address text,
  dropoff_lng double precision not null,
  dropoff_lat double precision not null,
  size text not null,
  weight_kg double precision,
  vehicle text,
  phone text not null,
  recipient_phone text,
  notes text,
  ready_at timestamptz(3),
  created_at timestamptz(3) not null,
  search_until timestamptz(3) not null,
  estimated_pickup_at timestamptz(3) not null,
  estimated_arrival_at timestamptz(3) not null,
  assigned_at timestamptz(3),
  picked_up_at timestamptz(3),
  delivered_at timestamptz(3),
  ended_at timestamptz(3),
  picked_up_claimed_at timestamptz(3),
  delivered_claimed_at timestamptz(3),
  courier_id text collate "C",
  -- The state of the search, written under the shard's epoch: what the next owner goes on from.
  wave integer not null default 0,
  offers jsonb not null default '[]',
  asked text[] not null default '{}',
  next_attempt_at timestamptz(3),
  replacing boolean not null default false,
  epoch bigint not null default 0,
  -- SHA-256 of the tracking link's secret.
  tracking_hash bytea not null unique,
  -- D1: what is being carried, or was, has one courier.
  constraint a_carried_delivery_has_a_courier check (
    status not in ('assigned', 'picked_up', 'delivered', 'returned') or courier_id is not null
  ),
  constraint only_an_assigned_delivery_is_replaced check (not replacing or status = 'assigned'),
  constraint an_ended_delivery_says_when check (
    (status in ('delivered', 'canceled', 'unfilled', 'returned')) = (ended_at is not null)
  )
);
-- The table keeps its default fillfactor: each update changes the status or the due time, which are
-- indexed, so no update of it could be heap-only (HOT), and room left in the pages would be wasted.

-- The sweep. Small: it holds only what waits for a courier.
create index deliveries_due on deliveries (shard, next_attempt_at)
  where status = 'pending' or replacing;
-- Couriers who look around by themselves.
create index deliveries_available on deliveries (pickup_lat, pickup_lng) where status = 'pending';
-- Owners that resume after a start, page by page.
create index deliveries_open on deliveries (id)
  where status in ('pending', 'assigned', 'picked_up');
-- Lists, newest first. The status stands before the time so that a rare status is found without
-- reading the rest; a list of all statuses merges one short scan for each (`reads.ts`).
create index deliveries_by_owner on deliveries (owner, status, created_at, id);
create index deliveries_by_status on deliveries (status, created_at, id);
-- Also answers what a courier carries now.
create index deliveries_by_courier on deliveries (courier_id, status, created_at, id)
  where courier_id is not null;
create index deliveries_by_external_id on deliveries (owner, external_id)
  where external_id is not null;

-- Half of each page stays free and no index names a column that changes, so an accept's `load` and
-- a shift's `online` are heap-only updates: no index entry, no bloat. For the same reason nothing
-- is indexed but the id and the shard, which stay; a list of all couriers reads the table, which
-- has thousands of rows, not millions.
create table couriers (
  id text collate "C" primary key,
  -- The shard of the id, so that an owner finds its couriers.
  shard smallint not null,
  name text not null,
  phone text not null,
  vehicle text not null check (vehicle in ('walk', 'bike', 'scooter', 'car', 'van')),
  capacity smallint not null check (capacity between 1 and 20),
  online boolean not null default false,
  -- D2. Not "load <= capacity": an operator may lower the capacity below what is being carried.
  load smallint not null default 0 check (load >= 0),
  epoch bigint not null default 0
) with (fillfactor = 50);

-- New owners of a shard, page by page. Not "where online": that would end the heap-only updates.
create index couriers_by_shard on couriers (shard, id);

-- D8. One row for each shard that was ever owned; taking it is `epoch + 1`, and none is ever deleted.
create table shards (
  shard smallint primary key check (shard between 0 and 4095),
  epoch bigint not null check (epoch >= 1),
  node text not null,
  taken_at timestamptz(3) not null
) with (fillfactor = 50);

-- Committed events that are not yet published; the relay deletes what it has published. Rows live
-- for milliseconds, so vacuum comes by their number and not by a share of a table that is nearly
-- empty.
create table outbox (
  id bigint generated always as identity primary key,
  delivery_id text collate "C" not null,
  owner text collate "C" not null,
  number integer not null check (number >= 1),
  type text not null,
  status text not null,
  reason text,
  courier_id text collate "C",
  external_id text,
  at timestamptz(3) not null,
  -- D5: no number of a delivery twice.
  unique (delivery_id, number)
) with (
  autovacuum_vacuum_scale_factor = 0,
  autovacuum_vacuum_threshold = 10000,
  autovacuum_vacuum_insert_scale_factor = 0,
  autovacuum_vacuum_insert_threshold = 50000
);

-- Answers by key. Purged by age, in the order in which the rows came: a BRIN index is enough for
-- that.
create table idempotency (
  principal text collate "C" not null,
  key text collate "C" not null,
  fingerprint text not null,
  status smallint not null,
  -- Not jsonb: the answer is given again exactly as it was, and jsonb would reorder its fields.
  body json not null,
  at timestamptz(3) not null default clock_timestamp(),
  primary key (principal, key)
);
create index idempotency_at on idempotency using brin (at);

-- Where each courier was last; overwritten every half minute, in place (HOT).
create table courier_positions (
  courier_id text collate "C" primary key,
  at timestamptz(3) not null,
  lng double precision not null,
  lat double precision not null
) with (fillfactor = 50);

-- Every accepted position, in units of 1e-7 degree (about a centimetre). Nothing reads it in
-- operation, thousands of rows a second are written, and they come in the order of time: a B-tree
-- would cost more than the rows themselves, while BRIN costs nothing and finds an hour of history,
-- or what is old enough to go.
create table ping_history (
  courier_id text collate "C" not null,
  at timestamptz(3) not null,
  lng_e7 integer not null,
  lat_e7 integer not null
);
create index ping_history_at on ping_history using brin (at);
