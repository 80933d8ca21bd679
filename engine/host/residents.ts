/**
 * The actors in memory: by kind and id, those that are parked, and a walk that finds idle ones a
 * few at a time, because a million actors cannot be looked at in one go. Knows nothing of steps.
 */
import type { Millis, ShardId } from "../../proto/ids.ts";
import type { ActorKey, Kind } from "../../proto/posts.ts";
import type { Alarmed } from "./alarms.ts";
import type { AnyActor, HostMessage, KindSpec, Reply } from "./ports.ts";
import type { Mailbox } from "./mailbox.ts";

export type Request = { readonly reply: Reply; answered: boolean };
export type Envelope = { readonly message: HostMessage; readonly request: Request | null };

/** One actor in memory. */
export type Resident = Alarmed & {
  readonly kind: Kind;
  readonly id: string;
  readonly shard: ShardId;
  readonly actor: AnyActor;
  readonly mailbox: Mailbox<Envelope>;
  state: unknown;
  mode: "loading" | "ready" | "committing" | "parked" | "gone";
  /** In which of the host's run queues it stands. A leftover in the other one is passed over. */
  queued: "no" | "new" | "begun";
  /** A wake-up stands in its mailbox. */
  wokeQueued: boolean;
  /** Its row is being read again at its own wish. */
  reloading: boolean;
  lastAt: Millis;
};

/** Nothing queued, being loaded or being written. */
const isAtRest = ({ mode, mailbox }: Resident): boolean =>
  mode === "parked" || mode === "gone" || (mode === "ready" && mailbox.size === 0);

export class Residents {
  readonly #byKind: Readonly<Record<Kind, Map<string, Resident>>> = {
    delivery: new Map(),
    courier: new Map(),
    cell: new Map(),
  };
  readonly #parked = new Set<Resident>();

  get(kind: Kind, id: string): Resident | undefined {
    return this.#byKind[kind].get(id);
  }

  add(
    key: ActorKey,
    shard: ShardId,
    spec: KindSpec,
    mailbox: Mailbox<Envelope>,
    now: Millis,
  ): Resident {
    const resident: Resident = {
      kind: key.kind,
      id: key.id,
      shard,
      actor: spec.actorFor(shard),
      mailbox,
      state: spec.initial(key.id),
      mode: "ready",
      queued: "no",
      wokeQueued: false,
      reloading: false,
      lastAt: now,
      alarmAt: 0,
      alarmOrder: 0,
      alarmSlot: -1,
    };
    this.#byKind[key.kind].set(key.id, resident);
    return resident;
  }

  remove(resident: Resident): void {
    this.#byKind[resident.kind].delete(resident.id);
    this.#parked.delete(resident);
  }

  count(kind: Kind): number {
    return this.#byKind[kind].size;
  }

  total(): number {
    return this.count("delivery") + this.count("courier") + this.count("cell");
  }

  setParked(resident: Resident, isParked: boolean): void {
    if (isParked) this.#parked.add(resident);
    else this.#parked.delete(resident);
  }

  parked(): readonly ActorKey[] {
    return [...this.#parked].map(({ kind, id }) => ({ kind, id }));
  }

  /** All actors of a shard; a walk over everything, for the rare hand-over. */
  ofShard(shard: ShardId): readonly Resident[] {
    return [...this.all()].filter((resident) => resident.shard === shard);
  }

  /** Those of these shards in which an actor has something to do. */
  restlessIn(shards: ReadonlySet<ShardId>): ReadonlySet<ShardId> {
    const restless = new Set<ShardId>();
    for (const resident of this.all()) {
      if (shards.has(resident.shard) && !isAtRest(resident)) restless.add(resident.shard);
    }
    return restless;
  }

  *all(): Generator<Resident> {
    for (const residents of Object.values(this.#byKind)) yield* residents.values();
  }
}

/**
 * How many actors one call looks at: a million are seen within two minutes at one call a second.
 */
const LOOKED_AT_PER_CALL = 10_000;

/** Finds actors without a message for a while, going round and round. */
export class IdleSweep {
  readonly #residents: Residents;
  readonly #idleMs: number;
  #walk: Iterator<Resident> | null = null;

  constructor(residents: Residents, idleMs: number) {
    this.#residents = residents;
    this.#idleMs = idleMs;
  }

  /** Idle actors among the next few; whether they may go is for them to say. */
  next(now: Millis): readonly Resident[] {
    const idle: Resident[] = [];
    this.#walk ??= this.#residents.all();
    for (let i = 0; i < LOOKED_AT_PER_CALL; i++) {
      const { value, done } = this.#walk.next();
      if (done === true) {
        this.#walk = null;
        break;
      }
      if (this.#isIdle(value, now)) idle.push(value);
    }
    return idle;
  }

  #isIdle(resident: Resident, now: Millis): boolean {
    return (
      resident.mode === "ready" &&
      resident.queued === "no" &&
      resident.mailbox.size === 0 &&
      now - resident.lastAt >= this.#idleMs
    );
  }
}
