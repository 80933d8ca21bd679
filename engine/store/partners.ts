/**
 * What partners and outward messages need of Postgres, apart from the store of the dispatch itself:
 * partners and their public keys, the details of a delivery that may still change, webhooks and
 * their messages, notices to customers. It has a small pool of its own, so that a slow receiver's
 * bookkeeping never waits before a create.
 */
import { DispatchError } from "../../proto/errors.ts";
import type { DeliveryId, Millis, PrincipalId } from "../../proto/ids.ts";
import { openDatabase, textArray } from "../io/postgres/postgres.ts";
import type { Database, DatabaseOptions } from "../io/postgres/postgres.ts";
import { noticeStore } from "./notices.ts";
import type { NoticeStore } from "./notices.ts";
import { webhookStore } from "./webhooks.ts";
import type { WebhookStore } from "./webhooks.ts";

/** `keys`: public nkeys, one or two, the newest last. */
export type PartnerRow = { readonly name: PrincipalId; readonly keys: readonly string[] };
/** `keyedAt`: since when the oldest of its keys is good, by the database's clock. */
export type KnownPartner = PartnerRow & { readonly keyedAt: Millis };

/** What may change before the pickup. Absent: stays as it is; null: nothing from now on. */
export type DetailsChange = {
  readonly delivery: DeliveryId;
  readonly owner: PrincipalId;
  readonly notes?: string | null | undefined;
  readonly recipientPhone?: string | null | undefined;
  readonly phone?: string | undefined;
  /** The words for people; where the dropoff is stays. */
  readonly dropoffAddress?: string | undefined;
};

export type PartnerStore = {
  partners(): Promise<readonly KnownPartner[]>;
  /** Makes the partner, or gives it these keys in place of the ones it had. */
  putPartner(partner: PartnerRow): Promise<void>;
  removePartner(name: string): Promise<void>;
  /** Rejects with `not_found` (absent or another's) or `wrong_status` (picked up, or over). */
  changeDetails(change: DetailsChange): Promise<void>;
  readonly webhooks: WebhookStore;
  readonly notices: NoticeStore;
  /** New sessions in place of the present ones. */
  readonly renew: () => void;
  close(): Promise<void>;
};

const CONNECTIONS = 2;

const PARTNERS = `
select name, to_json(keys) as keys,
  (select coalesce(min(t), to_timestamp(0)) from unnest(keyed_at) as t) as "keyedAt"
from partners order by name`;
/** A key that stays keeps its time. */
const PUT_PARTNER = `
insert into partners as p (name, keys, keyed_at)
values ($1, $2::text[], array_fill(clock_timestamp(), array[cardinality($2::text[])]))
on conflict (name) do update set
  keys = excluded.keys,
  keyed_at = (
    select array_agg(
      coalesce(p.keyed_at[array_position(p.keys, k.key)], clock_timestamp()) order by k.n)
    from unnest(excluded.keys) with ordinality as k(key, n))`;
const REMOVE_PARTNER = "delete from partners where name = $1";

/** Locked first, so that a pickup at the same moment is either seen or waits. */
const CHANGE_DETAILS = `
with found as materialized (
  select d.id, d.status from deliveries d where d.id = $1 and d.owner = $2 for update
), changed as (
  update deliveries d set
    notes = case when $3::boolean then $4 else d.notes end,
    recipient_phone = case when $5::boolean then $6 else d.recipient_phone end,
    phone = coalesce($7, d.phone),
    dropoff_address = coalesce($8, d.dropoff_address)
  from found f where d.id = f.id and f.status in ('pending', 'assigned')
  returning d.id
)
select f.status in ('pending', 'assigned') as changed from found f`;

export function openPartnerStore(options: DatabaseOptions): PartnerStore {
  const db = openDatabase({ connections: CONNECTIONS, ...options });
  return {
    partners: () => db.query<KnownPartner>(PARTNERS, []),
    async putPartner({ name, keys }) {
      await db.query(PUT_PARTNER, [name, textArray(keys)]);
    },
    async removePartner(name) {
      await db.query(REMOVE_PARTNER, [name]);
    },
    changeDetails: (change) => changeDetails(db, change),
    webhooks: webhookStore(db),
    notices: noticeStore(db),
    renew: db.renew,
    close: () => db.close(),
  };
}

async function changeDetails(db: Database, change: DetailsChange): Promise<void> {
  const { delivery, owner, notes, recipientPhone, phone, dropoffAddress } = change;
  const [row] = await db.query<{ changed: boolean }>(CHANGE_DETAILS, [
    delivery,
    owner,
    notes !== undefined,
    notes ?? null,
    recipientPhone !== undefined,
    recipientPhone ?? null,
    phone ?? null,
    dropoffAddress ?? null,
  ]);
  if (row === undefined) throw new DispatchError("not_found");
  if (!row.changed) throw new DispatchError("wrong_status");
}
