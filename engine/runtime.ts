/**
 * A node without its process: wires host, ownership, router, replica, relay and the rest together
 * over given connections. The actors and the index come in as values (`Domain`), so that nothing
 * here knows what they mean. Bringing it up and down in order is `lifecycle.ts`.
 */
import type { SearchQuery, SearchResult } from "../actors/actor.ts";
import type { CellId, CourierId, DeliveryId, Epoch, Millis } from "../proto/ids.ts";
import type { NodeId, ShardId } from "../proto/ids.ts";
import { isDeliveryId } from "../proto/ids.ts";
import type { DeliveryEvent } from "../proto/events.ts";
import type { CourierRecord } from "../proto/messages.ts";
import type { ActorKey, Kind, Posted } from "../proto/posts.ts";
import type { ToDelivery } from "../proto/messages.ts";
import type { Status } from "../proto/status.ts";
import { subjectsFor } from "../proto/subjects.ts";
import type { Subjects } from "../proto/subjects.ts";
import { isRobot } from "../proto/test-mode.ts";
import type { CellsLog } from "./cells/reader.ts";
import type { Config } from "./config.ts";
import type { Digests } from "./cells/digests.ts";
import { EventPublisher } from "./streams/event-publisher.ts";
import type { FailureDetector } from "./cluster/failure-detector.ts";
import { Host } from "./host/host.ts";
import type { AnyActor, HostMessage, HostPorts, KindSpec } from "./host/ports.ts";
import type { Clock } from "./io/clock.ts";
import { errorFields } from "./io/log.ts";
import type { Log } from "./io/log.ts";
import { OutageLog } from "./io/outage-log.ts";
import type { Bus, BusMessage, Unsubscribe } from "./io/nats/nats.ts";
import type { Intake, IntakeQueue } from "./streams/intake.ts";
import { Ledger } from "./streams/ledger.ts";
import { OutboxRelay } from "./streams/outbox.ts";
import { Ownership } from "./cluster/ownership.ts";
import type { Positions } from "./cells/positions.ts";
import { Replica } from "./cells/replica.ts";
import type { FleetIndex } from "./cells/replica.ts";
import { Router } from "./cluster/router.ts";
import { makeDigests, makeFailureDetector, makeIntake, makePositions } from "./runtime-parts.ts";
import { makeSweep, searchWhileConnected } from "./runtime-parts.ts";
import type { RuntimeMetrics } from "./runtime-metrics.ts";
import { Sessions } from "./host/sessions.ts";
import { shardOfCourier } from "./cluster/shards.ts";
import type { Store } from "./store/port.ts";
import type { StreamKeeper } from "./streams/keeper.ts";
import { StreamPublisher } from "./streams/stream-publisher.ts";
import { BacklogWaker } from "./cells/backlog-waker.ts";
import type { Sweep } from "./upkeep/sweep.ts";
import { Tracks } from "./upkeep/tracks.ts";

/** The actors and what they share, as the composition root makes them. */
export type Domain = {
  readonly index: FleetIndex & { readonly forEach: (fn: (record: CourierRecord) => void) => void };
  readonly search: (query: SearchQuery, now: Millis) => SearchResult;
  readonly actors: Readonly<
    Record<
      Kind,
      {
        /** The actor for the owner of a shard under this epoch. */
        readonly actorFor: (epoch: Epoch) => AnyActor;
        readonly initial: (id: string) => unknown;
      }
    >
  >;
  /** Since when the oldest delivery of a cell's backlog waits, null when none does. */
  readonly oldestWaiting: (cell: unknown) => Millis | null;
};

export type RuntimeOptions = {
  readonly config: Config;
  readonly node: NodeId;
  readonly clock: Clock;
  readonly log: Log;
  readonly meters: RuntimeMetrics;
  readonly bus: Bus;
  readonly cells: CellsLog;
  readonly intake: IntakeQueue;
  readonly store: Store;
  readonly domain: Domain;
  /**
   * Makes sure of the streams where shard 0 is owned; without it, as in a simulation, nobody does.
   */
  readonly keeper?: Pick<StreamKeeper, "start" | "stop" | "nudge">;
};

/** Messages to a stream whose acks may be outstanding. */
const CELLS_OUTSTANDING_MAX = 1_000;
/** More than a thousand small messages a second: an ack for each would double the traffic. */
const CELLS_ACK_EVERY = 16;
const LEDGER_OUTSTANDING_MAX = 20_000;
/**
 * Longer than an ack ever takes; one under way when the stream's leader dies does not come at all.
 */
const EVENT_ACK_TIMEOUT_MS = 1_000;

export class Runtime {
  readonly options: RuntimeOptions;
  /** All of the cluster. */
  readonly shards: readonly ShardId[];
  readonly bus: Bus;
  readonly subjects: Subjects;
  readonly host: Host;
  readonly ownership: Ownership;
  readonly router: Router;
  readonly replica: Replica;
  readonly digests: Digests;
  readonly backlogWaker: BacklogWaker;
  readonly sessions: Sessions;
  readonly ledger: Ledger;
  readonly tracks: Tracks;
  readonly positions: Positions;
  readonly relay: OutboxRelay;
  readonly failureDetector: FailureDetector;
  readonly intake: Intake;
  readonly sweep: Sweep;
  /** Called with a shard whose batches have a gap. */
  onGap: (shard: ShardId) => void = () => undefined;
  /** Called when a shard was taken or lost. */
  onOwned: () => void = () => undefined;
  /** Takes shards, gives them up: `takeover.ts`. */
  onTake: (shards: readonly ShardId[]) => Promise<void> = () => Promise.resolve();
  onHandOver: (shards: readonly ShardId[]) => Promise<void> = () => Promise.resolve();

  readonly #outages: OutageLog;

  constructor(options: RuntimeOptions) {
    this.options = options;
    this.#outages = new OutageLog(options.log, options.clock);
    const { config, clock, node, store, meters, bus } = options;
    const { settings } = config;
    this.bus = bus;
    this.subjects = subjectsFor(config.natsPrefix);
    const { subjects } = this;

    this.shards = Array.from({ length: config.shards }, (_, shard) => shard as ShardId);
    this.ownership = new Ownership({
      node,
      store,
      listen: (shard) => this.#listen(shard),
      follow: (shard) => this.#follow(shard),
      onLost: (shard) => this.#lost(shard),
    });
    this.host = new Host(this.#hostPorts());
    this.router = new Router({
      clock,
      bus,
      subjects,
      shards: config.shards,
      shardResolution: settings.SHARD_RESOLUTION,
      owns: (shard) => this.ownership.epochOf(shard) !== null,
      see: ({ shard, epoch }) => this.#see(shard, epoch),
      deliver: (key, shard, message, reply) => this.host.deliver(key, shard, message, reply),
      onCount: meters.router,
    });
    this.backlogWaker = new BacklogWaker({
      clock,
      reachM: settings.WAVE_3_RADIUS_M,
      // Only to cells of this node: nothing leaves it.
      tell: (cell, msg) => this.router.send({ kind: "cell", id: cell, msg }, null),
    });
    this.replica = this.#makeReplica();
    this.digests = makeDigests(this);
    this.sessions = new Sessions({
      clock,
      bus,
      subjects,
      onDropped: (frames) => meters.framesDropped.inc(frames),
    });
    this.ledger = new Ledger({
      clock,
      subjects,
      publisher: new StreamPublisher(
        bus,
        clock,
        LEDGER_OUTSTANDING_MAX,
        meters.published("LEDGER"),
      ),
      onDropped: (lines) => meters.ledgerDropped.inc(lines),
    });
    this.tracks = new Tracks({
      store,
      onDropped: (rows) => meters.historyDropped.inc(rows),
      onFailed: this.failing("saving positions"),
    });
    this.positions = makePositions(this);
    this.relay = this.#makeRelay();
    this.failureDetector = makeFailureDetector(this);
    this.sweep = makeSweep(this);
    this.intake = makeIntake(this);
  }

  /** What is durable of an actor, as the message that begins it; null when there is nothing. */
  async load({ kind, id }: ActorKey): Promise<HostMessage | null> {
    const { store, domain } = this.options;
    if (kind === "delivery") {
      const snapshot = await store.snapshot(id as DeliveryId);
      return snapshot && { type: "resumed", snapshot };
    }
    if (kind === "cell") return null;
    const snapshot = await store.courierSnapshot(id as CourierId);
    const record = domain.index.get(id as CourierId);
    return snapshot && { type: "loaded", snapshot, record };
  }

  /** To an actor of this node, if it owns its shard. */
  tell(key: ActorKey, msg: HostMessage): void {
    const shard = this.router.shardOf(key.kind, key.id);
    if (shard !== null && this.ownership.epochOf(shard) !== null) {
      this.host.deliver(key, shard, msg);
    }
  }

  /** A message of an actor, with what its shard is owned under. */
  post(post: Posted, from: ShardId): void {
    const epoch = this.ownership.epochOf(from);
    if (epoch !== null) this.router.send(post, { shard: from, epoch });
  }

  /** Reads the epochs that others act under. */
  #see(shard: ShardId, epoch: Epoch): boolean {
    return shard < this.options.config.shards && this.ownership.see(shard, epoch);
  }

  #lost(shard: ShardId): void {
    this.options.log.debug({ shard }, "a shard is no longer ours");
    this.host.giveUp(shard);
    this.positions.forget(shard);
    this.onOwned();
  }

  #hostPorts(): HostPorts {
    const { clock, meters, domain, log } = this.options;
    return {
      clock,
      kinds: {
        delivery: this.#kind("delivery", "resumed", "created"),
        courier: this.#kind("courier", "loaded"),
        cell: {
          ...this.#kind("cell"),
          load: null,
          observe: (id, state) =>
            this.backlogWaker.backlog(
              id as CellId,
              state === null ? null : domain.oldestWaiting(state),
            ),
        },
      },
      write: async (write, shard) => {
        const end = meters.commits.startTimer();
        const outcome = await this.ownership.write(write, shard);
        end();
        return outcome;
      },
      send: (post, from) => this.post(post, from),
      search: searchWhileConnected(this.bus, domain.search),
      onLedger: (delivery, lines, now) => this.ledger.add(delivery, lines, now),
      onIndex: (record, shard) => {
        if (!isRobot(record.courier)) this.tracks.onRecord(record);
        this.replica.publish(record, shard);
        this.positions.moved(record.courier);
      },
      onNotify: (effect, shard) => {
        const epoch = this.ownership.epochOf(shard);
        if (epoch !== null) this.sessions.notify(effect, { shard, epoch });
      },
      onHistory: (effect) => {
        // What a robot pretends is no track that anybody looks up.
        if (!isRobot(effect.courier)) this.tracks.onHistory(effect);
      },
      onRecorded: (write) => {
        if (write.kind === "unfilled") this.relay.nudge();
      },
      onFenced: (shard) => this.ownership.fenced(shard),
      onCount: meters.host,
      onStep: meters.step,
      onTrouble: (what, at, error) => {
        if (what === "store_retry") {
          return this.#outages.tell(error, { ...at }, "an actor waits for the store");
        }
        const stack = what === "threw" && error instanceof Error ? { stack: error.stack } : {};
        log.error({ ...at, ...errorFields(error), ...stack }, `actor: ${what}`);
      },
    };
  }

  /** `begins`: the types of messages that need nothing loaded before them. */
  #kind(kind: Kind, ...begins: readonly string[]): KindSpec {
    const { actorFor, initial } = this.options.domain.actors[kind];
    return {
      actorFor: (shard) => {
        const epoch = this.ownership.epochOf(shard);
        if (epoch === null) throw new Error(`an actor of shard ${shard}, which is not ours`);
        return actorFor(epoch);
      },
      initial,
      begins: ({ type }) => begins.includes(type),
      load: (id) => this.load({ kind, id }),
    };
  }

  #makeReplica(): Replica {
    const { clock, node, config, domain, meters } = this.options;
    const counts = meters.published("CELLS");
    return new Replica({
      clock,
      node,
      subjects: this.subjects,
      publisher: new StreamPublisher(
        this.bus,
        clock,
        CELLS_OUTSTANDING_MAX,
        counts,
        CELLS_ACK_EVERY,
      ),
      index: domain.index,
      batchMs: config.settings.CELLS_BATCH_MS,
      epochOf: (shard) => this.ownership.epochOf(shard),
      see: (shard, epoch) => this.#see(shard, epoch),
      onApplied: (before, after, moved) => this.backlogWaker.onRecord(before, after, moved),
      onGap: (shard) => this.onGap(shard),
      onCount: meters.replica,
    });
  }

  #makeRelay(): OutboxRelay {
    const { clock, store, meters, keeper } = this.options;
    const failed = this.failing("publishing events");
    const publisher = new EventPublisher(this.bus, clock, EVENT_ACK_TIMEOUT_MS);
    return new OutboxRelay({
      clock,
      store,
      subjects: this.subjects,
      publish: publisher.publish.bind(publisher),
      onPublished: (event) => {
        meters.events.inc();
        this.#hint(event);
      },
      onFailed: (error) => {
        failed(error);
        keeper?.nudge(); // Perhaps there is no such stream.
      },
    });
  }

  /**
   * An event tells the delivery's actor what it may have missed; where it has not, nothing changes.
   */
  #hint(event: DeliveryEvent): void {
    const id = event.delivery_id;
    if (!isDeliveryId(id)) return;
    // It was told of the create, or it is resumed now: a first message loads the row.
    if (event.type === "created" && this.host.has("delivery", id)) return;
    const changed: ToDelivery = {
      type: "changed",
      version: event.number,
      status: event.status as Status,
      courier: event.courier_id as CourierId | null,
      at: Date.parse(event.at),
      reason: event.reason,
    };
    this.router.send({ kind: "delivery", id, msg: changed }, null);
  }

  /** The subjects of one owned shard. */
  #listen(shard: ShardId): Unsubscribe {
    const { bus, subjects } = this;
    const subscriptions = [
      bus.subscribe(subjects.shard(shard), (incoming) => this.router.receive(shard, incoming)),
      bus.subscribe(subjects.watch(shard), (incoming) => this.positions.onWatch(shard, incoming)),
      bus.subscribe(subjects.where(shard), (incoming) => this.positions.onWhere(incoming)),
      bus.subscribe(subjects.snapshot(shard), (incoming) => this.#onSnapshot(shard, incoming)),
    ];
    return () => subscriptions.forEach((unsubscribe) => unsubscribe());
  }

  /** The cells of a shard that another node owns. */
  #follow(shard: ShardId): Unsubscribe {
    return this.bus.subscribe(this.subjects.cells(shard), ({ data }) => this.replica.receive(data));
  }

  #onSnapshot(shard: ShardId, incoming: BusMessage): void {
    const { domain, config } = this.options;
    const records: CourierRecord[] = [];
    domain.index.forEach((record) => {
      if (shardOfCourier(record.courier, config.shards) === shard) records.push(record);
    });
    const answer = this.replica.snapshot(shard, records);
    if (answer !== null) incoming.respond(answer);
  }

  /** For the log: what failed and is repeated. */
  failing(what: string): (error: unknown) => void {
    return (error) => this.#outages.tell(error, {}, `${what} failed; it is repeated`);
  }
}
