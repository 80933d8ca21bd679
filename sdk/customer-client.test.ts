/** Stories of a customer's app: one stream of events from the socket and from polling. */
import { beforeEach, describe, expect, test } from "vitest";
import { CustomerClient } from "./customer-client.ts";
import { DELIVERY, FakeGateway, deliveryView } from "./testing/fake-gateway.ts";
import type { RestAnswer } from "./testing/fake-gateway.ts";
import { VirtualClock, settle } from "./testing/virtual-clock.ts";
import { positionAgeMs } from "./tracking.ts";
import type { Tracking } from "./tracking.ts";

let clock: VirtualClock;
let gateway: FakeGateway;
let customer: CustomerClient;

beforeEach(() => {
  clock = new VirtualClock();
  gateway = new FakeGateway();
  customer = new CustomerClient({
    url: "http://gateway.test",
    getToken: () => "token",
    webSocket: gateway.webSocket,
    fetch: gateway.fetch,
    clock,
    random: () => 0.5,
  });
});

/** Everything a reader sees, as it comes; a failure is the last entry. */
function read(tracking: Tracking): unknown[] {
  const seen: unknown[] = [];
  const run = async (): Promise<void> => {
    for await (const event of tracking) seen.push(event);
    seen.push("end");
  };
  run().catch((error: unknown) => seen.push(error));
  return seen;
}
const push = (view: ReturnType<typeof deliveryView>): void =>
  gateway.send({ type: "delivery", delivery: DELIVERY, version: view.version, view });
const position = (at: number) => ({ delivery: DELIVERY, lng: -122.41, lat: 37.78, at, ageMs: 800 });
const assigned = deliveryView({ version: 2, status: "assigned" });

describe("creating", () => {
  const created = { status: 201, body: { delivery_id: DELIVERY, status: "pending" } };
  const input = { package_size: "small", phone: "+1-415-555-0100" } as const;

  test("is repeated with one key until it is answered", async () => {
    let calls = 0;
    gateway.rest = () => (++calls < 4 ? null : created);
    const promise = customer.createDelivery(input);
    await clock.advance(20_000);
    expect((await promise).delivery_id).toBe(DELIVERY);
    expect(new Set(gateway.requests.map((request) => request.key)).size).toBe(1);
  });

  test("throws the server's refusal with its pointers", async () => {
    const errors = [{ pointer: "/phone", code: "invalid_field", detail: "too long" }];
    gateway.rest = () => ({ status: 422, body: { code: "invalid_field", detail: "No.", errors } });
    await expect(customer.createDelivery(input)).rejects.toMatchObject({
      code: "invalid_field",
      errors,
    });
    expect(gateway.requests).toHaveLength(1);
  });
});

describe("following", () => {
  test("shows states and positions from the socket and ends with the delivery", async () => {
    const seen = read(customer.track(DELIVERY));
    await settle();
    push(assigned);
    gateway.send({ type: "positions", positions: [position(1000)] });
    push(deliveryView({ version: 4, status: "delivered" }));
    await settle();
    expect(seen).toMatchObject([
      { type: "delivery", source: "socket", delivery: { version: 2 } },
      { type: "position", source: "socket", position: { at: 1000 } },
      { type: "delivery", delivery: { version: 4 } },
      "end",
    ]);
    expect(gateway.sent("untrack")).toHaveLength(1);
  });

  test("D6: nothing older is shown after anything newer, and it is counted", async () => {
    const tracking = customer.track(DELIVERY);
    const seen = read(tracking);
    await settle();
    push(assigned);
    push(deliveryView());
    gateway.send({ type: "positions", positions: [position(2000)] });
    gateway.send({ type: "positions", positions: [position(1000)] });
    await settle();
    expect(seen).toHaveLength(2);
    expect(tracking.stale).toEqual({ socket: 2, polling: 0 });
  });

  test("falls back to polling after 2.5 s without a socket, with the ETag, and returns to the socket", async () => {
    gateway.reachable = false;
    const polled: (string | null)[] = [];
    gateway.rest = (request): RestAnswer => {
      polled.push(request.etag);
      if (request.etag === '"2"') return { status: 304 };
      return { status: 200, body: assigned, etag: '"2"' };
    };
    const seen = read(customer.track(DELIVERY));
    await clock.advance(2_400);
    expect(polled).toEqual([]);
    await clock.advance(200);
    expect(seen).toMatchObject([{ type: "delivery", source: "polling" }]);
    await clock.advance(10_000);
    expect(polled).toEqual([null, '"2"', '"2"']);
    gateway.reachable = true;
    await clock.advance(20_000);
    const polls = polled.length;
    push(deliveryView({ version: 3, status: "picked_up" }));
    await clock.advance(20_000);
    expect(seen[1]).toMatchObject({ source: "socket", delivery: { version: 3 } });
    expect(polled).toHaveLength(polls);
  });

  test("follows again after a reconnect", async () => {
    read(customer.track(DELIVERY));
    await settle();
    gateway.drop(4001);
    await clock.advance(2_000);
    expect(gateway.sent("track").map((frame) => frame.delivery)).toEqual([DELIVERY, DELIVERY]);
  });

  test("a delivery that is not ours ends the stream with not_found", async () => {
    const none = { retryAfterS: null, pointer: null };
    gateway.answer = ({ ref }) => ({ type: "error", ref, code: "not_found", text: "", ...none });
    const seen = read(customer.track(DELIVERY));
    await settle();
    expect(seen).toMatchObject([{ code: "not_found" }]);
  });

  test("a reader that is slow finds the newest position, not a queue of them", async () => {
    const tracking = customer.track(DELIVERY);
    await settle();
    push(assigned);
    for (let at = 1; at <= 500; at++) {
      gateway.send({ type: "positions", positions: [position(at)] });
    }
    const seen = read(tracking);
    await settle();
    expect(seen).toMatchObject([{ type: "delivery" }, { position: { at: 500 } }]);
  });

  test("a position tells its age at any later moment", () => {
    const spot = { lng: 0, lat: 0, at: 0, ageMs: 800, receivedAt: 10_000 };
    expect(positionAgeMs(spot, 12_000)).toBe(2_800);
  });

  test("frames about deliveries that nobody follows are counted, not shown", async () => {
    read(customer.track(DELIVERY));
    await settle();
    const other = deliveryView({ id: "del_00000000000000000000009" });
    gateway.send({ type: "delivery", delivery: other.id as never, version: 1, view: other });
    expect(customer.foreignFrames).toBe(1);
  });
});

describe("over a socket that breaks", () => {
  const event = (number: number, status: string) => ({
    id: `evt_${number}`,
    delivery_id: DELIVERY as string,
    number,
    type: "status",
    status,
    reason: null,
    courier_id: null,
    external_id: null,
    at: "2026-05-03T14:00:00Z",
    test: false,
  });

  test("following goes on from the last status that was told, and none is told twice", async () => {
    const seen = read(customer.track(DELIVERY));
    await clock.advance(100);
    push(deliveryView({ version: 1 }));
    gateway.drop(1006);
    await clock.advance(1_000);
    expect(gateway.sent("track").map(({ after }) => after)).toEqual([null, 1]);
    const events = [event(1, "pending"), event(2, "assigned"), event(3, "picked_up")];
    gateway.send({ type: "passed", delivery: DELIVERY, recovered: true, events });
    push(deliveryView({ version: 4, status: "delivered" }));
    await settle();
    const told = seen.map((e) => (e as { type?: string }).type ?? e);
    expect(told).toEqual(["delivery", "passed", "delivery", "end"]);
    expect((seen[1] as { events: unknown[] }).events).toEqual(events.slice(1));
  });

  test("a gateway that died is not polled in its place before this client's turn to come back", async () => {
    gateway.comeBackWithinMs = 10_000;
    read(customer.track(DELIVERY));
    await clock.advance(100);
    push(assigned);
    gateway.rest = () => ({ status: 200, body: assigned });
    gateway.reachable = false;
    gateway.drop(1006);
    await clock.advance(7_000);
    expect(gateway.requests).toHaveLength(0);
    await clock.advance(3_000);
    expect(gateway.requests.length).toBeGreaterThan(0);
  });

  test("an end that polling saw first waits for the statuses before it", async () => {
    const seen = read(customer.track(DELIVERY));
    await clock.advance(100);
    push(assigned);
    gateway.reachable = false;
    const over = deliveryView({ version: 4, status: "delivered" });
    gateway.rest = () => ({ status: 200, body: over });
    gateway.drop(1006);
    await clock.advance(6_000);
    expect(seen.at(-1)).toMatchObject({ type: "delivery", source: "polling" });
    gateway.reachable = true;
    await clock.advance(10_000);
    const events = [event(3, "picked_up")];
    gateway.send({ type: "passed", delivery: DELIVERY, recovered: true, events });
    push(over);
    await settle();
    expect(seen.slice(2)).toMatchObject([{ type: "passed" }, "end"]);
  });

  test("an end without the statuses before it is said to have a gap, after a while", async () => {
    const seen = read(customer.track(DELIVERY));
    await clock.advance(100);
    push(assigned);
    gateway.reachable = false;
    gateway.rest = () => ({ status: 200, body: deliveryView({ version: 4, status: "delivered" }) });
    gateway.drop(1006);
    await clock.advance(60_000);
    expect(seen.slice(1)).toMatchObject([{ type: "delivery" }, { type: "gap" }, "end"]);
  });

  test("what could not be recovered is said to be a gap", async () => {
    const seen = read(customer.track(DELIVERY));
    await clock.advance(100);
    gateway.send({ type: "passed", delivery: DELIVERY, recovered: false, events: [] });
    push(assigned);
    await settle();
    expect(seen.map((e) => (e as { type: string }).type)).toEqual(["gap", "delivery"]);
  });

  test("positions are acknowledged by count: the first at once, the next at some time in its turn, then every eighth or after a minute", async () => {
    read(customer.track(DELIVERY));
    await clock.advance(100);
    const told = (): number[] => gateway.sent("seen").map(({ frames }) => frames);
    const move = (n: number) => gateway.send({ type: "positions", positions: [position(n)] });
    for (let n = 1; n <= 10; n++) move(n);
    expect(told()).toEqual([1, 5]);
    await clock.advance(59_000);
    move(10);
    expect(told()).toEqual([1, 5]);
    await clock.advance(1_000);
    move(11);
    expect(told()).toEqual([1, 5, 12]);
    gateway.drop(1006);
    await clock.advance(1_000);
    move(12); // A new connection counts anew.
    expect(told()).toEqual([1, 5, 12, 1]);
  });

  test("of positions that lay in the pipe while nobody read only the newest is shown", async () => {
    gateway.now = () => clock.now();
    const seen = read(customer.track(DELIVERY));
    await clock.advance(100);
    push(assigned);
    const stalledAt = clock.now();
    await clock.advance(60_000);
    const was = (n: number) => ({ ...position(stalledAt + n * 1_000), ageMs: 20 });
    for (let n = 1; n <= 12; n++) gateway.send({ type: "positions", positions: [was(n)] });
    await settle();
    expect(seen.slice(1)).toEqual([]);
    const fresh = { ...position(clock.now() - 20), ageMs: 20 };
    gateway.send({ type: "positions", positions: [fresh] });
    await clock.advance(1_000);
    const shown = seen.slice(1) as { position: { at: number } }[];
    expect(shown.map((event) => event.position.at)).toEqual([fresh.at]);
    gateway.send({ type: "positions", positions: [was(58)] });
    gateway.send({ type: "positions", positions: [{ ...was(61), ageMs: 20 }] });
    await clock.advance(5_000);
    expect(shown).toHaveLength(1);
  });

  test("an old position with nothing newer behind it is shown all the same, a moment later", async () => {
    gateway.now = () => clock.now();
    const seen = read(customer.track(DELIVERY));
    await clock.advance(100);
    push(assigned);
    const old = { ...position(clock.now()), ageMs: 20 };
    await clock.advance(10_000);
    gateway.send({ type: "positions", positions: [old] });
    await clock.advance(100);
    expect(seen).toMatchObject([{ type: "delivery" }, { type: "position" }]);
  });
});
