/**
 * A small stage for stories of several actors: one shard, a store, a network that loses nothing and keeps the order, and
 * a transcript of what each actor was told and asked for. Everything that happens is written down in the test.
 */
import { CellIndex } from "../actors/cell-index.ts";
import { createSearch } from "../actors/matching.ts";
import { shardOfDelivery } from "../proto/ids.ts";
import type { CourierId, DeliveryId, ShardId } from "../proto/ids.ts";
import type { DeliveryEvent } from "../proto/events.ts";
import type { Job } from "../proto/messages.ts";
import type { Posted } from "../proto/posts.ts";
import { SimClock } from "./clock.ts";
import { createOf } from "./city.ts";
import { SETTINGS, T0, courierId, jobOf, northM, openedOf, pingOf, wordOf } from "./drive.ts";
import { FakeStore } from "./fake-store.ts";
import { SeededRandom } from "./random.ts";
import { ShardRun } from "./shard-run.ts";

const NETWORK_MS = 1;
const STORE_MS = 2;

export class Stage {
  readonly clock = new SimClock(T0);
  readonly store = new FakeStore(() => this.clock.now());
  readonly lines: string[] = [];
  readonly #index = new CellIndex({ resolution: SETTINGS.CELL_RESOLUTION, capacityCouriers: 100 });
  readonly #search = createSearch(this.#index, {
    staleMs: SETTINGS.STALE_MS,
    candidatesMax: SETTINGS.CANDIDATES_MAX,
    travelS: () => 60,
  });
  readonly #places = new Map<CourierId, number>();
  readonly #run: ShardRun;
  #seq = 0;

  constructor() {
    const shard = 0 as ShardId;
    const epoch = this.store.takeShards("node", new Map([[shard, 0]])).get(shard)!;
    this.#run = new ShardRun(shard, epoch, SETTINGS, {
      clock: this.clock,
      send: (post) => this.#send(post),
      search: (query, now) => this.#search(query, now),
      write: (write, at, by, done) =>
        this.clock.after(STORE_MS, () => done(this.store.write(write, at, by))),
      load: (key) =>
        key.kind === "courier"
          ? this.#loaded(key.id as CourierId)
          : ({ type: "resumed", snapshot: this.store.snapshot(key.id as DeliveryId) } as never),
      reload: (id, tell) => tell({ type: "resumed", snapshot: this.store.snapshot(id) } as never),
      onIndex: (record) => void this.#index.upsert(record),
      onNotify: () => undefined,
      onStep: (_, key, message, { state, effects }) => {
        const { at } = state as { at: string };
        const isQuiet = message.type === "ping" || effects.length === 0;
        if (isQuiet && message.type !== "held") return;
        const words = effects.filter((e) => e.do !== "index").map(wordOf);
        const who = key.kind === "courier" ? key.id : `${key.kind} (${at})`;
        this.tell(`${who} <- ${message.type}: ${words.join(", ")}`);
      },
    });
  }

  tell(line: string): void {
    const ms = String(this.clock.now() - T0).padStart(7);
    this.lines.push(`${ms} ${line}`);
  }

  #loaded(courier: CourierId): { type: string } {
    const snapshot = this.store.courierSnapshot(courier);
    return { type: "loaded", snapshot, record: this.#index.get(courier) } as never;
  }

  #send(post: Posted): void {
    this.clock.after(NETWORK_MS, () =>
      this.#run.deliver({ kind: post.kind, id: post.id }, post.msg),
    );
  }

  #posts(post: Posted): void {
    this.#run.deliver({ kind: post.kind, id: post.id }, post.msg);
  }

  /** A courier on shift, so many metres north of the pickup. */
  courier(name: string, metres: number): CourierId {
    const id = courierId(name);
    this.store.putCourier({
      ...{ id, shard: 0 as ShardId, name, phone: "", vehicle: "bike", capacity: 1 },
    });
    this.#places.set(id, metres);
    this.#posts({ kind: "courier", id, msg: openedOf(`s-${name}`) });
    this.#posts({ kind: "courier", id, msg: { type: "shift", online: true } });
    this.clock.advance(STORE_MS);
    this.ping(id);
    return id;
  }

  ping(id: CourierId, metres = this.#places.get(id) ?? 0): void {
    this.#places.set(id, metres);
    const msg = pingOf(++this.#seq, this.clock.now(), northM(metres));
    this.#posts({ kind: "courier", id, msg });
  }

  /** Time passes; everybody but `silent` pings every ten seconds. */
  wait(ms: number, silent: readonly CourierId[] = []): void {
    for (let left = ms; left > 0; left -= 10_000) {
      this.clock.advance(Math.min(left, 10_000));
      for (const id of this.#places.keys()) if (!silent.includes(id)) this.ping(id);
    }
  }

  create(n = 1): DeliveryId {
    const job: Job = jobOf(n, { createdAt: this.clock.now() });
    this.store.create({ ...createOf(n, this.clock.now(), new SeededRandom(n)), job });
    if (shardOfDelivery(job.id) !== 0) throw new Error("the stage has one shard");
    this.tell(`${job.id} is created`);
    this.#posts({ kind: "delivery", id: job.id, msg: { type: "created", job } });
    return job.id;
  }

  accept(id: DeliveryId, courier: CourierId): void {
    const outcome = this.store.accept({ delivery: id, courier });
    this.tell(`${courier} accepts: ${outcome.outcome}`);
    this.#tellAll();
  }

  decline(id: DeliveryId, courier: CourierId): void {
    this.tell(`${courier} declines`);
    this.#posts({ kind: "delivery", id, msg: { type: "declined", courier, reason: null } });
  }

  status(id: DeliveryId, courier: CourierId, status: "picked_up" | "delivered"): void {
    this.store.status({ delivery: id, courier, status, claimedAt: null, reason: null });
    this.tell(`${courier} reports ${status}`);
    this.#tellAll();
  }

  /** What the node does when a courier gained a slot. */
  free(cell: string, courier: CourierId): void {
    this.#posts({ kind: "cell", id: cell, msg: { type: "free", courier, vehicle: "bike" } });
  }

  #tellAll(): void {
    const events = this.store.outboxBatch(100).map((row) => row.event);
    this.store.outboxDone(events.map((event) => event.id));
    for (const event of events) this.#tellOne(event);
  }

  #tellOne({ delivery_id: id, number: version, status, courier_id: courier }: DeliveryEvent): void {
    if (status === "pending") return;
    const at = this.clock.now();
    const msg = { type: "changed", version, status, courier, at, reason: null };
    this.#posts({ kind: "delivery", id, msg } as Posted);
  }
}
