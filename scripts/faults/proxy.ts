// A TCP proxy that makes links bad: late, slow, lossy, cut in one direction or both. It stands
// between our processes and their servers because shaping traffic in the kernel is not allowed
// everywhere. One `Link` is one listening port; what is set on it holds for all its connections, or
// for one of them. Loss is what TCP makes of it: the bytes come a retransmission later, in order. A
// cut link is silent, as a pulled cable is: nobody gets a reset, and what was under way arrives
// when it heals.

import { createServer, connect } from "node:net";
import type { Server, Socket } from "node:net";
import type { AddressInfo } from "node:net";
import { Pipe } from "./pipe.ts";

/** What is wrong with a link. `up` is from the one who connected to the server behind. */
export interface Trouble {
  /** Every byte comes so much later, milliseconds, in each direction. */
  readonly delayMs: number;
  /** Bytes a second and direction; null: as fast as it goes. */
  readonly bytesPerS: number | null;
  /** 0 to 1: the share of chunks that come `RETRANSMISSION_MS` later, and all behind them. */
  readonly loss: number;
  readonly upHeld: boolean;
  readonly downHeld: boolean;
}

export const NO_TROUBLE: Trouble = {
  delayMs: 0,
  bytesPerS: null,
  loss: 0,
  upHeld: false,
  downHeld: false,
};

export interface Address {
  readonly host: string;
  readonly port: number;
}

export interface LinkOptions {
  /** Default: the loopback and a port chosen by the system. */
  readonly listen?: { readonly host?: string; readonly port?: number };
  /**
   * Where a new connection goes, the preferred one first; the next is tried when one refuses. With
   * more than one, connections take turns.
   */
  readonly targets: () => readonly Address[];
  readonly random?: () => number;
}

/** One proxied connection. */
export interface Connection {
  readonly id: number;
  /** Where it leads; null while that is not decided. */
  readonly target: Address | null;
}

class Pair {
  readonly id: number;
  readonly client: Socket;
  server: Socket | null = null;
  target: Address | null = null;
  up: Pipe | null = null;
  down: Pipe | null = null;
  own: Partial<Trouble> = {};
  /** Waits for the link to let it through to the server. */
  waiting = true;

  constructor(id: number, client: Socket) {
    this.id = id;
    this.client = client;
  }

  destroy(): void {
    this.up?.close();
    this.down?.close();
    // A reset, not an orderly end: who reads from it learns that something broke.
    this.client.resetAndDestroy();
    this.server?.resetAndDestroy();
  }
}

const CONNECT_TIMEOUT_MS = 2_000;

export class Link {
  readonly #options: LinkOptions;
  readonly #server: Server;
  readonly #pairs = new Map<number, Pair>();
  #trouble: Trouble = NO_TROUBLE;
  #next = 0;
  #turn = 0;

  private constructor(options: LinkOptions) {
    this.#options = options;
    // Half-open connections are a link's business: an end is passed on, not answered.
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
      this.#accepted(client);
    });
  }

  /** Listens. Rejects when the port is taken. */
  static async open(options: LinkOptions): Promise<Link> {
    const link = new Link(options);
    const { host = "127.0.0.1", port = 0 } = options.listen ?? {};
    await new Promise<void>((resolve, reject) => {
      link.#server.once("error", reject);
      link.#server.listen({ host, port, exclusive: true }, resolve);
    });
    return link;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }
  get trouble(): Trouble {
    return this.#trouble;
  }
  /** The connections that stand at the moment. */
  connections(): Connection[] {
    return [...this.#pairs.values()].map(({ id, target }) => ({ id, target }));
  }

  /** Changes what is wrong, for all connections, present and to come, or only for `connection`. */
  set(trouble: Partial<Trouble>, connection?: number): void {
    if (connection === undefined) this.#trouble = { ...this.#trouble, ...trouble };
    else {
      const pair = this.#pairs.get(connection);
      if (pair !== undefined) pair.own = { ...pair.own, ...trouble };
    }
    this.#apply();
  }
  /** Both directions fall silent; new connections hang. */
  cut(connection?: number): void {
    this.set({ upHeld: true, downHeld: true }, connection);
  }
  /** One direction falls silent: what the client says, or what the server says. */
  halfCut(direction: "up" | "down"): void {
    this.set(direction === "up" ? { upHeld: true } : { downHeld: true });
  }
  /** Nothing is wrong any more, for anybody. */
  heal(): void {
    this.#trouble = NO_TROUBLE;
    for (const pair of this.#pairs.values()) pair.own = {};
    this.#apply();
  }
  /** Breaks connections with a reset; new ones are let in. */
  reset(connection?: number): void {
    for (const pair of [...this.#pairs.values()]) {
      if (connection === undefined || pair.id === connection) this.#drop(pair);
    }
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.reset();
    await closed;
  }

  #apply(): void {
    for (const pair of this.#pairs.values()) {
      const trouble = { ...this.#trouble, ...pair.own };
      pair.up?.set({ ...trouble, held: trouble.upHeld });
      pair.down?.set({ ...trouble, held: trouble.downHeld });
      const isOpen = !trouble.upHeld && !trouble.downHeld;
      if (pair.waiting && isOpen) void this.#reach(pair);
    }
  }

  #accepted(client: Socket): void {
    const pair = new Pair(this.#next++, client);
    this.#pairs.set(pair.id, pair);
    client.once("error", () => client.destroy());
    client.once("close", () => {
      if (pair.up === null) this.#drop(pair);
    });
    this.#apply();
  }

  /** Connects to the server behind, to the next one when it refuses. */
  async #reach(pair: Pair): Promise<void> {
    pair.waiting = false;
    const targets = this.#options.targets();
    const first = this.#turn++ % Math.max(1, targets.length);
    for (const target of [...targets.slice(first), ...targets.slice(0, first)]) {
      const server = await connected(target);
      if (!this.#pairs.has(pair.id)) return void server?.destroy();
      if (server === null) continue;
      pair.target = target;
      this.#join(pair, server);
      return;
    }
    this.#drop(pair);
  }

  #join(pair: Pair, server: Socket): void {
    const random = this.#options.random ?? Math.random;
    const ended = (): void => {
      if (pair.up?.isOver === true && pair.down?.isOver === true) this.#drop(pair);
    };
    pair.server = server;
    pair.up = new Pipe(pair.client, server, random, ended);
    pair.down = new Pipe(server, pair.client, random, ended);
    this.#apply();
  }

  #drop(pair: Pair): void {
    this.#pairs.delete(pair.id);
    pair.destroy();
  }
}

/** A connection to `target`, null when it refuses or does not answer. */
function connected(target: Address): Promise<Socket | null> {
  return new Promise((resolve) => {
    const socket = connect({ ...target, allowHalfOpen: true, noDelay: true });
    const timer = setTimeout(() => give(null), CONNECT_TIMEOUT_MS);
    const give = (result: Socket | null): void => {
      clearTimeout(timer);
      if (result === null) socket.destroy();
      resolve(result);
    };
    socket.once("error", () => give(null));
    socket.once("connect", () => give(socket));
  });
}
