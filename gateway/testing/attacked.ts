/**
 * A gateway in a process of its own, as it runs in operation, to be attacked: with whom to attack
 * it, a digest of all tables to show that nothing changed, and whether it is still the very process
 * that was started.
 */
import { expect } from "vitest";
import { connectNats, natsBus } from "../../engine/io/nats/nats.ts";
import { migrate } from "../../engine/store/migrate.ts";
import { openPostgresStore } from "../../engine/store/postgres-store.ts";
import { subjectsFor } from "../../proto/subjects.ts";
import { freePort } from "../../scripts/services/ports.ts";
import { connectOnce } from "../../scripts/services/postgres.ts";
import { testDatabase, testNatsUrl, testPrefix } from "../../scripts/testing/services.ts";
import { startAttackedProcess } from "./attacked-process.ts";
import type { AttackedProcess } from "./attacked-process.ts";
import { Rest, openClient } from "./clients.ts";
import type { Client } from "./clients.ts";
import { BODY, TEST_KEY, goOnShift, tokenOf } from "./gateway.ts";
import { FakeNodes } from "./nodes.ts";
import { doorTo } from "./via.ts";

const STREAM_BYTES = String(16 * 1_048_576);
const SHARDS = 64;

export type Role = "customer" | "courier" | "operator";

export type Attacked = {
  readonly url: string;
  readonly port: number;
  readonly adminPort: number;
  readonly rest: Rest;
  readonly tokens: Readonly<Record<Role, string>>;
  /** A delivery of the customer that waits for a courier. */
  readonly delivery: string;
  readonly nodes: FakeNodes;
  readonly gateway: AttackedProcess;
  readonly node: AttackedProcess | null;
  readonly databaseUrl: string;
  /** What both were started with. */
  readonly env: Readonly<Record<string, string>>;
  /** A socket that has said hello. */
  readonly connect: (token: string) => Promise<Client>;
  /**
   * Runs the attack; afterwards each table must hold exactly what it held before, and the process
   * must live.
   */
  readonly unchanged: (attack: () => Promise<void>) => Promise<void>;
  /** The process that was started lives, and serves right. */
  readonly expectAlive: () => Promise<void>;
  /** It answers a read; false while it refuses to. */
  readonly isServing: () => Promise<boolean>;
  /** The status of its readiness. */
  readonly ready: () => Promise<number>;
  /** What it has used of memory since its start, at most, bytes. */
  readonly memoryBytes: () => Promise<number>;
  /**
   * Keeps how late the event loops were since this was asked last, for `npm run attacks`, under the
   * test's name.
   */
  readonly noteLag: (test: string) => Promise<void>;
  /** All that it wrote. */
  readonly logLines: () => readonly string[];
  readonly close: () => Promise<void>;
};

/**
 * `withNode`: a real node behind it, as in operation, in place of a stand-in that says yes. `bend`:
 * other settings for both, made once there is a database.
 */
export async function startAttacked({
  withNode = false,
  bend = (_databaseUrl: string): Promise<Readonly<Record<string, string>>> => Promise.resolve({}),
} = {}): Promise<Attacked> {
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
    // All that it can say: the log of an attack is searched for what has no place in it.
    HEXDISPATCH_LOG_LEVEL: "trace",
    // Where each broken frame is tried on a socket of its own, one courier comes back a thousand
    // times.
    ...(withNode ? {} : { HEXDISPATCH_WELCOMES_PER_COURIER_PER_S: "0" }),
    ...(await bend(database.url)),
  };
  const node = withNode ? await startAttackedProcess("node", env) : null;
  const gateway = await startAttackedProcess("gateway", env);
  const { output } = gateway;
  const between = await doorTo(port, adminPort);
  const { url } = between;
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
    for (const one of [gateway, node]) expect(one?.end() ?? null, output.join("")).toBeNull();
    expect((await admin.get("/livez")).status).toBe(200);
    const answer = await rest.get(`/v1/deliveries/${delivery}`, tokens.customer);
    expect([answer.status, answer.body.status]).toEqual([200, "pending"]);
  };
  const clients: Client[] = [];
  return {
    ...{ url, port: between.port, adminPort, rest, tokens, delivery, nodes, expectAlive },
    ...{ gateway, node, env, databaseUrl: database.url },
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
    ready: async () => (await admin.get("/readyz")).status,
    isServing: async () =>
      (await rest.get(`/v1/deliveries/${delivery}`, tokens.customer)).status === 200,
    async noteLag(test) {
      await Promise.all([gateway.noteLag(test), node?.noteLag(test)]);
    },
    // Without a node nobody makes the streams, which is said and is no bug.
    logLines: () =>
      [...output, ...(node?.output ?? [])]
        .join("")
        .split("\n")
        .filter((line) => withNode || !line.includes("a stream does not work")),
    async close() {
      for (const client of clients) client.end();
      await between.close();
      await Promise.all([gateway.kill("SIGKILL"), node?.kill("SIGKILL")]);
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
        from ${sql(name)} t where to_jsonb(t)->>'principal' is distinct from '~probe'`;
      digests[name] = row?.digest ?? "";
    }
    expect(Object.keys(digests)).toContain("idempotency");
    return digests;
  } finally {
    await sql.end({ timeout: 1 });
  }
}
