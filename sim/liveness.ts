/**
 * What must become true once faults have stopped: nothing is orphaned (L1), followers have what
 * owners have (L2), watchers see fresh positions (L3), and in the end everything has ended and
 * everybody is free (D3, D7).
 */
import type { Cell } from "../actors/cell.ts";
import type { Courier } from "../actors/courier-state.ts";
import { shardOfActor } from "../engine/cluster/shards.ts";
import type { CourierId, Millis, ShardId } from "../proto/ids.ts";
import { isTerminal } from "../proto/status.ts";
import type { OfferRecord } from "../proto/writes.ts";
import type { Checks } from "./checks.ts";
import { SHARDS, SIM_SETTINGS } from "./city.ts";
import type { CourierApp } from "./courier-app.ts";
import type { Customer } from "./customer.ts";
import type { Doors } from "./doors.ts";
import type { FakeIntake } from "./fake-intake.ts";
import type { FakeStore } from "./fake-store.ts";
import type { History } from "./history.ts";
import type { SimGateway } from "./sim-gateway.ts";
import type { SimNode } from "./sim-node.ts";

/** A due delivery is looked at within this. */
const DUE_MAX_MS = 10_000;
/**
 * A watched courier's position is not older than this, where the courier has been heard of for that
 * long.
 */
const FRESH_MS = 15_000;
const PING_MS = 10_000;
/** From the record of an offer to its courier's eyes; clocks differ. */
const SEEN_MS = 8_000;
const MANY = 10_000;
/** A request is answered within this, one way or the other. */
const ANSWER_MAX_MS = 30_000;

export type Inhabitants = {
  readonly nodes: readonly SimNode[];
  readonly gateways: readonly SimGateway[];
  readonly doors: Pick<Doors, "overdue">;
  readonly apps: readonly CourierApp[];
  readonly customers: readonly Customer[];
  readonly intake: Pick<FakeIntake, "waiting">;
};

export class Liveness {
  readonly #history: History;
  readonly #store: FakeStore;
  readonly #checks: Checks;
  readonly #who: Inhabitants;
  /**
   * Since when a courier's app is connected and a delivery is carried and watched, without a break.
   */
  readonly #freshSince = new Map<string, Millis>();

  constructor(history: History, store: FakeStore, checks: Checks, who: Inhabitants) {
    this.#history = history;
    this.#store = store;
    this.#checks = checks;
    this.#who = who;
  }

  /** Every delivery has ended, and no create waits to become one. */
  isOver(): boolean {
    if (this.#who.intake.waiting() > 0) return false;
    return this.#store.openDeliveries(allShards, "", 1).length === 0;
  }

  /** Once a second, from some seconds after the last fault on. */
  calm(now: Millis): void {
    for (const row of this.#store.due(allShards, now - DUE_MAX_MS, 1)) {
      const { id } = row.job;
      const text = `${id} is due since ${row.nextAttemptAt} and nobody looks after it`;
      this.#history.violate("L1", text, [id]);
    }
    for (const { job, status, offers } of this.#store.openDeliveries(allShards, "", MANY)) {
      const isTold = status !== "pending" || this.#store.peek(job.id)?.statusReason !== null;
      this.#history.demand(isTold, "D3", `${job.id} waits without a reason`, [job.id]);
      if (status === "pending") this.#offered(job.id, offers, now);
    }
    for (const what of this.#who.doors.overdue(now - ANSWER_MAX_MS)) {
      this.#history.violate("L1", `${what}, and waits for ever`, []);
    }
    this.#owned();
    this.#fresh(now);
  }

  /** L1: an offer that is recorded is seen by whoever is connected. */
  #offered(id: string, offers: readonly OfferRecord[], now: Millis): void {
    for (const { courier, until } of offers) {
      const since = until - SIM_SETTINGS.OFFER_TTL_MS;
      if (until < now || now - since < SEEN_MS) continue;
      const app = this.#who.apps.find((one) => one.id === courier);
      const isThere = app?.isConnected === true && app.connectedForMs(now) > SEEN_MS;
      const text = `${courier} was offered ${id} at ${since} and has not seen it`;
      this.#history.demand(!isThere || app.hasSeen(id), "L1", text, [id, courier]);
    }
  }

  /** L1: every shard has one owner that is up. */
  #owned(): void {
    for (const shard of allShards) {
      const owners = this.#who.nodes.filter(
        (node) => node.isReady && node.runtime?.ownership.owns(shard),
      );
      const names = owners.map(({ name }) => name).join(", ");
      this.#history.demand(owners.length > 0, "L1", `nobody owns shard ${shard}`, [
        `shard ${shard}`,
      ]);
      this.#history.demand(owners.length < 2, "L1", `${names} own shard ${shard}`, [
        `shard ${shard}`,
      ]);
    }
  }

  /** L3. */
  #fresh(now: Millis): void {
    const apps = new Map(this.#who.apps.map((app) => [app.id as string, app]));
    for (const customer of this.#who.customers) {
      for (const [id, watched] of customer.watched) {
        const { delivery } = watched.tracking;
        const app = apps.get(delivery?.courier?.id ?? "");
        const isLive =
          !watched.tracking.isOver &&
          customer.isConnected &&
          app?.isConnected === true &&
          (delivery?.status === "assigned" || delivery?.status === "picked_up");
        const since = isLive ? (this.#freshSince.get(id) ?? now) : null;
        if (since === null) this.#freshSince.delete(id);
        else this.#freshSince.set(id, since);
        if (since === null || now - since < FRESH_MS + PING_MS) continue;
        const isFresh = now - watched.positionCameAt <= FRESH_MS;
        const text = `${customer.name} has seen no position of ${app?.id} with ${id} since ${watched.positionCameAt}`;
        this.#history.demand(isFresh, "L3", text, [id, app?.id ?? ""]);
      }
    }
  }

  /** Everything has come to rest. */
  atRest(): void {
    for (const place of [...this.#who.nodes, ...this.#who.gateways]) {
      const text = `${place.name} is neither ready nor gone to be started again`;
      this.#history.demand(place.isReady, "L1", text, [place.name]);
    }
    this.#checks.promises.compare("at the end");
    const waiting = this.#who.intake.waiting();
    this.#history.demand(waiting === 0, "D3", `${waiting} creates lie in the intake for ever`, []);
    for (const id of this.#checks.created()) {
      if (this.#checks.promises.isLost(id)) continue;
      const row = this.#store.peek(id);
      const isOver = row !== null && isTerminal(row.status);
      this.#history.demand(isOver, "D3", `${id} is ${row?.status} for ever`, [id]);
      const told = this.#checks.publishedOf(id);
      const text = `${id} has ${row?.version} events, the stream ${told}`;
      this.#history.demand(told === row?.version, "D5", text, [id]);
    }
    for (const { id, load } of this.#store.couriers()) {
      this.#history.demand(load === 0, "D2", `${id} has load ${load} and carries nothing`, [id]);
    }
    for (const node of this.#who.nodes) this.#nodeAtRest(node);
    for (const customer of this.#who.customers) {
      for (const [id, { tracking }] of customer.watched) {
        if (this.#checks.promises.isLost(id)) continue;
        this.#history.demand(tracking.isOver, "L3", `${customer.name} never saw the end of ${id}`, [
          id,
        ]);
      }
    }
    for (const app of this.#who.apps) {
      this.#history.demand(app.tasks === 0, "L3", `${app.id} still believes to carry something`, [
        app.id,
      ]);
    }
    this.#replicas();
    this.#checks.atEnd();
  }

  /** D7: nobody is held, and nothing waits in a backlog. */
  #nodeAtRest({ name, runtime, states }: SimNode): void {
    for (const { kind, id, state } of states.values()) {
      const shard = shardOfActor(kind, id, SHARDS, SIM_SETTINGS.SHARD_RESOLUTION);
      if (shard === null || runtime?.ownership.owns(shard) !== true || !runtime.host.has(kind, id))
        continue;
      const at = `${name}: ${kind} ${id}`;
      if (kind === "cell") {
        const isEmpty = (state as Cell).at === "empty";
        this.#history.demand(isEmpty, "D7", `${at} still has a backlog`, [id]);
      }
      if (kind !== "courier") continue;
      const courier = state as Courier;
      if (courier.at === "empty") continue;
      this.#history.demand(courier.holds.length === 0, "D7", `${at} is still held`, [id]);
      this.#history.demand(courier.active.length === 0, "D7", `${at} still carries something`, [
        id,
      ]);
    }
  }

  /** L2: every node has the records that the owners have. */
  #replicas(): void {
    for (const { id } of this.#store.couriers()) {
      const shard = shardOfActor("courier", id, SHARDS, SIM_SETTINGS.SHARD_RESOLUTION);
      const ready = this.#who.nodes.filter((node) => node.isReady);
      const owner = ready.find((node) => shard !== null && node.runtime?.ownership.owns(shard));
      const truth = numberAt(owner, id);
      for (const node of ready) {
        const known = numberAt(node, id);
        const text = `${node.name} has record ${known} of ${id}, its owner ${owner?.name} has ${truth}`;
        this.#history.demand(known === truth, "L2", text, [id, `shard ${shard}`]);
      }
    }
  }
}

const allShards = Array.from({ length: SHARDS }, (_, shard) => shard) as ShardId[];
const numberAt = (node: SimNode | undefined, id: CourierId): number =>
  node?.runtime?.options.domain.index.get(id)?.no ?? 0;
