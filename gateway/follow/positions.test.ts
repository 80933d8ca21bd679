/**
 * Positions that nodes push: each newest one reaches the followers, whoever asked for it meanwhile.
 */
import { describe, expect, it } from "vitest";
import { VirtualClock } from "../../engine/io/virtual-clock.ts";
import type { BusMessage } from "../../engine/io/nats/nats.ts";
import type { CourierId } from "../../proto/ids.ts";
import { streamMessages } from "../../proto/messages.ts";
import { Positions } from "./positions.ts";
import { PositionCache } from "../views/position-cache.ts";

const T0 = 1_800_000_000_000;
const COURIER = "cur_1" as CourierId;
const point = { lng: -122.4, lat: 37.7 };

function gateway() {
  const clock = new VirtualClock(T0);
  const owner = { at: T0 };
  const actorClient = { where: () => Promise.resolve({ ...point, at: owner.at }) };
  const store = { lastKnown: () => Promise.resolve(null) };
  const positionCache = new PositionCache(actorClient as never, store, clock);
  let receive: (message: BusMessage) => void = () => undefined;
  const subscribe = (_: string, onMessage: typeof receive): (() => void) => {
    receive = onMessage;
    return () => undefined;
  };
  const deps = {
    ...{ clock, gateway: "gw_1", bus: { subscribe }, subjects: { positions: () => "positions" } },
    fence: { admits: () => true },
  };
  const moved: CourierId[] = [];
  new Positions(deps as never, positionCache, (courier) => void moved.push(courier));
  const push = (at: number): void => {
    const positions = [{ courier: COURIER, no: 1, at, ...point }];
    const parts = [{ shard: 0, epoch: 1, positions }];
    const data = streamMessages.encode({ type: "moved", parts } as never);
    receive({ data } as BusMessage);
  };
  return { clock, owner, positionCache, moved, push };
}

describe("a position that a node pushes", () => {
  it("reaches the followers unless a newer one is known", () => {
    const { moved, push } = gateway();
    push(T0 + 2);
    push(T0 + 1);
    expect(moved).toEqual([COURIER]);
  });

  // Found by `npm run sim -- --seed 80 --all`: watchers of the courier missed one ping in a row
  // with the one before (L3).
  it("reaches the followers also when somebody asked for it a moment before", async () => {
    const { owner, positionCache, moved, push } = gateway();
    owner.at = T0 + 5;
    expect(await positionCache.of(COURIER)).toMatchObject({ at: T0 + 5 });
    push(T0 + 5);
    expect(moved).toEqual([COURIER]);
  });
});
