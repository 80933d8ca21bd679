/**
 * The accept: the one statement that makes an assignment, and the arbiter of D1 and D2. It locks,
 * decides on what it has locked, and changes the delivery, the loads of both couriers and the
 * outbox together, or nothing.
 *
 * Why it holds under any race (read committed):
 * - `for update` waits for whoever has the row and then gives its newest version, whatever the
 *   statement's snapshot says. All decisions read those locked versions, never the tables.
 * - All new values come from the locked versions, too. An update whose snapshot holds an older
 *   version builds a row from that one first, checks it against the table's constraints, and only
 *   then goes on to the newest; so `load = c.load - 1` would now and then break a constraint that
 *   nothing violates.
 * - Rows are locked in the order of their ids, deliveries before couriers, in every statement that
 *   takes both, so none waits in a circle. The array in `courier` is computed in full before its
 *   first row is looked at, which is what makes "before" true.
 */
import type { Database } from "../io/postgres/postgres.ts";
import type { AcceptCommand, AcceptOutcome } from "./port.ts";
import { DELIVERY_COLUMNS, changeTimeSql, numbered, toDeliveryRow } from "./rows.ts";
import type { RawDelivery } from "./rows.ts";

const ACCEPT = `
with wanted as materialized (
  select * from json_to_recordset($1::text::json) as w(ord int, delivery text, courier text)
),
delivery as materialized (
  select d.* from deliveries d
  where d.id = any(array(select w.delivery from wanted w))
  order by d.id for update
),
-- Those who want one, and those who may lose one to them.
courier as materialized (
  select c.* from couriers c
  where c.id = any(array(
    select w.courier from wanted w
    union all select l.courier_id from delivery l where l.replacing
  ))
  order by c.id for update
),
decided as materialized (
  select
    w.ord, w.courier, l.id, l.courier_id as replaced, l.status_reason as reason,
    l.version + 1 as number, ${changeTimeSql("l")} as at,
    case
      when l.id is null or c.id is null then 'not_found'
      -- Tests are for robots and nobody else, and robots for nothing else (proto/test-mode.ts).
      when (left(l.id, 4) = 'tst_') <> (left(c.id, 4) = 'bot_') then 'not_found'
      -- Asked again by the courier who has it, or had it to the end: the same answer (D4).
      when l.courier_id = c.id and l.status in ('assigned', 'picked_up', 'delivered', 'returned')
        then 'same'
      when l.status in ('delivered', 'canceled', 'unfilled', 'returned') then 'delivery_over'
      when l.status = 'picked_up' or (l.status = 'assigned' and not l.replacing)
        then 'delivery_taken'
      when not c.online then 'courier_off_shift'
      when c.load >= c.capacity then 'courier_busy'
      when l.vehicle <> c.vehicle then 'vehicle_unfit'
      -- Which vehicle carries which size: the table is in actors/matching.ts.
      when l.size = 'medium' and c.vehicle = 'walk' then 'vehicle_unfit'
      when l.size = 'large' and c.vehicle not in ('car', 'van') then 'vehicle_unfit'
      else 'accepted'
    end as code
  from wanted w
  left join delivery l on l.id = w.delivery
  left join courier c on c.id = w.courier
),
-- It gives back what the next parts need, so that they join nothing: the planner expects one row of
-- each part and would compare all with all.
taken as (
  update deliveries d set
    status = 'assigned', status_reason = null, version = x.number, courier_id = x.courier,
    assigned_at = x.at, changed_at = x.at, replacing = false, offers = '[]', next_attempt_at = null
  from decided x
  where d.id = x.id and x.code = 'accepted'
  returning d.*, x.replaced, x.reason as replaced_because
),
-- One update a courier, even where somebody wins one delivery and loses another in the same batch.
load as (
  update couriers c set load = l.load + s.change
  from courier l join (
    select courier, sum(change) as change from (
      select t.courier_id as courier, 1 as change from taken t
      union all
      select t.replaced, -1 from taken t where t.replaced is not null
    ) changes group by courier
  ) s on s.courier = l.id
  where c.id = l.id
),
event as (
  insert into outbox
    (delivery_id, owner, number, type, status, reason, courier_id, external_id, at)
  select
    t.id, t.owner, t.version, case when t.replaced is null then 'assigned' else 'reassigned' end,
    t.status, case when t.replaced is not null then t.replaced_because end, t.courier_id,
    t.external_id, t.assigned_at
  from taken t
)
select x.ord, x.code, ${DELIVERY_COLUMNS}
from decided x
left join (
  select 'accepted' as code, t.* from taken t
  union all select 'same', l.*, null, null from delivery l
) d on d.id = x.id and d.code = x.code
left join courier c on c.id = d.courier_id
order by x.ord`;

type Refusal = Extract<AcceptOutcome, { outcome: "refused" }>["code"];
type Answer = RawDelivery & { readonly code: Refusal | "accepted" | "same" };

export const acceptKeys = ({ delivery, courier }: AcceptCommand): readonly string[] => [
  delivery,
  courier,
];

/** One statement for all. No two commands may name the same delivery or courier. */
export async function acceptAll(
  db: Database,
  commands: readonly AcceptCommand[],
): Promise<readonly AcceptOutcome[]> {
  const answers = await db.query<Answer>(ACCEPT, [numbered(commands)]);
  return answers.map((answer) => {
    const { code } = answer;
    if (code !== "accepted" && code !== "same") return { outcome: "refused", code };
    if (answer.id === null) throw new Error("an accept changed no row (D1)");
    return { outcome: "accepted", changed: code === "accepted", row: toDeliveryRow(answer) };
  });
}
