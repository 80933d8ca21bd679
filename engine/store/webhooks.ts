/**
 * Webhooks in Postgres: the addresses with their secrets, and one row for each event that an
 * address is to be told. Taking rows to send is one statement with a lease, so that any number of
 * gateways may send and each row is under way once. Of one delivery only the earliest waiting event
 * may be taken: the later ones wait for it.
 */
import type { DeliveryEvent } from "../../proto/events.ts";
import type { Millis } from "../../proto/ids.ts";
import { PURGE_BATCH_MAX_ROWS, WEBHOOK_GAP_WAIT_MS, WEBHOOK_LEASE_MS } from "../../proto/limits.ts";
import { systemClock } from "../io/clock.ts";
import { textArray } from "../io/postgres/postgres.ts";
import type { Database } from "../io/postgres/postgres.ts";
import { olderSql } from "./rows.ts";

export type WebhookRow = {
  readonly id: string;
  readonly owner: string;
  readonly url: string;
  /**
   * Sealed in the database (`gateway/events/webhooks/sealed.ts`); null: it cannot be opened any
   * more.
   */
  readonly secret: string | null;
  readonly old_secret: string | null;
  readonly created_at: Millis;
  readonly disabled_reason: string | null;
};
export type WebhookMessage = {
  readonly webhook_id: string;
  readonly delivery_id: string;
  readonly number: number;
  readonly type: string;
  readonly body: string;
  /** Before this one. */
  readonly attempts: number;
};
export type WebhookMessageState = "waiting" | "sent" | "dead";
/** As an operator sees it. */
export type WebhookMessageRow = Omit<WebhookMessage, "body" | "webhook_id"> & {
  readonly state: WebhookMessageState;
  readonly created_at: Millis;
  readonly due_at: Millis;
  readonly ended_at: Millis | null;
  readonly last_error: string | null;
};
/** An attempt's end. `retryInMs` null: no more attempts. */
export type WebhookOutcome =
  | { readonly sent: true }
  | { readonly sent: false; readonly error: string; readonly retryInMs: number | null };
export type WebhookMessageKey = Pick<WebhookMessage, "webhook_id" | "delivery_id" | "number">;

export type WebhookStore = {
  all(owner: string | null): Promise<readonly WebhookRow[]>;
  one(id: string): Promise<WebhookRow | null>;
  add(row: Pick<WebhookRow, "id" | "owner" | "url"> & { readonly secret: string }): Promise<void>;
  /** The secret so far signs as well for `keepOldMs`. */
  rotate(id: string, secret: string, keepOldMs: number): Promise<void>;
  /** Puts another sealed text in the place of this one, where it still stands. */
  reseal(id: string, from: string, to: string): Promise<void>;
  disable(id: string, reason: string): Promise<void>;
  /** With all its messages. */
  remove(id: string): Promise<void>;
  /** Notes for each address of an event's owner that it is to be told. Repeats change nothing. */
  enqueue(events: readonly OwnedEvent[]): Promise<number>;
  /**
   * Takes what is due, each for `WEBHOOK_LEASE_MS`; at most `limit`, and nothing for the `busy`
   * addresses.
   */
  take(limit: number, busy: readonly string[]): Promise<readonly WebhookMessage[]>;
  settle(key: WebhookMessageKey, outcome: WebhookOutcome): Promise<void>;
  /** Newest first. */
  messages(id: string, state: WebhookMessageState, limit: number): Promise<WebhookMessageRow[]>;
  /**
   * Dead messages of an address wait again; those of one delivery, or all. Resolves to how many.
   */
  resend(id: string, delivery: string | null): Promise<number>;
  /**
   * Forgets some messages that have been over for `hours`; resolves to how many, 0 when there is
   * none left.
   */
  purge(hours: number): Promise<number>;
  /** Makes due what waits for a time that a clock set back has put off; resolves to how many. */
  realign(): Promise<number>;
};
export type OwnedEvent = { readonly owner: string; readonly event: DeliveryEvent };

const COLUMNS = `id, owner, url, secret,
  case when old_until > clock_timestamp() then old_secret end as old_secret,
  created_at, disabled_reason`;
const ALL = `select ${COLUMNS} from webhooks where $1::text is null or owner = $1 order by id`;
const ONE = `select ${COLUMNS} from webhooks where id = $1`;
const ADD = `
insert into webhooks (id, owner, url, secret) values ($1, $2, $3, $4)
on conflict (id) do nothing`;
const ROTATE = `
update webhooks set
  old_secret = secret, secret = $2,
  old_until = clock_timestamp() + make_interval(secs => $3)
where id = $1 and secret <> $2`;
const RESEAL = `
update webhooks set
  secret = case when secret = $2 then $3 else secret end,
  old_secret = case when old_secret = $2 then $3 else old_secret end
where id = $1 and $2 in (secret, old_secret)`;
const DISABLE = "update webhooks set disabled_reason = $2 where id = $1";
const REMOVE = `
with gone as (delete from webhooks where id = $1),
messages as (delete from webhook_messages where webhook_id = $1)
select 1`;

const ENQUEUE = `
insert into webhook_messages (webhook_id, delivery_id, number, type, body)
select w.id, e.delivery, e.number, e.type, e.body
from json_to_recordset($1::text::json) as e(
  owner text, delivery text, number int, type text, at timestamptz, body text)
-- What happened before there was an address is not owed to it. An address from the future was made before the clock was
-- set back: too much is better than what is missing.
join webhooks w on w.owner = e.owner collate "C" and w.disabled_reason is null
  and (e.at >= w.created_at or w.created_at > clock_timestamp())
on conflict (webhook_id, delivery_id, number) do nothing
returning number`;

/**
 * An event whose predecessor has not come waits for it a while: the stream may give them in another
 * order, and an address made in the middle of a delivery never gets the earlier ones.
 */
const TAKE = `
with due as materialized (
  select m.ctid from webhook_messages m
  join webhooks w on w.id = m.webhook_id and w.disabled_reason is null
  where m.state = 'waiting' and m.due_at <= clock_timestamp()
    and m.webhook_id <> all($2::text[])
    and not exists (
      select 1 from webhook_messages e
      where e.webhook_id = m.webhook_id and e.delivery_id = m.delivery_id
        and e.number < m.number and e.state = 'waiting')
    and (
      m.number = 1
      or m.created_at < clock_timestamp() - make_interval(secs => ${WEBHOOK_GAP_WAIT_MS / 1_000})
      or exists (
        select 1 from webhook_messages e
        where e.webhook_id = m.webhook_id and e.delivery_id = m.delivery_id
          and e.number = m.number - 1))
  order by m.due_at limit $1 for update of m skip locked
)
update webhook_messages m set
  due_at = clock_timestamp() + make_interval(secs => ${WEBHOOK_LEASE_MS / 1_000}),
  touched_at = clock_timestamp()
from due d where m.ctid = d.ctid
returning m.webhook_id, m.delivery_id, m.number, m.type, m.body, m.attempts`;

const SENT = `
update webhook_messages set
  state = 'sent', attempts = attempts + 1, ended_at = clock_timestamp(), last_error = null
where webhook_id = $1 and delivery_id = $2 and number = $3 and state = 'waiting'`;
const FAILED = `
update webhook_messages set
  state = case when $5::float8 is null then 'dead' else 'waiting' end,
  attempts = attempts + 1, last_error = $4,
  due_at = clock_timestamp() + make_interval(secs => coalesce($5, 0)),
  touched_at = clock_timestamp(),
  ended_at = case when $5 is null then clock_timestamp() end
where webhook_id = $1 and delivery_id = $2 and number = $3 and state = 'waiting'`;
const MESSAGES = `
select delivery_id, number, type, attempts, state, created_at, due_at, ended_at, last_error
from webhook_messages where webhook_id = $1 and state = $2
order by created_at desc, delivery_id, number limit $3`;
const RESEND = `
with again as (
  update webhook_messages set
    state = 'waiting', attempts = 0, due_at = clock_timestamp(), ended_at = null,
    touched_at = clock_timestamp()
  where webhook_id = $1 and state = 'dead' and ($2::text is null or delivery_id = $2)
  returning 1
)
select count(*)::int as n from again`;
/**
 * A bite of what is over: sent, given up, or waiting for an address that was disabled or removed.
 * The last kind has no end of its own and goes by when it was last touched.
 */
const PURGE = `
with gone as (
  delete from webhook_messages where ctid = any(array(
    (select m.ctid from webhook_messages m
      where m.state <> 'waiting' and ${olderSql("m.ended_at", "$1", "$2")} limit $3)
    union all
    (select m.ctid from webhook_messages m
      left join webhooks w on w.id = m.webhook_id
      where m.state = 'waiting' and ${olderSql("m.touched_at", "$1", "$2")}
        and (w.id is null or w.disabled_reason is not null) limit $3)))
  returning 1
)
select count(*)::int as n from gone`;

/**
 * After the server's clock was set back, what was reckoned from its time before would wait for as
 * long as it was set back: it is due now. A second of grace, because two sessions read the clock at
 * two moments.
 */
const REALIGN = `
with again as (
  update webhook_messages set
    due_at = clock_timestamp(), touched_at = clock_timestamp(),
    created_at = least(created_at, clock_timestamp())
  where state = 'waiting' and touched_at > clock_timestamp() + interval '1 s'
  returning 1
)
select count(*)::int as n from again`;

const ERROR_MAX_CHARS = 200;

export const webhookStore = (db: Database): WebhookStore => ({
  all: (owner) => db.query<WebhookRow>(ALL, [owner]),
  async one(id) {
    const [row] = await db.query<WebhookRow>(ONE, [id]);
    return row ?? null;
  },
  async add({ id, owner, url, secret }) {
    await db.query(ADD, [id, owner, url, secret]);
  },
  async rotate(id, secret, keepOldMs) {
    await db.query(ROTATE, [id, secret, keepOldMs / 1_000]);
  },
  async reseal(id, from, to) {
    await db.query(RESEAL, [id, from, to]);
  },
  async disable(id, reason) {
    await db.query(DISABLE, [id, reason]);
  },
  async remove(id) {
    await db.query(REMOVE, [id]);
  },
  async enqueue(events) {
    if (events.length === 0) return 0;
    const rows = events.map(({ owner, event }) => ({
      owner,
      delivery: event.delivery_id,
      number: event.number,
      type: event.type,
      at: event.at,
      body: JSON.stringify(event),
    }));
    return (await db.query(ENQUEUE, [JSON.stringify(rows)])).length;
  },
  take: (limit, busy) =>
    db.query<WebhookMessage>(TAKE, [limit, textArray(busy)], { repeat: false }),
  async settle({ webhook_id: id, delivery_id: delivery, number }, outcome) {
    if (outcome.sent) return void (await db.query(SENT, [id, delivery, number]));
    const waitS = outcome.retryInMs === null ? null : outcome.retryInMs / 1_000;
    const error = outcome.error.slice(0, ERROR_MAX_CHARS);
    await db.query(FAILED, [id, delivery, number, error, waitS], { repeat: false });
  },
  async messages(id, state, limit) {
    return [...(await db.query<WebhookMessageRow>(MESSAGES, [id, state, limit]))];
  },
  async resend(id, delivery) {
    const [row] = await db.query<{ n: number }>(RESEND, [id, delivery], { repeat: false });
    return row?.n ?? 0;
  },
  async purge(hours) {
    const params = [hours, systemClock.now(), PURGE_BATCH_MAX_ROWS];
    const [row] = await db.query<{ n: number }>(PURGE, params);
    return row?.n ?? 0;
  },
  async realign() {
    const [row] = await db.query<{ n: number }>(REALIGN, [], { repeat: false });
    return row?.n ?? 0;
  },
});
