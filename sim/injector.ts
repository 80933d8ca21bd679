/**
 * Makes the faults of a plan happen to a world, and undoes them; counts those that really struck.
 */
import type { CourierApp } from "./courier-app.ts";
import type { Checks } from "./checks.ts";
import type { SimClock } from "./clock.ts";
import type { Doors } from "./doors.ts";
import type { FakeNats } from "./fake-nats.ts";
import type { FakePostgres } from "./fake-postgres.ts";
import type { Fault, FaultKind } from "./faults.ts";
import { FAULT_KINDS } from "./faults.ts";
import type { History } from "./history.ts";
import type { Direction } from "./network.ts";
import { beginNatsTrouble } from "./nats-trouble.ts";
import type { Place } from "./place.ts";
import {
  FIRST_AWAY,
  FIRST_AWAY_MS,
  beginsWithAway,
  troubleOf,
  troubleText,
} from "./store-trouble.ts";
import type { StreamKey } from "../proto/subjects.ts";

export type Targets = {
  readonly clock: SimClock;
  readonly history: History;
  readonly nats: FakeNats;
  readonly postgres: FakePostgres;
  readonly doors: Doors;
  readonly checks: Checks;
  readonly nodes: readonly Place[];
  readonly gateways: readonly Place[];
  readonly apps: readonly CourierApp[];
  readonly stepStoreClock: (byMs: number) => void;
};

/** The client of NATS notices a dead connection after two missed pings. */
const NOTICED_MS = 2_500;
const STEP_MAX_MS = 2_000;
const STORE_STEPS_MS = [-20_000, 20_000, -3_600_000, 3_600_000, -1_000] as const;

const nth = <T>(items: readonly T[], n: number): T => items[n % items.length] as T;

export class Injector {
  readonly counts: Record<FaultKind, number>;
  readonly #to: Targets;
  readonly #undo = new Set<() => void>();
  readonly #streams: readonly StreamKey[];

  constructor(to: Targets, streams: readonly StreamKey[]) {
    this.#to = to;
    this.#streams = streams;
    const none = FAULT_KINDS.map((kind) => [kind, 0]);
    this.counts = Object.fromEntries(none) as Record<FaultKind, number>;
  }

  /** Arms all of them; `startAt` is the beginning of the run. */
  arm(faults: readonly Fault[], startAt: number): void {
    for (const fault of faults) this.#to.clock.at(startAt + fault.atMs, () => this.#strike(fault));
  }

  /** Whatever is still wrong is mended now. */
  mendAll(): void {
    for (const undo of this.#undo) undo();
  }

  #strike(fault: Fault): void {
    const struck = this.#begin(fault);
    if (!struck) return;
    this.#to.checks.promises.compare(`at ${fault.kind}`);
    this.counts[fault.kind] += 1;
    this.#to.history.line("FAULT", `${fault.kind} #${fault.target} for ${fault.lastsMs} ms`);
  }

  /** `undo` after so long, or when everything is mended. */
  #later(lastsMs: number, undo: () => void): boolean {
    const once = (): void => {
      if (!this.#undo.delete(once)) return;
      undo();
      this.#to.checks.promises.compare("after a fault");
    };
    this.#undo.add(once);
    this.#to.clock.after(lastsMs, once);
    return true;
  }

  /** False when there was nobody to strike. */
  #begin(fault: Fault): boolean {
    const { kind, lastsMs, target, chance } = fault;
    const { nodes, gateways, nats, apps } = this.#to;
    switch (kind) {
      case "node_crash":
        return this.#crash(nth(nodes, target), lastsMs);
      case "gateway_crash":
        return this.#crash(nth(gateways, target), lastsMs);
      case "node_pause":
        return this.#pause(nth(nodes, target), lastsMs, chance);
      case "gateway_pause":
        return this.#pause(nth(gateways, target), lastsMs, chance);
      case "node_drain":
        return this.#drain(nth(nodes, target), lastsMs);
      case "gateway_drain":
        return this.#drain(nth(gateways, target), lastsMs);
      case "node_cut":
        return this.#cut(nth(nodes, target), ["in", "out"], lastsMs, chance < 0.5);
      case "gateway_cut":
        return this.#cut(
          nth(gateways, target),
          chance < 0.4 ? ["in"] : ["in", "out"],
          lastsMs,
          chance < 0.5,
        );
      case "node_one_way":
        return this.#cut(nth(nodes, target), [chance < 0.5 ? "in" : "out"], lastsMs, false);
      case "nodes_apart":
        return this.#apart(fault);
      case "node_no_store":
        return this.#noStore(nth(nodes, target), lastsMs);
      case "nats_down":
        return this.#natsDown(lastsMs);
      case "stream_leader":
        return this.#loseLeader(target, lastsMs);
      case "cells_lost":
        nats.streams.get("CELLS").wipe();
        return true;
      case "nats_credentials":
      case "nats_closed":
      case "streams_lost":
      case "stream_wedged":
      case "jetstream_off":
      case "consumer_gone":
        return beginNatsTrouble(fault, {
          ...{ nats, places: [...nodes, ...gateways], promises: this.#to.checks.promises },
          later: (undo) => this.#later(lastsMs, undo),
        });
      case "store_outage":
      case "store_login":
      case "store_errors":
      case "store_commits":
      case "store_read_only":
      case "store_refusals":
      case "store_table":
        return this.#storeTrouble(fault);
      case "store_clock":
        return this.#stepStoreClock(target);
      case "clock_step":
        return this.#stepClock(nth([...nodes, ...gateways], target), chance);
      case "phone_vanish":
        return this.#vanish(nth(apps, target), lastsMs);
      case "phone_offline":
        return this.#offline(nth(apps, target), lastsMs);
      case "phone_second":
        return this.#second(nth(apps, target), lastsMs);
    }
  }

  #natsDown(lastsMs: number): boolean {
    const { nodes, gateways, nats } = this.#to;
    for (const { name } of [...nodes, ...gateways]) nats.goAway(name);
    return this.#later(lastsMs, () => {
      for (const { name } of [...nodes, ...gateways]) nats.reconnectSpread(name);
    });
  }

  #loseLeader(target: number, lastsMs: number): boolean {
    const stream = this.#to.nats.streams.get(nth(this.#streams, target));
    stream.loseLeader();
    return this.#later(lastsMs, () => stream.electLeader());
  }

  #crash(place: Place, downMs: number): boolean {
    if (place.machine === null) return false;
    place.crash();
    return this.#later(downMs, () => place.start());
  }

  /** Long enough, and its connection to NATS is found dead meanwhile. */
  #pause(place: Place, lastsMs: number, chance: number): boolean {
    const { machine } = place;
    if (machine === null || !machine.isUp) return false;
    machine.pause();
    const { nats } = this.#to;
    const isCutOff = lastsMs > NOTICED_MS && chance < 0.5;
    if (isCutOff) nats.goAway(place.name);
    return this.#later(lastsMs, () => {
      machine.resume();
      if (isCutOff) nats.reconnectSpread(place.name);
    });
  }

  #drain(place: Place, downMs: number): boolean {
    if (place.machine === null) return false;
    place.drain(downMs);
    return true;
  }

  #cut(
    { name }: Place,
    directions: readonly Direction[],
    lastsMs: number,
    keeps: boolean,
  ): boolean {
    const { nats, clock } = this.#to;
    for (const direction of directions) nats.network.cut(name, direction, keeps);
    let isNoticed = false;
    let isOver = false;
    clock.after(NOTICED_MS, () => {
      if (isOver) return;
      isNoticed = true;
      nats.goAway(name);
    });
    return this.#later(lastsMs, () => {
      isOver = true;
      for (const direction of directions) nats.network.heal(name, direction);
      if (isNoticed) nats.reconnectSpread(name);
    });
  }

  /** Two nodes do not hear each other, or one does not hear the other. */
  #apart({ target, chance, lastsMs }: Fault): boolean {
    const { nodes, nats } = this.#to;
    if (nodes.length < 2) return false;
    const from = nth(nodes, target).name;
    const to = nth(nodes, target + 1 + Math.floor(chance * (nodes.length - 1))).name;
    const pairs: [string, string][] =
      chance < 0.5
        ? [[from, to]]
        : [
            [from, to],
            [to, from],
          ];
    for (const [a, b] of pairs) nats.network.block(a, b);
    return this.#later(lastsMs, () => {
      for (const [a, b] of pairs) nats.network.unblock(a, b);
    });
  }

  #noStore({ name }: Place, lastsMs: number): boolean {
    this.#to.postgres.cut(name);
    return this.#later(lastsMs, () => this.#to.postgres.heal(name));
  }

  #storeTrouble(fault: Fault): boolean {
    const { postgres, history } = this.#to;
    const trouble = troubleOf(fault);
    history.line("FAULT", `Postgres: ${troubleText(trouble)}`);
    postgres.begin(trouble);
    if (beginsWithAway(trouble)) {
      postgres.begin(FIRST_AWAY);
      this.#later(FIRST_AWAY_MS, () => postgres.end(FIRST_AWAY));
    }
    return this.#later(fault.lastsMs, () => postgres.end(trouble));
  }

  /**
   * Somebody sets the clock of the database's machine: by seconds, or by the hour of a wrong zone.
   */
  #stepStoreClock(target: number): boolean {
    this.#to.stepStoreClock(nth(STORE_STEPS_MS, target));
    return true;
  }

  #stepClock({ machine }: Place, chance: number): boolean {
    if (machine === null) return false;
    machine.stepClock(Math.round((chance * 2 - 1) * STEP_MAX_MS));
    return true;
  }

  #vanish(app: CourierApp, lastsMs: number): boolean {
    if (app.phone === null) return false;
    app.vanish();
    return this.#later(lastsMs, () => app.open());
  }

  #offline(app: CourierApp, lastsMs: number): boolean {
    const { phone } = app;
    if (phone === null || phone.isOffline) return false;
    phone.isOffline = true;
    this.#to.doors.breakAll(phone);
    return this.#later(lastsMs, () => {
      phone.isOffline = false;
    });
  }

  /** The courier signs in on another phone; later the first one is used again. */
  #second(app: CourierApp, lastsMs: number): boolean {
    if (!app.openSecond()) return false;
    return this.#later(lastsMs, () => app.closeSecond());
  }
}
