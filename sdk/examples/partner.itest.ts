/**
 * The example partner against kills: its own process, and the NATS server, both with kill -9 in the
 * middle of the work. What it has written must then be, line for line, what Postgres says.
 */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { EventPublisher } from "../../engine/streams/event-publisher.ts";
import { systemClock } from "../../engine/io/clock.ts";
import { OutboxRelay } from "../../engine/streams/outbox.ts";
import { goOnShift, tokenOf } from "../../gateway/testing/gateway.ts";
import { startPartnerSystem } from "../../gateway/testing/partner-system.ts";
import type { PartnerSystem } from "../../gateway/testing/partner-system.ts";

const ORDERS = 12;
const WAIT = { timeout: 40_000, interval: 50 };
let system: PartnerSystem;
let relay: OutboxRelay;
let folder: string;
let child: ChildProcess;

beforeAll(async () => {
  system = await startPartnerSystem();
  const { t } = system;
  const publisher = new EventPublisher(t.bus, systemClock, 1_000);
  relay = new OutboxRelay({
    clock: systemClock,
    subjects: t.subjects,
    store: t.store,
    publish: (...args) => publisher.publish(...args),
    onPublished: () => undefined,
    onFailed: () => undefined,
  });
  relay.start();
  folder = mkdtempSync(join(tmpdir(), "hexdispatch-partner-"));
  writeFileSync(join(folder, "acme.nk"), await system.admin.add("acme"));
});
afterAll(async () => {
  child.kill("SIGKILL");
  await relay.stop();
  await system.close();
  rmSync(folder, { recursive: true, force: true });
});

function startExample(): ChildProcess {
  const { prefix, natsUrl } = system;
  const example = join(import.meta.dirname, "partner.ts");
  const args = ["--import", "tsx", example, "--name", "acme", "--key", join(folder, "acme.nk")];
  args.push("--url", natsUrl, "--prefix", prefix, "--orders", String(ORDERS));
  args.push("--book", join(folder, "book"));
  return spawn(process.execPath, args, { stdio: ["ignore", "ignore", "inherit"] });
}
const killExample = async (): Promise<void> => {
  const gone = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  await gone;
};

type Line = { order?: number; delivery?: string; delivery_id?: string; number?: number };
function lines(): Line[] {
  const text = readFileSync(join(folder, "book"), "utf8");
  const whole = text.slice(0, text.lastIndexOf("\n") + 1);
  return whole
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Line);
}
const ordersIn = (): Line[] => lines().filter((line) => line.order !== undefined);
const eventsIn = (): Line[] => lines().filter((line) => line.number !== undefined);

/** Rejected while NATS is away: then it is tried again. */
async function carry(id: string, courier: string): Promise<void> {
  const post = async (path: string, body: object): Promise<void> => {
    const answer = await system.t.rest.post(`/v1/deliveries/${id}/${path}`, courier, body);
    expect(answer.status, answer.text).toBe(200);
  };
  await post("accept", {});
  await post("status", { status: "picked_up" });
  await post("status", { status: "delivered" });
}

test("a kill -9 of the partner and of NATS loses no event and doubles none", async () => {
  const { t } = system;
  const courier = await tokenOf("courier", "cur_1");
  const profile = { name: "Ann", phone: "+1-555-0101", vehicle: "bike", capacity: 20 };
  await t.rest.put("/v1/couriers/cur_1", await tokenOf("operator", "ops_1"), profile);
  await goOnShift(t.store, "cur_1");

  child = startExample();
  await vi.waitFor(() => expect(ordersIn().length).toBeGreaterThan(2), WAIT);
  await killExample();
  // While it is away, things happen to what it has ordered.
  const early = ordersIn().map((line) => line.delivery as string);
  for (const id of early) await carry(id, courier);
  child = startExample();
  await vi.waitFor(() => expect(eventsIn().length).toBeGreaterThan(2), WAIT);
  await system.killNats();
  await system.startNats();
  await vi.waitFor(() => expect(ordersIn()).toHaveLength(ORDERS), WAIT);
  await killExample();
  const all = ordersIn().map((line) => line.delivery as string);
  for (const id of all.filter((id) => !early.includes(id))) await carry(id, courier);
  child = startExample();

  await vi.waitFor(() => expect(eventsIn().length).toBeGreaterThanOrEqual(4 * ORDERS), WAIT);
  const rows = await t.store.deliveries({
    owner: "acme" as never,
    courier: null,
    status: null,
    before: null,
    limit: 100,
  });
  // One delivery for each order, however often it was asked for.
  expect(new Set(all)).toEqual(new Set(rows.map((row) => row.id)));
  expect(rows).toHaveLength(ORDERS);
  // Nothing may follow: what is left in the stream must be repeats.
  const written = new Map<string, number[]>();
  for (const { delivery_id: id = "", number = 0 } of eventsIn()) {
    written.set(id, [...(written.get(id) ?? []), number]);
  }
  for (const row of rows) {
    expect(row).toMatchObject({ status: "delivered", version: 4 });
    expect(written.get(row.id), row.id).toEqual([1, 2, 3, 4]);
  }
});

test("the example of twenty lines asks for a delivery and reads its events to the end", async () => {
  const { prefix, natsUrl, t } = system;
  // Two programs with one consumer would share the events.
  await killExample();
  const example = join(import.meta.dirname, "partner-small.ts");
  const env = { SERVER: natsUrl, KEY: join(folder, "acme.nk"), NAME: "acme", PREFIX: prefix };
  const small = spawn(process.execPath, ["--import", "tsx", example], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, ...env },
  });
  let output = "";
  small.stdout.on("data", (data: Buffer) => void (output += data.toString()));
  const gone = new Promise((resolve) => small.once("exit", resolve));
  const query = {
    owner: "acme",
    courier: null,
    status: "pending",
    before: null,
    limit: 1,
  } as const;
  const id = await vi.waitFor(async () => {
    const [row] = await t.store.deliveries(query as never);
    expect(row).toBeDefined();
    return row?.id as string;
  }, WAIT);
  await carry(id, await tokenOf("courier", "cur_1"));
  expect(await gone).toBe(0);
  expect(output.split("\n").filter((line) => line.startsWith(id))).toEqual([
    `${id} 1 pending`,
    `${id} 2 assigned`,
    `${id} 3 picked_up`,
    `${id} 4 delivered`,
  ]);
});
