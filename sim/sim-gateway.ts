/**
 * One place where a gateway runs: the production core (`gateway/core.ts`) over the fakes, with
 * simulated sockets and requests in place of its listener. Tokens are not signed here: a credential
 * says who it is for.
 */
import type { Config } from "../engine/config.ts";
import type { Clock } from "../engine/io/clock.ts";
import { NO_CITY_GEOCODER } from "../engine/geo/geocoder.ts";
import { createGreatCircleTravel } from "../engine/geo/travel-time.ts";
import { newNodeId } from "../engine/ids.ts";
import { ADMISSION_LIMITS } from "../gateway/access/admission.ts";
import type { Auth } from "../gateway/access/auth.ts";
import { createCore } from "../gateway/core.ts";
import type { Core } from "../gateway/core.ts";
import { Fence } from "../gateway/base/fence.ts";
import type { Principal } from "../gateway/base/principal.ts";
import { DispatchError } from "../proto/errors.ts";
import { subjectsFor } from "../proto/subjects.ts";
import type { SimBus } from "./fake-nats.ts";
import { Machine } from "./machine.ts";
import type { Skew } from "./machine.ts";
import type { Place, PlaceParts } from "./place.ts";
import { silentMeters, simLog } from "./silent.ts";

const RESTART_MS = 1_000;
const travel = createGreatCircleTravel();

/** `courier:cur_1:1700000000000`: the role, the subject, and when it runs out. */
const authBy = (clock: Clock): Auth => ({
  verify: (credential) => {
    const [role, subject, until] = credential.split(":");
    if (subject === undefined) return Promise.reject(new DispatchError("unauthorized"));
    const expiresAt = Number(until);
    if (expiresAt <= clock.now()) return Promise.reject(new DispatchError("token_expired"));
    return Promise.resolve({ role, subject, expiresAt } as Principal);
  },
});

/** One run, as clients reach it. */
export type GatewayRun = {
  readonly machine: Machine;
  readonly bus: SimBus;
  readonly core: Core;
  /** Told when the process is gone, so that sockets break. */
  readonly onGone: Set<() => void>;
  isStopping: boolean;
};

export class SimGateway implements Place {
  readonly name: string;
  readonly #parts: PlaceParts;
  readonly #config: Config;
  readonly #skew: () => Skew;
  #run: GatewayRun | null = null;

  constructor(name: string, parts: PlaceParts, config: Config, skew: () => Skew) {
    this.name = name;
    this.#parts = parts;
    this.#config = config;
    this.#skew = skew;
  }

  get machine(): Machine | null {
    return this.#run?.machine ?? null;
  }
  /** The present run, null when nobody listens. */
  get run(): GatewayRun | null {
    return this.#run?.isStopping === false ? this.#run : null;
  }

  /** It serves, with everything that it needs. */
  get isReady(): boolean {
    const { run } = this;
    return run !== null && run.machine.isUp && run.bus.status() === "connected";
  }

  start(): void {
    if (this.#run !== null) return;
    const { clock, nats, postgres, history, random } = this.#parts;
    if (!nats.mayConnect(this.name)) return this.startAfter(RESTART_MS);
    const machine = new Machine(this.name, clock, this.#skew());
    const bus = nats.connect(machine);
    const gateway = newNodeId("gw", random);
    const deps = {
      gateway,
      config: this.#config,
      store: postgres.storeOf(machine),
      probe: postgres.probeOf(machine),
      bus,
      subjects: subjectsFor(this.#config.natsPrefix),
      clock: machine.clock,
      random,
      admission: ADMISSION_LIMITS,
      fence: new Fence(),
      log: simLog(history, this.name),
      metrics: silentMeters<never>(),
      geocoder: NO_CITY_GEOCODER,
      travel,
      ledger: () => Promise.resolve([]),
    };
    const core = createCore(deps, authBy(machine.clock), "0.0.0");
    const run: GatewayRun = { machine, bus, core, onGone: new Set(), isStopping: false };
    this.#run = run;
    bus.onLost = () => this.#lostNats(run);
    history.line(this.name, `starts as ${gateway}`);
  }

  startAfter(ms: number): void {
    this.#parts.clock.after(ms, () => this.start());
  }

  crash(): void {
    const run = this.#run;
    if (run === null) return;
    this.#parts.history.line(this.name, "crashes");
    this.#end(run);
  }

  drain(downMs: number): void {
    const run = this.#run;
    if (run === null || run.isStopping) return;
    run.isStopping = true;
    this.#parts.history.line(this.name, "drains");
    void run.core.drain().then(() => {
      run.core.stop();
      this.#parts.history.line(this.name, "has drained");
      if (this.#run !== run) return;
      this.#end(run);
      this.startAfter(downMs);
    });
  }

  /**
   * The connection to NATS is closed for good: the process ends with code 1, and is started again.
   */
  #lostNats(run: GatewayRun): void {
    this.#parts.history.line(this.name, "ends: its connection to NATS closed");
    this.#parts.clock.after(0, () => {
      if (this.#run !== run) return;
      this.#end(run);
      this.startAfter(RESTART_MS);
    });
  }

  #end(run: GatewayRun): void {
    this.#run = null;
    run.machine.kill();
    run.bus.end();
    for (const gone of run.onGone) gone();
  }
}
