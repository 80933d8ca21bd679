/**
 * Requests whose bytes are cut in two at every place, and sent byte by byte: whatever arrives in
 * how many segments, each has one right answer. It knows only an address, so that the same requests
 * go straight to a gateway and through the proxies that stand in front of one.
 *
 * Use: `const requests = wireRequests(tokens, delivery, etag)`, then `expect(await everyCut(door,
 * requests)).toEqual([])`.
 */
import { connect } from "node:net";
import type { Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { SUBPROTOCOL, clientFrames } from "../../proto/frames.ts";
import { BODY, HERE } from "./gateway.ts";
import { readAnswer } from "./wire-answers.ts";
import type { WireAnswer } from "./wire-answers.ts";

export type Door = { readonly host: string; readonly port: number };
export type WireRequest = {
  readonly name: string;
  readonly method: string;
  readonly bytes: Buffer;
  readonly status: number;
  /** What the body must contain. */
  readonly body?: string;
  /** The answer is 101, and this is the first byte of the frame that follows. */
  readonly frame?: number;
};

const BINARY_FRAME = 0x82;
/** The second segment is sent so long after the first: by then the first was read. */
const GAP_MS = 3;
const TOGETHER = 40;
/** Longer words than this are tokens. */
const WORD_CHARS = 32;
const ANSWER_MAX_MS = 20_000;

export type WireTokens = { readonly customer: string; readonly courier: string };

/**
 * Requests of each kind with what is right for each. `delivery`: one of the customer's, `etag`: its
 * present one. The courier may report positions. Two of them are creates: each time that one is
 * sent a delivery is made.
 */
export function wireRequests(
  { customer, courier }: WireTokens,
  delivery: string,
  etag: string,
): readonly WireRequest[] {
  const auth = `Authorization: Bearer ${customer}`;
  const json = "Content-Type: application/json";
  const body = JSON.stringify(BODY);
  const size = Buffer.byteLength(body);
  const place = JSON.stringify({ ...HERE, accuracy_m: 5 });
  const get = (
    name: string,
    lines: readonly string[],
    more: Partial<WireRequest>,
  ): WireRequest => ({
    ...{ name, method: "GET", status: 200 },
    bytes: Buffer.from(`${lines.join("\r\n")}\r\n\r\n`),
    ...more,
  });
  const post = (name: string, lines: readonly string[], content: string): WireRequest => ({
    ...{ name, method: "POST", status: 201, body: '"delivery_id"' },
    bytes: Buffer.from(`${lines.join("\r\n")}\r\n\r\n${content}`),
  });
  const one = `/v1/deliveries/${delivery}`;
  return [
    get("a page", ["GET /v1/openapi.json HTTP/1.1", "Host: door", "Accept: */*"], {
      body: '"openapi"',
    }),
    get("a list", ["GET /v1/deliveries?limit=1 HTTP/1.1", "Host: door", auth], {
      body: '"deliveries"',
    }),
    get("a head", ["HEAD /v1/openapi.json HTTP/1.1", "Host: door"], { method: "HEAD" }),
    get("not modified", [`GET ${one} HTTP/1.1`, "Host: door", auth, `If-None-Match: ${etag}`], {
      status: 304,
    }),
    get("nothing there", ["GET /v1/nothing HTTP/1.1", "Host: door"], {
      ...{ status: 404, body: '"not_found"' },
    }),
    get("an absolute target", ["GET http://door/v1/nothing HTTP/1.1", "Host: door"], {
      ...{ status: 404, body: '"not_found"' },
    }),
    get("HTTP/1.0", ["GET /v1/nothing HTTP/1.0", "Connection: keep-alive", "Host: door"], {
      ...{ status: 404, body: '"not_found"' },
    }),
    post(
      "a create",
      ["POST /v1/deliveries HTTP/1.1", "Host: door", auth, json, `Content-Length: ${size}`],
      body,
    ),
    post(
      "a create in chunks",
      ["POST /v1/deliveries HTTP/1.1", "Host: door", auth, json, "Transfer-Encoding: chunked"],
      chunked(body),
    ),
    {
      ...post(
        "a position",
        [
          ...["POST /v1/couriers/me/location HTTP/1.1", "Host: door"],
          ...[`Authorization: Bearer ${courier}`, json],
          `Content-Length: ${Buffer.byteLength(place)}`,
        ],
        place,
      ),
      ...{ status: 204, body: "" },
    },
    upgradeRequest(customer),
  ];
}

/** In two chunks, the first with an extension, and with a trailer. */
function chunked(body: string): string {
  const chunks = [body.slice(0, 20), body.slice(20)];
  const sizes = chunks.map((part) => Buffer.byteLength(part).toString(16));
  const [first, second] = chunks;
  return `${sizes[0]};a=b\r\n${first}\r\n${sizes[1]}\r\n${second}\r\n0\r\nX-Sum: 1\r\n\r\n`;
}

/** An upgrade with the first frame right behind it. */
function upgradeRequest(token: string): WireRequest {
  const lines = [
    "GET /v1/socket HTTP/1.1",
    "Host: door",
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    `Sec-WebSocket-Protocol: ${SUBPROTOCOL}`,
  ];
  const hello = clientFrames.encode({ type: "hello", version: 1, token, client: "wire" });
  const size = [0x80 | 126, hello.length >> 8, hello.length & 255];
  // The mask is four zeros.
  const frame = Buffer.concat([Buffer.from([BINARY_FRAME, ...size, 0, 0, 0, 0]), hello]);
  const bytes = Buffer.concat([Buffer.from(`${lines.join("\r\n")}\r\n\r\n`), frame]);
  return { name: "an upgrade", method: "GET", bytes, status: 101, frame: BINARY_FRAME };
}

/**
 * Sends each request whole, and cut at every byte; within a token, whose bytes are all alike, at
 * every `tokenStep`th. What was wrong, in a line each; empty when all was right.
 */
export async function everyCut(
  door: Door,
  requests: readonly WireRequest[],
  { gapMs = GAP_MS, together = TOGETHER, tokenStep = 1 } = {},
): Promise<readonly string[]> {
  const wrong: string[] = [];
  for (const request of requests) {
    // Whole, and first: what is made by it is there for the others.
    const whole = await exchange(door, request, [request.bytes], gapMs);
    if (whole !== null) wrong.push(`${request.name}, whole: ${whole}`);
    const cuts = cutsOf(request.bytes, tokenStep).values();
    const work = async (): Promise<void> => {
      for (const cut of cuts) {
        const parts = [request.bytes.subarray(0, cut), request.bytes.subarray(cut)];
        const fault = await exchange(door, request, parts, gapMs);
        if (fault !== null) wrong.push(`${request.name}, cut at ${cut}: ${fault}`);
      }
    };
    await Promise.all(Array.from({ length: together }, work));
  }
  return wrong;
}

/** From one to the end; of the inside of long words only every `step`th. */
function cutsOf(bytes: Buffer, step: number): readonly number[] {
  const cuts: number[] = [];
  for (let at = 1, inWord = 0; at < bytes.length; at++) {
    const isWord = /[\w.-]/.test(String.fromCharCode(bytes[at - 1] ?? 0));
    inWord = isWord ? inWord + 1 : 0;
    if (inWord < WORD_CHARS || inWord % step === 0) cuts.push(at);
  }
  return cuts;
}

/** Sends each request byte by byte. */
export async function byteByByte(
  door: Door,
  requests: readonly WireRequest[],
): Promise<readonly string[]> {
  const all = requests.map(async (request) => {
    const parts = Array.from(request.bytes, (byte) => Buffer.from([byte]));
    const fault = await exchange(door, request, parts, 1);
    return fault === null ? [] : [`${request.name}, byte by byte: ${fault}`];
  });
  return (await Promise.all(all)).flat();
}

/** One connection for one request. Null when its one answer was right. */
async function exchange(
  { host, port }: Door,
  request: WireRequest,
  parts: readonly Buffer[],
  gapMs: number,
): Promise<string | null> {
  const socket = connect({ host, port, noDelay: true });
  const told = answerOf(socket, request);
  for (const [i, part] of parts.entries()) {
    if (i > 0) await sleep(gapMs);
    if (!socket.destroyed) socket.write(part);
  }
  const fault = await told;
  socket.destroy();
  return fault;
}

/**
 * Waits for the answer, ends our side then, and for the other side's end: nothing may come after
 * the answer.
 */
function answerOf(socket: Socket, request: WireRequest): Promise<string | null> {
  let bytes = Buffer.alloc(0);
  let isEnded = false;
  return new Promise((resolve) => {
    const bell = setTimeout(() => finish(`no whole answer, but ${textOf(bytes)}`), ANSWER_MAX_MS);
    const finish = (fault: string | null): void => {
      clearTimeout(bell);
      resolve(fault);
    };
    const look = (): void => {
      const read = readAnswer(bytes, request.method, isEnded);
      if (read === "more") {
        if (isEnded) finish(`ended after ${textOf(bytes)}`);
        return;
      }
      if ("wrong" in read) return finish(read.wrong);
      const fault = faultOf(read.answer, request);
      if (fault !== null) return finish(fault);
      const rest = bytes.subarray(read.size);
      if (request.frame !== undefined) {
        if (rest.length === 0 && !isEnded) return;
        return finish(rest[0] === request.frame ? null : `then ${textOf(rest)}`);
      }
      if (rest.length > 0) return finish(`a second answer: ${textOf(rest)}`);
      if (isEnded) finish(null);
      else socket.end();
    };
    socket.on("data", (data) => {
      bytes = Buffer.concat([bytes, data]);
      look();
    });
    socket.on("error", (error) => finish(`${error.message} after ${textOf(bytes)}`));
    socket.on("close", () => {
      isEnded = true;
      look();
    });
  });
}

function faultOf(answer: WireAnswer, { status, body = "" }: WireRequest): string | null {
  const text = answer.body.toString();
  if (answer.status === status && text.includes(body)) return null;
  return `${answer.status} ${text.slice(0, 120)}`;
}

const textOf = (bytes: Buffer): string => JSON.stringify(bytes.toString("latin1").slice(0, 120));
