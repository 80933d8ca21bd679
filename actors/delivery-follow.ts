/**
 * What was decided elsewhere: an accept, a status, a cancel, or a row that moved on under us. The
 * store is right; the delivery adopts it and tidies up (D7): everybody who is held or has an offer
 * in vain is released, the courier who has it is told, the one who had it too. Versions may be
 * skipped, because messages between may be lost.
 */
import type { CourierId, Millis } from "../proto/ids.ts";
import { searchStart } from "../proto/limits.ts";
import type { DispatchSettings } from "../proto/limits.ts";
import type { ReleaseReason } from "../proto/messages.ts";
import { NEXT_STATUSES, STATUS_REASONS } from "../proto/status.ts";
import type { Status } from "../proto/status.ts";
import type { DeliverySnapshot } from "../proto/writes.ts";
import type { Effect } from "./actor.ts";
import {
  PUBLIC_STATUS,
  confirm,
  contextOf,
  idOf,
  pendingAt,
  withSearch,
} from "./delivery-state.ts";
import type { Assigned, Delivery, DeliveryMessage, DeliveryStep } from "./delivery-state.ts";
import type { Pending, PickedUp } from "./delivery-state.ts";
import { note } from "./ledger.ts";
import { openWave, repeatOffers } from "./search.ts";
import { endSearch, searchFrom, toCourier } from "./search-state.ts";
import type { Search } from "./search-state.ts";
import { startWatch } from "./watch.ts";

/** A row from Postgres: adopted when nothing is known yet, or when it is newer than what is. */
export function onRow(
  state: Delivery,
  snapshot: DeliverySnapshot,
  now: Millis,
  settings: DispatchSettings,
): DeliveryStep {
  if (snapshot.job.id !== idOf(state)) return [state];
  if (state.at === "empty") return follow(state, snapshot, null, now, settings);
  const isNews = snapshot.version > state.version;
  if (!isNews || !isReachable(PUBLIC_STATUS[state.at], snapshot.status)) return [state];
  return follow(state, snapshot, null, now, settings);
}

/**
 * Our commit was refused: the row stands otherwise than we thought, at the same version or a newer
 * one.
 */
export function onSuperseded(
  state: Delivery,
  snapshot: DeliverySnapshot | null,
  now: Millis,
  settings: DispatchSettings,
): DeliveryStep {
  if (state.at === "empty" || "id" in state) return [state];
  const gone = { ...rowOf(state), status: "canceled", version: state.version + 1 } as const;
  if (snapshot !== null && snapshot.version < state.version) return [state];
  return follow(state, snapshot ?? gone, null, now, settings);
}

/** Something was committed by somebody else. D5: only what can follow, only what is newer. */
export function onChanged(
  state: Delivery,
  m: Extract<DeliveryMessage, { type: "changed" }>,
  now: Millis,
  settings: DispatchSettings,
): DeliveryStep {
  if (state.at === "empty" || "id" in state || m.version <= state.version) return [state];
  if (!isReachable(PUBLIC_STATUS[state.at], m.status)) return [state];
  const needsCourier = m.status === "assigned" || m.status === "picked_up";
  if (needsCourier && m.courier === null) return [state];
  const row = { ...rowOf(state), status: m.status, version: m.version, courier: m.courier };
  return follow(state, { ...row, assignedAt: m.at }, m.reason, now, settings);
}

/** D5, with statuses skipped, because messages between may be lost. */
const isReachable = (from: Status | null, to: Status): boolean =>
  from !== null &&
  (NEXT_STATUSES[from].includes(to) ||
    NEXT_STATUSES[from].some((next) => next !== from && isReachable(next, to)));

/** The row as far as a live actor knows it; the caller puts in what changed. */
function rowOf(state: Pending | Assigned | PickedUp): DeliverySnapshot {
  return {
    job: state.job,
    status: "pending",
    version: state.version,
    courier: "courier" in state ? state.courier : null,
    assignedAt: null,
    wave: 0,
    offers: [],
    asked: [],
    nextAttemptAt: null,
    replacing: false,
  };
}

function follow(
  prev: Delivery,
  row: DeliverySnapshot,
  reason: string | null,
  now: Millis,
  settings: DispatchSettings,
): DeliveryStep {
  const next = stateOf(prev, row, now, settings);
  const effects = [
    ...tidyUp(prev, next, row, settings),
    ...tellCouriers(prev, row, reason),
    ...tellLedger(prev, row),
  ];
  if (!("search" in next) || next.search === null) return [next, ...effects];
  if (next.search.live.length > 0) {
    // The owner before us may have died between recording the round and pushing its offers.
    const again = prev.at === "empty" ? repeatOffers(next.search.live, { job: row.job, now }) : [];
    return [next, ...effects, ...again];
  }
  if (isScheduled(row, now, settings)) {
    return [next, ...effects];
  }
  const step = openWave(next.search, contextOf(next, now, settings));
  const [seeking, ...more] = withSearch(next, step);
  return [seeking, ...effects, ...more];
}

/** Ordered for later, and not looked for yet: its search rests until the row says. */
const isScheduled = (row: DeliverySnapshot, now: Millis, settings: DispatchSettings): boolean =>
  row.status === "pending" &&
  row.wave === 0 &&
  now < searchStart(row.job, settings) &&
  now < (row.nextAttemptAt ?? now);

function stateOf(
  prev: Delivery,
  row: DeliverySnapshot,
  now: Millis,
  settings: DispatchSettings,
): Delivery {
  const { job, status, version, courier } = row;
  switch (status) {
    case "pending": {
      const search = searchOf(row, now);
      return { at: pendingAt(search), job, version, search };
    }
    case "assigned": {
      const { asked, barred } = memoryOf(prev, row);
      const isSame = prev.at === "assigned" && prev.courier === courier;
      const watch = isSame ? prev.watch : startWatch(now, settings);
      const search = row.replacing ? searchOf(row, now) : null;
      return { at: status, job, version, courier: carrier(row), asked, barred, watch, search };
    }
    case "picked_up": {
      const { asked } = memoryOf(prev, row);
      const watch = startWatch(now, settings);
      return { at: status, job, version, courier: carrier(row), asked, watch };
    }
    default:
      return { at: status, id: job.id, version, courier };
  }
}

function carrier({ job, courier }: DeliverySnapshot): CourierId {
  if (courier === null) throw new Error(`${job.id} is carried by nobody`);
  return courier;
}

/** Goes on where the row stands: its offers stay valid, and nobody who was asked is asked again. */
const searchOf = (row: DeliverySnapshot, now: Millis): Search =>
  searchFrom({
    wave: row.wave,
    live: row.offers.filter((offer) => offer.until > now),
    asked: row.asked,
    nextLookAt: row.nextAttemptAt ?? now,
  });

/** Who was asked, and who of them said no, by word or by silence. */
function memoryOf(
  prev: Delivery,
  row: DeliverySnapshot,
): { readonly asked: readonly CourierId[]; readonly barred: readonly CourierId[] } {
  switch (prev.at) {
    case "searching":
    case "offered":
    case "waiting":
      return { asked: prev.search.asked, barred: saidNo(prev.search) };
    case "assigned": {
      const more = prev.search === null ? [] : saidNo(prev.search);
      const replaced = prev.courier === row.courier ? [] : [prev.courier];
      return {
        asked: joined(prev.asked, prev.search?.asked ?? []),
        barred: joined(prev.barred, more, replaced),
      };
    }
    case "picked_up":
      return { asked: prev.asked, barred: [] };
    default: {
      const open = row.offers.filter((offer) => offer.until > (row.assignedAt ?? 0));
      const barred = row.asked.filter((c) => !open.some((offer) => offer.courier === c));
      return { asked: row.asked, barred };
    }
  }
}

/** D7: everybody who is held or has an offer is released, but for who has it now. */
function tidyUp(
  prev: Delivery,
  next: Delivery,
  row: DeliverySnapshot,
  settings: DispatchSettings,
): readonly Effect[] {
  if (!("search" in prev) || prev.search === null) return [];
  const stays = "search" in next && next.search !== null ? next.search.live : [];
  const winner = isCarried(row.status) ? row.courier : null;
  const keep = (courier: CourierId): boolean =>
    courier === winner || stays.some((offer) => offer.courier === courier);
  return endSearch(prev.search, RELEASES[row.status], keep, { job: prev.job, settings });
}

const RELEASES: Readonly<Record<Status, ReleaseReason>> = {
  pending: "unused",
  assigned: "taken",
  picked_up: "taken",
  delivered: "over",
  canceled: "canceled",
  unfilled: "over",
  returned: "over",
};

const isCarried = (status: Status): boolean => status === "assigned" || status === "picked_up";

/** Who has it, who had it, and who has it no more because it is over. */
function tellCouriers(
  prev: Delivery,
  row: DeliverySnapshot,
  reason: string | null,
): readonly Effect[] {
  const { job, status } = row;
  const before = "courier" in prev ? prev.courier : null;
  const courier = row.courier ?? before;
  const replaced =
    before === null || before === courier
      ? []
      : [toCourier(before, { type: "ended", delivery: job.id, reason: "replaced", tell: true })];
  if (courier === null || status === "pending") return replaced;
  if (isCarried(status)) {
    if (before !== courier) return [confirm(job, courier, status === "picked_up"), ...replaced];
    const isPicked = prev.at === "assigned" && status === "picked_up";
    return isPicked ? [toCourier(courier, { type: "picked", delivery: job.id })] : [];
  }
  if (prev.at === "empty") return [];
  const why = STATUS_REASONS.find((known) => known === reason) ?? status;
  const tell = status === "canceled";
  return [toCourier(courier, { type: "ended", delivery: job.id, reason: why, tell }), ...replaced];
}

function tellLedger(prev: Delivery, row: DeliverySnapshot): readonly Effect[] {
  const { job, status, courier } = row;
  if (prev.at === "empty") return [];
  const from = "courier" in prev ? prev.courier : null;
  if (from !== null && courier !== null && from !== courier) {
    return [note(job.id, "replaced", { from, to: courier })];
  }
  if (status === PUBLIC_STATUS[prev.at]) return [];
  if (status === "assigned" || status === "picked_up") return [note(job.id, status, { courier })];
  return [note(job.id, "ended", { status })];
}

/** Everybody in the search who does not hold an offer now. */
export const saidNo = (search: Search): readonly CourierId[] =>
  search.asked.filter((c) => !search.live.some((offer) => offer.courier === c));

/** Lists of couriers as one, each courier once. */
export const joined = (...lists: readonly (readonly CourierId[])[]): readonly CourierId[] => [
  ...new Set(lists.flat()),
];
