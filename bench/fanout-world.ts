/**
 * What bench/fanout and bench/storm run against: gateways as they run in operation (compiled, in
 * processes of their own that share one port), over a real NATS and Postgres, and deliveries that
 * are all being carried. Where the couriers are is played: what their nodes would send of those who
 * move is sent from here.
 */
import { execFileSync, fork } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { DETOUR_FACTOR, PACES } from "../engine/geo/travel-time.ts";
import { connectNats, natsBus } from "../engine/io/nats/nats.ts";
import type { Bus } from "../engine/io/nats/nats.ts";
import { migrate } from "../engine/store/migrate.ts";
import { signToken } from "../gateway/token.ts";
import type { CourierId } from "../proto/ids.ts";
import { streamMessages } from "../proto/messages.ts";
import type { CourierRecord } from "../proto/messages.ts";
import { subjectsFor } from "../proto/subjects.ts";
import { freePort } from "../scripts/services/ports.ts";
import { connectOnce } from "../scripts/services/postgres.ts";
import { privateNats, privatePostgres } from "../scripts/testing/services.ts";
import { NODE_FLAGS } from "../scripts/run/node-flags.ts";

const KEY = "a signing key for the bench, 32 characters and more";
const PREFIX = "bench";
const TOKENS_S = 3_600;
/**
 * No node of these benches owns a shard of that number: what is played under it is never outdated.
 */
const PLAYED_SHARD = 4_000;

export type Followable = { readonly token: string; readonly delivery: string };
export type World = {
  readonly port: number;
  readonly gateways: readonly ChildProcess[];
  readonly follow: readonly Followable[];
  /** The couriers of this slice have moved, as their node tells each gateway that needs them. */
  readonly move: (couriers: readonly number[]) => void;
  /** Gateways that have asked for positions so far. */
  readonly asking: () => number;
  /** One more gateway on the same port. */
  readonly startGateway: () => Promise<ChildProcess>;
  readonly close: () => Promise<void>;
};
export type WorldOptions = {
  readonly gateways: number;
  readonly couriers: number;
  /**
   * A node of its own, for what it does beside positions: passing on what happened. Otherwise it is
   * played, too.
   */
  readonly hasNode: boolean;
};

const deliveryOf = (n: number): string => `del_000${String(n).padStart(20, "0")}`;
const PICKUP = { lng: -122.41, lat: 37.78 };
const METRES_PER_DEGREE_LNG = 87_900;
const START_M = 10_000;
const APPROACH_MPS = PACES.bike.speedMps / DETOUR_FACTOR;

/** On its way to the pickup as fast as expected, so that the estimate of its arrival stays. */
function spotAt(sinceMs: number): { readonly lng: number; readonly lat: number } {
  const restM = START_M - (sinceMs / 1_000) * APPROACH_MPS;
  return { lng: PICKUP.lng - restM / METRES_PER_DEGREE_LNG, lat: PICKUP.lat };
}

/** A token of this world's key. */
export const tokenFor = (role: "customer" | "courier", sub: string): Promise<string> =>
  signToken({ role, sub, ttlS: TOKENS_S }, KEY);

export async function startWorld(options: WorldOptions): Promise<World> {
  const { gateways, couriers, hasNode } = options;
  const nats = await privateNats();
  const postgres = await privatePostgres({ max_connections: "100" });
  await migrate(postgres.url);
  await fill(postgres.url, couriers);
  const follow = await Promise.all(
    Array.from({ length: couriers }, async (_, n) => {
      return { token: await tokenFor("customer", `cus_${n}`), delivery: deliveryOf(n) };
    }),
  );
  const bus = natsBus(await connectNats({ url: nats.url, name: "bench nodes" }));
  const played = playNodes(bus, hasNode);
  await bus.flush();
  const port = await freePort();
  const env = environment(nats.url, postgres.url, port);
  execFileSync("npm", ["run", "-s", "build"], { stdio: ["ignore", "inherit", "inherit"] });
  const children: ChildProcess[] = [];
  const start = async (file: string): Promise<ChildProcess> => {
    const child = await startChild(file, [], env);
    children.push(child);
    return child;
  };
  if (hasNode) await start("../dist/engine/node.js");
  const doors: ChildProcess[] = [];
  for (let i = 0; i < gateways; i++) doors.push(await start("../dist/gateway/main.js"));
  return {
    port,
    gateways: doors,
    follow,
    ...played,
    startGateway: () => start("../dist/gateway/main.js"),
    async close() {
      for (const child of children) child.kill("SIGKILL");
      await bus.close();
      await nats.remove();
      await postgres.remove();
    },
  };
}

const environment = (natsUrl: string, postgresUrl: string, port: number) => ({
  HEXDISPATCH_NATS_URL: natsUrl,
  HEXDISPATCH_NATS_PREFIX: PREFIX,
  HEXDISPATCH_POSTGRES_URL: postgresUrl,
  HEXDISPATCH_AUTH_KEY: KEY,
  HEXDISPATCH_PUBLIC_PORT: String(port),
  HEXDISPATCH_PUBLIC_PORT_SHARED: "yes",
  HEXDISPATCH_LISTENER: "uws",
  HEXDISPATCH_ADMIN_PORT: "0",
  HEXDISPATCH_LOG_LEVEL: "error",
});

/**
 * Says where the couriers are, to all gateways that have asked for anybody; where there is no node,
 * also when asked.
 */
function playNodes(bus: Bus, hasNode: boolean): Pick<World, "asking" | "move"> {
  const subjects = subjectsFor(PREFIX);
  const asking = new Set<string>();
  const since = Date.now();
  bus.subscribe(`${PREFIX}.watch.*`, ({ data }) => {
    const watch = streamMessages.decode(data);
    if (watch?.type === "watch") asking.add(watch.gateway);
  });
  if (!hasNode) {
    bus.subscribe(`${PREFIX}.where.*`, ({ data, respond }) => {
      const where = streamMessages.decode(data);
      if (where?.type !== "where") return;
      const at = Date.now();
      const record = recordOf(where.courier, at, spotAt(at - since));
      respond(streamMessages.encode({ type: "fleet_part", records: [record] }));
    });
  }
  let no = 0;
  return {
    asking: () => asking.size,
    move(moved) {
      const at = Date.now();
      no++;
      const spot = spotAt(at - since);
      const positions = moved.map((n) => ({ courier: `cur_${n}` as CourierId, no, at, ...spot }));
      const parts = [{ shard: PLAYED_SHARD, epoch: 1, positions }];
      const bytes = streamMessages.encode({ type: "moved", parts });
      for (const gateway of asking) bus.publish(subjects.positions(gateway), bytes);
    },
  };
}

function recordOf(
  courier: CourierId,
  at: number,
  spot: { readonly lng: number; readonly lat: number },
): CourierRecord {
  const rest = { vehicle: "bike", slots: 1, online: true, active: 1, doubt: 0 } as const;
  return { courier, no: 1, at, ...spot, ...rest };
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
    execArgv: file.endsWith(".ts") ? ["--import", "tsx"] : [...NODE_FLAGS],
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
