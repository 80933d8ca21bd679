/**
 * One owner of one shard in one epoch, running the production actors in virtual time: mailbox -> step -> commit ->
 * effects -> alarm, in the order that `actors/actor.ts` promises. It is the host without I/O: a crash is simply that
 * nobody calls it any more, a zombie one that goes on although a newer epoch exists.
 */
import type { Actor, Effect, SearchQuery, SearchResult } from "../actors/actor.ts";
import { cellActor, emptyCell } from "../actors/cell.ts";
import { courierActor, emptyCourier } from "../actors/courier.ts";
import { deliveryActor } from "../actors/delivery.ts";
import { emptyDelivery } from "../actors/delivery-state.ts";
import type { CourierId, DeliveryId, Epoch, Millis, ShardId } from "../proto/ids.ts";
import type { DispatchSettings } from "../proto/limits.ts";
import type { CourierRecord } from "../proto/messages.ts";
import type { ActorKey, Kind, Posted } from "../proto/posts.ts";
import type { ActorWrite, WriteOutcome } from "../proto/writes.ts";
import type { SimClock } from "./clock.ts";

export type Reply = (code: string) => void;
type HostMessage = { readonly type: string };

export type RunPorts = {
  readonly clock: SimClock;
  readonly send: (post: Posted) => void;
  readonly search: (query: SearchQuery, now: Millis) => SearchResult;
  /** Calls `done` later, once; a store that is away is the port's business. */
  readonly write: (
    write: ActorWrite,
    shard: ShardId,
    epoch: Epoch,
    done: (outcome: WriteOutcome) => void,
  ) => void;
  /** The message that an actor is begun with; null when there is no such delivery or courier. */
  readonly load: (key: ActorKey) => HostMessage | null;
  readonly reload: (delivery: DeliveryId, tell: (message: HostMessage) => void) => void;
  readonly onIndex: (record: CourierRecord) => void;
  readonly onNotify: (effect: Extract<Effect, { do: "notify" }>) => void;
  readonly onStep: (run: ShardRun, key: ActorKey, message: HostMessage, resident: Resident) => void;
};

type Envelope = { readonly message: HostMessage; readonly reply: Reply | null };
export type Resident = {
  readonly key: ActorKey;
  // States and messages of three kinds of actor: what fits together is known where they are made.
  // oxlint-disable-next-line typescript/no-explicit-any
  readonly actor: Actor<any, any>;
  state: unknown;
  /** What the last step asked for. */
  effects: readonly Effect[];
  readonly mailbox: Envelope[];
  isWriting: boolean;
  alarmAt: Millis | null;
  /** Alarms in a row that were due at once. */
  hurries: number;
};

/** Steps of one actor without time passing: more is a loop that never ends. */
const STEPS_AT_ONCE_MAX = 1_000;
/** An actor whose deadline stays in the past would stop the time. */
const HURRIES_MAX = 100;

export class ShardRun {
  readonly shard: ShardId;
  readonly epoch: Epoch;
  readonly #settings: DispatchSettings;
  readonly #ports: RunPorts;
  readonly #residents = new Map<string, Resident>();
  #isAlive = true;

  constructor(shard: ShardId, epoch: Epoch, settings: DispatchSettings, ports: RunPorts) {
    this.shard = shard;
    this.epoch = epoch;
    this.#settings = settings;
    this.#ports = ports;
  }

  /** Everything in memory is gone. */
  stop(): void {
    this.#isAlive = false;
    this.#residents.clear();
  }

  residents(kind: Kind): readonly Resident[] {
    return [...this.#residents.values()].filter((resident) => resident.key.kind === kind);
  }

  deliver(key: ActorKey, message: HostMessage, reply: Reply | null = null): void {
    if (!this.#isAlive) return;
    const resident = this.#residents.get(`${key.kind} ${key.id}`) ?? this.#activate(key, message);
    if (resident === null) {
      reply?.("not_found");
      return;
    }
    resident.mailbox.push({ message, reply });
    this.#runAll(resident);
  }

  #activate(key: ActorKey, message: HostMessage): Resident | null {
    const resident = this.#residentOf(key);
    if (key.kind !== "cell" && message.type !== "created") {
      const loaded = this.#ports.load(key);
      if (loaded === null) return null;
      resident.mailbox.push({ message: loaded, reply: null });
    }
    this.#residents.set(`${key.kind} ${key.id}`, resident);
    return resident;
  }

  #residentOf(key: ActorKey): Resident {
    const more = { key, effects: [], mailbox: [], isWriting: false, alarmAt: null, hurries: 0 };
    switch (key.kind) {
      case "delivery":
        return {
          ...more,
          actor: deliveryActor(this.#settings),
          state: emptyDelivery(key.id as DeliveryId),
        };
      case "courier":
        return {
          ...more,
          actor: courierActor(this.#settings, this.epoch),
          state: emptyCourier(key.id as CourierId),
        };
      case "cell":
        return { ...more, actor: cellActor(), state: emptyCell(key.id) };
    }
  }

  #runAll(resident: Resident): void {
    for (let steps = 0; this.#isAlive && !resident.isWriting; steps++) {
      const envelope = resident.mailbox.shift();
      if (envelope === undefined) return this.#arm(resident);
      if (steps > STEPS_AT_ONCE_MAX) throw new Error(`${resident.key.id} does not come to rest`);
      this.#step(resident, envelope);
    }
  }

  #step(resident: Resident, { message, reply }: Envelope): void {
    const now = this.#ports.clock.now();
    const [next, ...effects] = resident.actor.step(resident.state, message, now);
    const commits = effects.filter((effect) => effect.do === "commit");
    if (commits.length > 1) throw new Error(`${resident.key.id} asked for two commits in a step`);
    const finish = (): void => {
      resident.state = next;
      resident.effects = effects;
      this.#ports.onStep(this, resident.key, message, resident);
      for (const effect of effects) this.#do(resident, effect, reply);
    };
    const [commit] = commits;
    if (commit === undefined) return finish();
    resident.isWriting = true;
    this.#ports.write(commit.write, this.shard, this.epoch, (outcome) => {
      if (!this.#isAlive) return;
      resident.isWriting = false;
      if (outcome.outcome === "fenced") return this.stop();
      if (outcome.outcome === "recorded") finish();
      else resident.mailbox.unshift(superseded(outcome.snapshot));
      this.#runAll(resident);
    });
  }

  #do(resident: Resident, effect: Effect, reply: Reply | null): void {
    const { key } = resident;
    switch (effect.do) {
      case "send":
        return this.#ports.send(effect.post);
      case "search": {
        const result = this.#ports.search(effect.query, this.#ports.clock.now());
        resident.mailbox.unshift({ message: candidates(result), reply: null });
        return;
      }
      case "reload":
        return this.#ports.reload(effect.delivery, (message) => this.deliver(key, message));
      case "notify":
        return this.#ports.onNotify(effect);
      case "index":
        return this.#ports.onIndex(effect.record);
      case "answer":
        return reply?.(effect.code);
      case "commit":
      case "ledger":
      case "history":
    }
  }

  #arm(resident: Resident): void {
    const due = resident.actor.deadline(resident.state);
    if (due === resident.alarmAt) return;
    resident.alarmAt = due;
    if (due === null) return;
    resident.hurries = due <= this.#ports.clock.now() ? resident.hurries + 1 : 0;
    if (resident.hurries > HURRIES_MAX) throw new Error(`${resident.key.id} is always due`);
    this.#ports.clock.at(due, () => {
      if (!this.#isAlive || resident.alarmAt !== due) return;
      resident.alarmAt = null;
      this.deliver(resident.key, { type: "woke" });
    });
  }
}

const superseded = (snapshot: unknown): Envelope => ({
  message: { type: "superseded", snapshot } as HostMessage,
  reply: null,
});

const candidates = (result: SearchResult): HostMessage =>
  ({ type: "candidates", result }) as HostMessage;
