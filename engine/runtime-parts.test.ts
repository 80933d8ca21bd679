import { expect, it } from "vitest";
import type { SearchQuery } from "../actors/actor.ts";
import type { BusStatus } from "./io/nats/nats.ts";
import { searchWhileConnected } from "./runtime-parts.ts";

it("nobody is found while no offer could reach a phone, and the ledger says why", () => {
  let status: BusStatus = "connected";
  const found = { radiusM: 900, candidates: [], gates: { busy: 2 } };
  const search = searchWhileConnected({ status: () => status }, () => found);
  const query = { radiusM: 1_000 } as SearchQuery;
  expect(search(query, 0)).toBe(found);
  status = "disconnected";
  expect(search(query, 0)).toEqual({ radiusM: 1_000, candidates: [], gates: { nats_away: 1 } });
});
