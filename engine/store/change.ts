/**
 * What happens to a delivery after the accept: picked up, delivered, returned, canceled. One
 * statement, made like the accept (see there): lock in order, decide on what is locked, change all
 * or nothing. A delivery that ends frees its courier in the same statement (D2, D7).
 */
import type { Database } from "../io/postgres/postgres.ts";
import type { CancelCommand, ChangeOutcome, StatusCommand } from "./port.ts";
import { DELIVERY_COLUMNS, changeTimeSql, isoTime, numbered, toDeliveryRow } from "./rows.ts";
import type { RawDelivery } from "./rows.ts";

const CHANGE = `
with wanted as materialized (
  select * from json_to_recordset($1::text::json) as w(
    ord int, delivery text, goal text, courier text, owner text, reason text,
    claimed_at timestamptz)
),
delivery as materialized (
  select d.* from deliveries d
  where d.id = any(array(select w.delivery from wanted w))
  order by d.id for update
),
-- "courier" is set on what a courier does, "owner" on a cancel by the owner; an operator's cancel
-- has neither.
decided as materialized (
  select
    w.ord, l.id, w.goal, w.claimed_at, l.version + 1 as number, l.courier_id,
    ${changeTimeSql("l")} as at,
    case when w.goal = 'returned' then coalesce(w.reason, 'returned_by_courier')
      else w.reason end as reason,
    case when w.goal <> 'picked_up' then l.courier_id end as freed,
    case
      when l.id is null then 'not_found'
      when w.goal <> 'canceled' and l.courier_id is distinct from w.courier then 'not_found'
      when w.owner is not null and w.owner <> l.owner then 'not_found'
      when l.status = w.goal then 'same'
      when w.goal = 'picked_up' and l.status = 'assigned' then 'changed'
      when w.goal in ('delivered', 'returned') and l.status = 'picked_up' then 'changed'
      when w.goal = 'canceled' and l.status in ('pending', 'assigned') then 'changed'
      when w.goal = 'canceled' and l.status = 'picked_up' and w.owner is null then 'changed'
      else 'wrong_status'
    end as code
  from wanted w left join delivery l on l.id = w.delivery
),
freed as materialized (
  select c.id, c.load from couriers c
  where c.id = any(array(select x.freed from decided x where x.code = 'changed'))
  order by c.id for update
),
changed as (
  update deliveries d set
    status = x.goal, status_reason = x.reason, version = x.number, courier_id = x.courier_id,
    replacing = false, offers = '[]', next_attempt_at = null, changed_at = x.at,
    picked_up_at = case when x.goal = 'picked_up' then x.at else d.picked_up_at end,
    picked_up_claimed_at =
      case when x.goal = 'picked_up' then x.claimed_at else d.picked_up_claimed_at end,
    delivered_at = case when x.goal = 'delivered' then x.at end,
    delivered_claimed_at = case when x.goal = 'delivered' then x.claimed_at end,
    ended_at = case when x.goal <> 'picked_up' then x.at end
  from decided x
  where d.id = x.id and x.code = 'changed'
  returning d.*, x.freed
),
load as (
  update couriers c set load = f.load - s.ended
  from freed f join (
    select k.freed, count(*) as ended from changed k group by k.freed
  ) s on s.freed = f.id
  where c.id = f.id
),
event as (
  insert into outbox
    (delivery_id, owner, number, type, status, reason, courier_id, external_id, at)
  select k.id, k.owner, k.version, k.status, k.status, k.status_reason, k.courier_id,
    k.external_id, k.changed_at
  from changed k
)
select x.ord, x.code, ${DELIVERY_COLUMNS}
from decided x
left join (
  select 'changed' as code, k.* from changed k
  union all select 'same', l.*, null from delivery l
) d on d.id = x.id and d.code = x.code
left join couriers c on c.id = d.courier_id
order by x.ord`;

/** Status and cancel share the statement, hence also the queue. */
export type ChangeCommand =
  | { readonly do: "status"; readonly command: StatusCommand }
  | { readonly do: "cancel"; readonly command: CancelCommand };

type Refusal = Extract<ChangeOutcome, { outcome: "refused" }>["code"];
type Answer = RawDelivery & { readonly code: Refusal | "changed" | "same" };

export const changeKeys = (change: ChangeCommand): readonly string[] => [change.command.delivery];

/** One statement for all. No two commands may name the same delivery. */
export async function changeAll(
  db: Database,
  commands: readonly ChangeCommand[],
): Promise<readonly ChangeOutcome[]> {
  const answers = await db.query<Answer>(CHANGE, [numbered(commands.map(toRecord))]);
  return answers.map((answer) => {
    const { code } = answer;
    if (code !== "changed" && code !== "same") return { outcome: "refused", code };
    if (answer.id === null) throw new Error("a change changed no row");
    return { outcome: "changed", changed: code === "changed", row: toDeliveryRow(answer) };
  });
}

function toRecord(change: ChangeCommand): object {
  if (change.do === "cancel") {
    const { delivery, by, reason } = change.command;
    return { delivery, goal: "canceled", owner: by.role === "owner" ? by.owner : null, reason };
  }
  const { delivery, courier, status, claimedAt, reason } = change.command;
  return { delivery, goal: status, courier, reason, claimed_at: isoTime(claimedAt) };
}
