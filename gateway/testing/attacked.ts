/**
 * A gateway in a process of its own, as it runs in operation, to be attacked: with whom to attack it, a digest of all
 * tables to show that nothing changed, and whether it is still the very process that was started.
 */
import { fork } from "node:child_process";
import { appendFileSync } from "node:fs";
import type { ChildProcess } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";
import { connectNats, natsBus } from "../../engine/io/nats.ts";
import { migrate } from "../../engine/store/migrate.ts";
import { openPostgresStore } from "../../engine/store/postgres-store.ts";
import { subjectsFor } from "../../proto/subjects.ts";
import { freePort } from "../../scripts/services/ports.ts";
import { isAlive } from "../../scripts/services/process.ts";
import { connectOnce } from "../../scripts/services/postgres.ts";
import { testDatabase, testNatsUrl, testPrefix } from "../../scripts/testing/services.ts";
import { Rest, openClient, until } from "./clients.ts";
import type { Client } from "./clients.ts";
import { BODY, TEST_KEY, goOnShift, tokenOf } from "./gateway.ts";
import { FakeNodes } from "./nodes.ts";

const MAIN = fileURLToPath(new URL("../main.ts", import.meta.url));
const STREAM_BYTES = String(16 * 1_048_576);
const NODE = fileURLToPath(new URL("../../engine/node.ts", import.meta.url));
const SHARDS = 64;

export type Role = "customer" | "courier" | "operator";

export type Attacked = {
  readonly url: string;
  readonly port: number;
  readonly rest: Rest;
  readonly tokens: Readonly<Record<Role, string>>;
  /** A delivery of the customer that waits for a courier. */
  readonly delivery: string;
  readonly nodes: FakeNodes;
  /** A socket that has said hello. */
  readonly connect: (token: string) => Promise<Client>;
  /** Runs the attack; afterwards each table must hold exactly what it held before, and the process must live. */
  readonly unchanged: (attack: () => Promise<void>) => Promise<void>;
  /** The process that was started lives, and serves right. */
  readonly expectAlive: () => Promise<void>;
  /** It answers a read; false while it refuses to. */
  readonly isServing: () => Promise<boolean>;
  /** What it has used of memory since its start, at most, bytes. */
  readonly memoryBytes: () => Promise<number>;
  /** The longest delay of its event loop since this was asked last, s; kept for `npm run attacks` under the test's name. */
  readonly noteLag: (test: string) => Promise<number>;
  /** All that it wrote. */
  readonly logLines: () => readonly string[];
  readonly close: () => Promise<void>;
};

/** `withNode`: a real node behind it, as in operation, in place of a stand-in that says yes. */
export async function startAttacked({ withNode = false } = {}): Promise<Attacked> {
  const database = await testDatabase();
  await migrate(database.url);
  const prefix = testPrefix();
  const nodesBus = natsBus(await connectNats({ url: testNatsUrl(), name: "nodes test" }));
  const nodes = new FakeNodes(nodesBus, subjectsFor(prefix), withNode ? 0 : SHARDS, !withNode);
  await nodesBus.flush();
  const [port, adminPort] = [await freePort(), await freePort()];
  const env = {
    HEXDISPATCH_NATS_URL: testNatsUrl(),
    HEXDISPATCH_NATS_PREFIX: prefix,
    // The run's server is shared: what streams set aside is gone for the suites that follow.
    HEXDISPATCH_CELLS_BYTES_MAX: STREAM_BYTES,
    HEXDISPATCH_LEDGER_BYTES_MAX: STREAM_BYTES,
    HEXDISPATCH_EVENTS_BYTES_MAX: STREAM_BYTES,
    HEXDISPATCH_INTAKE_BYTES_MAX: STREAM_BYTES,
    HEXDISPATCH_POSTGRES_URL: database.url,
    HEXDISPATCH_AUTH_KEY: TEST_KEY,
    HEXDISPATCH_PUBLIC_PORT: String(port),
    HEXDISPATCH_ADMIN_PORT: String(adminPort),
    HEXDISPATCH_SHARDS: String(SHARDS),
    HEXDISPATCH_LOG_LEVEL: "warn",
    // Where each broken frame is tried on a socket of its own, one courier comes back a thousand times.
    ...(withNode ? {} : { HEXDISPATCH_WELCOMES_PER_COURIER_PER_S: "0" }),
  };
  const node = withNode ? await startProcess(NODE, env) : null;
  const { child, output } = await startProcess(MAIN, env);
  const url = `http://127.0.0.1:${port}`;
  const [rest, admin] = [new Rest(url), new Rest(`http://127.0.0.1:${adminPort}`)];
  const tokens = {
    customer: await tokenOf("customer", "cus_1"),
    courier: await tokenOf("courier", "cur_1"),
    operator: await tokenOf("operator", "ops_1"),
  };
  const profile = { name: "Alice", phone: "+1-555-0101", vehicle: "bike", capacity: 2 };
  expect((await rest.put("/v1/couriers/cur_1", tokens.operator, profile)).status).toBe(200);
  if (withNode) {
    const shift = await rest.post("/v1/couriers/me/shift", tokens.courier, { online: true });
    expect(shift.status, shift.text).toBe(200);
  } else await putOnShift(database.url);
  const created = await rest.post("/v1/deliveries", tokens.customer, BODY);
  expect(created.status, created.text).toBe(201);
  const delivery: string = created.body.delivery_id;

  const expectAlive = async (): Promise<void> => {
    for (const one of node === null ? [child] : [child, node.child]) {
      expect([one.exitCode, one.signalCode], output.join("")).toEqual([null, null]);
    }
    expect(isAlive(child.pid as number)).toBe(true);
    expect((await admin.get("/livez")).status).toBe(200);
    const answer = await rest.get(`/v1/deliveries/${delivery}`, tokens.customer);
    expect([answer.status, answer.body.status]).toEqual([200, "pending"]);
  };
  const clients: Client[] = [];
  return {
    ...{ url, port, rest, tokens, delivery, nodes, expectAlive },
    async connect(token) {
      const client = await openClient(url);
      clients.push(client);
      client.send({ type: "hello", version: 1, token, client: "test" });
      await client.next("welcome");
      return client;
    },
    async unchanged(attack) {
      const before = await digestOf(database.url);
      await attack();
      await expectAlive();
      expect(await digestOf(database.url)).toEqual(before);
    },
    async memoryBytes() {
      const { text } = await admin.get("/metrics");
      return Number(/^\S*process_resident_memory_bytes\S* (\S+)$/m.exec(text)?.[1]);
    },
    isServing: async () =>
      (await rest.get(`/v1/deliveries/${delivery}`, tokens.customer)).status === 200,
    async noteLag(test) {
      const { text } = await admin.get("/metrics");
      const lagS = Number(/^hexdispatch_event_loop_lag_seconds\S* (\S+)$/m.exec(text)?.[1]);
      const file = process.env["HEXDISPATCH_ATTACK_LAG_FILE"];
      if (file) appendFileSync(file, `${JSON.stringify({ test, lagMs: lagS * 1_000 })}\n`);
      return lagS;
    },
    logLines: () => output.join("").split("\n"),
    async close() {
      for (const client of clients) client.end();
      child.kill("SIGKILL");
      node?.child.kill("SIGKILL");
      await nodesBus.close();
      await database.drop();
    },
  };
}

/** On shift, so that an accept which slips through would change something. */
async function putOnShift(url: string): Promise<void> {
  const store = openPostgresStore({ url, applicationName: "attack test" });
  await goOnShift(store, "cur_1");
  await store.close();
}

async function startProcess(
  file: string,
  env: Readonly<Record<string, string>>,
): Promise<{ readonly child: ChildProcess; readonly output: readonly string[] }> {
  const output: string[] = [];
  let saidReady = false;
  const child = fork(file, [], {
    execArgv: ["--import", "tsx"],
    stdio: ["ignore", "pipe", "pipe", "ipc"],
    env: { ...process.env, ...env },
  });
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on("data", (data: Buffer) => void output.push(data.toString()));
  }
  child.on("message", (message) => {
    saidReady ||= (message as { ready?: boolean }).ready === true;
  });
  await until(() => saidReady || child.exitCode !== null, "the gateway's word");
  expect(child.exitCode, output.join("")).toBeNull();
  return { child, output };
}

/** Number of rows and a digest of each table there is, whoever added it. */
async function digestOf(databaseUrl: string): Promise<Readonly<Record<string, string>>> {
  const sql = connectOnce(databaseUrl);
  try {
    const tables = await sql<{ name: string }[]>`
      select tablename as name from pg_tables where schemaname = 'public' order by 1`;
    const digests: Record<string, string> = {};
    for (const { name } of tables) {
      const [row] = await sql<{ digest: string }[]>`
        select count(*) || ' ' || md5(coalesce(string_agg(t::text, chr(10) order by t::text), '')) as digest
        from ${sql(name)} t`;
      digests[name] = row?.digest ?? "";
    }
    expect(Object.keys(digests)).toContain("idempotency");
    return digests;
  } finally {
    await sql.end({ timeout: 1 });
  }
}
