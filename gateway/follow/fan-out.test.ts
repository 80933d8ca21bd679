/**
 * Positions to followers: once a second, the newest, encoded once, and nothing to who does not
 * read.
 */
import { beforeEach, describe, expect, it } from "vitest";
import { VirtualClock } from "../../engine/io/virtual-clock.ts";
import type { DeliveryRow, Position } from "../../engine/store/port.ts";
import { serverFrames } from "../../proto/frames.ts";
import type { CourierId, DeliveryId, Millis, SessionId } from "../../proto/ids.ts";
import { UNSEEN_MAX_FRAMES } from "../../proto/limits.ts";
import { FanOut } from "./fan-out.ts";
import { AckWindow } from "./ack-window.ts";
import type { Followed, Follower, Watcher } from "./tracking.ts";

const PERIOD_MS = 1_000;
const T0 = 1_800_000_000_000;

let clock: VirtualClock;
let positions: Map<CourierId, Position>;
let fanOut: FanOut;

type Reader = { readonly watcher: Watcher; readonly got: { at: Millis; bytes: Uint8Array }[] };

beforeEach(() => {
  clock = new VirtualClock(T0);
  positions = new Map();
  const positionCache = { latest: (courier: CourierId) => positions.get(courier) ?? null };
  fanOut = new FanOut({ clock, periodMs: PERIOD_MS, positionCache });
});

const courier = (n: number): CourierId => `cur_${n}` as CourierId;

function followedOf(n: number, carrier = n): Followed {
  const id = `del_00${String(n).padStart(21, "0")}` as DeliveryId;
  const row = { id, courierId: courier(carrier), status: "assigned", endedAt: null } as DeliveryRow;
  const rest = { followers: new Set<Follower>(), events: [], joining: 0 };
  const flags = {
    isReading: false,
    isStale: false,
    rereadAt: 0,
    estimateAt: 0,
    unsubscribe: () => undefined,
  };
  const followed: Followed = { id, row, ...rest, ...flags };
  fanOut.need(courier(carrier), followed);
  return followed;
}

let sessions = 0;
function readerOf(...followed: Followed[]): Reader {
  const got: Reader["got"] = [];
  const id = `s_${sessions++}` as SessionId;
  const link = {
    id,
    principal: { role: "operator", subject: "ops_1", expiresAt: Infinity },
    isOpen: () => true,
    send: () => undefined,
    sendBytes: (bytes: Uint8Array) => void got.push({ at: clock.now(), bytes }),
    offer: () => true,
  } as unknown as Watcher["link"];
  const window = new AckWindow();
  const flags = { isQueued: false, isBehind: false, turn: 0, due: 0 };
  const watcher: Watcher = { link, follows: [], window, ...flags };
  for (const one of followed) {
    const follower = { watcher, followed: one, version: 1, arrivalAt: 0, positionAt: 0 };
    one.followers.add(follower);
    watcher.follows.push(follower);
  }
  return { watcher, got };
}
function move(n: number, at = clock.now()): void {
  positions.set(courier(n), { courier: courier(n), at, lng: -122.4, lat: 37.7 });
  fanOut.moved(courier(n));
}
const itemsOf = ({ bytes }: { bytes: Uint8Array }) => {
  const frame = serverFrames.decode(bytes);
  return frame?.type === "positions" ? frame.positions : [];
};
const seeAll = (reader: Reader): void => {
  reader.watcher.window.seen(reader.got.length, clock.now());
  fanOut.caughtUp(reader.watcher);
};

describe("a follower", () => {
  it("gets a move within a slice, then the newest once a period", async () => {
    const reader = readerOf(followedOf(1));
    move(1, T0 + 1);
    await clock.advance(PERIOD_MS / 50);
    expect(reader.got).toHaveLength(1);
    for (let i = 0; i < 30; i++) {
      await clock.advance(100);
      move(1);
      seeAll(reader);
    }
    const times = reader.got.map(({ at }) => at);
    expect(times.length).toBe(4);
    // Each may be early, but not earlier and earlier.
    for (let i = 1; i < times.length; i++) {
      const sinceFirst = (times[i] as number) - (times[0] as number);
      expect(sinceFirst).toBeGreaterThanOrEqual(i * 0.96 * PERIOD_MS - PERIOD_MS / 5);
    }
    const items = reader.got.flatMap(itemsOf);
    expect(
      items.every(
        ({ at, ageMs }, i) => ageMs === (times[i] as number) - Math.min(at, times[i] as number),
      ),
    ).toBe(true);
  });

  it("waits no longer and longer for a courier who moves a little early now and then", async () => {
    const reader = readerOf(followedOf(1));
    const moves: number[] = [];
    for (let i = 0; i < 30; i++) {
      await clock.advance(PERIOD_MS + (i % 3 === 0 ? -30 : 15));
      move(1);
      moves.push(clock.now());
      seeAll(reader);
    }
    await clock.advance(PERIOD_MS);
    const waits = reader.got.map(({ at }, i) => at - (moves[i] as number));
    expect(waits).toHaveLength(30);
    expect(Math.max(...waits)).toBeLessThanOrEqual(PERIOD_MS / 50);
  });

  it("that had to wait after a late move waits less and less for those that are in time", async () => {
    const reader = readerOf(followedOf(1));
    const moves: number[] = [];
    for (let i = 0; i < 30; i++) {
      const lateMs = i === 5 ? 500 : 0;
      await clock.advance(T0 + (i + 1) * PERIOD_MS + lateMs - clock.now());
      move(1);
      moves.push(clock.now());
      await clock.advance(lateMs === 0 ? 400 : 100);
      seeAll(reader);
    }
    await clock.advance(PERIOD_MS);
    const waits = reader.got.map(({ at }, i) => at - (moves[i] as number));
    expect(waits[6]).toBeGreaterThan(100);
    expect(Math.max(...waits.slice(20))).toBeLessThanOrEqual(PERIOD_MS / 50);
  });

  it("gets all that moved for it in one frame, and what stood still not at all", async () => {
    const [a, b, c] = [followedOf(1), followedOf(2), followedOf(3)];
    const reader = readerOf(a, b, c);
    move(1, 10);
    move(3, 11);
    await clock.advance(PERIOD_MS);
    expect(reader.got.map(itemsOf)).toMatchObject([[{ delivery: a.id }, { delivery: c.id }]]);
    expect(b.followers.size).toBe(1);
  });

  it("shares one encoding with all who follow the same delivery", async () => {
    const followed = followedOf(1);
    const readers = Array.from({ length: 25 }, () => readerOf(followed));
    move(1, 10);
    await clock.advance(PERIOD_MS);
    expect(new Set(readers.map(({ got }) => got[0]?.bytes)).size).toBe(1);
  });

  it("is told of its own delivery and of no other that the same courier carries", async () => {
    const carried = [followedOf(1, 9), followedOf(2, 9), followedOf(3, 9)];
    const readers = carried.map((followed) => readerOf(followed));
    for (let turn = 0; turn < 2; turn++) {
      move(9);
      await clock.advance(PERIOD_MS);
      for (const reader of readers) seeAll(reader);
    }
    const told = readers.map(({ got }) => got.flatMap(itemsOf).map(({ delivery }) => delivery));
    expect(told).toEqual(carried.map(({ id }) => [id, id]));
  });

  it("is told on each of its connections, whichever was first", async () => {
    const followed = followedOf(1);
    const two = [readerOf(followed), readerOf(followed)];
    move(1);
    await clock.advance(PERIOD_MS);
    for (const { got } of two)
      expect(got.flatMap(itemsOf)).toMatchObject([{ delivery: followed.id }]);
  });

  it("costs nothing while nobody moves, and a courier without followers never", async () => {
    readerOf(followedOf(1));
    move(7);
    expect([clock.pending(), fanOut.waiting]).toEqual([0, 0]);
  });

  it("gets nothing that the policy does not allow, nor anything older (D6)", async () => {
    const followed = followedOf(1);
    const reader = readerOf(followed);
    move(1, 100);
    await clock.advance(PERIOD_MS);
    move(1, 99);
    followed.row = { ...(followed.row as DeliveryRow), status: "delivered" };
    move(1, 200);
    await clock.advance(PERIOD_MS);
    expect(reader.got.flatMap(itemsOf).map(({ at }) => at)).toEqual([100]);
  });
});

describe("a reader who does not read", () => {
  it("is sent a bounded number of frames in a minute, and first of all the newest when it is back", async () => {
    const followed = followedOf(1);
    const [stuck, other] = [readerOf(followed), readerOf(followed)];
    for (let s = 0; s < 60; s++) {
      move(1);
      await clock.advance(PERIOD_MS);
      seeAll(other);
    }
    expect(other.got).toHaveLength(60);
    const before = stuck.got.length;
    expect(before).toBeGreaterThan(0);
    expect(before).toBeLessThanOrEqual(UNSEEN_MAX_FRAMES);
    expect(fanOut.waiting).toBe(0);
    seeAll(stuck);
    await clock.advance(PERIOD_MS);
    expect(stuck.got).toHaveLength(before + 1);
    expect(stuck.got.slice(before).flatMap(itemsOf)).toEqual(
      other.got
        .slice(-1)
        .flatMap(itemsOf)
        .map((item) => ({ ...item, ageMs: expect.any(Number) as number })),
    );
  });

  it("is held to less still where positions are rare", async () => {
    const reader = readerOf(followedOf(1));
    for (let i = 0; i < 6; i++) {
      move(1);
      await clock.advance(10_000);
    }
    expect(reader.got.length).toBeLessThanOrEqual(6);
    for (let i = 0; i < 20; i++) {
      move(1);
      await clock.advance(10_000);
    }
    expect(reader.got.length).toBeLessThanOrEqual(12);
  });
});

describe("many who move at one moment", () => {
  it("are spread over slices, the rest of the work in between, and all are served within a period", async () => {
    const readers = Array.from({ length: 100 }, (_, n) => {
      const followed = followedOf(n);
      return Array.from({ length: 40 }, () => readerOf(followed));
    }).flat();
    for (let n = 0; n < 100; n++) move(n, 10);
    await clock.advance(PERIOD_MS);
    const perSlice = new Map<number, number>();
    for (const { got } of readers) {
      expect(got).toHaveLength(1);
      const { at } = got[0] as { at: number };
      perSlice.set(at, (perSlice.get(at) ?? 0) + 1);
    }
    expect(Math.max(...perSlice.values())).toBeLessThanOrEqual(400);
    expect([fanOut.waiting, clock.pending()]).toEqual([0, 0]);
  });

  it("are caught up with when slices came late", async () => {
    const readers = Array.from({ length: 3_000 }, (_, n) => readerOf(followedOf(n % 100)));
    for (let n = 0; n < 100; n++) move(n, 10);
    clock.jump(200);
    await clock.advance(PERIOD_MS / 10);
    expect(readers.every(({ got }) => got.length === 1)).toBe(true);
  });

  it("do not stop it when the clock steps back", async () => {
    const reader = readerOf(followedOf(1));
    move(1, 10);
    await clock.advance(PERIOD_MS);
    clock.jump(-3_600_000);
    move(1, 20);
    await clock.advance(2 * PERIOD_MS);
    expect(reader.got.flatMap(itemsOf).map(({ at }) => at)).toEqual([10, 20]);
  });
});
