/**
 * Makes the couriers of a replay and keeps them moving: profiles through the operator's door, one
 * socket each through the SDK, one tick a ping interval, spread evenly. Bounded in how much it does
 * at once.
 */
import { WebSocket } from "ws";
import type { Vehicle } from "../../proto/geo.ts";
import { CourierClient } from "../../sdk/courier-client.ts";
import type { CourierOptions } from "../../sdk/courier-client.ts";
import { RestClient } from "../../sdk/rest.ts";
import type { WebSocketConstructor } from "../../sdk/session.ts";
import { untilAnswered } from "../../sdk/retry.ts";
import { systemClock } from "../../sdk/clock.ts";
import { CourierBot } from "./courier-bot.ts";
import type { ReplayOptions } from "./options.ts";
import { seeded } from "./random.ts";
import type { System } from "./system.ts";
import type { Tales } from "./tales.ts";
import type { WorldClock } from "./world-clock.ts";
import type { World } from "./world.ts";

/** World seconds between two pings of a courier. */
export const PING_WORLD_S = 10;
/** However compressed, a courier pings no oftener than this on the wall. */
const PING_WALL_MIN_MS = 250;
/** Bots move this much below the speed that the server stops believing. */
const BELIEVED_SHARE = 0.9;
const AT_ONCE = 24;
const TICK_MS = 25;

/** What a fleet rides: mostly bicycles, as in the dense parts of cities. */
const VEHICLE_MIX: readonly Vehicle[] = [
  "bike",
  "bike",
  "bike",
  "bike",
  "bike",
  "scooter",
  "scooter",
  "car",
  "car",
  "car",
];

/** Runs `work` on all items, at most `atOnce` at the same time. */
export async function inParallel<T>(
  items: readonly T[],
  atOnce: number,
  work: (item: T, index: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < items.length) {
      const index = next++;
      await work(items[index] as T, index);
    }
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, worker));
}

export const webSocket = WebSocket as unknown as WebSocketConstructor;

/** The interval between two ticks of a bot on the wall, milliseconds. */
export const pingWallMs = (compression: number): number =>
  Math.max(PING_WALL_MIN_MS, (PING_WORLD_S * 1_000) / compression);

export class FleetOfBots {
  readonly bots: CourierBot[] = [];
  readonly #clients: CourierClient[] = [];
  readonly #makeClient: (id: string, options: CourierOptions) => CourierClient;
  #timer: NodeJS.Timeout | null = null;

  /** `makeClient`: for who wants to see what couriers ask for. */
  constructor(
    makeClient = (_: string, options: CourierOptions): CourierClient => new CourierClient(options),
  ) {
    this.#makeClient = makeClient;
  }

  /**
   * Creates the couriers, connects them and starts their world. `onReady` is told how many there
   * are so far.
   */
  async open(
    system: System,
    world: World,
    clock: WorldClock,
    tales: Tales,
    replay: ReplayOptions,
    onReady: (count: number) => void,
  ): Promise<void> {
    const operator = await system.token("operator", "ops_replay");
    const rest = new RestClient({ url: system.publicUrl, getToken: () => operator });
    const ready: (CourierBot | null)[] = world.traces.map(() => null);
    await inParallel(world.traces, AT_ONCE, async (trace, i) => {
      const id = `cur_replay_${i + 1}`;
      const vehicle = VEHICLE_MIX[i % VEHICLE_MIX.length] ?? "bike";
      const profile = {
        name: `Replay ${i + 1}`,
        phone: "+1-415-555-0199",
        vehicle,
        capacity: replay.capacity,
      };
      const retry = { clock: systemClock, random: Math.random, deadlineMs: 30_000 };
      await untilAnswered(() => rest.putCourier(id, profile), retry);
      const token = await system.token("courier", id);
      const client = this.#makeClient(id, {
        url: system.publicUrl,
        getToken: () => token,
        webSocket,
        client: "replay",
      });
      const random = seeded(replay.seed * 104_729 + i);
      this.#clients.push(client);
      const started = client.start();
      const believedMps = await started.then(() => client.advice?.pingSpeedMaxMps ?? 278);
      ready[i] = new CourierBot({
        id,
        vehicle,
        client,
        trace,
        clock,
        tales,
        random,
        replay,
        believedMps: believedMps * BELIEVED_SHARE,
      });
      onReady(this.#clients.length);
    });
    this.bots.push(...ready.filter((bot) => bot !== null));
    this.#startTicking(pingWallMs(replay.compression));
  }

  /**
   * Each bot once in `intervalMs`, a slice of the fleet at a time, so that pings do not come in
   * bursts.
   */
  #startTicking(intervalMs: number): void {
    const startedAt = performance.now();
    let done = 0;
    this.#timer = setInterval(() => {
      const share = (performance.now() - startedAt) / intervalMs;
      const due = Math.floor(share * this.bots.length);
      // After a stall no bot is due twice: its next tick moves it all the way.
      done = Math.max(done, due - this.bots.length);
      for (; done < due; done++) this.bots[done % this.bots.length]?.tick();
    }, TICK_MS);
  }

  get onShift(): number {
    return this.#clients.filter((client) => client.online).length;
  }
  get busy(): number {
    return this.bots.filter((bot) => bot.isBusy).length;
  }
  get connected(): number {
    return this.#clients.filter((client) => client.state.at === "connected").length;
  }

  /** Nobody takes offers any more; who carries something finishes it. */
  stopTaking(): void {
    for (const bot of this.bots) bot.close();
  }

  /** Off shift and away. */
  async close(tales: Tales): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer);
    await inParallel(this.#clients, AT_ONCE, async (client) => {
      if (client.online) await client.goOffShift().catch((error) => tales.error("shift", error));
      client.stop();
    });
  }
}
