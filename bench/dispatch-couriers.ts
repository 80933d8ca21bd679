/**
 * The couriers of `dispatch.ts`, in a process of their own: raw sockets instead of the SDK, because
 * the load shares the machine with what is measured. Each accepts an offer after 0.2 to 1.2 s
 * unless it was withdrawn before, reports pickup and delivery at once, so that it is free again,
 * and pings where it stands every ten seconds. Only frames that matter here are decoded; a frame's
 * code is its second byte.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { WebSocket } from "ws";
import { PROTOCOL_VERSION, SUBPROTOCOL, clientFrames, serverFrames } from "../proto/frames.ts";
import type { ClientFrame } from "../proto/frames.ts";
import type { DeliveryId } from "../proto/ids.ts";
import { systemClock } from "../sdk/clock.ts";
import { RestClient } from "../sdk/rest.ts";
import { untilAnswered } from "../sdk/retry.ts";
import { inParallel } from "../scripts/replay/fleet-of-bots.ts";
import { findSystem } from "../scripts/replay/system.ts";
import { BOX } from "./dispatch-box.ts";
import { seeded } from "./report.ts";

export type CourierCounts = {
  offers: number;
  assigned: number;
  delivered: number;
  /** By code. */
  refused: Record<string, number>;
  disconnects: number;
  /** When the offers of a delivery arrived, in order: milliseconds since 1970 with a fraction. */
  offeredAt: Record<string, number[]>;
};

const PING_MS = 10_000;
const CAPACITY = 10;
const AT_ONCE = 32;
const ANSWER_MIN_MS = 200;
const ANSWER_SPREAD_MS = 1_000;
const CODE = { welcome: 65, ok: 66, error: 67, offer: 69, withdrawn: 70, assignment: 71 } as const;

const counts: CourierCounts = {
  offers: 0,
  assigned: 0,
  delivered: 0,
  refused: {},
  disconnects: 0,
  offeredAt: {},
};

class Courier {
  readonly #socket: WebSocket;
  readonly #lng: number;
  readonly #lat: number;
  /** What to report once the request with this ref was answered. */
  readonly #then = new Map<number, { delivery: DeliveryId; status: "picked_up" | "delivered" }>();
  /** Offers that will be accepted. */
  readonly #answers = new Map<DeliveryId, NodeJS.Timeout>();
  readonly #random: () => number;
  #ref = 0;
  #seq = Math.floor(Date.now() / 1_000);
  readonly ready: Promise<void>;

  constructor(url: string, token: string, random: () => number) {
    this.#random = random;
    this.#lng = BOX.west + random() * (BOX.east - BOX.west);
    this.#lat = BOX.south + random() * (BOX.north - BOX.south);
    this.#socket = new WebSocket(`${url.replace(/^http/, "ws")}/v1/socket`, SUBPROTOCOL, {
      perMessageDeflate: false,
    });
    this.ready = new Promise((resolve, reject) => {
      this.#socket.on("open", () => {
        const hello = { version: PROTOCOL_VERSION, token, client: "bench" };
        this.#send({ type: "hello", ...hello });
      });
      this.#socket.on("message", (data: Buffer) => {
        if (data[1] === CODE.welcome) {
          this.ping();
          this.#send({ type: "shift", ref: ++this.#ref, online: true });
          resolve();
        } else this.#received(data);
      });
      this.#socket.on("error", reject);
      this.#socket.on("close", () => counts.disconnects++);
    });
  }

  #send(frame: ClientFrame): void {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(clientFrames.encode(frame));
  }

  ping(): void {
    const rest = { accuracyM: null, speedMps: null, headingDeg: null };
    const [lng, lat] = [this.#lng, this.#lat];
    this.#send({ type: "ping", seq: ++this.#seq, at: Date.now(), lng, lat, ...rest });
  }

  #received(data: Buffer): void {
    const code = data[1];
    const matters =
      code === CODE.ok ||
      code === CODE.error ||
      code === CODE.offer ||
      code === CODE.withdrawn ||
      code === CODE.assignment;
    const frame = matters ? serverFrames.decode(data) : null;
    if (frame?.type === "offer") {
      counts.offers++;
      (counts.offeredAt[frame.delivery] ??= []).push(performance.timeOrigin + performance.now());
      this.#answer(frame.delivery);
    } else if (frame?.type === "withdrawn") {
      clearTimeout(this.#answers.get(frame.delivery));
      this.#answers.delete(frame.delivery);
    } else if (frame?.type === "assignment") {
      counts.assigned++;
      this.#report(frame.assignment.id as DeliveryId, "picked_up");
    } else if (frame?.type === "ok") {
      const next = this.#then.get(frame.ref);
      if (next === undefined) return;
      this.#then.delete(frame.ref);
      if (next.status === "delivered") counts.delivered++;
      else this.#report(next.delivery, "delivered");
    } else if (frame?.type === "error") {
      counts.refused[frame.code] = (counts.refused[frame.code] ?? 0) + 1;
      this.#then.delete(frame.ref ?? -1);
    }
  }

  #answer(delivery: DeliveryId): void {
    const accept = (): void => {
      this.#answers.delete(delivery);
      this.#send({ type: "accept", ref: ++this.#ref, delivery });
    };
    const afterMs = ANSWER_MIN_MS + this.#random() * ANSWER_SPREAD_MS;
    this.#answers.set(delivery, setTimeout(accept, afterMs));
  }

  #report(delivery: DeliveryId, status: "picked_up" | "delivered"): void {
    const ref = ++this.#ref;
    this.#then.set(ref, { delivery, status });
    this.#send({ type: "status", ref, delivery, status, at: Date.now(), reason: null });
  }

  leave(): void {
    this.#send({ type: "shift", ref: ++this.#ref, online: false });
  }
  close(): void {
    this.#socket.removeAllListeners("close");
    this.#socket.close();
  }
}

async function open(url: string, count: number): Promise<Courier[]> {
  const system = findSystem(url);
  const operator = await system.token("operator", "ops_bench");
  const rest = new RestClient({ url, getToken: () => operator });
  const random = seeded(3);
  const couriers: Courier[] = [];
  const numbers = Array.from({ length: count }, (_, i) => i + 1);
  const profile = { phone: "+1-415-555-0198", vehicle: "bike", capacity: CAPACITY } as const;
  const retry = { clock: systemClock, random: Math.random, deadlineMs: 30_000 };
  await inParallel(numbers, AT_ONCE, async (number) => {
    const id = `cur_bench_${number}`;
    await untilAnswered(() => rest.putCourier(id, { ...profile, name: `Bench ${number}` }), retry);
    const courier = new Courier(url, await system.token("courier", id), random);
    await courier.ready;
    couriers.push(courier);
  });
  return couriers;
}

/** Pings of the whole fleet, spread evenly over the interval. */
function keepPinging(couriers: readonly Courier[]): NodeJS.Timeout {
  const startedAt = performance.now();
  let done = 0;
  return setInterval(() => {
    const due = ((performance.now() - startedAt) / PING_MS) * couriers.length;
    for (; done < due; done++) couriers[done % couriers.length]?.ping();
  }, 20);
}

process.once("message", (order: { url: string; couriers: number }) => {
  void (async () => {
    const couriers = await open(order.url, order.couriers);
    const timer = keepPinging(couriers);
    process.once("message", () => {
      void (async () => {
        clearInterval(timer);
        for (const courier of couriers) courier.leave();
        await sleep(2_000);
        for (const courier of couriers) courier.close();
        process.send?.(counts, () => process.exit(0));
      })();
    });
    process.send?.("ready");
  })();
});
