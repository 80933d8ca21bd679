/**
 * A real Postgres refuses in all the ways that operators know, under a gateway and the worker of
 * the intake. Whatever it is: clients get 201, 202 or 503 with Retry-After at REST and
 * `unavailable` on the socket; what was acknowledged is there afterwards, once; nothing is buried;
 * and the gateway takes creates again by itself. The Postgres is a private one; the role is no
 * superuser and owns its tables.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { jetstreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import type postgres from "postgres";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { BuriedCreates } from "../../engine/streams/intake-buried.ts";
import { streamIntake } from "../../engine/streams/intake-stream.ts";
import { Intake } from "../../engine/streams/intake.ts";
import { systemClock } from "../../engine/io/clock.ts";
import { connectNats } from "../../engine/io/nats/nats.ts";
import { openPostgresStore } from "../../engine/store/postgres-store.ts";
import type { PostgresStore } from "../../engine/store/postgres-store.ts";
import { wantedStream } from "../../engine/streams/streams.ts";
import type { ServerFrame } from "../../proto/frames.ts";
import type { DeliveryId } from "../../proto/ids.ts";
import { connectOnce } from "../../scripts/services/postgres.ts";
import { privatePostgres, testNatsUrl, testPrefix } from "../../scripts/testing/services.ts";
import type { PrivateServer } from "../../scripts/testing/services.ts";
import { until } from "../../scripts/testing/until.ts";
import type { Client, RestAnswer } from "../testing/clients.ts";
import { BODY } from "../testing/gateway.ts";
import { startWithPeople } from "../testing/people.ts";
import type { People } from "../testing/people.ts";

const ROLE = "app";
const NAME = "dispatch";
const RECOVERY_MS = 15_000;
const prefix = testPrefix();

let server: PrivateServer;
let admin: postgres.Sql;
let people: People;
let nc: NatsConnection;
let worker: Intake;
let workerStore: PostgresStore;
let socket: Client;
let refs = 0;
/** Taken in all cases, 201 and 202. */
const acknowledged: string[] = [];

const urlOf = (base: string): string => {
  const url = new URL(base);
  Object.assign(url, { pathname: `/${NAME}`, username: ROLE, password: "one" });
  return url.href;
};

beforeAll(async () => {
  server = await privatePostgres({ max_connections: "40" });
  admin = connectOnce(server.url);
  await admin.unsafe(`create role ${ROLE} login password 'one'`);
  await admin.unsafe(`create database ${NAME} owner ${ROLE}`);
  nc = await connectNats({ url: testNatsUrl(), name: "outages test" });
  const manager = await jetstreamManager(nc, { checkAPI: false });
  await manager.streams.add(wantedStream(prefix, "INTAKE", 1));
  const url = urlOf(server.url);
  people = await startWithPeople({ database: { url, drop: () => Promise.resolve() }, prefix });
  workerStore = openPostgresStore({ url, applicationName: "worker" });
  worker = new Intake({
    clock: systemClock,
    queue: streamIntake(nc, prefix),
    store: workerStore,
    onCreated: () => undefined,
    onCount: () => undefined,
    onFailed: () => undefined,
    onBuried: () => undefined,
  });
  worker.start();
  socket = await people.t.connect(people.alice);
  await socket.next("welcome");
});
afterAll(async () => {
  await worker.stop();
  await people.t.close();
  await workerStore.close();
  const manager = await jetstreamManager(nc, { checkAPI: false });
  await manager.streams.delete(wantedStream(prefix, "INTAKE", 1).name);
  await nc.close();
  await admin.end({ timeout: 1 });
  await server.remove();
});

/** Ends the sessions of the role, so that they must log in anew. */
const endSessions = (): Promise<unknown> =>
  admin`select pg_terminate_backend(pid) from pg_stat_activity where usename = ${ROLE}`;
/** A statement as the owner of the tables. */
async function inside(text: string): Promise<void> {
  const url = new URL(server.url);
  url.pathname = `/${NAME}`;
  const sql = connectOnce(url.href);
  await sql.unsafe(text);
  await sql.end({ timeout: 1 });
}
async function editHba(edit: (text: string) => string): Promise<void> {
  const [row] = await admin<{ hba_file: string }[]>`show hba_file`;
  const file = row?.hba_file ?? "";
  writeFileSync(file, edit(readFileSync(file, "utf8")));
  await admin`select pg_reload_conf()`;
}
const HBA_LINE = new RegExp(`^.* ${ROLE} .*\n`, "m");
const withHba = (line: string) => async (): Promise<void> => {
  await editHba((text) => `${line}\n${text}`);
  await endSessions();
};
const asSql =
  (...texts: readonly string[]) =>
  async (): Promise<void> => {
    for (const text of texts) await admin.unsafe(text);
    await endSessions();
  };
const restart = async (signal: NodeJS.Signals): Promise<void> => {
  await server.kill(signal);
};
const reconnectSpread = async (): Promise<void> => {
  await server.startAgain();
  await admin.end({ timeout: 0 });
  admin = connectOnce(server.url);
};

/** Somebody's open transaction, as of a script that was left alone. */
let idle: Promise<unknown> = Promise.resolve();
let endIdle = (): void => undefined;
async function holdOpen(text: string): Promise<void> {
  const url = new URL(server.url);
  url.pathname = `/${NAME}`;
  const sql = connectOnce(url.href);
  const ended = new Promise<void>((resolve) => (endIdle = resolve));
  await new Promise<void>((resolve) => {
    idle = sql.begin(async (tx) => {
      await tx.unsafe(text);
      resolve();
      await ended;
    });
  });
  idle = idle.then(() => sql.end({ timeout: 1 }));
}
const letGo = async (): Promise<void> => {
  endIdle();
  await idle;
};

let hogs: postgres.Sql[] = [];
async function takeAllConnections(): Promise<void> {
  await endSessions();
  hogs = Array.from({ length: 45 }, () => connectOnce(urlOf(server.url), 1));
  await Promise.allSettled(hogs.map((sql) => sql`select 1`));
}
async function leaveThem(): Promise<void> {
  await Promise.all(hogs.splice(0).map((sql) => sql.end({ timeout: 1 })));
}

let stopStorm = (): Promise<unknown> => Promise.resolve();
function storm(how: "pg_terminate_backend" | "pg_cancel_backend"): () => Promise<void> {
  return () => {
    let isOn = true;
    const running = (async () => {
      while (isOn) {
        await admin.unsafe(`select ${how}(pid) from pg_stat_activity where usename = '${ROLE}'`);
      }
    })();
    stopStorm = () => ((isOn = false), running);
    return Promise.resolve();
  };
}

/** A trigger that raises this code for every new delivery. */
const raising = (code: string) => (): Promise<void> =>
  inside(`
    create function refuse() returns trigger language plpgsql as
      $$ begin raise exception 'not today' using errcode = '${code}'; end $$;
    create trigger refuse before insert on deliveries for each row execute function refuse()`);
const noTrigger = (): Promise<void> => inside("drop function refuse() cascade");

type Case = {
  readonly name: string;
  readonly begin: () => Promise<unknown>;
  readonly end: () => Promise<unknown>;
  /** What a create may be answered in this one; all three by default. */
  readonly answers?: readonly number[];
};
const row = (
  name: string,
  begin: Case["begin"],
  end: Case["end"],
  answers: readonly number[] = [201, 202, 503],
): Case => ({ name, begin, end, answers });
const TAKEN = [202] as const;

const CASES: readonly Case[] = [
  row(
    "the password is changed (28P01)",
    asSql(`alter role ${ROLE} password 'two'`),
    asSql(`alter role ${ROLE} password 'one'`),
    TAKEN,
  ),
  row(
    "the role may not log in (28000)",
    asSql(`alter role ${ROLE} nologin`),
    asSql(`alter role ${ROLE} login`),
    TAKEN,
  ),
  row(
    "the role has no connection left (53300)",
    asSql(`alter role ${ROLE} connection limit 0`),
    asSql(`alter role ${ROLE} connection limit -1`),
    TAKEN,
  ),
  row(
    "the database takes no connections (55000)",
    asSql(`alter database ${NAME} allow_connections false`),
    asSql(`alter database ${NAME} allow_connections true`),
    TAKEN,
  ),
  row(
    "the database is renamed (3D000)",
    asSql(
      `alter database ${NAME} allow_connections false`,
      `select pg_terminate_backend(pid) from pg_stat_activity where datname = '${NAME}'`,
      `alter database ${NAME} rename to elsewhere`,
    ),
    asSql(
      `alter database elsewhere rename to ${NAME}`,
      `alter database ${NAME} allow_connections true`,
    ),
    TAKEN,
  ),
  row(
    "pg_hba rejects us (28000)",
    withHba(`host all ${ROLE} 127.0.0.1/32 reject`),
    () => editHba((text) => text.replace(HBA_LINE, "")),
    TAKEN,
  ),
  row(
    "TLS is required of a sudden",
    withHba(`hostnossl all ${ROLE} 127.0.0.1/32 reject`),
    () => editHba((text) => text.replace(HBA_LINE, "")),
    TAKEN,
  ),
  row("the server shuts down fast", () => restart("SIGINT"), reconnectSpread, TAKEN),
  row("the server shuts down at once", () => restart("SIGQUIT"), reconnectSpread, TAKEN),
  row("the server is killed", () => restart("SIGKILL"), reconnectSpread, TAKEN),
  row(
    "the database only reads (25006)",
    asSql(`alter database ${NAME} set default_transaction_read_only = on`),
    // Sessions that began meanwhile would stay as they are.
    async () => void (await admin.unsafe(`alter database ${NAME} reset all`)),
    TAKEN,
  ),
  row(
    "a grant on the deliveries is taken away (42501)",
    () => inside(`revoke insert on deliveries from ${ROLE}`),
    () => inside(`grant insert on deliveries to ${ROLE}`),
    TAKEN,
  ),
  row(
    "a grant on the keys is taken away (42501)",
    () => inside(`revoke all on idempotency from ${ROLE}`),
    () => inside(`grant all on idempotency to ${ROLE}`),
    TAKEN,
  ),
  row(
    "a table is renamed (42P01)",
    () => inside("alter table outbox rename to elsewhere"),
    () => inside("alter table elsewhere rename to outbox"),
    TAKEN,
  ),
  row(
    "a column is renamed (42703)",
    () => inside("alter table deliveries rename column size to sizes"),
    () => inside("alter table deliveries rename column sizes to size"),
    TAKEN,
  ),
  row(
    "a table is locked by who idles in a transaction",
    () => holdOpen("lock table deliveries"),
    letGo,
  ),
  row("all connections are somebody else's (53300)", takeAllConnections, leaveThem, TAKEN),
  row("sessions are ended all the time (57P01)", storm("pg_terminate_backend"), () => stopStorm()),
  row("statements are canceled all the time (57014)", storm("pg_cancel_backend"), () =>
    stopStorm(),
  ),
  row("a trigger raises what is on no list (P0001)", raising("P0001"), noTrigger, TAKEN),
  // It refuses everybody's data: what is not acknowledged is refused, what is acknowledged waits.
  row("a trigger refuses all data (23514)", raising("23514"), noTrigger, [202, 503]),
];

const isAway = async (): Promise<boolean> =>
  (await people.t.metrics.text()).includes('hexdispatch_postgres_away{role="gateway"} 1');
const create = (): Promise<RestAnswer> =>
  people.t.rest.post("/v1/deliveries", people.customer, BODY);

/** What clients are answered between the two, at every door. */
async function meanwhile(begin: () => Promise<unknown>, end: () => Promise<unknown>, open: string) {
  const { t, customer, alice } = people;
  try {
    await begin();
    const list = t.rest.get("/v1/deliveries", customer);
    const creates = await Promise.all([create(), create()]);
    for (let i = 0; i < 4; i++) creates.push(await create());
    const accept = await t.rest.post(`/v1/deliveries/${open}/accept`, alice);
    const ref = ++refs;
    socket.send({ type: "accept", ref, delivery: open as DeliveryId });
    const answerTo = (frame: ServerFrame): boolean => "ref" in frame && frame.ref === ref;
    const frame = await until(() => socket.frames.find(answerTo), "an answer on the socket");
    return { creates, others: [await list, accept], frame };
  } finally {
    await end();
  }
}

describe("Postgres, as it fails", () => {
  it.each(CASES)(
    "$name",
    async ({ begin, end, answers }) => {
      const { t, customer, alice } = people;
      const open = (await people.create()).delivery_id;
      const before = t.logLines.length;
      const { creates, others, frame } = await meanwhile(begin, end, open);

      for (const { status } of creates) expect(answers).toContain(status);
      for (const { status } of others) expect([200, 503]).toContain(status);
      for (const answer of [...creates, ...others]) {
        if (answer.status === 503) expect(answer.headers.get("retry-after")).toBe("1");
      }
      if (frame.type === "error") expect(frame.code).toBe("unavailable");
      const lines = t.logLines.slice(before);
      expect(lines.filter((line) => line.includes('"stack"'))).toEqual([]);
      expect(lines.length, "an outage is said a few times, not once a request").toBeLessThan(12);

      await until(async () => (await create()).status === 201, "creates again", RECOVERY_MS);
      await until(async () => !(await isAway()), "the circuit", RECOVERY_MS);
      const taken = creates
        .filter(({ status }) => status < 300)
        .map(({ body }) => body.delivery_id);
      for (const id of taken) {
        const found = (): Promise<boolean> =>
          t.rest.get(`/v1/deliveries/${id}`, customer).then(({ status }) => status === 200);
        await until(found, `what was acknowledged, ${id}`, 2 * RECOVERY_MS);
      }
      acknowledged.push(...(taken as string[]));
      const accepted = await t.rest.post(`/v1/deliveries/${open}/accept`, alice);
      expect(accepted.status).toBe(200);
      await t.rest.post(`/v1/deliveries/${open}/status`, alice, { status: "picked_up" });
      await t.rest.post(`/v1/deliveries/${open}/status`, alice, { status: "delivered" });
    },
    60_000,
  );

  it("nothing of it all lies buried, and every delivery is there once, with its first event once", async () => {
    expect(await new BuriedCreates(nc, prefix).count()).toBe(0);
    const rows = await workerStore.outboxBatch(10_000);
    for (const id of acknowledged) {
      const events = rows.filter(({ event }) => event.delivery_id === id);
      expect(events.map(({ event }) => event.number)).toEqual([1]);
    }
  });
});
