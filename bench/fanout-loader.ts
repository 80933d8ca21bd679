/**
 * A process full of followers for bench/fanout: opens the sockets that it is told to, says what it has seen as the protocol
 * asks, and counts how late each position is read. Its own cost is no part of the figures.
 */
import { connect } from "node:net";
import type { Socket } from "node:net";
import { serverFrames } from "../proto/frames.ts";
import type { DeliveryId } from "../proto/ids.ts";
import { SEEN_EVERY_FRAMES, SEEN_EVERY_MS } from "../proto/limits.ts";
import {
  PONG,
  clientBytes,
  eachFrame,
  isPositions,
  measuredAt,
  upgradeRequest,
} from "./fanout-wire.ts";

/** `follow`: null for a server that speaks no hello, which sends to each socket in the order of their opening. */
export type LoaderOrder =
  | {
      readonly do: "connect";
      readonly port: number;
      readonly from: string;
      readonly follow: readonly { readonly token: string; readonly delivery: string }[] | null;
      readonly count: number;
    }
  | { readonly do: "reset" }
  | { readonly do: "report" }
  /** Stops or goes on reading the first `count` sockets. */
  | { readonly do: "read"; readonly isOn: boolean; readonly count: number };
export type LoaderWord =
  | { readonly is: "connected" }
  | {
      readonly is: "report";
      readonly frames: number;
      readonly bins: readonly (readonly [bin: number, count: number])[];
      /** Ages of the first frame that each stopped socket read when it went on, and of its next, milliseconds. */
      readonly resumed: readonly (readonly number[])[];
    };

/** Lag in tenths of milliseconds; the last bin takes the rest. */
const BINS = 50_000;
const CONNECTING_MAX = 50;
const AGAIN_MS = 500;
const RESUMED_KEPT_FRAMES = 16;

let bins = new Uint32Array(BINS);
let frames = 0;
const sockets: Socket[] = [];
const resumed = new Map<Socket, number[]>();
const now = (): number => performance.timeOrigin + performance.now();

function open(order: LoaderOrder & { do: "connect" }, which: number): Promise<void> {
  const follow = order.follow?.[which % order.follow.length];
  return new Promise((resolve, reject) => {
    const socket = connect({ host: "127.0.0.1", port: order.port, localAddress: order.from });
    sockets.push(socket);
    let rest: Buffer | null = null;
    let isOpen = false;
    let seen = 0;
    let told = 0;
    let toldAt = 0;
    const onFrame = (bytes: Buffer, from: number, to: number): void => {
      if (!isPositions(bytes, from)) return setUp(bytes.subarray(from, to));
      const at = now();
      const lagMs = at - measuredAt(bytes, from);
      const bin = Math.min(BINS - 1, Math.max(0, Math.round(lagMs * 10)));
      bins[bin] = (bins[bin] as number) + 1;
      frames++;
      const ages = resumed.get(socket);
      if (ages !== undefined && ages.length < RESUMED_KEPT_FRAMES) ages.push(Math.round(lagMs));
      if (follow === undefined) return;
      seen++;
      if (seen - told < SEEN_EVERY_FRAMES && at - toldAt < SEEN_EVERY_MS) return;
      told = seen;
      toldAt = at;
      socket.write(clientBytes({ type: "seen", frames: seen }));
    };
    const setUp = (payload: Buffer): void => {
      const frame = serverFrames.decode(payload);
      const track = (): void => {
        const delivery = (follow?.delivery ?? "") as DeliveryId;
        socket.write(clientBytes({ type: "track", ref: 1, delivery, after: null }));
      };
      if (frame?.type === "welcome") track();
      else if (frame?.type === "delivery") resolve();
      else if (frame?.type === "error") setTimeout(track, AGAIN_MS); // Overloaded while all come at once.
      else if (frame?.type === "bye") reject(new Error(frame.text));
    };
    socket.on("connect", () => socket.write(upgradeRequest("127.0.0.1")));
    socket.on("error", reject);
    socket.on("close", () => {
      reject(new Error("closed"));
      // A follower that was lost would make the figures of the rest look good.
      process.stderr.write("loader: a socket was closed\n");
      process.exit(1);
    });
    socket.on("data", (chunk: Buffer) => {
      let bytes = rest === null ? chunk : Buffer.concat([rest, chunk]);
      if (!isOpen) {
        const end = bytes.indexOf("\r\n\r\n");
        if (end < 0) return void (rest = bytes);
        isOpen = true;
        bytes = bytes.subarray(end + 4);
        if (follow === undefined) resolve();
        else {
          const { token } = follow;
          socket.write(clientBytes({ type: "hello", version: 1, token, client: "bench" }));
        }
      }
      rest = eachFrame(bytes, onFrame, () => void socket.write(PONG));
    });
  });
}

async function openAll(order: LoaderOrder & { do: "connect" }): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < order.count) await open(order, next++);
  };
  await Promise.all(Array.from({ length: CONNECTING_MAX }, worker));
}

function reportNow(): LoaderWord {
  const counted: [number, number][] = [];
  bins.forEach((count, bin) => count > 0 && counted.push([bin, count]));
  return { is: "report", frames, bins: counted, resumed: [...resumed.values()] };
}

process.on("message", (order: LoaderOrder) => {
  if (order.do === "connect") {
    openAll(order).then(
      () => process.send?.({ is: "connected" }),
      (error: unknown) => {
        process.stderr.write(`loader: ${String(error)}\n`);
        process.exit(1);
      },
    );
  } else if (order.do === "reset") {
    bins = new Uint32Array(BINS);
    frames = 0;
  } else if (order.do === "report") process.send?.(reportNow());
  else {
    for (const socket of sockets.slice(0, order.count)) {
      if (order.isOn) {
        resumed.set(socket, []);
        socket.resume();
      } else socket.pause();
    }
  }
});
process.send?.({ is: "connected" }); // To whoever started us: orders may come.
process.on("disconnect", () => process.exit(0));
