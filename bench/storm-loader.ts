/**
 * A process full of followers for bench/storm: clients of the SDK as an app has them, so that who
 * loses its gateway comes back when the SDK says, asks for what it missed, and polls meanwhile.
 * Notes when each came back, how late positions are read, and every number of a status that a
 * follower was told.
 */
import { WebSocket } from "ws";
import { CustomerClient } from "../sdk/customer-client.ts";
import type { WebSocketConstructor } from "../sdk/session.ts";
import type { TrackEvent } from "../sdk/tracking.ts";
import type { Followable } from "./fanout-world.ts";

export type StormOrder =
  | {
      readonly do: "follow";
      readonly url: string;
      readonly from: string;
      readonly follow: readonly Followable[];
      readonly count: number;
      readonly perS: number;
    }
  /** Forgets lags and returns so far. */
  | { readonly do: "reset" }
  | { readonly do: "report" }
  /** The version that each delivery has by now. */
  | { readonly do: "check"; readonly versions: readonly number[] };
export type StormWord =
  | { readonly is: "started" }
  | { readonly is: "opened"; readonly count: number }
  | {
      readonly is: "report";
      readonly connected: number;
      /** Sockets that were lost since the reset. */
      readonly lost: number;
      /** When each came back, milliseconds since 1970. */
      readonly back: readonly number[];
      /** Of those who lost nothing, milliseconds from the position's time to its reading. */
      readonly lags: readonly number[];
    }
  | {
      readonly is: "checked";
      readonly followers: number;
      /** Not all numbers up to the present one, each once and in order. */
      readonly wrong: number;
      /** Told honestly that what was missed could not be had. */
      readonly gaps: number;
      readonly told: number;
      readonly example: string;
    };

const ADDRESSES = 8;
const OPENED_MS = 500;
const CONNECTING_MAX = 100;
const say = (word: StormWord): void => {
  // The parent may end while a word is on its way; its end is ours ("disconnect" below).
  if (process.connected) process.send?.(word, undefined, undefined, () => undefined);
};

class Follower {
  readonly client: CustomerClient;
  readonly which: number;
  /** Of statuses, each once, in the order of telling. */
  readonly numbers = new Set<number>();
  gaps = 0;
  lostAt = 0;

  constructor(order: StormOrder & { do: "follow" }, no: number) {
    this.which = no % order.follow.length;
    const { token, delivery } = order.follow[this.which] as Followable;
    const localAddress = `${order.from}.${(no % ADDRESSES) + 1}`;
    class FromAddress extends WebSocket {
      constructor(url: string, protocols: string) {
        super(url, protocols, { localAddress, perMessageDeflate: false });
      }
    }
    const webSocket = FromAddress as unknown as WebSocketConstructor;
    this.client = new CustomerClient({ url: order.url, getToken: () => token, webSocket });
    this.client.on("state", ({ at }) => {
      if (at === "disconnected") this.lostAt = Date.now();
      if (at !== "connected" || this.lostAt === 0) return;
      back.push(Date.now());
    });
    void this.#read(delivery);
  }

  async #read(delivery: string): Promise<void> {
    for await (const event of this.client.track(delivery)) this.#note(event);
  }

  #note(event: TrackEvent): void {
    switch (event.type) {
      case "gap":
        this.gaps++;
        return;
      case "passed":
        for (const { number } of event.events) this.numbers.add(number);
        return;
      case "delivery":
        this.numbers.add(event.delivery.version);
        return;
      case "position": {
        const { position, source } = event;
        const isSteady = source === "socket" && this.lostAt < since;
        if (isSteady) lags.push(Date.now() - position.at);
      }
    }
  }
}

const followers: Follower[] = [];
let back: number[] = [];
let lags: number[] = [];
let since = Date.now();

const connectedNow = (): number =>
  followers.filter(({ client }) => client.state.at === "connected").length;

/** At the pace that was asked for, and never more than a few that are not connected. */
function followAll(order: StormOrder & { do: "follow" }): void {
  const from = performance.now();
  const timer = setInterval(() => {
    const due = Math.min(order.count, ((performance.now() - from) / 1_000) * order.perS);
    const connected = connectedNow();
    while (followers.length < due && followers.length - connected < CONNECTING_MAX) {
      followers.push(new Follower(order, followers.length));
    }
    if (followers.length === order.count) clearInterval(timer);
  }, 50);
  setInterval(() => say({ is: "opened", count: connectedNow() }), OPENED_MS);
}

/**
 * The first look at a delivery tells its present state, whatever that is; from there on nothing may
 * be missing. Polling may tell the last before the socket tells what came between.
 */
function isWhole(numbers: ReadonlySet<number>, last: number): boolean {
  const [first] = numbers;
  return first !== undefined && numbers.has(last) && numbers.size === last - first + 1;
}

function check(versions: readonly number[]): StormWord {
  const wrong = followers.filter(
    ({ numbers, which }) => !isWhole(numbers, versions[which] as number),
  );
  const [first] = wrong;
  const example =
    first === undefined
      ? ""
      : `delivery ${first.which}: told ${[...first.numbers].join(",")}; is at ${versions[first.which]}`;
  return {
    is: "checked",
    followers: followers.length,
    wrong: wrong.length,
    gaps: followers.reduce((sum, { gaps }) => sum + gaps, 0),
    told: followers.reduce((sum, { numbers }) => sum + Math.max(0, numbers.size - 1), 0),
    example,
  };
}

process.on("message", (order: StormOrder) => {
  if (order.do === "follow") followAll(order);
  else if (order.do === "reset") {
    back = [];
    lags = [];
    since = Date.now();
  } else if (order.do === "check") say(check(order.versions));
  else {
    const lost = followers.filter(({ lostAt }) => lostAt >= since).length;
    say({ is: "report", connected: connectedNow(), lost, back, lags });
  }
});
say({ is: "started" });
process.on("disconnect", () => process.exit(0));
