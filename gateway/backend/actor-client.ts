/**
 * Messages from this gateway to actors, by the shard that their id says. `tell` may be lost and
 * says so in its name's contract: what it reports is already committed, and the relay and the sweep
 * repeat it (decision 0003). `ask` is for what is not in the database: it is answered, or fails
 * visibly.
 */
import { BusError } from "../../engine/io/nats/nats.ts";
import { shardOfCourier } from "../../engine/cluster/shards.ts";
import { DispatchError, ERRORS } from "../../proto/errors.ts";
import type { ErrorCode } from "../../proto/errors.ts";
import { shardOfDelivery } from "../../proto/ids.ts";
import type { CourierId, DeliveryId, ShardId } from "../../proto/ids.ts";
import { streamMessages } from "../../proto/messages.ts";
import { encodePosts } from "../../proto/posts.ts";
import type { CourierRecord, StreamMessageOf, ToCourier } from "../../proto/messages.ts";
import type { Posted } from "../../proto/posts.ts";
import type { ToDelivery } from "../../proto/messages.ts";
import type { Deps } from "../base/deps.ts";

export type ActorClient = {
  readonly tellDelivery: (id: DeliveryId, msg: ToDelivery) => void;
  readonly tellCourier: (id: CourierId, msg: ToCourier) => void;
  /** Several messages for one shard in one. False when NATS is away. */
  readonly tellShard: (shard: ShardId, posts: readonly Posted[]) => boolean;
  /**
   * Rejects with the code of the actor's answer, or `unavailable` when there is none within 2.5 s:
   * longer than a takeover.
   */
  readonly ask: (post: Posted, shard: ShardId) => Promise<StreamMessageOf<"answer">>;
  /**
   * The record of a courier at its owner; `unknown`: the owner has none; `unreachable`: nobody
   * answered in time.
   */
  readonly where: (courier: CourierId) => Promise<CourierRecord | "unknown" | "unreachable">;
  /** The records of all couriers, from whichever nodes answer in time. */
  readonly fleet: () => Promise<readonly CourierRecord[]>;
  readonly nudgeOutbox: () => void;
};

const ASK_BUDGET_MS = 2_500;
const ASK_ATTEMPT_MS = 500;
const ASK_PAUSE_MS = 100;
const WHERE_TIMEOUT_MS = 200;
/** The relay looks no more often than that, so more nudges would say nothing. */
const OUTBOX_NUDGE_GAP_MS = 20;
const FLEET_WAIT_MS = 300;
const FLEET_NODES_MAX = 64;
const FLEET_COURIERS_MAX = 50_000;
const NOTHING = new Uint8Array(0);

export function createActorClient(
  deps: Pick<Deps, "bus" | "subjects" | "clock" | "config" | "metrics">,
): ActorClient {
  const { bus, subjects, clock, config, metrics } = deps;
  const tell = (shard: ShardId, posts: readonly Posted[]): boolean => {
    const isSent = bus.publish(subjects.shard(shard), encodePosts(posts));
    if (!isSent) metrics.unsaid.inc(posts.length);
    return isSent;
  };
  const pause = (): Promise<void> =>
    new Promise((resolve) => clock.after(ASK_PAUSE_MS, () => resolve()));

  return {
    tellDelivery: (id, msg) => void tell(shardOfDelivery(id), [{ kind: "delivery", id, msg }]),
    tellCourier: (id, msg) =>
      void tell(shardOfCourier(id, config.shards), [{ kind: "courier", id, msg }]),
    tellShard: tell,
    nudgeOutbox: outboxNudge(deps),

    async ask(post, shard) {
      const deadline = clock.now() + ASK_BUDGET_MS;
      const bytes = encodePosts([post]);
      for (;;) {
        try {
          const leftMs = Math.max(1, deadline - clock.now());
          const timeoutMs = Math.min(ASK_ATTEMPT_MS, leftMs);
          return answerOf(await bus.request(subjects.shard(shard), bytes, timeoutMs));
        } catch (error) {
          // A shard between two owners is silent for a moment; every question may be asked twice.
          if (!(error instanceof BusError)) throw error;
          if (error.reason === "disconnected" || clock.now() + ASK_PAUSE_MS >= deadline) {
            throw new DispatchError("unavailable", undefined, { cause: error });
          }
        }
        await pause();
      }
    },

    async where(courier) {
      const question = streamMessages.encode({ type: "where", courier });
      const subject = subjects.where(shardOfCourier(courier, config.shards));
      try {
        const records = recordsOf(await bus.request(subject, question, WHERE_TIMEOUT_MS));
        return records.find((record) => record.courier === courier) ?? "unknown";
      } catch (error) {
        if (error instanceof BusError) return "unreachable";
        throw error;
      }
    },

    async fleet() {
      const question = streamMessages.encode({ type: "fleet", limit: FLEET_COURIERS_MAX });
      const options = { waitMs: FLEET_WAIT_MS, max: FLEET_NODES_MAX };
      try {
        return (await bus.requestMany(subjects.fleet, question, options)).flatMap(recordsOf);
      } catch (error) {
        if (error instanceof BusError) return [];
        throw error;
      }
    },
  };
}

function outboxNudge({ bus, subjects, clock }: Pick<Deps, "bus" | "subjects" | "clock">) {
  let nudgedAt = -Infinity;
  let isDue = false;
  const nudge = (): void => {
    isDue = false;
    nudgedAt = clock.now();
    bus.publish(subjects.outbox, NOTHING);
  };
  return (): void => {
    if (isDue) return;
    const inMs = nudgedAt + OUTBOX_NUDGE_GAP_MS - clock.now();
    if (inMs <= 0) return nudge();
    isDue = true;
    clock.after(inMs, nudge);
  };
}

function answerOf(bytes: Uint8Array): StreamMessageOf<"answer"> {
  const answer = streamMessages.decode(bytes);
  if (answer?.type !== "answer") throw new Error("an actor's answer could not be read");
  if (answer.code === "ok") return answer;
  if (!Object.hasOwn(ERRORS, answer.code)) throw new Error(`unknown code "${answer.code}"`);
  throw new DispatchError(answer.code as ErrorCode);
}

function recordsOf(bytes: Uint8Array): readonly CourierRecord[] {
  const part = streamMessages.decode(bytes);
  return part?.type === "fleet_part" ? part.records : [];
}
