/**
 * Stories of a courier's app on a bad network, against a fake gateway that speaks the real frames.
 */
import { beforeEach, describe, expect, test } from "vitest";
import { DispatchError } from "../proto/errors.ts";
import type { DeliveryId } from "../proto/ids.ts";
import { CourierClient } from "./courier-client.ts";
import type { CourierEvents, CourierOptions } from "./courier-client.ts";
import { DELIVERY, FakeGateway, assignmentView } from "./testing/fake-gateway.ts";
import { VirtualClock, settle } from "./testing/virtual-clock.ts";

let clock: VirtualClock;
let gateway: FakeGateway;

beforeEach(() => {
  clock = new VirtualClock();
  gateway = new FakeGateway();
});

function courier(more: Partial<CourierOptions> = {}): CourierClient {
  return new CourierClient({
    url: "http://gateway.test",
    getToken: () => "token",
    webSocket: gateway.webSocket,
    fetch: gateway.fetch,
    clock,
    random: () => 0.5,
    ...more,
  });
}
async function connected(more: Partial<CourierOptions> = {}): Promise<CourierClient> {
  const client = courier(more);
  await client.start();
  return client;
}
function heard<K extends keyof CourierEvents>(client: CourierClient, name: K): CourierEvents[K][] {
  const events: CourierEvents[K][] = [];
  client.on(name, (event) => events.push(event));
  return events;
}
const here = { lng: -122.41, lat: 37.78 };
const offer = (number: number, epoch = 1) =>
  ({
    type: "offer",
    epoch,
    number,
    delivery: DELIVERY,
    until: 0,
    ttlMs: 20_000,
    pickupLng: -122.41,
    pickupLat: 37.78,
    pickupArea: null,
    dropoffLng: -122.42,
    dropoffLat: 37.76,
    dropoffArea: null,
    size: "small",
    distanceM: 300,
    etaS: 90,
  }) as const;

describe("the connection", () => {
  test("comes back by itself after it was lost, with a growing pause", async () => {
    const client = await connected();
    gateway.reachable = false;
    gateway.drop();
    await clock.advance(30_000);
    expect(gateway.dials).toBeGreaterThan(3);
    expect(gateway.dials).toBeLessThan(10);
    gateway.reachable = true;
    await clock.advance(10_000);
    expect(client.state.at).toBe("connected");
  });

  test("stays closed when the same courier connected elsewhere", async () => {
    const client = await connected();
    gateway.drop(4502, "replaced");
    await clock.advance(60_000);
    expect(client.state).toMatchObject({ at: "closed", reason: { code: 4502 } });
    expect(gateway.dials).toBe(1);
  });

  test("a bye says why the close that follows came", async () => {
    const client = await connected();
    gateway.send({ type: "bye", code: 4500, retry: false, retryAfterMs: null, text: "revoked" });
    gateway.drop(1006);
    expect(client.state).toMatchObject({ at: "closed", reason: { code: 4500, text: "revoked" } });
  });

  test("a server that says nothing for its idle time is left", async () => {
    gateway.answer = () => null;
    const client = await connected();
    const states = heard(client, "state");
    await clock.advance(61_000);
    expect(states[0]).toMatchObject({ at: "disconnected", reason: { code: 104 } });
    expect(client.state.at).toBe("connected");
  });

  test("a server that answers the probe is kept", async () => {
    const client = await connected();
    await clock.advance(600_000);
    expect([client.state.at, gateway.dials]).toEqual(["connected", 1]);
  });

  test("no token for now means later, no token any more means never", async () => {
    let failure: Error = new Error("identity provider is away");
    const client = courier({ getToken: () => Promise.reject(failure) });
    const started = client.start();
    started.catch(() => undefined);
    await clock.advance(5_000);
    expect(client.state.at).not.toBe("closed");
    failure = new DispatchError("unauthorized");
    await clock.advance(30_000);
    expect(client.state.at).toBe("closed");
    await expect(started).rejects.toThrow("no valid token");
  });
});

describe("pings", () => {
  test("are numbered without a gap, and kept until they are acknowledged", async () => {
    const client = await connected();
    for (let i = 0; i < 3; i++) client.ping(here);
    const [first, second, third] = gateway.sent("ping").map((ping) => ping.seq) as number[];
    expect([second, third]).toEqual([first! + 1, first! + 2]);
    gateway.send({ type: "ping_ack", seq: second! });
    expect(client.pingsWaiting).toBe(1);
  });

  test("made offline go out in paced batches after the reconnect, oldest first", async () => {
    const client = await connected();
    gateway.reachable = false;
    gateway.drop();
    for (let i = 0; i < 250; i++) client.ping({ ...here, at: clock.now() + i });
    gateway.reachable = true;
    await clock.advance(1_000);
    expect(gateway.sent("pings").map((batch) => batch.pings.length)).toEqual([100]);
    await clock.advance(2_000);
    const batches = gateway.sent("pings");
    expect(batches.map((batch) => batch.pings.length)).toEqual([100, 100, 50]);
    const seqs = batches.flatMap((batch) => batch.pings.map((ping) => ping.seq));
    expect(seqs).toEqual(seqs.map((_, i) => seqs[0]! + i));
  });

  test("beyond the bound thin out from the old end, keeping the first and the newest", async () => {
    const client = courier({ pingsKeptMax: 5 });
    for (let i = 0; i < 20; i++) client.ping({ ...here, at: clock.now() + i });
    expect([client.pingsWaiting, client.pingsDropped]).toEqual([5, 15]);
    await client.start();
    const at = gateway.sent("pings")[0]!.pings.map((ping) => ping.at - clock.now());
    expect(at).toEqual([0, 16, 17, 18, 19]);
  });

  test("that were not acknowledged are sent again after a reconnect", async () => {
    const client = await connected();
    client.ping(here);
    gateway.drop();
    await clock.advance(2_000);
    const [ping] = gateway.sent("ping");
    expect(gateway.sent("pings")[0]!.pings.map((again) => again.seq)).toEqual([ping!.seq]);
  });

  test("go on rising after a restart of the app, with and without a memory", async () => {
    const first = await connected();
    first.ping(here);
    first.stop();
    await clock.advance(10_000);
    const second = await connected();
    second.ping(here);
    let kept: number | null = 4_000_000_000;
    const seqStore = { load: () => kept, save: (seq: number) => (kept = seq) };
    const third = await connected({ seqStore });
    third.ping(here);
    const seqs = gateway.sent("ping").map((ping) => ping.seq);
    expect(seqs[1]).toBeGreaterThan(seqs[0]!);
    expect([seqs[2], kept]).toEqual([4_000_000_001, 4_000_000_001]);
  });

  test("go over REST where no socket gets through", async () => {
    gateway.reachable = false;
    gateway.rest = () => ({ status: 204 });
    const client = courier();
    void client.start();
    for (let i = 0; i < 6; i++) {
      await clock.advance(10_000);
      client.ping(here);
    }
    expect(gateway.requests.map((request) => request.path)).toContain("/v1/couriers/me/location");
  });

  test("without a socket bring the work near by, and the end of what was carried", async () => {
    const CARRIED = DELIVERY;
    const waiting = { id: "del_w" };
    gateway.rest = ({ path }) => {
      if (path.startsWith("/v1/deliveries/available"))
        return { status: 200, body: { deliveries: [waiting] } };
      if (path === `/v1/deliveries/${CARRIED}`)
        return { status: 200, body: { status: "canceled" } };
      return { status: 204 };
    };
    const client = await connected();
    await client.goOnShift();
    gateway.send({ type: "assignment", assignment: assignmentView(CARRIED) });
    const available = heard(client, "available");
    const over = heard(client, "assignmentOver");
    gateway.reachable = false;
    gateway.drop();
    client.ping(here);
    await clock.advance(10_000);
    expect(available).toEqual([]);
    for (let i = 0; i < 3; i++) {
      await clock.advance(10_000);
      client.ping(here);
      await clock.advance(10);
    }
    expect(available.at(-1)).toEqual([waiting]);
    expect(over).toEqual([{ delivery: CARRIED, reason: "canceled" }]);
    expect(client.assignments.size).toBe(0);
  });
});

describe("offers and commands", () => {
  test("an offer is heard once, however often it is sent, and not from an older epoch", async () => {
    const client = await connected();
    const offers = heard(client, "offer");
    gateway.send(offer(5));
    gateway.send(offer(5));
    gateway.send(offer(1, 2));
    gateway.send(offer(9, 1));
    expect(offers).toHaveLength(1);
    await clock.advance(20_000); // It has lapsed: shown again it is a new one.
    gateway.send(offer(2, 2));
    expect(offers).toHaveLength(2);
  });

  test("a jump in the numbers is told, and a new owner's are of unknown number", async () => {
    const client = await connected();
    const gaps = heard(client, "gap");
    for (const [number, epoch] of [
      [5, 1],
      [6, 1],
      [9, 1],
      [1, 2],
    ] as const) {
      gateway.send(offer(number, epoch));
    }
    expect(gaps).toEqual([{ missed: 2 }, { missed: null }]);
  });

  test("an offer that is not shown again after a reconnect has ended", async () => {
    const client = await connected();
    const withdrawn = heard(client, "withdrawn");
    gateway.send(offer(1));
    gateway.drop(4001);
    await clock.advance(1_000);
    gateway.send(offer(2)); // Shown again: it stays.
    await clock.advance(2_500);
    expect([withdrawn, client.offers().length]).toEqual([[], 1]);
    gateway.drop(4001);
    await clock.advance(3_500);
    expect(withdrawn).toEqual([{ delivery: DELIVERY, reason: "not_recovered" }]);
    expect(client.offers()).toEqual([]);
  });

  test("reporting goes by the interval that the server wants, at once when it shortens", async () => {
    const client = await connected();
    const wishes = heard(client, "pingInterval");
    client.startReporting(() => ({ ...here, at: clock.now() }));
    const pings = (): number => gateway.sent("ping").length;
    await clock.advance(0);
    expect(pings()).toBe(1);
    await clock.advance(30_000);
    expect(pings()).toBe(4);
    await clock.advance(5_000);
    gateway.send({ type: "ping_interval", intervalMs: 2_000, why: "near" });
    await clock.advance(0);
    expect(pings()).toBe(5);
    await clock.advance(10_000);
    expect(pings()).toBe(10);
    expect(client.advice).toMatchObject({ pingIntervalMs: 2_000 });
    expect(wishes).toEqual([{ intervalMs: 2_000, why: "near" }]);
    client.stopReporting();
    await clock.advance(10_000);
    expect(pings()).toBe(10);
  });

  test("an offer ends by itself when its time is over", async () => {
    const client = await connected();
    gateway.send(offer(1));
    expect(client.offers()).toHaveLength(1);
    await clock.advance(20_000);
    expect(client.offers()).toHaveLength(0);
  });

  test("an accept whose answer was lost is asked again after the reconnect", async () => {
    const client = await connected();
    gateway.answer = () => null;
    let done = false;
    void client.accept(DELIVERY).then(() => (done = true));
    await settle();
    gateway.drop();
    gateway.answer = (frame) => ({ type: "ok", ref: frame.ref, result: null });
    await clock.advance(5_000);
    expect([done, gateway.sent("accept").length]).toEqual([true, 2]);
  });

  test("without a socket a command goes over REST, every time with the same key", async () => {
    gateway.reachable = false;
    let calls = 0;
    gateway.rest = () => (++calls < 3 ? null : { status: 200, body: { accepted: true } });
    const client = courier();
    void client.start();
    let done = false;
    void client.accept(DELIVERY).then(() => (done = true));
    await clock.advance(10_000);
    const keys = new Set(gateway.requests.map((request) => request.key));
    expect([done, calls, keys.size, keys.has(null)]).toEqual([true, 3, 1, false]);
  });

  test("a refusal is an answer: it is thrown and not repeated", async () => {
    const client = await connected();
    const text = "Another courier has this delivery.";
    const none = { retryAfterS: null, pointer: null };
    gateway.answer = (frame) => ({
      type: "error",
      ref: frame.ref,
      code: "delivery_taken",
      text,
      ...none,
    });
    await expect(client.accept(DELIVERY)).rejects.toMatchObject({ code: "delivery_taken" });
    expect(gateway.sent("accept")).toHaveLength(1);
  });

  test("D1: after a reconnect the courier carries what the server says, no more and no less", async () => {
    const other = "del_00000000000000000000002" as DeliveryId;
    gateway.assignments = [assignmentView(DELIVERY)];
    const client = await connected();
    const over = heard(client, "assignmentOver");
    const fresh = heard(client, "assignment");
    gateway.assignments = [assignmentView(other)];
    gateway.drop();
    await clock.advance(2_000);
    expect([...client.assignments.keys()]).toEqual([other]);
    expect(over).toEqual([{ delivery: DELIVERY, reason: "reconciled" }]);
    expect(fresh.map((assignment) => assignment.id)).toEqual([other]);
  });
});
