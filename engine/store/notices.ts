/**
 * Which notices to customers have gone out, so that an event that comes twice tells nobody twice;
 * and the numbers to send them to.
 */
import { PURGE_BATCH_MAX_ROWS } from "../../proto/limits.ts";
import { systemClock } from "../io/clock.ts";
import type { Database } from "../io/postgres/postgres.ts";
import { olderSql } from "./rows.ts";

/** Whom a delivery's news concern, and what the text needs. */
export type NoticeSubject = {
  readonly phone: string;
  readonly recipient_phone: string | null;
  readonly courier_name: string | null;
};

export type NoticeStore = {
  /** Null when the notice is out already, has been given up, or there is no such delivery. */
  subject(delivery: string, number: number): Promise<NoticeSubject | null>;
  record(delivery: string, number: number, outcome: "sent" | "failed"): Promise<void>;
  /** Forgets some that are older than `hours`; resolves to how many. */
  purge(hours: number): Promise<number>;
};

const SUBJECT = `
select d.phone, d.recipient_phone, c.name as courier_name
from deliveries d left join couriers c on c.id = d.courier_id
where d.id = $1
  and not exists (select 1 from notices n where n.delivery_id = $1 and n.number = $2)`;
const RECORD = `
insert into notices (delivery_id, number, outcome) values ($1, $2, $3)
on conflict (delivery_id, number) do nothing`;
const PURGE = `
with gone as (
  delete from notices where ctid = any(array(
    select ctid from notices where ${olderSql("at", "$1", "$2")} limit $3))
  returning 1
)
select count(*)::int as gone from gone`;

export const noticeStore = (db: Database): NoticeStore => ({
  async subject(delivery, number) {
    const [row] = await db.query<NoticeSubject>(SUBJECT, [delivery, number]);
    return row ?? null;
  },
  async record(delivery, number, outcome) {
    await db.query(RECORD, [delivery, number, outcome]);
  },
  async purge(hours) {
    const [row] = await db.query<{ gone: number }>(PURGE, [
      hours,
      systemClock.now(),
      PURGE_BATCH_MAX_ROWS,
    ]);
    return row?.gone ?? 0;
  },
});
