import { connect, createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";
import { afterEach, expect, test, vi } from "vitest";
import { RETRANSMISSION_MS } from "./pipe.ts";
import { Link } from "./proxy.ts";

/** Closed last first. */
const opened: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of opened.splice(0).toReversed()) await close();
});

/** A server that answers each chunk with itself behind `name`. */
async function echo(name = ""): Promise<{ port: number; sockets: Socket[]; server: Server }> {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on("error", () => undefined);
    socket.on("data", (chunk) => socket.write(`${name}${chunk.toString()}`));
  });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", () => resolve()));
  opened.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, sockets, server };
}

async function linkTo(...ports: number[]): Promise<Link> {
  const targets = ports.map((port) => ({ host: "127.0.0.1", port }));
  const link = await Link.open({ targets: () => targets, random: () => 0.5 });
  opened.push(() => link.close());
  return link;
}

/** A client and all that it has heard so far. */
function client(port: number): { socket: Socket; heard: () => string; over: () => string | null } {
  const socket = connect({ port, host: "127.0.0.1" });
  let text = "";
  let over: string | null = null;
  socket.on("data", (chunk) => (text += chunk.toString()));
  socket.on("error", (error) => (over = (error as NodeJS.ErrnoException).code ?? "error"));
  socket.on("close", () => (over ??= "closed"));
  opened.push(() => socket.destroy());
  return { socket, heard: () => text, over: () => over };
}

const until = (check: () => void): Promise<void> => vi.waitFor(check, { timeout: 5_000 });

test("bytes go both ways, and an end is passed on", async () => {
  const link = await linkTo((await echo()).port);
  const one = client(link.port);
  one.socket.write("hello");
  await until(() => expect(one.heard()).toBe("hello"));
  one.socket.end();
  await until(() => expect(one.over()).toBe("closed"));
  await until(() => expect(link.connections()).toEqual([]));
});

test("a cut link is silent in both directions and gives all of it back when it heals", async () => {
  const server = await echo();
  const link = await linkTo(server.port);
  const one = client(link.port);
  one.socket.write("a");
  await until(() => expect(one.heard()).toBe("a"));
  link.cut();
  one.socket.write("b");
  const two = client(link.port);
  two.socket.write("c");
  // A third connection through another link shows that time has passed for all of them.
  const other = client((await linkTo(server.port)).port);
  other.socket.write("z");
  await until(() => expect(other.heard()).toBe("z"));
  expect([one.heard(), two.heard(), one.over(), two.over()]).toEqual(["a", "", null, null]);
  link.heal();
  await until(() => expect([one.heard(), two.heard()]).toEqual(["ab", "c"]));
});

test("half a cut: what the client says arrives, what the server says does not", async () => {
  const server = await echo();
  const link = await linkTo(server.port);
  const one = client(link.port);
  one.socket.write("a");
  await until(() => expect(one.heard()).toBe("a"));
  link.halfCut("down");
  const got: string[] = [];
  server.sockets[0]!.on("data", (chunk) => got.push(chunk.toString()));
  one.socket.write("b");
  await until(() => expect(got).toEqual(["b"]));
  expect(one.heard()).toBe("a");
  link.heal();
  await until(() => expect(one.heard()).toBe("ab"));
});

test("on a held direction a break is not heard of before it heals", async () => {
  const server = await echo();
  const link = await linkTo(server.port);
  const one = client(link.port);
  one.socket.write("a");
  await until(() => expect(one.heard()).toBe("a"));
  link.halfCut("down");
  server.sockets[0]!.resetAndDestroy();
  await until(() => expect(server.sockets[0]!.destroyed).toBe(true));
  expect(one.over()).toBeNull();
  link.heal();
  await until(() => expect(one.over()).not.toBeNull());
});

test("delay, loss and a slow line make bytes late and keep their order", async () => {
  const link = await linkTo((await echo()).port);
  const one = client(link.port);
  one.socket.write("a");
  await until(() => expect(one.heard()).toBe("a"));
  const took = async (text: string): Promise<number> => {
    const before = one.heard();
    const startedAt = performance.now();
    one.socket.write(text);
    await until(() => expect(one.heard()).toBe(before + text));
    return performance.now() - startedAt;
  };
  // A timer may fire up to a millisecond early.
  link.set({ delayMs: 40 });
  expect(await took("b")).toBeGreaterThan(78);
  link.set({ delayMs: 0, loss: 0.6 });
  expect(await took("c")).toBeGreaterThan(2 * RETRANSMISSION_MS - 2);
  link.set({ loss: 0.4, bytesPerS: 1_000 });
  expect(await took("d".repeat(50))).toBeGreaterThan(98);
});

test("a reset breaks what stands and lets new connections in; one connection can be chosen", async () => {
  const link = await linkTo((await echo()).port);
  const [one, two] = [client(link.port), client(link.port)];
  one.socket.write("1");
  await until(() => expect(one.heard()).toBe("1"));
  two.socket.write("2");
  await until(() => expect(two.heard()).toBe("2"));
  link.reset(link.connections()[0]!.id);
  await until(() => expect(one.over()).not.toBeNull());
  expect(two.over()).toBeNull();
  link.reset();
  await until(() => expect(two.over()).not.toBeNull());
  const three = client(link.port);
  three.socket.write("3");
  await until(() => expect(three.heard()).toBe("3"));
});

test("connections take turns between targets and pass by one that refuses", async () => {
  const [a, b] = [await echo("A"), await echo("B")];
  const link = await linkTo(a.port, b.port);
  const say = async (): Promise<string> => {
    const one = client(link.port);
    one.socket.write("1");
    await until(() => expect(one.heard()).not.toBe(""));
    return one.heard();
  };
  expect([await say(), await say()].toSorted()).toEqual(["A1", "B1"]);
  for (const socket of a.sockets) socket.destroy();
  a.server.close();
  expect([await say(), await say(), await say()]).toEqual(["B1", "B1", "B1"]);
});

test("a client whose server is nowhere is refused", async () => {
  const { port, server } = await echo();
  server.close();
  const one = client((await linkTo(port)).port);
  await until(() => expect(one.over()).not.toBeNull());
});
