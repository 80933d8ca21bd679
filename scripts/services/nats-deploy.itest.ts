// The shipped files of the NATS server, run by the real program: nobody comes in without showing
// who they are, our processes come in as documented, and a partner reaches its own subjects alone.

import { connect, nkeyAuthenticator } from "@nats-io/transport-node";
import { jetstreamManager } from "@nats-io/jetstream";
import { spawn } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { connectNats } from "../../engine/io/nats/nats.ts";
import { ensureStreams } from "../../engine/streams/streams.ts";
import { reachOf, renderAccounts } from "../../gateway/partners/accounts.ts";
import { subjectsFor } from "../../proto/subjects.ts";
import { newUserKey } from "../run/nats-keys.ts";
import { cacheFolder, projectRoot, stateFolder } from "../run/state.ts";
import { makeTestFolder } from "../testing/folder.ts";
import { until } from "../testing/until.ts";
import { findNatsServer } from "./nats-binary.ts";
import { freePort } from "./ports.ts";
import { endChild } from "./process.ts";

const PASSWORD = "p0123456789abcdef";
const deploy = join(projectRoot(), "deploy");
const folder = makeTestFolder(projectRoot(), undefined);
const children: ReturnType<typeof spawn>[] = [];
let binary: string;

beforeAll(async () => {
  binary = (await findNatsServer(cacheFolder(stateFolder()), () => undefined)).path;
});
afterAll(async () => {
  for (const child of children) await endChild(child, "SIGKILL");
  folder.remove();
});

/** The file as it is shipped, beside `accounts`; only the folder of the streams is another one. */
async function run(name: string, accounts: string, more: Readonly<Record<string, string>> = {}) {
  const port = await freePort();
  const inner = join(folder.path, String(port));
  mkdirSync(inner, { recursive: true });
  const conf = readFileSync(join(deploy, name), "utf8");
  const store = 'store_dir: "/data"';
  expect(conf).toContain(store);
  writeFileSync(join(inner, name), conf.replace(store, `store_dir: "${join(inner, "js")}"`));
  writeFileSync(join(inner, "accounts.conf"), accounts);
  const env = { NATS_LISTEN: `127.0.0.1:${port}`, NATS_PASSWORD: PASSWORD, ...more };
  const child = spawn(binary, ["-c", join(inner, name)], { env, stdio: "ignore" });
  children.push(child);
  if (child.pid !== undefined) folder.list.add({ name, pid: child.pid, marker: inner });
  await until(() =>
    connect({ servers: `127.0.0.1:${port}`, user: "nobody", pass: "x", reconnect: false }).then(
      () => false,
      (error: Error) => error.message.includes("Authorization Violation"),
    ),
  );
  return port;
}
const shipped = readFileSync(join(deploy, "accounts.conf"), "utf8");

test("one server: a stranger is refused, the documented login makes the streams", async () => {
  const port = await run("nats.conf", shipped);
  const anonymous = connect({ servers: `127.0.0.1:${port}`, reconnect: false });
  await expect(anonymous).rejects.toThrow("Authorization Violation");
  const nc = await connectNats({
    ...{ url: `nats://hexdispatch:${PASSWORD}@127.0.0.1:${port}`, name: "deploy test" },
  });
  await ensureStreams(await jetstreamManager(nc, { checkAPI: false }), "hd", 1);
  await nc.close();
});

test("one of three servers: a stranger is refused, at the client's port and at the routes' one", async () => {
  const clusterPort = await freePort();
  const port = await run("nats-cluster.conf", shipped, {
    NATS_NAME: "nats-1",
    NATS_CLUSTER_LISTEN: `127.0.0.1:${clusterPort}`,
    NATS_ROUTES_PASSWORD: "routes1",
    NATS_ROUTES: `[nats://route:routes1@127.0.0.1:${clusterPort}]`,
  });
  const anonymous = connect({ servers: `127.0.0.1:${port}`, reconnect: false });
  await expect(anonymous).rejects.toThrow("Authorization Violation");
  const login = { user: "hexdispatch", pass: PASSWORD };
  await (await connect({ servers: `127.0.0.1:${port}`, ...login, reconnect: false })).close();
});

test("a partner beside a login of our own reaches its own subjects alone", async () => {
  const { seed, publicKey } = newUserKey();
  const partners = [{ name: "acme", keys: [publicKey] }];
  const own = { prefix: "hd", ownKeys: [], ownUser: "hexdispatch" };
  const port = await run("nats.conf", renderAccounts({ ...own, partners }));
  const url = `nats://hexdispatch:${PASSWORD}@127.0.0.1:${port}`;
  const ours = await connectNats({ url, name: "deploy test" });
  await ensureStreams(await jetstreamManager(ours, { checkAPI: false }), "hd", 1);
  const subjects = subjectsFor("hd");
  ours.subscribe("hd.>", { callback: (_, message) => void message.respond("heard") });
  await ours.flush();
  const acme = await connect({
    servers: `127.0.0.1:${port}`,
    authenticator: nkeyAuthenticator(new TextEncoder().encode(seed)),
    inboxPrefix: reachOf("hd", "acme").inbox,
    reconnect: false,
  });
  const ask = (subject: string) => acme.request(subject, "{}", { timeout: 500 });
  expect((await ask(subjects.partnerRequest("acme", "list"))).string()).toBe("heard");
  for (const subject of [
    subjects.partnerRequest("beta", "list"),
    subjects.shard(1),
    subjects.events("acme", "del_1"),
    "$JS.API.STREAM.PURGE.HD_EVENTS",
    "$JS.API.STREAM.DELETE.HD_EVENTS",
  ]) {
    await expect(ask(subject), subject).rejects.toThrow();
  }
  await acme.close();
  await ours.close();
});
