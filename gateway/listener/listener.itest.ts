/**
 * The adapter by itself: whatever a handler does, the process lives and the client gets an answer
 * or a close.
 */
import net from "node:net";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { freePort } from "../../scripts/services/ports.ts";
import { LISTENER_KINDS } from "../../engine/config.ts";
import { canShare } from "./node-listener.ts";
import { listenerOf } from "./kinds.ts";
import type { HttpExchange, Listen, Listener, ListenerOptions, WsPeer } from "./listener.ts";
import { until } from "../testing/clients.ts";

let listen: Listen;
let listener: Listener | null = null;
const errors: string[] = [];
afterEach(() => {
  listener?.close();
  listener = null;
  errors.length = 0;
});

async function start(change: Partial<ListenerOptions>): Promise<string> {
  listener = await listen({
    host: "127.0.0.1",
    port: 0,
    isShared: false,
    socketPaths: ["/socket"],
    frameMaxBytes: 1_024,
    bufferMaxBytes: 4_096,
    idleS: 60,
    onRequest: (exchange) => {
      exchange.respond(200, {}, "fine");
      return Promise.resolve();
    },
    onUpgrade: () => ({ protocol: "p" }),
    onOpen: () => ({ message: () => undefined, closed: () => undefined }),
    onError: (error, where) => void errors.push(`${where}: ${(error as Error).message}`),
    ...change,
  });
  return `http://127.0.0.1:${listener.port}`;
}
const bug = (): never => {
  throw new Error("a bug");
};
const closeOf = (url: string): Promise<number> =>
  new Promise((resolve) => {
    const socket = new WebSocket(`${url.replace("http", "ws")}/socket`, "p");
    socket.on("open", () => socket.send("x"));
    socket.on("error", () => undefined);
    socket.on("close", resolve);
  });

describe.each(LISTENER_KINDS)("the listener on %s", (kind) => {
  beforeAll(async () => {
    listen = await listenerOf(kind);
  });

  it("answers 500 when a handler throws or rejects, and goes on", async () => {
    const url = await start({
      onRequest: (exchange) => {
        if (exchange.path === "/throw") bug();
        if (exchange.path === "/reject") return Promise.reject(new Error("rejected"));
        exchange.respond(200, {}, "fine");
        return Promise.resolve();
      },
    });
    for (const path of ["/throw", "/reject"]) {
      const answer = await fetch(url + path);
      expect(answer.status).toBe(500);
      expect(await answer.json()).toMatchObject({ code: "internal" });
    }
    expect((await fetch(`${url}/fine`)).status).toBe(200);
    expect(errors).toEqual(["request: a bug", "request: rejected"]);
  });

  it("answers once, whatever is said afterwards, and nothing after an abort", async () => {
    const written: boolean[] = [];
    const late: HttpExchange[] = [];
    const url = await start({
      onRequest: (exchange) => {
        if (exchange.path === "/slow") late.push(exchange);
        else for (const text of ["one", "two"]) written.push(exchange.respond(200, {}, text));
        return Promise.resolve();
      },
    });
    expect(await (await fetch(url)).text()).toBe("one");
    expect(written).toEqual([true, false]);
    const asked = net.connect(Number(new URL(url).port), "127.0.0.1");
    asked.write("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    const exchange = await until(() => late[0]);
    const other = net.connect(Number(new URL(url).port), "127.0.0.1");
    other.write("POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab");
    const posted = await until(() => late[1]);
    const cut = posted.readBody(10);
    for (const socket of [asked, other]) socket.resetAndDestroy();
    await expect(cut).rejects.toThrow("cut off");
    await until(() => !exchange.respond(200, {}, "late"));
    expect(posted.respond(200, {}, "late")).toBe(false);
    expect((await fetch(url)).status).toBe(200);
  });

  it("lets no value end its header's line", async () => {
    const url = await start({
      onRequest: (exchange) => {
        exchange.respond(200, { "x-a": "b\r\nx-evil: 1" }, "");
        return Promise.resolve();
      },
    });
    expect((await fetch(url)).headers.get("x-evil")).toBeNull();
  });

  it("closes a socket whose callback throws, and no other", async () => {
    const inOpen = await start({ onOpen: bug });
    expect(await closeOf(inOpen)).toBe(1011);
    listener?.close();
    const inMessage = await start({ onOpen: () => ({ message: bug, closed: bug }) });
    expect(await closeOf(inMessage)).toBe(1011);
    await until(() => errors.length === 3);
    expect(errors).toEqual(["open: a bug", "message: a bug", "close: a bug"]);
    listener?.close();
    const inUpgrade = await start({ onUpgrade: bug });
    expect(await closeOf(inUpgrade)).toBe(1006);
    expect((await fetch(inUpgrade)).status).toBe(200);
  });

  it("says when a reader is behind and drops beyond the bound", async () => {
    const peers: WsPeer[] = [];
    const url = await start({
      onOpen: (peer) => {
        peers.push(peer);
        return { message: () => undefined, closed: () => undefined };
      },
    });
    const socket = new WebSocket(`${url.replace("http", "ws")}/socket`, "p");
    await new Promise((resolve) => socket.on("open", resolve));
    socket.pause();
    const peer = await until(() => peers[0]);
    const seen = new Set<string>();
    for (let i = 0; i < 100_000 && !seen.has("dropped"); i++)
      seen.add(peer.send(new Uint8Array(4_096)));
    expect([...seen].toSorted()).toEqual(["buffered", "dropped", "sent"]);
    expect(peer.bufferedBytes()).toBeGreaterThan(0);
    peer.close(4002, "slow");
    expect(peer.send(new Uint8Array(1))).toBe("dropped");
    socket.terminate();
  });

  it("refuses a port that is taken", async () => {
    const url = await start({});
    const port = Number(new URL(url).port);
    const options = { host: "127.0.0.1", port } as unknown as ListenerOptions;
    await expect(listen({ ...options, socketPaths: [] })).rejects.toThrow("is the port taken?");
  });

  it("shares a port with another that shares it, and with nobody else", async () => {
    if (kind === "node" && !canShare(process.versions.node)) {
      await expect(start({ isShared: true })).rejects.toThrow("needs Node 22.12 or later");
      return;
    }
    const port = await freePort();
    const url = await start({ port, isShared: true });
    const counts = [0, 0];
    const counting = (which: number): ListenerOptions["onRequest"] => {
      return (exchange) => {
        counts[which] = (counts[which] as number) + 1;
        exchange.respond(200, { connection: "close" }, "fine");
        return Promise.resolve();
      };
    };
    const base = { host: "127.0.0.1", port, socketPaths: [] };
    await expect(listen({ ...base, isShared: false } as never)).rejects.toThrow("taken");
    listener?.close();
    const both = [0, 1].map((which) =>
      listen({ ...base, isShared: true, onRequest: counting(which) } as never),
    );
    const listeners = await Promise.all(both);
    for (let i = 0; i < 200 && counts.includes(0); i++) {
      await fetch(url, { headers: { connection: "close" } });
    }
    for (const one of listeners) one.close();
    expect(Math.min(...counts)).toBeGreaterThan(0);
  });
});
