/**
 * The worker over a real stream: order, what is buried, two workers at once, and a NATS server that
 * is killed and comes back. Waits poll, because what is awaited happens elsewhere.
 */
import { jetstreamManager } from "@nats-io/jetstream";
import type { JetStreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { DeliveryId } from "../../proto/ids.ts";
import { subjectsFor } from "../../proto/subjects.ts";
import { privateNats } from "../../scripts/testing/services.ts";
import type { PrivateServer } from "../../scripts/testing/services.ts";
import { until } from "../../scripts/testing/until.ts";
import { ackOf } from "./event-publisher.ts";
import { encodeIntake } from "./intake-command.ts";
import { INTAKE_CONSUMER, streamIntake } from "./intake-stream.ts";
import { Intake } from "./intake.ts";
import { BuriedCreates } from "./intake-buried.ts";
import { systemClock } from "../io/clock.ts";
import type { Clock } from "../io/clock.ts";
import { connectNats } from "../io/nats/nats.ts";
import { SERVER_CASES, failureOf } from "../io/postgres/verdict-cases.ts";
import { createOf } from "../store/contract/world.ts";
import type { CreateCommand } from "../store/port.ts";
import { wantedStream } from "./streams.ts";

const PREFIX = "tintake";
const DEADLINE_MS = 30_000;
const STREAM = wantedStream(PREFIX, "INTAKE", 1);
const subjects = subjectsFor(PREFIX);

let server: PrivateServer;
let nc: NatsConnection;
let manager: JetStreamManager;
let told: DeliveryId[];

beforeAll(async () => {
  server = await privateNats();
  nc = await connectNats({ url: server.url, name: "intake test" });
  manager = await jetstreamManager(nc, { checkAPI: false });
  await manager.streams.add(STREAM);
});
afterAll(async () => {
  await nc.close();
  await server.remove();
});

const put = async (data: Uint8Array, id: string): Promise<number> =>
  ackOf((await nc.request(subjects.intake("customer_1", id), data)).data).seq;
async function putCreates(count: number): Promise<DeliveryId[]> {
  const ids: DeliveryId[] = [];
  for (let i = 0; i < count; i++) {
    const command = createOf();
    await put(encodeIntake(command), command.job.id);
    ids.push(command.job.id);
  }
  return ids;
}

/** A clock on which an hour passes in seconds. */
const fast = (times: number): Clock => ({
  ...systemClock,
  now: () => systemClock.now() * times,
  after: (ms, fn) => systemClock.after(ms / times, fn),
});

function startWorker(
  clock: Clock = systemClock,
  failureAt: (command: CreateCommand) => Error | null = () => null,
): Intake {
  const worker = new Intake({
    clock,
    queue: streamIntake(nc, PREFIX),
    store: {
      ping: () => Promise.resolve(),
      create: (command) => {
        const failure = failureAt(command);
        return failure === null ? Promise.resolve({ outcome: "created" }) : Promise.reject(failure);
      },
    },
    onCreated: ({ id }) => void told.push(id),
    onCount: () => undefined,
    onFailed: () => undefined,
    onBuried: () => undefined,
  });
  told = [];
  worker.start();
  return worker;
}
const leftOver = async (): Promise<number> => {
  const info = await manager.consumers.info(STREAM.name, INTAKE_CONSUMER);
  return info.num_pending + info.num_ack_pending;
};

describe("the worker over a stream", () => {
  it("takes what waits and what comes, in order, and leaves nothing", async () => {
    const before = await putCreates(250);
    const worker = startWorker();
    await until(() => told.length === 250, "what waited", DEADLINE_MS);
    const later = await putCreates(3);
    await until(() => told.length === 253, "what came", DEADLINE_MS);
    expect(told).toEqual([...before, ...later]);
    await until(async () => (await leftOver()) === 0, "the acks", DEADLINE_MS);
    await worker.stop();
  });

  it("buries what is refused, counts, lists and explains it, and puts it back, twice without harm", async () => {
    const buried = new BuriedCreates(nc, PREFIX);
    const bad = createOf({}, { notes: "refused" });
    const seq = await put(encodeIntake(bad), bad.job.id);
    const [good] = await putCreates(1);
    const failure = failureOf(SERVER_CASES.find(({ code }) => code === "23514")!);
    const refusing = startWorker(fast(300), ({ notes }) => (notes === "refused" ? failure : null));
    await until(() => told.includes(good as DeliveryId), "the good one", DEADLINE_MS);
    await until(async () => (await buried.count()) === 1, "the burial", DEADLINE_MS);
    await until(async () => (await leftOver()) === 0, "the acks", DEADLINE_MS);
    await refusing.stop();

    const [one] = await buried.list();
    expect(one).toMatchObject({ why: "refused", code: "23514", delivery: bad.job.id });
    expect(one?.error).toContain("check constraint");
    expect(await buried.find(bad.job.id)).toEqual(one);
    expect(await buried.find(String(one?.seq))).toEqual(one);
    expect([await buried.find(String(seq)), await buried.find("999999")]).toEqual([null, null]);

    const worker = startWorker();
    expect(await buried.putBack(one!.seq)).toBe(true);
    await until(() => told.includes(bad.job.id), "what was put back", DEADLINE_MS);
    expect([await buried.count(), await buried.putBack(one!.seq)]).toEqual([0, false]);
    await worker.stop();
  });

  it("what cannot be read is buried as it is, and goes back to where it came from", async () => {
    const buried = new BuriedCreates(nc, PREFIX);
    await put(Buffer.from("nonsense"), "del_x");
    const worker = startWorker(fast(3_000));
    await until(async () => (await buried.count()) === 1, "the burial", DEADLINE_MS);
    await worker.stop();
    const [one] = await buried.list();
    expect(one).toMatchObject({ why: "unreadable", delivery: null, code: null });
    await buried.putBack(one!.seq);
    const last = await manager.streams.getMessage(STREAM.name, {
      last_by_subj: subjects.intake("customer_1", "del_x"),
    });
    expect(last?.string()).toBe("nonsense");
    await manager.streams.deleteMessage(STREAM.name, last!.seq);
  });

  it("two workers at once miss nothing", async () => {
    const workers = [startWorker(), startWorker()];
    const ids = await putCreates(100);
    await until(() => new Set(told).size === 100, "all", DEADLINE_MS);
    expect(new Set(told)).toEqual(new Set(ids));
    await Promise.all(workers.map((worker) => worker.stop()));
  });

  it("goes on by itself after its server was killed, and when its consumer is gone", async () => {
    const worker = startWorker();
    const [first] = await putCreates(1);
    await until(() => told.includes(first as DeliveryId), "the first", DEADLINE_MS);
    await server.kill("SIGKILL");
    await server.startAgain();
    await until(
      () =>
        manager.streams.info(STREAM.name).then(
          () => true,
          () => false,
        ),
      "the server",
      DEADLINE_MS,
    );
    const [second] = await putCreates(1);
    await until(() => told.includes(second as DeliveryId), "the second", DEADLINE_MS);
    await manager.consumers.delete(STREAM.name, INTAKE_CONSUMER);
    const [third] = await putCreates(1);
    await until(() => told.includes(third as DeliveryId), "the third", DEADLINE_MS);
    await worker.stop();
  });
});
