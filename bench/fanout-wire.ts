/**
 * The few bytes of WebSocket that a load client needs, by hand: a library would cost more than what
 * is measured. Frames of servers are never masked, frames of clients are masked with zeros, which
 * changes nothing.
 */
import { clientFrames, serverFrames } from "../proto/frames.ts";
import type { ClientFrame } from "../proto/frames.ts";
import type { DeliveryId } from "../proto/ids.ts";

export const SLICE_MS = 20;
/** What a bare loop is told. */
export type PeerOrder = {
  readonly isOn: boolean;
  readonly couriers: number;
  /** Each courier moves once in so many slices. */
  readonly everySlices: number;
};

/** The request that opens a WebSocket; Socket.IO has a path of its own. */
export const upgradeRequest = (host: string, speaks: string): string =>
  [
    `GET ${speaks === "socket.io" ? "/socket.io/?EIO=4&transport=websocket" : "/v1/socket"} HTTP/1.1`,
    `Host: ${host}`,
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ...(speaks === "socket.io" ? [] : ["Sec-WebSocket-Protocol: hexdispatch.v1.msgpack"]),
    "\r\n",
  ].join("\r\n");

/** A client's binary frame; up to 64 KiB. */
export function clientBytes(frame: ClientFrame): Buffer {
  const payload = clientFrames.encode(frame);
  const short = payload.length < 126;
  const head = Buffer.alloc(short ? 6 : 8);
  head[0] = 0x82;
  head[1] = 0x80 | (short ? payload.length : 126);
  if (!short) head.writeUInt16BE(payload.length, 2);
  return Buffer.concat([head, payload]);
}

/** A client of Socket.IO asks for the main namespace: the text "40". */
export const SOCKET_IO_JOIN = Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0x34, 0x30]);

/** An empty pong: who never answers a ping is closed as idle. */
export const PONG = Buffer.from([0x8a, 0x80, 0, 0, 0, 0]);

/** Calls back for each whole frame of data in `bytes`; gives what is left of the last one. */
export function eachFrame(
  bytes: Buffer,
  fn: (bytes: Buffer, from: number, to: number, isBinary: boolean) => void,
  onPing: () => void,
): Buffer | null {
  let at = 0;
  while (at + 2 <= bytes.length) {
    const short = (bytes[at + 1] as number) & 0x7f;
    const head = short < 126 ? 2 : 4;
    if (at + head > bytes.length) break;
    const size = short < 126 ? short : bytes.readUInt16BE(at + 2);
    const end = at + head + size;
    if (end > bytes.length) break;
    const opcode = (bytes[at] as number) & 0x0f;
    if (opcode === 1 || opcode === 2) fn(bytes, at + head, end, opcode === 2);
    else if (opcode === 9) onPing();
    at = end;
  }
  return at === bytes.length ? null : bytes.subarray(at);
}

/** A frame of positions with one row: what a follower of one delivery gets. */
export const positionBytes = (delivery: DeliveryId, at: number, ageMs: number): Uint8Array =>
  serverFrames.encode({
    type: "positions",
    positions: [{ delivery, lng: -122.41234567, lat: 37.78123456, at, ageMs }],
  });

const POSITIONS_CODE = 74;
/** Array, code, list of one, array of five, and the id with its head; then two coordinates. */
const AT_OFFSET = 4 + 28 + 5 + 5;
const DOUBLE = 0xcb;

export const isPositions = (bytes: Buffer, from: number): boolean =>
  bytes[from + 1] === POSITIONS_CODE;

/** When the position was measured, read off its place; throws when the layout is another. */
export function measuredAt(bytes: Buffer, from: number): number {
  const at = from + AT_OFFSET;
  if (bytes[at] === DOUBLE) return bytes.readDoubleBE(at + 1);
  if (bytes[at] === 0xcf || bytes[at] === 0xd3) return Number(bytes.readBigUInt64BE(at + 1));
  throw new Error(`no time at its place: ${bytes.subarray(from, from + 70).toString("hex")}`);
}
