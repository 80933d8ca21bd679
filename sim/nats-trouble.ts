/** The faults of a plan that are NATS's: credentials, disks, streams, consumers. */
import type { StreamKey } from "../proto/subjects.ts";
import { STREAMS } from "../proto/subjects.ts";
import type { FakeNats } from "./fake-nats.ts";
import type { Fault } from "./faults.ts";
import type { Place } from "./place.ts";
import type { Promises } from "./promises.ts";

export type NatsTroubleTargets = {
  readonly nats: FakeNats;
  readonly places: readonly Place[];
  readonly promises: Pick<Promises, "lose">;
  /** Undone when the fault is over; gives true. */
  readonly later: (undo: () => void) => boolean;
};

const KEYS = Object.keys(STREAMS) as StreamKey[];
/** A server that is started again is away for so long. */
const RESTART_MS = 300;
const ALL_RATE = 0.5;

const nth = <T>(items: readonly T[], n: number): T => items[n % items.length] as T;

/** False when there was nobody to strike. */
export function beginNatsTrouble({ kind, target, chance }: Fault, to: NatsTroubleTargets): boolean {
  const { nats, places, promises, later } = to;
  switch (kind) {
    case "nats_credentials": {
      const refused = chance < ALL_RATE ? places : [nth(places, target)];
      for (const { name } of refused) nats.refuse(name);
      return later(() => {
        for (const { name } of refused) nats.reconnectSpread(name);
      });
    }
    case "nats_closed":
      return nats.closeUnasked(nth(places, target).name);
    case "streams_lost":
      // What was told to that disk and to nobody else is lost with it.
      promises.lose(nats.streams.intake.waitingIds());
      nats.streams.loseAll();
      restartServer(to);
      return true;
    case "stream_wedged": {
      // All that lie on that disk, or one whose own limit is met.
      const wedged = (chance < ALL_RATE ? KEYS : [nth(KEYS, target)]).map((k) =>
        nats.streams.get(k),
      );
      for (const stream of wedged) stream.wedge();
      // There is room again, and somebody starts the server anew.
      return later(() => {
        for (const stream of wedged) stream.unwedge();
        restartServer(to);
      });
    }
    case "jetstream_off":
      nats.streams.turnOff();
      return later(() => nats.streams.turnOn());
    case "consumer_gone":
      nats.streams.intake.loseConsumer();
      return true;
    default:
      throw new Error(`${kind} is no trouble of NATS`);
  }
}

function restartServer({ nats, places }: NatsTroubleTargets): void {
  for (const { name } of places) nats.goAway(name);
  nats.clock.after(RESTART_MS, () => {
    for (const { name } of places) nats.reconnectSpread(name);
  });
}
