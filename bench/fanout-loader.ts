/**
 * A process full of followers for bench/fanout: opens the sockets that it is told to, at the pace
 * that it is told, says what it has seen as the protocol asks, and counts how late each position is
 * read. All sockets read into one buffer and nothing but the time is decoded, so that the load
 * takes little of the machine that it shares with what is measured.
 */
import { connect } from "node:net";
import type { Socket } from "node:net";
import { serverFrames } from "../proto/frames.ts";
import type { ClientFrame } from "../proto/frames.ts";
import type { DeliveryId } from "../proto/ids.ts";
import { SeenCount } from "../sdk/seen-count.ts";
import {
  PONG,
  SOCKET_IO_JOIN,
  clientBytes,
  eachFrame,
  isPositions,
  measuredAt,
  upgradeRequest,
} from "./fanout-wire.ts";

export type Speaks = "hexdispatch" | "bare" | "socket.io";
export type LoaderOrder =
  | {
      readonly do: "connect";
      readonly speaks: Speaks;
      /** Of each in turn. */
      readonly ports: readonly number[];
      /** First three bytes of the addresses that it comes from: one address has too few ports. */
      readonly from: string;
      /** Empty for a bare loop, which sends to each socket in the order of their opening. */
      readonly follow: readonly { readonly token: string; readonly delivery: string }[];
      readonly count: number;
      readonly perS: number;
    }
  | { readonly do: "reset" }
  | { readonly do: "report" }
  /** Stops or goes on reading the first `count` sockets. */
  | { readonly do: "read"; readonly isOn: boolean; readonly count: number };
export type LoaderWord =
  | { readonly is: "connected" }
  | { readonly is: "opened"; readonly count: number }
  | {
      readonly is: "report";
      readonly frames: number;
      readonly others: number;
      readonly bins: readonly (readonly [bin: number, count: number])[];
      /**
       * Ages of the frames that each stopped socket read when it went on, in order, milliseconds.
       */
      readonly resumed: readonly (readonly number[])[];
    };
type Connect = LoaderOrder & { do: "connect" };

/** Lag in tenths of milliseconds; the last bin takes the rest. */
const BINS = 50_000;
const CONNECTING_MAX = 100;
const AGAIN_MS = 500;
const PROGRESS_MS = 1_000;
const ADDRESSES = 4;
const RESUMED_KEPT_FRAMES = 32;

let bins = new Uint32Array(BINS);
let frames = 0;
/** Frames of other kinds: greetings, new estimates. */
let others = 0;
const followers: Follower[] = [];
/** Read and looked at within one callback, so all sockets can share it. */
const shared = Buffer.allocUnsafe(65_536);
const now = (): number => performance.timeOrigin + performance.now();

class Follower {
  readonly #socket: Socket;
  readonly #speaks: Speaks;
  readonly #whom: { readonly token: string; readonly delivery: string } | undefined;
  readonly #seen = new SeenCount();
  readonly #done: () => void;
  #rest: Buffer | null = null;
  #isOpen = false;
  /** Ages of what it reads first after a pause. */
  resumed: number[] | null = null;

  constructor(order: Connect, which: number, done: () => void) {
    this.#speaks = order.speaks;
    this.#whom = order.follow[which % order.follow.length];
    this.#done = done;
    const port = order.ports[which % order.ports.length] as number;
    const from = `${order.from}.${(which % ADDRESSES) + 1}`;
    const onread = { buffer: shared, callback: (size: number) => this.#read(size) };
    const socket = connect({ host: "127.0.0.1", port, localAddress: from, onread });
    socket.on("connect", () => socket.write(upgradeRequest("127.0.0.1", order.speaks)));
    socket.on("error", (error) => lost(String(error)));
    socket.on("close", () => lost("a socket was closed"));
    this.#socket = socket;
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.resumed = [];
    this.#socket.resume();
  }

  #read(size: number): boolean {
    const fresh = shared.subarray(0, size);
    let bytes = this.#rest === null ? fresh : Buffer.concat([this.#rest, fresh]);
    this.#rest = null;
    if (!this.#isOpen) {
      const end = bytes.indexOf("\r\n\r\n");
      if (end < 0) {
        this.#rest = Buffer.from(bytes);
        return true;
      }
      bytes = bytes.subarray(end + 4);
      this.#opened();
    }
    const left = eachFrame(bytes, this.#onFrame, this.#onPing);
    if (left !== null) this.#rest = Buffer.from(left); // The buffer is another's in a moment.
    return true;
  }

  #opened(): void {
    this.#isOpen = true;
    if (this.#speaks === "bare") this.#done();
    else if (this.#speaks === "socket.io") this.#socket.write(SOCKET_IO_JOIN);
    else {
      const token = this.#whom?.token ?? "";
      this.#say({ type: "hello", version: 1, token, client: "bench" });
    }
  }

  readonly #onPing = (): void => void this.#socket.write(PONG);

  readonly #onFrame = (bytes: Buffer, from: number, to: number, isBinary: boolean): void => {
    if (this.#speaks === "socket.io") {
      // "0{...}" opens the engine, "40{...}" the namespace; "451-..." announces the binary frame
      // that is counted.
      const isJoined = !isBinary && bytes[from] === 0x34 && bytes[from + 1] === 0x30;
      if (isJoined) this.#done();
      if (!isBinary) return;
    } else if (!isPositions(bytes, from)) return this.#setUp(bytes.subarray(from, to));
    const at = now();
    const lagMs = at - measuredAt(bytes, from);
    const bin = Math.min(BINS - 1, Math.max(0, Math.round(lagMs * 10)));
    bins[bin] = (bins[bin] as number) + 1;
    frames++;
    const { resumed } = this;
    if (resumed !== null && resumed.length < RESUMED_KEPT_FRAMES) resumed.push(Math.round(lagMs));
    if (this.#whom === undefined || !this.#seen.isDue(at)) return;
    this.#say({ type: "seen", frames: this.#seen.frames });
  };

  #setUp(payload: Buffer): void {
    others++;
    const frame = serverFrames.decode(payload);
    const track = (): void => {
      const delivery = (this.#whom?.delivery ?? "") as DeliveryId;
      this.#say({ type: "track", ref: 1, delivery, after: null });
    };
    if (frame?.type === "welcome") {
      this.#seen.start(frame.seenEvery, now(), Math.random());
      track();
    } else if (frame?.type === "delivery") this.#done();
    // Overloaded while all come at once.
    else if (frame?.type === "error") setTimeout(track, AGAIN_MS);
    else if (frame?.type === "bye") lost(frame.text);
  }

  #say(frame: ClientFrame): void {
    this.#socket.write(clientBytes(frame));
  }
}

/** A follower that was lost would make the figures of the rest look good. */
function lost(why: string): void {
  process.stderr.write(`loader: ${why}\n`);
  process.exit(1);
}

/** So many a second, and never more than CONNECTING_MAX that are not done. */
async function openAll(order: Connect): Promise<void> {
  const since = performance.now();
  let [opened, done] = [0, 0];
  const progress = setInterval(
    () => process.send?.({ is: "opened", count: done } satisfies LoaderWord),
    PROGRESS_MS,
  );
  await new Promise<void>((resolve) => {
    const more = (): void => {
      const due = Math.min(order.count, ((performance.now() - since) / 1_000) * order.perS);
      while (opened < due && opened - done < CONNECTING_MAX) {
        let isDone = false;
        const onDone = (): void => {
          if (isDone) return;
          isDone = true;
          done++;
          if (done === order.count) resolve();
        };
        followers.push(new Follower(order, opened++, onDone));
      }
      if (opened < order.count) setTimeout(more, 5);
    };
    more();
  });
  clearInterval(progress);
}

function reportNow(): LoaderWord {
  const counted: [number, number][] = [];
  bins.forEach((count, bin) => count > 0 && counted.push([bin, count]));
  const resumed = followers.flatMap(({ resumed: ages }) => (ages === null ? [] : [ages]));
  return { is: "report", frames, others, bins: counted, resumed };
}

process.on("message", (order: LoaderOrder) => {
  if (order.do === "connect") {
    void openAll(order).then(() => process.send?.({ is: "connected" } satisfies LoaderWord));
  } else if (order.do === "reset") {
    bins = new Uint32Array(BINS);
    frames = 0;
    others = 0;
  } else if (order.do === "report") process.send?.(reportNow());
  else {
    for (const follower of followers.slice(0, order.count)) {
      if (order.isOn) follower.resume();
      else follower.pause();
    }
  }
});
process.send?.({ is: "connected" }); // To whoever started us: orders may come.
process.on("disconnect", () => process.exit(0));
