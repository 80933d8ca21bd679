/**
 * What bench/fanout runs against: gateways as they run in operation, in processes of their own that share one port, over a
 * real NATS and Postgres, and deliveries that are all being carried. The nodes are played: what they would send of
 * couriers that move is sent from here.
 */
import { fork } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { connectNats, natsBus } from "../engine/io/nats.ts";
import { migrate } from "../engine/store/migrate.ts";
import { signToken } from "../gateway/token.ts";
import type { CourierId } from "../proto/ids.ts";
import { streamMessages } from "../proto/messages.ts";
import { subjectsFor } from "../proto/subjects.ts";
import { freePort } from "../scripts/services/ports.ts";
import { connectOnce } from "../scripts/services/postgres.ts";
import { privateNats, privatePostgres } from "../scripts/testing/services.ts";

const KEY = "a signing key for the bench, 32 characters and more";
const PREFIX = "bench";
const STARTUP_S = 3_600;

export type Followable = { readonly token: string; readonly delivery: string };
export type World = {
  readonly port: number;
  readonly gateways: readonly ChildProcess[];
  readonly follow: readonly Followable[];
  /** The couriers of this slice have moved, as their node tells each gateway that needs them. */
  readonly move: (couriers: readonly number[]) => void;
  /** Gateways that have asked for positions so far. */
  readonly asking: () => number;
  readonly close: () => Promise<void>;
};

const deliveryOf = (n: number): string => `del_000${String(n).padStart(20, "0")}`;

export async function startWorld(gateways: number, couriers: number): Promise<World> {
  const nats = await privateNats();
  const postgres = await privatePostgres({ max_connections: "100" });
  await migrate(postgres.url);
  await fill(postgres.url, couriers);
  const follow = await Promise.all(
    Array.from({ length: couriers }, async (_, n) => {
      const token = await signToken({ role: "customer", sub: `cus_${n}`, ttlS: STARTUP_S }, KEY);
      return { token, delivery: deliveryOf(n) };
    }),
  );
  const bus = natsBus(await connectNats({ url: nats.url, name: "bench nodes" }));
  const subjects = subjectsFor(PREFIX);
  const asking = new Set<string>();
  bus.subscribe(`${PREFIX}.watch.*`, ({ data }) => {
    const watch = streamMessages.decode(data);
    if (watch?.type === "watch") asking.add(watch.gateway);
  });
  bus.subscribe(`${PREFIX}.where.*`, (message) => {
    message.respond(streamMessages.encode({ type: "fleet_part", records: [] }));
  });
  await bus.flush();
  const port = await freePort();
  const env = {
    HEXDISPATCH_NATS_URL: nats.url,
    HEXDISPATCH_NATS_PREFIX: PREFIX,
    HEXDISPATCH_POSTGRES_URL: postgres.url,
    HEXDISPATCH_AUTH_KEY: KEY,
    HEXDISPATCH_PUBLIC_PORT: String(port),
    HEXDISPATCH_PUBLIC_PORT_SHARED: "yes",
    HEXDISPATCH_ADMIN_PORT: "0",
    HEXDISPATCH_LOG_LEVEL: "error",
  };
  const children: ChildProcess[] = [];
  for (let i = 0; i < gateways; i++) children.push(await startChild("../gateway/main.ts", [], env));
  let no = 0;
  return {
    port,
    gateways: children,
    follow,
    asking: () => asking.size,
    move(moved) {
      const at = Date.now();
      const lng = -122.4 - (++no % 1_000) * 0.000_01 - 0.000_000_5;
      const positions = moved.map((n) => {
        return { courier: `cur_${n}` as CourierId, no, at, lng, lat: 37.781_234_5 };
      });
      const bytes = streamMessages.encode({ type: "positions", positions, shard: 0, epoch: 1 });
      for (const gateway of asking) bus.publish(subjects.positions(gateway), bytes);
    },
    async close() {
      for (const child of children) child.kill("SIGKILL");
      await bus.close();
      await nats.remove();
      await postgres.remove();
    },
  };
}

/** One courier and one delivery that it carries for each number. */
async function fill(url: string, couriers: number): Promise<void> {
  const sql = connectOnce(url);
  await sql`
    insert into couriers (id, shard, name, phone, vehicle, capacity, online, load)
    select 'cur_' || n, 0, 'Alice Anderson', '+1-555-0101', 'bike', 2, true, 1
    from generate_series(0, ${couriers - 1}::int) n`;
  await sql`
    insert into deliveries (id, shard, version, status, owner, pickup_lng, pickup_lat, dropoff_lng, dropoff_lat,
      size, phone, created_at, search_until, estimated_pickup_at, estimated_arrival_at, assigned_at, courier_id,
      tracking_hash)
    select 'del_000' || lpad(n::text, 20, '0'), 0, 2, 'assigned', 'cus_' || n, -122.41, 37.78, -122.42, 37.76,
      'small', '+1-555-0100', now(), now() + interval '1 hour', now() + interval '10 minutes',
      now() + interval '20 minutes', now(), 'cur_' || n, sha256(n::text::bytea)
    from generate_series(0, ${couriers - 1}::int) n`;
  await sql.end({ timeout: 5 });
}

/** Starts a module of this project as a process; resolves at its first message. */
export async function startChild(
  file: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<ChildProcess> {
  const child = fork(fileURLToPath(new URL(file, import.meta.url)), [...args], {
    execArgv: ["--import", "tsx"],
    stdio: ["ignore", "inherit", "inherit", "ipc"],
    env: { ...process.env, ...env },
  });
  const failed = once(child, "exit").then(() => Promise.reject(new Error(`${file} ended`)));
  await Promise.race([once(child, "message"), failed]);
  return child;
}

/** Resident memory of a process, bytes. */
export function residentBytes(pid: number): number {
  const text = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(text)?.[1] ?? Number.NaN) * 1_024;
}
