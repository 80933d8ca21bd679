/**
 * Attacks 11 and 14 on a gateway in a process of its own: frames that grow when they are unpacked,
 * and bytes that are no WebSocket, sent past any library. Refused at once, the memory flat.
 */
import { randomBytes } from "node:crypto";
import net from "node:net";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { SUBPROTOCOL } from "../../proto/frames.ts";
import { FRAME_MAX_BYTES } from "../../proto/limits.ts";
import { seen } from "../testing/attacked-process.ts";
import { startAttacked } from "../testing/attacked.ts";
import type { Attacked } from "../testing/attacked.ts";
import { until } from "../testing/clients.ts";

const BOMBS_EACH = 9;
const REFUSED_WITHIN_MS = 50;
/** What a process takes for itself while it works, whatever it works on. */
const FLAT_BYTES = 48_000_000;

let t: Attacked;
beforeAll(async () => {
  t = await startAttacked();
});
afterEach(async ({ task }) => {
  await t.noteLag(task.name);
  await t.expectAlive();
});
afterAll(() => t?.close());

/** `size` bytes of the pattern, over and over. */
const filled = (size: number, ...pattern: number[]): Uint8Array =>
  Uint8Array.from({ length: size }, (_, i) => pattern[i % pattern.length] as number);

/** Milliseconds until the door refused it, by an error or by a close. */
async function refusedAfter(bytes: Uint8Array): Promise<number> {
  const client = await t.connect(t.tokens.courier);
  const answered = new Promise<void>((resolve) => {
    client.socket.on("message", () => resolve());
    client.socket.on("close", () => resolve());
  });
  const began = performance.now();
  client.sendRaw(bytes);
  await answered;
  const ms = performance.now() - began;
  const isRefused = () => client.frames.some(({ type }) => type === "error");
  await Promise.race([until(isRefused, "the refusal"), client.closed]);
  client.end();
  return ms;
}

it("attack 11: bombs of 1, 4, 16 and 64 KB are refused within 50 ms, and the memory is flat", async () => {
  const patterns: Readonly<Record<string, readonly number[]>> = {
    "array16 in array16": [0xdc, 0xff, 0xff],
    "array32 in array32": [0xdd, 0xff, 0xff, 0xff, 0xff],
    "one in one": [0x91],
    "map32 in map32": [0xdf, 0xff, 0xff, 0xff, 0xff],
  };
  await refusedAfter(filled(1_000, 0x91));
  const before = await t.memoryBytes();
  const worst: string[] = [];
  for (const kilobytes of [1, 4, 16, 64]) {
    const times: number[] = [];
    for (const pattern of Object.values(patterns)) {
      // A frame begins as ours do, so that the bomb is looked at.
      const bomb = filled(kilobytes * 1_024, ...pattern);
      for (let i = 0; i < BOMBS_EACH; i++) times.push(await refusedAfter(bomb));
    }
    const sorted = times.toSorted((a, b) => a - b);
    const [median, slowest] = [sorted[sorted.length >> 1] ?? 0, sorted.at(-1) ?? 0];
    // The median: the slowest says how busy the machine was.
    expect(median, `${kilobytes} KB`).toBeLessThan(REFUSED_WITHIN_MS);
    worst.push(`${kilobytes} KB ${median.toFixed(1)} (${slowest.toFixed(0)})`);
  }
  const grown = (await t.memoryBytes()) - before;
  expect(grown).toBeLessThan(FLAT_BYTES);
  const mega = Math.round(grown / 1e6);
  seen(`ms until refused, median (slowest): ${worst.join(", ")}; memory grew by ${mega} MB`);
});

/** A socket that has been upgraded by hand; what it sends from here on is up to the attacker. */
function upgraded(): Promise<net.Socket> {
  const key = randomBytes(16).toString("base64");
  const lines = [
    "GET /v1/socket HTTP/1.1",
    "Host: a",
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    `Sec-WebSocket-Key: ${key}`,
    `Sec-WebSocket-Protocol: ${SUBPROTOCOL}`,
  ];
  return new Promise((resolve, reject) => {
    const socket = net.connect(t.port, "127.0.0.1", () =>
      socket.write(`${lines.join("\r\n")}\r\n\r\n`),
    );
    socket.once("error", reject);
    socket.once("data", (data) => {
      socket.off("error", reject);
      socket.on("error", () => undefined);
      if (data.toString("latin1").startsWith("HTTP/1.1 101")) resolve(socket);
      else reject(new Error(data.toString("latin1")));
    });
  });
}

/** A frame as a client sends it: the mask is four zeros. */
const frame = (first: number, payload: Uint8Array | string): Buffer => {
  const bytes = Buffer.from(payload);
  return Buffer.concat([Buffer.from([first, 0x80 | bytes.length, 0, 0, 0, 0]), bytes]);
};

/**
 * Sends it, and resolves once the other side has cut the connection or answered with a close frame.
 */
async function expectCut(bytes: Uint8Array, what: string): Promise<void> {
  const socket = await upgraded();
  let isCut = false;
  socket.on("close", () => void (isCut = true));
  socket.on("data", (data) => void (isCut ||= data[0] === 0x88));
  socket.write(bytes);
  await until(() => isCut, `${what}: the cut`);
  socket.destroy();
}

it("attack 14: text, invalid UTF-8, reserved bits and frames beyond the bound are cut off", async () => {
  const large = Buffer.alloc(10 + FRAME_MAX_BYTES * 2);
  large.set([0x82, 0xff]);
  large.writeBigUInt64BE(BigInt(FRAME_MAX_BYTES * 2), 2);
  // With its mask: a header that is not whole is only waited for.
  const header = [0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
  const endless = Buffer.from([...header, 0, 0, 0, 0]);
  await expectCut(frame(0x81, "text"), "text");
  await expectCut(frame(0x81, Uint8Array.from([0xc3, 0x28, 0xff])), "invalid UTF-8");
  await expectCut(frame(0xf2, "x"), "reserved bits");
  await expectCut(frame(0x83, "x"), "an opcode that is none");
  await expectCut(frame(0x09, "x"), "a fragmented ping");
  await expectCut(frame(0x80, "x"), "the rest of nothing");
  await expectCut(large, "a large frame");
  await expectCut(endless, "a length of 2^63");
});

it("attack 14: a million empty fragments, and frames without a mask, cost nothing", async () => {
  const before = await t.memoryBytes();
  const socket = await upgraded();
  const begin = frame(0x02, "");
  const more = Buffer.concat(Array.from({ length: 10_000 }, () => frame(0x00, "")));
  socket.write(begin);
  const began = performance.now();
  for (let sent = 0; sent < 1_000_000 && !socket.destroyed; sent += 10_000) {
    if (!socket.write(more)) {
      await new Promise<void>((resolve) => {
        socket.once("drain", resolve);
        socket.once("close", () => resolve());
      });
    }
  }
  await t.expectAlive();
  const ms = performance.now() - began;
  socket.destroy();
  // The library reads a frame without a mask as one with a mask of what follows: noise, and no more
  // than that.
  for (let i = 0; i < 20; i++) {
    const bare = await upgraded();
    bare.write(Buffer.concat([Buffer.from([0x82, 100]), randomBytes(2_000)]));
    await t.expectAlive();
    bare.destroy();
  }
  const grown = (await t.memoryBytes()) - before;
  expect(grown).toBeLessThan(FLAT_BYTES);
  seen(`a million fragments in ${ms.toFixed(0)} ms; memory grew by ${Math.round(grown / 1e6)} MB`);
});
