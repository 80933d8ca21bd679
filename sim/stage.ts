/**
 * A small stage for stories of several actors: the production host with one shard, a store, a
 * network that loses nothing and keeps the order, and a transcript of what each actor was told and
 * asked for. Everything that happens is written down in the test, which runs outside of every
 * promise (`inMacrotask`), because the stage's time moves at once.
 */
import { CellIndex } from "../actors/cell-index.ts";
import { cellActor, emptyCell } from "../actors/cell.ts";
import { courierActor, emptyCourier } from "../actors/courier.ts";
import { deliveryActor } from "../actors/delivery.ts";
import { emptyDelivery } from "../actors/delivery-state.ts";
import { createSearch } from "../actors/matching.ts";
import { Host } from "../engine/host/host.ts";
import type { AnyActor, HostMessage, KindSpec } from "../engine/host/ports.ts";
import { shardOfDelivery } from "../proto/ids.ts";
import type { CourierId, DeliveryId, Epoch, ShardId } from "../proto/ids.ts";
import type { DeliveryEvent } from "../proto/events.ts";
import type { Job } from "../proto/messages.ts";
import type { Kind, Posted } from "../proto/posts.ts";
import { SimClock } from "./clock.ts";
import { SETTINGS, T0, courierId, createOf, jobOf, northM, openedOf } from "./drive.ts";
import { pingOf, wordOf } from "./drive.ts";
import { FakeStore } from "./fake-store.ts";
import { Machine } from "./machine.ts";

const NETWORK_MS = 1;
const STORE_MS = 2;
const SHARD = 0 as ShardId;
const EPOCH = 1 as Epoch;
const quiet = (): void => undefined;

export class Stage {
  readonly clock = new SimClock(T0);
  readonly store = new FakeStore(() => Math.floor(this.clock.now()));
  readonly lines: string[] = [];
  readonly #index = new CellIndex({ resolution: SETTINGS.CELL_RESOLUTION, capacityCouriers: 100 });
  readonly #search = createSearch(this.#index, {
    staleMs: SETTINGS.STALE_MS,
    candidatesMax: SETTINGS.CANDIDATES_MAX,
    travelS: () => 60,
  });
  readonly #places = new Map<CourierId, number>();
  readonly #host: Host;
  #seq = 0;

  constructor() {
    this.store.takeShards("node", new Map([[SHARD, 0]]));
    const { clock } = new Machine("stage", this.clock, { offsetMs: 0, driftPpm: 0 });
    this.#host = new Host({
      clock,
      kinds: {
        delivery: this.#kind("delivery", deliveryActor(SETTINGS), (id) =>
          emptyDelivery(id as DeliveryId),
        ),
        courier: this.#kind("courier", courierActor(SETTINGS, EPOCH), (id) =>
          emptyCourier(id as CourierId),
        ),
        cell: { ...this.#kind("cell", cellActor(), emptyCell), load: null },
      },
      write: (write, shard) =>
        new Promise((resolve) => {
          this.clock.after(STORE_MS, () => resolve(this.store.write(write, shard, EPOCH)));
        }),
      send: (post) => void this.clock.after(NETWORK_MS, () => this.#posts(post)),
      search: (query, now) => this.#search(query, now),
      onIndex: (record) => void this.#index.upsert(record),
      onLedger: quiet,
      onNotify: quiet,
      onHistory: quiet,
      onRecorded: quiet,
      onFenced: quiet,
      onCount: quiet,
      onStep: quiet,
      onTrouble: (what, at, error) => {
        throw new Error(`${what} at ${at.id}`, { cause: error });
      },
    });
  }

  /** An actor with its steps in the transcript. */
  #kind(kind: Kind, actor: AnyActor, initial: (id: string) => unknown): KindSpec {
    const step: AnyActor["step"] = (state, message: HostMessage, now) => {
      const [next, ...effects] = actor.step(state, message, now);
      const { at } = next as { at: string };
      const isQuiet = message.type === "ping" || effects.length === 0;
      if (!isQuiet || message.type === "held") {
        const words = effects.filter((effect) => effect.do !== "index").map(wordOf);
        const who = kind === "courier" ? (next as { id: string }).id : `${kind} (${at})`;
        this.tell(`${who} <- ${message.type}: ${words.join(", ")}`);
      }
      return [next, ...effects];
    };
    const watched: AnyActor = { ...actor, step };
    const load = (id: string): Promise<HostMessage | null> =>
      Promise.resolve(this.#loaded(kind, id));
    const begins = ({ type }: HostMessage): boolean => type === "created" || type === "resumed";
    return { actorFor: () => watched, initial, begins, load };
  }

  #loaded(kind: Kind, id: string): HostMessage | null {
    if (kind === "delivery") {
      const snapshot = this.store.snapshot(id as DeliveryId);
      return snapshot && { type: "resumed", snapshot };
    }
    const snapshot = this.store.courierSnapshot(id as CourierId);
    return snapshot && { type: "loaded", snapshot, record: this.#index.get(id as CourierId) };
  }

  tell(line: string): void {
    const ms = String(Math.floor(this.clock.now() - T0)).padStart(7);
    this.lines.push(`${ms} ${line}`);
  }

  #posts(post: Posted): void {
    this.#host.deliver({ kind: post.kind, id: post.id }, SHARD, post.msg);
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
    const msg = pingOf(++this.#seq, Math.floor(this.clock.now()), northM(metres));
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
    const job: Job = jobOf(n, { createdAt: Math.floor(this.clock.now()) });
    this.store.create(createOf(job));
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
    const at = Math.floor(this.clock.now());
    const msg = { type: "changed", version, status, courier, at, reason: null };
    this.#posts({ kind: "delivery", id, msg } as Posted);
  }
}
