import { describe, expect, it } from "vitest";
import { DispatchError } from "../../proto/errors.ts";
import type { Epoch, ShardId } from "../../proto/ids.ts";
import { Ownership, STANDBY, nextShardState } from "./ownership.ts";
import type { ShardEvent, ShardState } from "./ownership.ts";

const epoch = (n: number): Epoch => n as Epoch;
const STATES: Record<ShardState["at"], ShardState> = {
  standby: STANDBY,
  taking: { at: "taking" },
  owner: { at: "owner", epoch: epoch(5) },
  yielding: { at: "yielding", epoch: epoch(5) },
};
const EVENTS = {
  take: { type: "take" },
  taken_higher: { type: "taken", epoch: epoch(6) },
  taken_same: { type: "taken", epoch: epoch(5) },
  taken_lower: { type: "taken", epoch: epoch(4) },
  failed: { type: "failed" },
  fenced: { type: "fenced" },
  yield: { type: "yield" },
  yielded: { type: "yielded" },
  seen_higher: { type: "seen", epoch: epoch(6) },
  seen_same: { type: "seen", epoch: epoch(5) },
  seen_lower: { type: "seen", epoch: epoch(4) },
} as const satisfies Record<string, ShardEvent>;

const SAME = "same";
type Outcome = typeof SAME | `${ShardState["at"]}` | `owner ${number}` | `yielding ${number}`;

const TABLE: Record<ShardState["at"], Record<keyof typeof EVENTS, Outcome>> = {
  standby: {
    take: "taking",
    taken_higher: SAME,
    taken_same: SAME,
    taken_lower: SAME,
    failed: SAME,
    fenced: SAME,
    yield: SAME,
    yielded: SAME,
    seen_higher: SAME,
    seen_same: SAME,
    seen_lower: SAME,
  },
  taking: {
    take: SAME,
    taken_higher: "owner 6",
    taken_same: "owner 5",
    taken_lower: "owner 4",
    failed: "standby",
    fenced: SAME,
    yield: "standby",
    yielded: SAME,
    seen_higher: SAME,
    seen_same: SAME,
    seen_lower: SAME,
  },
  owner: {
    take: SAME,
    taken_higher: "owner 6",
    taken_same: SAME,
    taken_lower: SAME,
    failed: SAME,
    fenced: "standby",
    yield: "yielding 5",
    yielded: SAME,
    seen_higher: "standby",
    seen_same: SAME,
    seen_lower: SAME,
  },
  yielding: {
    take: SAME,
    taken_higher: SAME,
    taken_same: SAME,
    taken_lower: SAME,
    failed: SAME,
    fenced: "standby",
    yield: SAME,
    yielded: "standby",
    seen_higher: "standby",
    seen_same: SAME,
    seen_lower: SAME,
  },
};

const shown = (state: ShardState): string =>
  "epoch" in state ? `${state.at} ${state.epoch}` : state.at;

describe("the life of a shard on a node", () => {
  for (const [at, row] of Object.entries(TABLE)) {
    for (const [name, outcome] of Object.entries(row)) {
      it(`${at} on ${name}: ${outcome}`, () => {
        const state = STATES[at as ShardState["at"]];
        const next = nextShardState(state, EVENTS[name as keyof typeof EVENTS]);
        if (outcome === SAME) expect(next).toBe(state);
        else expect(shown(next)).toBe(outcome);
      });
    }
  }
});

describe("ownership", () => {
  const [ONE, TWO] = [1 as ShardId, 2 as ShardId];
  type Owner = { readonly shard: ShardId; readonly epoch: Epoch; readonly node: string };
  const drive = (
    take: (
      node: string,
      expected: ReadonlyMap<ShardId, Epoch | 0>,
    ) => Promise<ReadonlyMap<ShardId, Epoch>>,
    owners: Owner[] = [],
  ) => {
    const looks = { count: 0 };
    const listening = new Set<ShardId>();
    const following = new Set<ShardId>();
    const lost: ShardId[] = [];
    const writes: (readonly [ShardId, Epoch])[] = [];
    const ownership = new Ownership({
      node: "node_x",
      store: {
        takeShards: take,
        shardOwners: () => {
          looks.count += 1;
          return Promise.resolve(owners);
        },
        write: (_write, shard, epochOfWrite) => {
          writes.push([shard, epochOfWrite]);
          return Promise.resolve({ outcome: "recorded" });
        },
      },
      listen: (shard) => {
        listening.add(shard);
        return () => void listening.delete(shard);
      },
      follow: (shard) => {
        following.add(shard);
        return () => void following.delete(shard);
      },
      onLost: (shard) => void lost.push(shard),
    });
    ownership.followAll([ONE, TWO]);
    return { ownership, listening, following, lost, writes, looks };
  };
  const write = { kind: "shift", courier: "cur_1", online: true } as never;

  it("listens only on what it owns, and no more after it was fenced", async () => {
    const { ownership, listening, lost } = drive(() => Promise.resolve(new Map([[ONE, epoch(7)]])));
    await ownership.take([ONE, TWO]);
    expect(listening.size).toBe(0);
    ownership.listen([ONE, TWO]);
    expect([...listening]).toEqual([ONE]);
    ownership.fenced(ONE);
    expect(listening.size).toBe(0);
    expect(lost).toEqual([ONE]);
    expect(ownership.owned()).toEqual([]);
  });

  it("writes under its epoch, while it yields too, and never without one", async () => {
    const { ownership, writes } = drive(() => Promise.resolve(new Map([[ONE, epoch(7)]])));
    await ownership.take([ONE]);
    await ownership.write(write, ONE);
    ownership.yield([ONE]);
    await ownership.write(write, ONE);
    expect(await ownership.write(write, TWO)).toEqual({ outcome: "fenced" });
    expect(writes).toEqual([
      [ONE, 7],
      [ONE, 7],
    ]);
  });

  it("has taken nothing when the store was away", async () => {
    const { ownership } = drive(() => Promise.reject(new DispatchError("unavailable")));
    await expect(ownership.take([ONE])).rejects.toThrow(DispatchError);
    expect(ownership.epochOf(ONE)).toBeNull();
  });

  it("reads the epochs again where somebody else was faster, and then takes by them", async () => {
    const expected: (Epoch | 0 | undefined)[] = [];
    const owners: Owner[] = [{ shard: TWO, epoch: epoch(9), node: "node_y" }];
    const { ownership, looks } = drive((_, asked) => {
      expected.push(asked.get(TWO));
      return Promise.resolve(new Map([[ONE, epoch(7)]]));
    }, owners);
    expect(await ownership.take([ONE, TWO])).toEqual([ONE]);
    expect([looks.count, ownership.knownEpoch(TWO), ownership.stateOf(TWO).at]).toEqual([
      ...[1, 9, "standby"],
    ]);
    await ownership.take([TWO]);
    expect(expected).toEqual([0, 9]);
    expect(await ownership.take([ONE])).toEqual([ONE]);
  });

  it("gives none that was taken from it again while it read", async () => {
    const owners: Owner[] = [{ shard: ONE, epoch: epoch(8), node: "node_y" }];
    const { ownership, lost } = drive(() => Promise.resolve(new Map([[ONE, epoch(7)]])), owners);
    expect(await ownership.take([ONE, TWO])).toEqual([]);
    expect([lost, ownership.owned()]).toEqual([[ONE], []]);
  });

  it("is free to take again what it could not take, and ends every subscription at its end", async () => {
    let isAway = true;
    const { ownership, listening, following } = drive(() =>
      isAway
        ? Promise.reject(new DispatchError("unavailable"))
        : Promise.resolve(new Map([[ONE, epoch(7)]])),
    );
    await expect(ownership.take([ONE])).rejects.toThrow(DispatchError);
    expect(ownership.stateOf(ONE).at).toBe("standby");
    isAway = false;
    expect(await ownership.take([ONE])).toEqual([ONE]);
    ownership.listen([ONE]);
    ownership.close();
    expect([listening.size, following.size]).toEqual([0, 0]);
  });

  it("follows what it does not own, and only that (O3)", async () => {
    const { ownership, following } = drive(() => Promise.resolve(new Map([[ONE, epoch(7)]])));
    expect([...following]).toEqual([ONE, TWO]);
    await ownership.take([ONE, TWO]);
    expect([...following]).toEqual([TWO]);
    ownership.yield([ONE]);
    ownership.yielded([ONE]);
    expect(following).toEqual(new Set([ONE, TWO]));
  });

  it("believes who acts under a higher epoch, and nobody under a lower one", async () => {
    const { ownership, lost } = drive(() => Promise.resolve(new Map([[ONE, epoch(7)]])));
    await ownership.take([ONE]);
    expect(ownership.see(ONE, epoch(6))).toBe(false);
    expect(ownership.owns(ONE)).toBe(true);
    expect(ownership.see(ONE, epoch(8))).toBe(true);
    expect(ownership.owns(ONE)).toBe(false);
    expect(lost).toEqual([ONE]);
    expect(ownership.see(ONE, epoch(7))).toBe(false);
  });
});
