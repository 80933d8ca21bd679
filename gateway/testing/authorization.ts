/**
 * Who may do what with a delivery, written down by people and not derived from the code: the answer
 * of the doors to each relation, action and status. `authorization.itest.ts` asks all of it;
 * docs/authorization.md shows it.
 */
import type { Action } from "../access/policy.ts";
import { STATUSES } from "../../proto/status.ts";
import type { Status } from "../../proto/status.ts";

/** What somebody is to a delivery, and how a page names it. */
export const RELATIONS = {
  owner: "customer, its owner",
  stranger: "another customer",
  partner: "partner, its owner",
  other_partner: "another partner",
  carrier: "courier who has it",
  former: "courier who had it",
  offered: "courier it was offered to",
  other_courier: "another courier",
  operator: "operator",
  link: "holder of its tracking link",
  other_link: "holder of another link",
  nobody: "no token",
} as const;
export type Relation = keyof typeof RELATIONS;

/**
 * An HTTP status; `200+` shows where the courier is; `-` cannot be: nobody has, or had, or was
 * offered it then.
 */
export type Outcome = "200" | "200+" | "401" | "403" | "404" | "409" | "-";
type Row = Readonly<Record<Status, Outcome>>;

/** Statuses stand in the order of `proto/status.ts`; one outcome stands for all of them. */
function row(text: string): Row {
  const outcomes = text.split(/ +/) as Outcome[];
  const at = (i: number): Outcome => (outcomes.length === 1 ? outcomes[0] : outcomes[i]) ?? "-";
  return Object.fromEntries(STATUSES.map((status, i) => [status, at(i)])) as Row;
}

/** A link opens at the assignment; a delivery that ended without a courier never opens. */
const closedLink = (open: Outcome): Row => row(`401 ${open} ${open} ${open} 401 401 ${open}`);

const NOBODY = { nobody: row("401") };
const NO_COURIERS = {
  carrier: row("- 403 403 403 - - 403"),
  former: row("- 403 403 403 - - 403"),
  offered: row("403"),
  other_courier: row("403"),
};
const COURIERS_ONLY = {
  ...NOBODY,
  owner: row("403"),
  stranger: row("403"),
  partner: row("403"),
  other_partner: row("403"),
  operator: row("403"),
  link: closedLink("403"),
  other_link: row("403"),
};
const SEEN = row("200 200+ 200+ 200 200 200 200");

/**
 * `position` is the `+` of `read`. Order of statuses: pending, assigned, picked_up, delivered,
 * canceled, unfilled, returned.
 */
export const EXPECTED: Readonly<
  Record<Exclude<Action, "position">, Readonly<Record<Relation, Row>>>
> = {
  read: {
    ...NOBODY,
    owner: SEEN,
    stranger: row("404"),
    partner: SEEN,
    other_partner: row("404"),
    carrier: row("- 200+ 200+ 200 - - 200"),
    former: row("- 404 404 404 - - 404"),
    offered: row("404"),
    other_courier: row("404"),
    operator: SEEN,
    link: row("401 200+ 200+ 200 401 401 200"),
    other_link: row("404"),
  },
  follow: {
    ...NOBODY,
    ...NO_COURIERS,
    owner: row("200"),
    stranger: row("404"),
    partner: row("200"),
    other_partner: row("404"),
    operator: row("200"),
    link: closedLink("200"),
    other_link: row("404"),
  },
  accept: {
    ...COURIERS_ONLY,
    // D4: the repeat of an accept has the answer of the first, whatever became of the delivery.
    carrier: row("- 200 200 200 - - 200"),
    former: row("- 409 409 409 - - 409"),
    offered: row("200 409 409 409 409 409 409"),
    other_courier: row("200 409 409 409 409 409 409"),
  },
  decline: {
    ...COURIERS_ONLY,
    carrier: row("- 409 409 409 - - 409"),
    former: row("- 409 409 409 - - 409"),
    offered: row("200 409 409 409 409 409 409"),
    other_courier: row("409"),
  },
  report: {
    ...COURIERS_ONLY,
    carrier: row("- 200 200 409 - - 409"),
    former: row("- 404 404 404 - - 404"),
    offered: row("404"),
    other_courier: row("404"),
  },
  cancel: {
    ...NOBODY,
    ...NO_COURIERS,
    owner: row("200 200 409 409 200 409 409"),
    stranger: row("404"),
    partner: row("200 200 409 409 200 409 409"),
    other_partner: row("404"),
    operator: row("200 200 200 409 200 409 409"),
    link: closedLink("403"),
    other_link: row("403"),
  },
  update: {
    ...NOBODY,
    ...NO_COURIERS,
    owner: row("200 200 409 409 409 409 409"),
    stranger: row("404"),
    partner: row("200 200 409 409 409 409 409"),
    other_partner: row("404"),
    operator: row("200 200 409 409 409 409 409"),
    link: closedLink("403"),
    other_link: row("403"),
  },
  ledger: {
    ...NOBODY,
    ...NO_COURIERS,
    owner: row("403"),
    stranger: row("403"),
    partner: row("403"),
    other_partner: row("403"),
    operator: row("200"),
    link: closedLink("403"),
    other_link: row("403"),
  },
};
