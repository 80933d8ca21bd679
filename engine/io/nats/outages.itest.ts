/**
 * A connection over what real servers do to it: credentials refused for a while, a file of
 * credentials in the middle of an exchange, subjects not permitted, a server without JetStream
 * behind the same address.
 */
import { nkeys } from "@nats-io/transport-node";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { cacheFolder, stateFolder } from "../../../scripts/run/state.ts";
import { findNatsServer } from "../../../scripts/services/nats-binary.ts";
import { freePort } from "../../../scripts/services/ports.ts";
import { privateNats } from "../../../scripts/testing/services.ts";
import { until } from "../../../scripts/testing/until.ts";
import { createLog } from "../log.ts";
import { Metrics } from "../metrics.ts";
import { NatsStartError, connectNats } from "./connect.ts";
import { openNats } from "./link.ts";
import { NatsWatch } from "./watch.ts";
import type { NatsTrouble } from "./watch.ts";
import { natsBus } from "./nats.ts";

const LONG_MS = 20_000;
let folder: string;
const file = (name: string, content: string): string => {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
};
const newKey = () => {
  const pair = nkeys.createUser();
  return { seed: new TextDecoder().decode(pair.getSeed()), public: pair.getPublicKey() };
};
const onlyFor = (key: string): string => `authorization { users: [ { nkey: ${key} } ] }\n`;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "nats-outages-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

it("refused credentials are sat out, and so is a file of credentials that is gone or half written", async () => {
  const [old, next] = [newKey(), newKey()];
  const oldSeed = file("old", old.seed);
  const nextSeed = file("next", next.seed);
  const ours = file("ours", old.seed);
  const port = await freePort();
  const before = await privateNats({ port, config: onlyFor(old.public), credentials: oldSeed });
  const nc = await connectNats({ url: before.url, name: "outages", credentials: ours });
  const troubles: NatsTrouble[] = [];
  const watch = new NatsWatch(nc, { onTrouble: (what) => troubles.push(what) });
  const bus = natsBus(nc, watch);
  const refusedMore = (): Promise<unknown> => {
    const count = troubles.length;
    return until(() => troubles.length > count, "one more refusal", LONG_MS);
  };
  await before.remove();
  const after = await privateNats({ port, config: onlyFor(next.public), credentials: nextSeed });
  try {
    await refusedMore();
    expect(watch.problems()).toEqual(["nats"]);
    unlinkSync(ours);
    await refusedMore();
    file("ours", next.seed.slice(0, 20));
    await refusedMore();
    file("ours", `${next.seed}\n`);
    await until(() => bus.status() === "connected", "the new key", LONG_MS);
    expect(nc.isClosed()).toBe(false);
    expect(new Set(troubles)).toEqual(new Set(["refused"]));
  } finally {
    await bus.close();
    await after.remove();
  }
});

it("a user and password, or a token, of the URL are shown", async () => {
  const port = await freePort();
  const config = 'authorization { users: [ { user: "u", password: "p@ss" } ] }\n';
  // Its readiness is asked without a login, so it is started as a program.
  const server = await plainServer(port, `listen: "127.0.0.1:${port}"\n${js(port)}${config}`);
  try {
    const url = `nats://u:p%40ss@127.0.0.1:${port}`;
    const nc = await connectNats({ url, name: "login", startWaitMs: LONG_MS });
    await nc.close();
    const refusal = connectNats({
      ...{ url: `nats://u:other@127.0.0.1:${port}`, name: "login", startWaitMs: 1 },
    });
    await expect(refusal).rejects.toThrow(NatsStartError);
    await expect(refusal).rejects.toThrow(
      `NATS at 127.0.0.1:${port} did not take us within 0.001 s: Authorization Violation`,
    );
  } finally {
    server.kill("SIGKILL");
  }
});

it("a start waits for a server that is not there yet", async () => {
  const port = await freePort();
  const url = `nats://127.0.0.1:${port}`;
  const opened = connectNats({ url, name: "early", startWaitMs: LONG_MS });
  const server = await privateNats({ port });
  const nc = await opened;
  await nc.close();
  await server.remove();
});

it("a subject that is not permitted makes a process unready, and is heard once it is permitted", async () => {
  const users = (deny: string): string => `authorization { users: [ { user: u, password: p,
    permissions: { publish: ">", subscribe: { allow: ">", deny: [${deny}] } } } ] }\n`;
  const port = await freePort();
  const conf = (deny: string): string => `listen: "127.0.0.1:${port}"\n${js(port)}${users(deny)}`;
  const server = await plainServer(port, conf('"x.denied"'));
  const url = `nats://u:p@127.0.0.1:${port}`;
  const nc = await connectNats({ url, name: "permissions", startWaitMs: LONG_MS });
  const troubles: NatsTrouble[] = [];
  const watch = new NatsWatch(nc, { onTrouble: (what) => troubles.push(what) });
  const bus = natsBus(nc, watch);
  const heard: string[] = [];
  bus.subscribe("x.denied", ({ data }) => void heard.push(Buffer.from(data).toString()));
  await until(() => watch.problems().includes("nats permissions"));
  expect(troubles).toContain("permission");
  writeFileSync(join(folder, `${port}.conf`), conf(""));
  server.kill("SIGHUP");
  await until(
    () => bus.publish("x.denied", Buffer.from("again")) && heard.includes("again"),
    "the subscription",
    LONG_MS,
  );
  await bus.close();
  server.kill("SIGKILL");
});

it("the gate holds at a reconnect: a server without JetStream counts as away", async () => {
  const server = await privateNats();
  const nc = await connectNats({ url: server.url, name: "gate" });
  const watch = new NatsWatch(nc);
  const bus = natsBus(nc, watch);
  await server.kill();
  const other = await plainServer(server.port, `listen: "127.0.0.1:${server.port}"\n`);
  await until(() => watch.problems().includes("nats server unfit"), "the gate", LONG_MS);
  expect(bus.publish("a", Buffer.from("b"))).toBe(false);
  const gone = new Promise((resolve) => other.once("exit", resolve));
  other.kill("SIGKILL");
  await gone;
  await server.startAgain();
  await until(() => bus.publish("a", Buffer.from("b")), "the connection", LONG_MS);
  expect(watch.problems()).toEqual([]);
  await bus.close();
  await server.remove();
});

it("a message beyond the server's max_payload is dropped and counted, and ends nothing", async () => {
  const server = await privateNats({ config: "max_payload: 2KB\n" });
  const nc = await connectNats({ url: server.url, name: "payload" });
  const troubles: NatsTrouble[] = [];
  const bus = natsBus(nc, new NatsWatch(nc, { onTrouble: (what) => troubles.push(what) }));
  expect(bus.publish("a", new Uint8Array(3_000))).toBe(false);
  expect(bus.publish("a", new Uint8Array(1_000))).toBe(true);
  expect(troubles).toEqual(["too_large"]);
  await bus.close();
  await server.remove();
});

it("a connection that closes unasked is reported, one that is closed in order is not", async () => {
  const server = await privateNats();
  const lost: string[] = [];
  const open = () =>
    openNats({
      config: { natsUrl: server.url, natsCredentials: null },
      name: "link",
      log: createLog("silent", {}),
      metrics: new Metrics("node"),
      onLost: (why) => lost.push(why),
    });
  await (await open()).close();
  expect(lost).toEqual([]);
  const link = await open();
  await link.nc.close();
  await until(() => lost.length === 1);
  expect(link.bus.status()).toBe("closed");
  await server.remove();
});

const js = (port: number): string =>
  `jetstream { store_dir: ${JSON.stringify(join(folder, `js-${port}`))} }\n`;

/** A nats-server by its configuration alone. */
async function plainServer(port: number, conf: string) {
  const { path } = await findNatsServer(cacheFolder(stateFolder()), () => undefined);
  return spawn(path, ["-c", file(`${port}.conf`, conf)], { stdio: "ignore" });
}
