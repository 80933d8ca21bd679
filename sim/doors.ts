/**
 * From phones to gateways: simulated sockets and requests, in place of the gateway's listener and
 * the phone's network. It chooses a gateway as a load balancer does, keeps the order of a
 * connection, breaks connections, and listens in on what is said: what a client was told is what
 * the checks hold the world to.
 */
import { hears, isClean, nameOfCreate, responseOf } from "./rest-answers.ts";
import type { GatewayRun, SimGateway } from "./sim-gateway.ts";
import { clientFrames, clientTable, serverFrames, serverTable } from "../proto/frames.ts";
import { SOCKET_IDLE_S } from "../proto/limits.ts";
import type { HttpExchange, WsPeer, WsReceiver } from "../gateway/listener/listener.ts";
import type { Millis } from "../proto/ids.ts";
import type { SocketLike, WebSocketConstructor } from "../sdk/session.ts";
import type { Checks } from "./checks.ts";
import type { SimClock } from "./clock.ts";
import type { Machine } from "./machine.ts";
import type { SeededRandom } from "./random.ts";
import type { ToldVersions } from "./told.ts";

/** Where an app runs: its machine, and whether its network works. */
export type Phone = {
  readonly name: string;
  /** Whom its tokens name. */
  readonly owner: string;
  readonly machine: Machine;
  isOffline: boolean;
  readonly sockets: Set<SimSocket>;
  readonly told: ToldVersions;
  /** Told of each frame before the app gets it. */
  onFrame: (bytes: Uint8Array) => void;
};

type Asked = {
  readonly type: "accept" | "status";
  readonly delivery: string;
  readonly status: string;
};
/** A request in the hands of one run of a gateway. */
type Open = { readonly run: GatewayRun; readonly what: string; readonly since: Millis };

const LATENCY_MIN_MS = 3;
const LATENCY_MAX_MS = 60;
const APART_MS = 1e-3;
const LOST = 1006;
/** Of broken connections: nobody notices before silence has lasted too long. */
const HALF_OPEN_RATE = 0.3;

/** One direction of a connection: in order, each message a little later than the one before. */
class Pipe {
  #lastAt = 0;
  readonly #doors: Doors;

  constructor(doors: Doors) {
    this.#doors = doors;
  }

  send(run: () => void): void {
    const { clock } = this.#doors;
    this.#lastAt = Math.max(this.#lastAt + APART_MS, clock.now() + this.#doors.latencyMs());
    clock.at(this.#lastAt, run);
  }
}

export class Doors {
  readonly clock: SimClock;
  readonly random: SeededRandom;
  readonly checks: Checks;
  readonly #gateways: readonly SimGateway[];
  /** Of requests: the answer is lost on its way. */
  answerLostRate = 0;
  readonly counts = { sockets: 0, broken: 0, requests: 0, unanswered: 0, refusals: 0 };
  readonly #open = new Set<Open>();

  constructor(
    clock: SimClock,
    random: SeededRandom,
    checks: Checks,
    gateways: readonly SimGateway[],
  ) {
    this.clock = clock;
    this.random = random;
    this.checks = checks;
    this.#gateways = gateways;
  }

  latencyMs(): number {
    return this.random.between(LATENCY_MIN_MS, LATENCY_MAX_MS);
  }

  /** Whom the load balancer sends a client to: anybody who listened a moment ago. */
  pick(): GatewayRun | null {
    const { run } = this.random.pick(this.#gateways);
    return run ?? this.random.pick(this.#gateways).run;
  }

  /**
   * L1: nobody waits for ever: requests that a gateway which is well has had in hand since before
   * `at`.
   */
  overdue(at: Millis): readonly string[] {
    for (const open of this.#open) if (open.run.machine.isDead) this.#open.delete(open);
    return [...this.#open].filter(({ since }) => since < at).map(({ what }) => what);
  }

  /** The WebSocket of one phone. */
  socketOf(phone: Phone): WebSocketConstructor {
    const make = (): SimSocket => new SimSocket(this, phone);
    // Called with `new`, a function may give an object of its own choice.
    return function () {
      return make();
    } as unknown as WebSocketConstructor;
  }

  /** All connections of a phone break, some of them unnoticed. */
  breakAll(phone: Phone): void {
    for (const socket of phone.sockets) socket.break(this.random.chance(HALF_OPEN_RATE));
  }

  /** The `fetch` of one phone. */
  fetchOf(phone: Phone): typeof fetch {
    const ask = (url: string, init: RequestInit): Promise<Response> =>
      new Promise((resolve, reject) => {
        const fail = (): void => reject(new Error("no answer"));
        init.signal?.addEventListener("abort", fail);
        this.counts.requests += 1;
        this.clock.after(this.latencyMs(), () => {
          const run = this.pick();
          if (phone.isOffline || run === null) return phone.machine.io(fail);
          run.machine.io(() => this.#serve(phone, run, url, init, resolve));
        });
      });
    return ask as typeof fetch;
  }

  #serve(
    phone: Phone,
    run: GatewayRun,
    url: string,
    init: RequestInit,
    resolve: (response: Response) => void,
  ): void {
    const [path, query] = url.replace(/^[a-z]+:\/\/[^/]+/, "").split("?");
    const method = init.method ?? "GET";
    const headers = init.headers as Record<string, string>;
    const asked = (init.body as string | undefined) ?? "";
    const isCreate = method === "POST" && path === "/v1/deliveries";
    const what = isCreate
      ? `${phone.owner} creates ${nameOfCreate(headers, asked)}`
      : `${phone.owner} ${method} ${path ?? ""}`;
    const open: Open = { run, what, since: this.clock.now() };
    this.#open.add(open);
    const respond: HttpExchange["respond"] = (status, out, body) => {
      const isLike = (other: Open): boolean => other.run === run && other.what === what;
      const underWay = [...this.#open].filter(isLike).length;
      this.#open.delete(open);
      if (status >= 500) this.counts.refusals += 1;
      if (!isClean(status, out)) this.checks.answeredBadly(what, status);
      const text = typeof body === "string" ? body : Buffer.from(body ?? "").toString();
      this.clock.after(this.latencyMs(), () => {
        if (phone.isOffline || this.random.chance(this.answerLostRate)) {
          this.counts.unanswered += 1;
          return;
        }
        phone.machine.io(() => {
          const answered = { method, path: path ?? "", headers, asked, status, text, underWay };
          hears(this.checks, phone, answered);
          resolve(responseOf(status, out, text));
        });
      });
      return true;
    };
    const exchange = {
      method,
      path: path ?? "",
      query: query ?? "",
      headers,
      remoteAddress: phone.name,
    };
    const readBody = (): Promise<Uint8Array> => Promise.resolve(new TextEncoder().encode(asked));
    void run.core.door.serve({ ...exchange, receivedAtUs: 0, readBody, respond });
  }
}

export class SimSocket implements SocketLike {
  binaryType = "arraybuffer";
  onopen: SocketLike["onopen"] = null;
  onmessage: SocketLike["onmessage"] = null;
  onclose: SocketLike["onclose"] = null;
  onerror: SocketLike["onerror"] = null;
  readonly #doors: Doors;
  readonly #phone: Phone;
  readonly #up: Pipe;
  readonly #down: Pipe;
  readonly #asked = new Map<number, Asked>();
  /** Newest version, courier and position of each delivery shown on this connection. */
  readonly #shown = new Map<string, { version: number; courier: string | null; at: number }>();
  #run: GatewayRun | null = null;
  #receiver: WsReceiver | null = null;
  /** Each side may believe in the connection without the other. */
  #isOpenHere = true;
  #isOpenThere = false;
  #isCut = false;

  constructor(doors: Doors, phone: Phone) {
    this.#doors = doors;
    this.#phone = phone;
    this.#up = new Pipe(doors);
    this.#down = new Pipe(doors);
    doors.counts.sockets += 1;
    phone.sockets.add(this);
    this.#up.send(() => {
      const run = doors.pick();
      if (phone.isOffline || run === null) return this.#closedHere(LOST, "");
      run.machine.io(() => this.#open(run));
    });
  }

  /** Both ends have it, and the network between them works. */
  get isWhole(): boolean {
    return this.#isOpenHere && this.#isOpenThere && !this.#isCut;
  }

  #open(run: GatewayRun): void {
    if (this.#isCut) return;
    this.#run = run;
    this.#isOpenThere = true;
    run.onGone.add(this.#gone);
    const peer: WsPeer = {
      remoteAddress: this.#phone.name,
      send: (bytes) => {
        if (!this.#isOpenThere) return "dropped";
        const copy = bytes.slice();
        this.#toPhone(() => this.#hear(copy));
        return "sent";
      },
      close: (code, reason) => {
        if (!this.#isOpenThere) return;
        this.#toPhone(() => this.#closedHere(code, reason));
        this.#closedThere(code);
      },
      bufferedBytes: () => 0,
    };
    this.#receiver = run.core.connections.open(peer);
    this.#toPhone(() => this.onopen?.(undefined as never));
  }

  /** The gateway's process is gone: its host says so, or nobody does. */
  readonly #gone = (): void => {
    this.#isOpenThere = false;
    this.#receiver = null;
    if (this.#doors.random.chance(HALF_OPEN_RATE)) return;
    this.#toPhone(() => this.#closedHere(LOST, ""));
  };

  #toPhone(run: () => void): void {
    this.#down.send(() => {
      if (this.#isCut || this.#phone.isOffline) return;
      this.#phone.machine.io(() => {
        if (this.#isOpenHere) run();
      });
    });
  }

  send(data: Uint8Array): void {
    const copy = data.slice();
    this.#noteAsked(copy);
    this.#up.send(() => {
      const run = this.#run;
      if (run === null || this.#isCut || this.#phone.isOffline) return;
      run.machine.io(() => {
        if (this.#isOpenThere) this.#receiver?.message(copy, true);
      });
    });
  }

  close(code = 1000): void {
    if (!this.#isOpenHere) return;
    this.#isOpenHere = false;
    this.#phone.sockets.delete(this);
    this.#up.send(() => {
      if (this.#isCut || this.#phone.isOffline) return this.#timeOut();
      this.#run?.machine.io(() => this.#closedThere(code));
    });
  }

  /** The network between the two is gone. */
  break(isSilent: boolean): void {
    if (this.#isCut) return;
    this.#isCut = true;
    this.#doors.counts.broken += 1;
    this.#phone.sockets.delete(this);
    if (!isSilent) this.#phone.machine.io(() => this.#closedHere(LOST, ""));
    this.#timeOut();
  }

  /** The server's side notices by silence. */
  #timeOut(): void {
    this.#doors.clock.after(this.#doors.random.between(0.2, 1) * SOCKET_IDLE_S * 1_000, () =>
      this.#run?.machine.io(() => this.#closedThere(LOST)),
    );
  }

  #closedHere(code: number, reason: string): void {
    if (!this.#isOpenHere) return;
    this.#isOpenHere = false;
    this.#phone.sockets.delete(this);
    this.#phone.machine.io(() => this.onclose?.({ code, reason }));
  }

  #closedThere(code: number): void {
    if (!this.#isOpenThere) return;
    this.#isOpenThere = false;
    this.#run?.onGone.delete(this.#gone);
    this.#receiver?.closed(code);
  }

  /* Listening in. */

  #noteAsked(bytes: Uint8Array): void {
    const code = bytes[1];
    const isNoted =
      code === clientTable.accept.code ||
      code === clientTable.status.code ||
      code === clientTable.track.code;
    if (!isNoted) return;
    const frame = clientFrames.decode(bytes);
    if (frame?.type === "track") this.#phone.told.asked(frame.delivery, frame.after);
    if (frame?.type === "accept") {
      this.#asked.set(frame.ref, { type: "accept", delivery: frame.delivery, status: "" });
    } else if (frame?.type === "status") {
      const { delivery, status } = frame;
      this.#asked.set(frame.ref, { type: "status", delivery, status });
    }
  }

  #hear(bytes: Uint8Array): void {
    this.#check(bytes);
    this.#phone.onFrame(bytes);
    const { buffer, byteOffset, byteLength } = bytes;
    this.onmessage?.({ data: buffer.slice(byteOffset, byteOffset + byteLength) });
  }

  #check(bytes: Uint8Array): void {
    const code = bytes[1];
    const isTelling =
      code === serverTable.ok.code ||
      code === serverTable.error.code ||
      code === serverTable.delivery.code ||
      code === serverTable.passed.code ||
      code === serverTable.positions.code;
    if (!isTelling) return;
    const frame = serverFrames.decode(bytes);
    if (frame?.type === "ok")
      this.#answered(frame.ref, frame.result as { assigned_at?: string } | null);
    if (frame?.type === "error" && frame.code === "internal") {
      this.#doors.checks.answeredBadly(`${this.#phone.owner} over its socket`, 500);
    }
    if (frame?.type === "delivery") {
      const { courier_location: spot, courier } = frame.view;
      const at = spot === null ? null : Date.parse(spot.updated_at);
      this.#phone.told.shown(frame.delivery, frame.version);
      this.#doors.checks.promises.shown(frame.delivery, frame.version, frame.view.status);
      this.#show(frame.delivery, at, frame.version, courier?.id ?? null);
    }
    if (frame?.type === "passed") {
      this.#phone.told.passed(frame.delivery, frame.recovered, frame.events);
    }
    if (frame?.type !== "positions") return;
    for (const { delivery, at } of frame.positions) {
      this.#phone.told.moved(delivery);
      this.#show(delivery, at, null, null);
    }
  }

  #answered(ref: number, result: { assigned_at?: string } | null): void {
    const asked = this.#asked.get(ref);
    if (asked === undefined) return;
    this.#asked.delete(ref);
    const { checks } = this.#doors;
    if (asked.type === "status") {
      checks.statusAnswered(asked.delivery, this.#phone.owner, asked.status);
    } else if (result?.assigned_at !== undefined) {
      checks.acceptAnswered(asked.delivery, this.#phone.owner, result.assigned_at);
    }
  }

  /** D6: on one connection nothing older follows anything newer. */
  #show(delivery: string, at: number | null, version: number | null, courier: string | null): void {
    const { checks } = this.#doors;
    const before = this.#shown.get(delivery) ?? { version: 0, courier, at: 0 };
    const isOther = version !== null && courier !== before.courier;
    const newestAt = isOther ? 0 : before.at;
    checks.order(delivery, before.version, version, newestAt, at);
    if (at !== null) checks.positionShown(delivery, at);
    this.#shown.set(delivery, {
      version: version ?? before.version,
      courier: version === null ? before.courier : courier,
      at: Math.max(newestAt, at ?? 0),
    });
  }
}
