/**
 * Clients of a gateway under test: REST by fetch, the socket by `ws`, and waiting for what happens
 * elsewhere.
 */
import { WebSocket } from "ws";
import { until } from "../../scripts/testing/until.ts";
import { SUBPROTOCOL, clientFrames, serverFrames } from "../../proto/frames.ts";
import type { ClientFrame, ServerFrame, ServerFrameOf } from "../../proto/frames.ts";
import { askByAgent, via } from "./via.ts";

export { until };

export type RestAnswer = {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  // Tests look into bodies of any shape.
  readonly body: any;
};

export type Asked = {
  readonly method: string;
  readonly path: string;
  readonly answer: RestAnswer;
};
/** Answers that are kept to be held against the description; those of a flood are not. */
const KEPT_MAX = 2_000;

export class Rest {
  readonly #url: string;
  /** The first answers, in their order. */
  readonly asked: Asked[] = [];

  constructor(url: string) {
    this.#url = url;
  }

  get = (path: string, token?: string, headers: Record<string, string> = {}) =>
    this.ask("GET", path, token, undefined, headers);
  post = (path: string, token: string, body?: unknown, headers: Record<string, string> = {}) =>
    this.ask("POST", path, token, body, headers);
  put = (path: string, token: string, body: unknown) => this.ask("PUT", path, token, body, {});
  delete = (path: string, token: string) => this.ask("DELETE", path, token, undefined, {});

  async ask(
    method: string,
    path: string,
    token: string | undefined,
    body: unknown,
    headers: Record<string, string>,
  ): Promise<RestAnswer> {
    const isRaw = typeof body === "string" || body instanceof Uint8Array;
    const sent = {
      method,
      headers: {
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: isRaw ? (body as string) : JSON.stringify(body) }),
    };
    const answer =
      via === "agent"
        ? await askByAgent(this.#url + path, sent)
        : await fetch(this.#url + path, { ...sent, redirect: "manual" });
    const text = await answer.text();
    const isJson = /json/.test(answer.headers.get("content-type") ?? "") && text !== "";
    const { status } = answer;
    const out = new Headers(answer.headers);
    // nginx names itself in every answer; what we say is what is tested.
    if (via === "nginx") out.delete("server");
    const told = { status, headers: out, text, body: isJson ? JSON.parse(text) : null };
    if (this.asked.length < KEPT_MAX) this.asked.push({ method, path, answer: told });
    return told;
  }
}

/** A client of the socket that keeps every frame it got. */
export type Client = {
  readonly frames: ServerFrame[];
  readonly socket: WebSocket;
  readonly send: (frame: ClientFrame) => void;
  readonly sendRaw: (data: Uint8Array | string) => void;
  /** The first frame of the type that has not been taken yet. */
  readonly next: <T extends ServerFrame["type"]>(type: T) => Promise<ServerFrameOf<T>>;
  /** Resolves with the close code. */
  readonly closed: Promise<number>;
  readonly end: () => void;
};

export async function openClient(url: string, protocol: string = SUBPROTOCOL): Promise<Client> {
  const socket = new WebSocket(`${url.replace("http", "ws")}/v1/socket`, protocol);
  const frames: ServerFrame[] = [];
  const taken = new Set<ServerFrame>();
  socket.on("message", (data: Buffer) => {
    const frame = serverFrames.decode(data);
    if (frame === null) throw new Error("a frame of the server could not be read");
    frames.push(frame);
  });
  const closed = new Promise<number>((resolve) => socket.on("close", resolve));
  await new Promise<void>((resolve, reject) => {
    socket.once("open", () => resolve());
    socket.once("error", reject);
  });
  socket.on("error", () => undefined);
  return {
    frames,
    socket,
    closed,
    send: (frame) => socket.send(clientFrames.encode(frame)),
    sendRaw: (data) => socket.send(data),
    async next(type) {
      const isNew = (frame: ServerFrame) => frame.type === type && !taken.has(frame);
      const frame = await until(() => frames.find(isNew), `a frame "${type}"`);
      taken.add(frame);
      return frame as ServerFrameOf<typeof type>;
    },
    end: () => socket.terminate(),
  };
}
