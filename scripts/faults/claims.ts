// What clients were told, held against what is stored: every create, accept, status, cancel and
// decline that was answered yes must be in its row as it was answered, once, and for whoever asked.
// Pure: `claims-read.ts` reads the rows. Run after every fault, so that a loss is put down to its
// fault, and over all of the run at its end.

import type { Request } from "./history.ts";

/** A row of Postgres as far as clients were told of it. */
export type Stored = {
  readonly id: string;
  readonly owner: string;
  readonly externalId: string | null;
  readonly status: string;
  readonly courier: string | null;
  /** Couriers with an offer that is still open. */
  readonly offered: readonly string[];
  readonly pickupLng: number;
  readonly pickupLat: number;
  readonly dropoffLng: number;
  readonly dropoffLat: number;
  readonly size: string;
};

export type Rows = {
  /** By id, those that were asked for and are there. */
  readonly byId: ReadonlyMap<string, Stored>;
  /** How many rows each owner has in all. */
  readonly countOf: ReadonlyMap<string, number>;
  /** `owner` and `externalId` of rows that share both with another. */
  readonly shared: readonly { readonly owner: string; readonly externalId: string }[];
};

export type Mismatch = {
  readonly kind: "lost" | "doubled" | "changed";
  readonly delivery: string | null;
  readonly text: string;
};

/** Degrees: what is stored may be rounded, not moved. */
const PLACE_TOLERANCE = 1e-6;
const AFTER_PICKUP: readonly string[] = ["picked_up", "delivered", "returned"];

export const isYes = ({ outcome }: Request): boolean => outcome.is === "ok";

/** The requests that claim something of a row. */
export const claimsIn = (requests: readonly Request[]): (Request & { delivery: string })[] =>
  requests.flatMap((request) => {
    const { delivery, verb } = request;
    if (!isYes(request) || delivery === null || verb === "read") return [];
    return [{ ...request, delivery }];
  });

/**
 * All that is not as it was answered. `all`: every request of the run so far, whatever its answer,
 * by which rows that nobody asked for are found. `wasReplaced`: whether an event said that its
 * courier was replaced.
 */
export function compareClaims(
  claims: readonly (Request & { delivery: string })[],
  rows: Rows,
  all: readonly Request[],
  wasReplaced: (delivery: string) => boolean,
): Mismatch[] {
  const found = claims.flatMap((claim): Mismatch[] => {
    const row = rows.byId.get(claim.delivery);
    const text = row === undefined ? null : wrongIn(claim, row, wasReplaced);
    if (row !== undefined && text === null) return [];
    const answered = `${claim.verb} of ${claim.who} was answered yes`;
    const { delivery } = claim;
    if (row === undefined)
      return [{ kind: "lost", delivery, text: `${answered}, there is no row` }];
    const kind = claim.verb === "create" ? "changed" : "lost";
    return [{ kind, delivery, text: `${answered}, and ${text}` }];
  });
  return [...found, ...doubled(rows, all)];
}

/** What of this row is not as it was answered; null when all is. */
function wrongIn(
  claim: Request,
  row: Stored,
  wasReplaced: (delivery: string) => boolean,
): string | null {
  const { verb, who, status } = claim;
  switch (verb) {
    case "create":
      return wrongCreate(claim, row);
    case "accept": {
      const isTheirs = row.courier === who;
      const isOver = row.status === "canceled" && row.courier === null;
      if (isTheirs || isOver || wasReplaced(row.id)) return null;
      return `it is ${row.status} and ${row.courier ?? "nobody"}'s`;
    }
    case "status": {
      const isDone = status === "picked_up" ? AFTER_PICKUP.includes(row.status) : false;
      // An operator may cancel what is under way.
      const isOver = status === "picked_up" && row.status === "canceled";
      if (isDone || isOver || row.status === status) return null;
      return `${status} is not there: it is ${row.status}`;
    }
    case "cancel":
      return row.status === "canceled" ? null : `it is ${row.status}`;
    case "decline":
      return row.offered.includes(who) ? "its offer is still open" : null;
    case "read":
      return null;
  }
}

function wrongCreate({ who, made }: Request, row: Stored): string | null {
  if (row.owner !== who) return `it is ${row.owner}'s`;
  if (made === undefined) return null;
  const places = ["pickupLng", "pickupLat", "dropoffLng", "dropoffLat"] as const;
  const moved = places.find((name) => {
    const sent = made[name];
    return sent !== null && Math.abs(sent - row[name]) > PLACE_TOLERANCE;
  });
  if (moved !== undefined) return `${moved} is ${row[moved]}, sent was ${made[moved]}`;
  if (made.size !== row.size) return `its size is ${row.size}, sent was ${made.size}`;
  const isOther = made.externalId !== null && made.externalId !== row.externalId;
  return isOther ? `its external id is ${row.externalId}, sent was ${made.externalId}` : null;
}

function doubled(rows: Rows, all: readonly Request[]): Mismatch[] {
  const creates = all.filter(({ verb }) => verb === "create");
  const asked = new Map<string, number>();
  const answered = new Map<string, Request>();
  const found: Mismatch[] = rows.shared.map(({ owner, externalId }) => ({
    ...{ kind: "doubled", delivery: null },
    text: `${owner} has more than one delivery for ${externalId}`,
  }));
  for (const request of creates) {
    const { who, delivery } = request;
    asked.set(who, (asked.get(who) ?? 0) + 1);
    if (delivery === null || !isYes(request)) continue;
    const before = answered.get(delivery);
    answered.set(delivery, request);
    const isSame = before === undefined || isRepeat(before, request);
    const text = `${before?.who} and ${who} were answered with the same delivery`;
    if (!isSame) found.push({ kind: "doubled", delivery, text });
  }
  for (const [owner, count] of asked) {
    const stored = rows.countOf.get(owner) ?? 0;
    if (stored <= count) continue;
    const text = `${owner} asked for ${count} deliveries and has ${stored}`;
    found.push({ kind: "doubled", delivery: null, text });
  }
  return found;
}

/** A create that was asked for again under its own key. */
const isRepeat = (one: Request, other: Request): boolean =>
  one.who === other.who &&
  one.made?.externalId !== undefined &&
  one.made.externalId !== null &&
  one.made.externalId === other.made?.externalId;
