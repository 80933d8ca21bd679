/**
 * One place where a node runs: the production Runtime and lifecycle over the fakes. A run of it may
 * crash, pause, be drained and start again under a new name, as processes do; what it is connected
 * to is the place's.
 */
import { makeDomain } from "../engine/node.ts";
import type { Config } from "../engine/config.ts";
import type { AnyActor, HostMessage } from "../engine/host/ports.ts";
import { newNodeId } from "../engine/ids.ts";
import { start } from "../engine/lifecycle.ts";
import type { Started } from "../engine/lifecycle.ts";
import { Runtime } from "../engine/runtime.ts";
import { ensureStreams } from "../engine/streams/streams.ts";
import type { Domain } from "../engine/runtime.ts";
import type { Effect } from "../actors/actor.ts";
import type { Kind } from "../proto/posts.ts";
import { wordOf } from "./drive.ts";
import { keeperOf, streamsApiOf } from "./fake-jetstream.ts";
import { Machine } from "./machine.ts";
import type { Skew } from "./machine.ts";
import type { Place, PlaceParts } from "./place.ts";
import type { SimBus } from "./fake-nats.ts";
import { silentMeters, simLog } from "./silent.ts";

/** Couriers in the index of a simulated node: it is made anew at each start. */
const INDEX_COURIERS = 256;
const RESTART_MS = 1_000;

/** Actors as they stood after their last step, by `kind id`. */
export type States = Map<string, { readonly kind: Kind; readonly id: string; state: unknown }>;

type Run = {
  readonly machine: Machine;
  readonly bus: SimBus;
  readonly runtime: Runtime;
  readonly states: States;
  started: Started | null;
  isStopping: boolean;
};

export class SimNode implements Place {
  readonly name: string;
  readonly #parts: PlaceParts;
  readonly #config: Config;
  readonly #skew: () => Skew;
  #run: Run | null = null;

  constructor(name: string, parts: PlaceParts, config: Config, skew: () => Skew) {
    this.name = name;
    this.#parts = parts;
    this.#config = config;
    this.#skew = skew;
  }

  get machine(): Machine | null {
    return this.#run?.machine ?? null;
  }
  get runtime(): Runtime | null {
    return this.#run?.runtime ?? null;
  }
  get states(): States {
    return this.#run?.states ?? new Map();
  }
  get isReady(): boolean {
    const run = this.#run;
    if (run === null || run.started === null || run.isStopping) return false;
    return run.machine.isUp && run.bus.status() === "connected";
  }

  start(): void {
    if (this.#run !== null) return;
    const { clock, nats, postgres, history, random } = this.#parts;
    if (!nats.mayConnect(this.name)) return this.startAfter(RESTART_MS);
    const machine = new Machine(this.name, clock, this.#skew());
    const bus = nats.connect(machine);
    const node = newNodeId("node", random);
    const states: States = new Map();
    const runtime = new Runtime({
      config: this.#config,
      node,
      clock: machine.clock,
      log: simLog(history, this.name),
      meters: silentMeters(),
      bus,
      cells: nats.cellsLog(machine),
      intake: nats.streams.intake.queueOf(machine),
      store: postgres.storeOf(machine),
      domain: this.#watched(states, machine),
      keeper: keeperOf(nats, machine),
    });
    const run: Run = { machine, bus, runtime, states, started: null, isStopping: false };
    this.#run = run;
    bus.onLost = () => this.#lostNats(run);
    history.line(this.name, `starts as ${node}`);
    const { natsPrefix, natsReplicas, streamBytes } = this.#config;
    const api = streamsApiOf(nats, machine);
    const ready = ensureStreams(api, natsPrefix, natsReplicas, streamBytes);
    const keepHouse = (): Promise<void> => Promise.resolve(postgres.keepHouse());
    ready
      .then(() => start(runtime, keepHouse))
      .then(
        (started) => {
          run.started = started;
          history.line(this.name, "is up");
        },
        (error: unknown) => {
          history.line(this.name, `could not start: ${String(error)}`);
          this.#endLater(run);
        },
      );
  }

  startAfter(ms: number): void {
    this.#parts.clock.after(ms, () => this.start());
  }

  crash(): void {
    const run = this.#run;
    if (run === null) return;
    this.#run = null;
    run.machine.kill();
    run.bus.end();
    this.#parts.history.line(this.name, "crashes");
  }

  /** As SIGTERM does it; starts again `downMs` later. */
  drain(downMs: number): void {
    const run = this.#run;
    if (run === null || run.started === null || run.isStopping) return;
    run.isStopping = true;
    this.#parts.history.line(this.name, "drains");
    void run.started.stop().then(() => {
      this.#parts.history.line(this.name, "has drained");
      this.#end(run, downMs);
    });
  }

  /**
   * The connection to NATS is closed for good: the process ends with code 1, and is started again.
   */
  #lostNats(run: Run): void {
    this.#parts.history.line(this.name, "ends: its connection to NATS closed");
    this.#endLater(run);
  }

  /** A process that finds it cannot go on: it is started again by whoever runs it. */
  #endLater(run: Run): void {
    this.#parts.clock.after(0, () => this.#end(run, RESTART_MS));
  }

  #end(run: Run, downMs: number): void {
    if (this.#run !== run) return;
    this.#run = null;
    run.machine.kill();
    run.bus.end();
    this.startAfter(downMs);
  }

  /** The production actors, with their steps told to the history and the checks. */
  #watched(states: States, machine: Machine): Domain {
    const domain = makeDomain(this.#config.settings, INDEX_COURIERS);
    const known = new Map<AnyActor, AnyActor>();
    const watch = (kind: Kind, actor: AnyActor): AnyActor => {
      let watched = known.get(actor);
      if (watched === undefined)
        known.set(actor, (watched = this.#watch(kind, actor, states, machine)));
      return watched;
    };
    const of = (kind: Kind): Domain["actors"][Kind] => ({
      actorFor: (epoch) => watch(kind, domain.actors[kind].actorFor(epoch)),
      initial: domain.actors[kind].initial,
    });
    return {
      ...domain,
      actors: { delivery: of("delivery"), courier: of("courier"), cell: of("cell") },
    };
  }

  #watch(kind: Kind, actor: AnyActor, states: States, machine: Machine): AnyActor {
    const { history, checks } = this.#parts;
    const step: AnyActor["step"] = (state, message: HostMessage, now) => {
      const [next, ...effects] = actor.step(state, message, now);
      const id = idOf(next);
      states.set(`${kind} ${id}`, { kind, id, state: next });
      if (message.type !== "ping" || effects.some((effect) => effect.do === "send")) {
        history.line(this.name, stepLine(kind, id, message, next, effects));
      }
      if (kind === "delivery") checks.deliveryStepped(this.name, id, message, effects);
      if (kind === "courier") checks.courierStepped(next, machine.now());
      return [next, ...effects];
    };
    return { ...actor, step };
  }
}

function stepLine(
  kind: Kind,
  id: string,
  message: HostMessage,
  next: { readonly at?: string },
  effects: readonly Effect[],
): string {
  const words = effects.map((effect) => aboutOf(effect)).join(", ");
  const who = "courier" in message ? ` ${String(message["courier"])}` : "";
  const what = "delivery" in message ? ` ${String(message["delivery"])}` : "";
  return `${kind} ${id} <- ${message.type}${who}${what} = ${next.at}: ${words}`;
}

function aboutOf(effect: Effect): string {
  if (effect.do === "send") return `${wordOf(effect)} to ${effect.post.id}`;
  return wordOf(effect);
}

const idOf = (state: { readonly id?: string; readonly job?: { readonly id: string } }): string =>
  state.id ?? state.job?.id ?? "?";
