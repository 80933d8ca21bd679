/**
 * A city in one process: the production actors of all shards, a fake store, a lossy network, couriers and customers, all
 * from one seed and in virtual time. Two runs of a seed give the same log, byte for byte. A world is first run with
 * faults, then without them until everything has come to rest; the checks watch throughout.
 */
import { createHash } from "node:crypto";
import type { Effect } from "../actors/actor.ts";
import { CellIndex } from "../actors/cell-index.ts";
import type { Courier } from "../actors/courier-state.ts";
import { cellCentre, distanceM } from "../actors/geo.ts";
import { createSearch } from "../actors/matching.ts";
import type { CellId, CourierId, DeliveryId, Epoch, Millis } from "../proto/ids.ts";
import type { SessionId, ShardId } from "../proto/ids.ts";
import type { DeliveryEvent } from "../proto/events.ts";
import type { CourierRecord } from "../proto/messages.ts";
import type { ActorKey, Posted } from "../proto/posts.ts";
import type { ActorWrite, WriteOutcome } from "../proto/writes.ts";
import type { DeliveryRow } from "../engine/store/port.ts";
import { Checks } from "./checks.ts";
import { OWNER, PROMOTE_MS, SHARDS, SIM_SETTINGS, STORE_MS } from "./city.ts";
import { TELL_AGAIN_MS, VEHICLES, createOf, hashOf, placeIn, shardOf } from "./city.ts";
import { SimClock } from "./clock.ts";
import { CourierApp } from "./courier-app.ts";
import type { Doors } from "./courier-app.ts";
import { openedOf, pingOf, wordOf } from "./drive.ts";
import { FakeStore } from "./fake-store.ts";
import { NO_FAULTS, drawFaults } from "./faults.ts";
import type { Faults } from "./faults.ts";
import { SeededRandom } from "./random.ts";
import { ShardRun } from "./shard-run.ts";
import type { Reply, RunPorts } from "./shard-run.ts";

export type WorldOptions = {
  readonly seed: number;
  readonly couriers?: number;
  /** Mean time between two creates. */
  readonly createEveryMs?: number;
  readonly faults?: Faults;
  /** Keep the log's lines, not only their digest. */
  readonly keepLog?: boolean;
};

const START: Millis = 1_700_000_000_000;
/** A walker may have an hour to go. */
const REST_MAX_MIN = 120;

export class World {
  readonly seed: number;
  readonly faultsDrawn: Faults;
  readonly clock = new SimClock(START);
  readonly store = new FakeStore(() => this.clock.now());
  readonly checks = new Checks(this.store, SIM_SETTINGS);
  readonly log: string[] = [];
  readonly history: DeliveryEvent[] = [];
  /** For the report. */
  readonly counts = { messages: 0, lost: 0, commits: 0, takeovers: 0, offers: 0, replaced: 0 };
  #faults: Faults;
  readonly #keepLog: boolean;
  readonly #digest = createHash("sha256");
  /** Streams of their own, so that what one draws does not shift the others. */
  readonly #chance: { readonly network: SeededRandom; readonly city: SeededRandom };
  readonly #index = new CellIndex({
    resolution: SIM_SETTINGS.CELL_RESOLUTION,
    capacityCouriers: 10_000,
  });
  readonly #search = createSearch(this.#index, {
    staleMs: SIM_SETTINGS.STALE_MS,
    candidatesMax: SIM_SETTINGS.CANDIDATES_MAX,
    travelS: (_, from, to) => distanceM(from, to) / 5,
  });
  readonly #runs = new Map<ShardId, ShardRun>();
  readonly #apps = new Map<CourierId, CourierApp>();
  #deliveries = 0;
  #isOpen = true;

  constructor(options: WorldOptions) {
    this.seed = options.seed;
    this.#keepLog = options.keepLog ?? false;
    this.#chance = {
      network: new SeededRandom(options.seed * 2 + 1),
      city: new SeededRandom(options.seed * 2),
    };
    this.faultsDrawn = options.faults ?? drawFaults(this.#chance.network);
    this.#faults = this.faultsDrawn;
    for (let shard = 0; shard < SHARDS; shard++) this.#take(shard as ShardId);
    for (let n = 0; n < (options.couriers ?? 200); n++) this.#addCourier(n);
    this.#createLater(options.createEveryMs ?? 2_000);
    this.#sweepLater();
    this.#killLater();
  }

  /** Runs with faults and customers. */
  run(ms: number): void {
    this.clock.advance(ms);
  }

  /** No more faults, no more customers; then long enough for everything to end. Throws where it did not. */
  settle(): void {
    this.#isOpen = false;
    this.#faults = NO_FAULTS;
    for (let minute = 0; minute < REST_MAX_MIN && !this.checks.isOver(); minute++) {
      this.clock.advance(60_000);
    }
    this.clock.advance(3 * SIM_SETTINGS.REMIND_MS);
    const runs = [...this.#runs.values()];
    const couriers = runs.flatMap((run) => run.residents("courier").map((r) => r.state as Courier));
    const cells = runs.flatMap((run) => run.residents("cell").map((r) => r.state));
    const backlog = cells.filter((cell) => (cell as { at: string }).at === "backlog").length;
    this.checks.atRest(couriers, backlog);
    this.checks.atEnd(this.history);
  }

  /** Of the whole log so far. */
  digest(): string {
    return this.#digest.copy().digest("hex");
  }

  #write(line: string): void {
    const text = `${this.clock.now() - START} ${line}\n`;
    this.#digest.update(text);
    if (this.#keepLog) this.log.push(text);
  }

  /* Owners. */

  #take(shard: ShardId): void {
    const known = this.store.shardOwners().find((owner) => owner.shard === shard)?.epoch ?? 0;
    const epoch = this.store.takeShards("node", new Map([[shard, known]])).get(shard);
    if (epoch === undefined) throw new Error("a shard was not taken");
    this.checks.taken(shard, epoch);
    this.#write(`shard ${shard} is owned in epoch ${epoch}`);
    const run = new ShardRun(shard, epoch, SIM_SETTINGS, this.#ports());
    this.#runs.set(shard, run);
    for (const snapshot of this.store.openDeliveries([shard], "", 10_000)) {
      run.deliver({ kind: "delivery", id: snapshot.job.id }, {
        type: "resumed",
        snapshot,
      } as never);
    }
    for (const { courier } of this.store.courierSnapshots([shard], "", 10_000)) {
      run.deliver({ kind: "courier", id: courier }, { type: "woke" });
      const app = this.#apps.get(courier);
      if (app !== undefined) this.#announce(app);
    }
  }

  #killLater(): void {
    const { network } = this.#chance;
    if (this.#faults.ownerDiesMs === Infinity) return;
    this.clock.after(network.between(0.5, 1.5) * this.#faults.ownerDiesMs, () => {
      if (!this.#isOpen) return;
      const shard = network.whole(0, SHARDS - 1) as ShardId;
      const old = this.#runs.get(shard);
      const isZombie = network.chance(0.5);
      this.counts.takeovers += 1;
      this.#write(`owner of shard ${shard} ${isZombie ? "is cut off" : "dies"}`);
      this.#runs.delete(shard);
      if (!isZombie) old?.stop();
      else this.clock.after(5_000, () => old?.stop());
      this.clock.after(PROMOTE_MS, () => this.#take(shard));
      this.#killLater();
    });
  }

  #sweepLater(): void {
    this.clock.after(SIM_SETTINGS.SWEEP_MS, () => {
      for (const [shard, run] of this.#runs) {
        for (const snapshot of this.store.due([shard], this.clock.now(), 1_000)) {
          const key = { kind: "delivery", id: snapshot.job.id } as const;
          run.deliver(key, { type: "resumed", snapshot } as never);
        }
      }
      this.#publish();
      this.#sweepLater();
    });
  }

  #ports(): RunPorts {
    return {
      clock: this.clock,
      send: (post) => this.#send(post),
      search: (query, now) => this.#search(query, now),
      write: (write, shard, epoch, done) => this.#commit(write, shard, epoch, done),
      load: (key) => this.#load(key),
      reload: (id, tell) =>
        this.clock.after(STORE_MS, () => {
          const snapshot = this.store.snapshot(id);
          if (snapshot !== null) tell({ type: "resumed", snapshot } as never);
        }),
      onIndex: (record) => this.clock.after(SIM_SETTINGS.CELLS_BATCH_MS, () => this.#fold(record)),
      onNotify: (effect) => this.#notify(effect),
      onStep: (run, key, message, resident) => {
        const { at } = resident.state as { at: string };
        const words = resident.effects.map(wordOf).join(", ");
        this.#write(`${run.shard}.${run.epoch} ${key.id} <- ${message.type} = ${at}: ${words}`);
        if (key.kind !== "courier") return;
        this.checks.courierStepped(resident.state as Courier, this.clock.now());
      },
    };
  }

  #load(key: ActorKey): { type: string } | null {
    if (key.kind === "delivery") {
      const snapshot = this.store.snapshot(key.id as DeliveryId);
      return snapshot === null ? null : ({ type: "resumed", snapshot } as never);
    }
    const snapshot = this.store.courierSnapshot(key.id as CourierId);
    const record = this.#index.get(key.id as CourierId);
    return snapshot === null ? null : ({ type: "loaded", snapshot, record } as never);
  }

  /** A commit takes milliseconds; a lost answer makes the owner write again, as the engine's store does. */
  #commit(
    write: ActorWrite,
    shard: ShardId,
    epoch: Epoch,
    done: (outcome: WriteOutcome) => void,
  ): void {
    const { network } = this.#chance;
    this.clock.after(network.between(1, 2 * STORE_MS), () => {
      const outcome = this.store.write(write, shard, epoch);
      this.counts.commits += 1;
      this.checks.wrote(shard, epoch, outcome);
      this.#publish();
      const isLost = network.chance(this.#faults.answerLostRate);
      if (isLost) this.clock.after(50, () => this.#commit(write, shard, epoch, done));
      else this.clock.after(1, () => done(outcome));
    });
  }

  /* The network. */

  #send(post: Posted, reply: Reply | null = null): void {
    const { network } = this.#chance;
    const { lostRate, twiceRate, slowRate } = this.#faults;
    this.counts.messages += 1;
    if (post.msg.type === "offer") this.counts.offers += 1;
    const copies = network.chance(lostRate) ? 0 : network.chance(twiceRate) ? 2 : 1;
    if (copies === 0) this.counts.lost += 1;
    for (let copy = 0; copy < copies; copy++) {
      const delayMs = network.chance(slowRate) ? network.between(50, 2_000) : network.between(0, 5);
      this.clock.after(delayMs, () => {
        const key = { kind: post.kind, id: post.id } as ActorKey;
        this.#runs.get(shardOf(key))?.deliver(key, post.msg, reply);
      });
    }
  }

  /** What all nodes fold; a courier who gained a slot or entered a cell is news for the backlogs within reach. */
  #fold(record: CourierRecord): void {
    const before = this.#index.get(record.courier);
    const cellBefore = this.#index.cellOfCourier(record.courier);
    if (!this.#index.upsert(record) || record.slots === 0 || record.at === 0) return;
    const isNews =
      record.slots !== before?.slots || cellBefore !== this.#index.cellOfCourier(record.courier);
    if (!isNews) return;
    for (const run of this.#runs.values()) {
      for (const { state, key } of run.residents("cell")) {
        const isNear =
          distanceM(cellCentre(key.id as CellId), record) <= SIM_SETTINGS.WAVE_3_RADIUS_M;
        if ((state as { at: string }).at !== "backlog" || !isNear) continue;
        const { courier, vehicle } = record;
        this.#send({ kind: "cell", id: key.id, msg: { type: "free", courier, vehicle } });
      }
    }
  }

  #notify({ session, frame }: Extract<Effect, { do: "notify" }>): void {
    const app = this.#apps.get(session.slice(0, session.lastIndexOf("-")) as CourierId);
    this.clock.after(this.#chance.network.between(1, 50), () => app?.receive(session, frame));
  }

  /** The outbox relay: events are checked in order, and told to their delivery once more (decision 0003). */
  #publish(): void {
    const rows = this.store.outboxBatch(1_000);
    this.store.outboxDone(rows.map((row) => row.event.id));
    for (const { event } of rows) {
      this.checks.event(event);
      this.history.push(event);
      if (event.type === "reassigned") this.counts.replaced += 1;
      this.#write(`event ${event.delivery_id} ${event.number} ${event.type} ${event.courier_id}`);
      this.clock.after(TELL_AGAIN_MS, () => this.#tell(event));
    }
  }

  #tell(event: Pick<DeliveryEvent, "delivery_id" | "number" | "status" | "courier_id">): void {
    if (event.status === "pending") return;
    const { delivery_id: id, number: version, courier_id: courier, status } = event;
    const msg = { type: "changed", version, status, courier, at: this.clock.now(), reason: null };
    this.#send({ kind: "delivery", id, msg } as Posted);
  }

  /* The doors. */

  /** A command of a door: it reaches the store, its answer may not come back. */
  #ask<T>(command: () => T, answered: (answer: T) => void): void {
    const { network } = this.#chance;
    this.clock.after(network.between(5, 100), () => {
      const answer = command();
      this.#publish();
      if (network.chance(this.#faults.answerLostRate)) return;
      this.clock.after(network.between(5, 100), () => answered(answer));
    });
  }

  #tellRow(row: DeliveryRow): void {
    const { id: delivery_id, version: number, status, courierId: courier_id } = row;
    this.#tell({ delivery_id, number, status, courier_id });
  }

  #doors(): Doors {
    return {
      now: () => this.clock.now(),
      after: (delayMs, run) => this.clock.after(delayMs, run),
      faults: () => this.#faults,
      open: (app) => this.#announce(app),
      close: (app) => {
        const session = app.session as SessionId;
        this.#send({ kind: "courier", id: app.id, msg: { type: "closed", session } });
      },
      ping: (app, seq) => this.#ping(app, seq),
      shift: (id, online, answered) =>
        this.#send({ kind: "courier", id, msg: { type: "shift", online } }, answered),
      decline: (courier, id, answered) =>
        this.#send(
          { kind: "delivery", id, msg: { type: "declined", courier, reason: null } },
          answered,
        ),
      accept: (courier, delivery, answered) =>
        this.#ask(() => this.#accept(delivery, courier), answered),
      status: (courier, delivery, status, answered) =>
        this.#ask(() => {
          const command = { delivery, courier, status, claimedAt: null, reason: null };
          const outcome = this.store.status(command);
          if (outcome.outcome === "changed" && outcome.changed) this.#tellRow(outcome.row);
          return outcome.outcome === "changed";
        }, answered),
    };
  }

  #accept(delivery: DeliveryId, courier: CourierId): DeliveryRow | null {
    const outcome = this.store.accept({ delivery, courier });
    if (outcome.outcome === "refused") return null;
    this.checks.acceptAnswered(delivery, courier, outcome.row.assignedAt);
    if (outcome.changed) this.#tellRow(outcome.row);
    return outcome.row;
  }

  #announce(app: CourierApp): void {
    if (app.session === null) return;
    this.#send({ kind: "courier", id: app.id, msg: openedOf(app.session) });
  }

  #ping(app: CourierApp, seq: number): void {
    const ping = pingOf(seq, this.clock.now(), app.point);
    const session = app.session as SessionId;
    this.#send({ kind: "courier", id: app.id, msg: { ...ping, session } });
  }

  /* Who lives here. */

  #addCourier(n: number): void {
    const { city } = this.#chance;
    const id = `cur_${n}` as CourierId;
    const vehicle = city.pick(VEHICLES);
    const capacity = city.chance(0.2) ? 2 : 1;
    const shard = shardOf({ kind: "courier", id });
    this.store.putCourier({ id, shard, name: id, phone: "", vehicle, capacity });
    const random = new SeededRandom(hashOf(`${this.seed} ${id}`));
    const app = new CourierApp(id, vehicle, capacity, placeIn(city), this.#doors(), random);
    this.#apps.set(id, app);
    app.start();
  }

  #createLater(everyMs: number): void {
    this.clock.after(this.#chance.city.between(0, 2 * everyMs), () => {
      if (!this.#isOpen) return;
      this.#create();
      this.#createLater(everyMs);
    });
  }

  #create(): void {
    const { city } = this.#chance;
    const command = createOf(++this.#deliveries, this.clock.now(), city);
    const { job } = command;
    this.store.create(command);
    this.checks.createAnswered(job.id);
    this.#publish();
    this.#send({ kind: "delivery", id: job.id, msg: { type: "created", job } });
    if (!city.chance(0.1)) return;
    this.clock.after(city.between(500, 120_000), () => {
      const by = { role: "owner", owner: OWNER } as const;
      const outcome = this.store.cancel({ delivery: job.id, by, reason: "canceled_by_customer" });
      this.#publish();
      if (outcome.outcome === "changed" && outcome.changed) this.#tellRow(outcome.row);
    });
  }
}
