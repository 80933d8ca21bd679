/**
 * The couriers of bench/fanout --whole, in a process of their own: each has a socket and pings once
 * in so long, spread over that time. The time in a ping is when it was sent, so that a follower
 * knows how late it reads the position.
 */
import { connect } from "node:net";
import type { Socket } from "node:net";
import { serverFrames } from "../proto/frames.ts";
import type { ClientFrame } from "../proto/frames.ts";
import { PONG, clientBytes, eachFrame, upgradeRequest } from "./fanout-wire.ts";

export type RiderOrder =
  | { readonly do: "connect"; readonly port: number; readonly tokens: readonly string[] }
  | { readonly do: "ride"; readonly everyMs: number }
  | { readonly do: "stop" };
export type RiderWord = { readonly is: "started" } | { readonly is: "connected" };

const STEP_MS = 10;
const CONNECTING_MAX = 50;
/** Where a rider is: on its way, at the pace of a bike. */
const START_LNG = -122.5;
const DEGREES_PER_S = 3.3 / 87_900;

class Rider {
  readonly #socket: Socket;
  readonly #token: string;
  readonly #done: () => void;
  #rest: Buffer | null = null;
  #isOpen = false;
  #seq = 0;

  constructor(port: number, token: string, done: () => void) {
    this.#token = token;
    this.#done = done;
    this.#socket = connect({ host: "127.0.0.1", port, localAddress: "127.200.0.1" });
    this.#socket.on("connect", () => this.#socket.write(upgradeRequest("127.0.0.1", "bare")));
    this.#socket.on("data", (bytes: Buffer) => this.#read(bytes));
    this.#socket.on("close", () => {
      process.stderr.write("riders: a socket was closed\n");
      process.exit(1);
    });
    this.#socket.on("error", () => undefined); // Its close follows.
  }

  ping(now: number): void {
    const lng = START_LNG + ((now - since) / 1_000) * DEGREES_PER_S;
    const rest = { lng, lat: 37.78, accuracyM: 5, speedMps: null, headingDeg: null };
    this.#say({ type: "ping", seq: ++this.#seq, at: now, ...rest });
  }

  #read(chunk: Buffer): void {
    let bytes = this.#rest === null ? chunk : Buffer.concat([this.#rest, chunk]);
    if (!this.#isOpen) {
      const end = bytes.indexOf("\r\n\r\n");
      if (end < 0) return void (this.#rest = bytes);
      this.#isOpen = true;
      bytes = bytes.subarray(end + 4);
      this.#say({ type: "hello", version: 1, token: this.#token, client: "bench" });
    }
    this.#rest = eachFrame(
      bytes,
      (all, from, to) => {
        if (this.#seq > 0) return;
        if (serverFrames.decode(all.subarray(from, to))?.type === "welcome") this.#done();
      },
      () => void this.#socket.write(PONG),
    );
  }

  #say(frame: ClientFrame): void {
    this.#socket.write(clientBytes(frame));
  }
}

const since = Date.now();
const riders: Rider[] = [];
let timer: NodeJS.Timeout | null = null;

async function connectAll(port: number, tokens: readonly string[]): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let token = tokens[next++]; token !== undefined; token = tokens[next++]) {
      const own = token;
      await new Promise<void>((resolve) => riders.push(new Rider(port, own, resolve)));
    }
  };
  await Promise.all(Array.from({ length: CONNECTING_MAX }, worker));
}

/** Rider n pings at its own part of the period. */
function ride(everyMs: number): void {
  const steps = everyMs / STEP_MS;
  let step = 0;
  let next = Date.now();
  const tick = (): void => {
    for (; next <= Date.now(); next += STEP_MS, step++) {
      for (let n = step % steps; n < riders.length; n += steps) riders[n]?.ping(Date.now());
    }
    timer = setTimeout(tick, Math.max(0, next - Date.now()));
  };
  tick();
}

const say = (word: RiderWord): void => void process.send?.(word);
process.on("message", (order: RiderOrder) => {
  if (timer !== null) clearTimeout(timer);
  timer = null;
  if (order.do === "connect") {
    void connectAll(order.port, order.tokens).then(() => say({ is: "connected" }));
  } else if (order.do === "ride") ride(order.everyMs);
});
say({ is: "started" });
process.on("disconnect", () => process.exit(0));
