/**
 * Attack 37 on a gateway and a node in processes of their own: the clock of their machine is set
 * back and forward, by seconds and by an hour, while a courier carries, a customer follows and
 * offers stand open.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { seen } from "../testing/attacked-process.ts";
import { startAttacked } from "../testing/attacked.ts";
import type { Attacked } from "../testing/attacked.ts";
import { openClient, until } from "../testing/clients.ts";
import type { Client } from "../testing/clients.ts";
import { BODY, HERE, tokenOf } from "../testing/gateway.ts";

const TEST_MS = 120_000;
const WAIT_MS = 20_000;
/** A few seconds of tolerance come on top. */
const TOKEN_S = 1;
const PROFILE = { name: "Al", phone: "+1-555-0102", vehicle: "bike", capacity: 5 };
/** Short, so that what lapses does so in the test; long enough for a busy machine. */
const SETTINGS = { HEXDISPATCH_OFFER_TTL_MS: "8000", HEXDISPATCH_WAVE_MS: "1000" };
const STEPS_MS = [-20_000, -3_600_000, 20_000, 3_600_000] as const;

let t: Attacked;
let lanes = 0;

beforeAll(async () => {
  t = await startAttacked({ withNode: true, bend: () => Promise.resolve(SETTINGS) });
});
afterEach(async ({ task }) => {
  await t.noteLag(task.name);
  await t.expectAlive();
});
afterAll(() => t?.close());

/** A courier far from those of the other tests, so that offers are its own. */
async function rider() {
  const id = `cur_clock${++lanes}`;
  const place = { lng: HERE.lng, lat: HERE.lat + 0.002 * lanes };
  expect((await t.rest.put(`/v1/couriers/${id}`, t.tokens.operator, PROFILE)).status).toBe(200);
  const token = await tokenOf("courier", id);
  const shift = await t.rest.post("/v1/couriers/me/shift", token, { online: true });
  expect(shift.status, shift.text).toBe(200);
  const client = await t.connect(token);
  let seq = 0;
  /** Its phone keeps its own time, whatever happens to the servers'. */
  const ping = (lng: number): void =>
    client.send({
      ...{ type: "ping", seq: ++seq, at: Date.now(), lng, lat: place.lat },
      ...{ accuracyM: 5, speedMps: null, headingDeg: null },
    });
  const offered = (delivery: string): Promise<boolean> =>
    until(() => offers(client).has(delivery), "an offer", WAIT_MS);
  return { id, token, client, place, ping, offered };
}
type Rider = Awaited<ReturnType<typeof rider>>;

const offers = (client: Client): Set<string> =>
  new Set(client.frames.flatMap((one) => (one.type === "offer" ? [one.delivery] : [])));

/** A delivery where the courier is, to be offered to it. */
async function create({ place }: Rider): Promise<string> {
  const answer = await t.rest.post("/v1/deliveries", t.tokens.customer, { ...BODY, origin: place });
  expect(answer.status, answer.text).toBe(201);
  return answer.body.delivery_id;
}
const move = (ms: number): void => [t.gateway, t.node].forEach((one) => one?.moveClock(ms));
const nameOf = (ms: number): string => `${ms > 0 ? "+" : ""}${ms / 1_000} s`;

/** Since when the customer sees the courier there, by REST and on the socket. */
async function shows(path: string, follower: Client, lng: number): Promise<void> {
  const isThere = (one: { lng: number } | null): boolean =>
    one !== null && Math.abs(one.lng - lng) < 1e-6;
  const byRest = async (): Promise<boolean> => {
    const { courier_location: found } = (await t.rest.get(path, t.tokens.customer)).body;
    return isThere(found) && found.age_s >= 0;
  };
  await until(byRest, "the position by REST", WAIT_MS);
  const onSocket = (): boolean =>
    follower.frames.some((one) => one.type === "positions" && one.positions.some(isThere));
  await until(onSocket, "the position on the socket", WAIT_MS);
}

describe("attack 37: a clock that is set while they work", () => {
  it.each(STEPS_MS)(
    "attack 37: by %d ms: offers, positions, statuses and tokens go on",
    async (step) => {
      const one = await rider();
      one.ping(one.place.lng);
      const carried = await create(one);
      await one.offered(carried);
      const path = `/v1/deliveries/${carried}`;
      expect((await t.rest.post(`${path}/accept`, one.token, {})).status).toBe(200);
      const follower = await t.connect(t.tokens.customer);
      follower.send({ type: "track", ref: 1, delivery: carried as never, after: null });
      await follower.next("delivery");
      one.ping(one.place.lng + 0.0001);
      await shows(path, follower, one.place.lng + 0.0001);
      const open = await create(one);
      await one.offered(open);
      const brief = await tokenOf("customer", "cus_1", TOKEN_S);

      move(step);
      // Issued before, verified after: neither over at once nor good for an hour more.
      expect((await t.rest.get(path, brief)).status).toBe(200);
      // Offered before, accepted after.
      const accepted = await t.rest.post(`/v1/deliveries/${open}/accept`, one.token, {});
      expect(accepted.status, accepted.text).toBe(200);
      one.ping(one.place.lng + 0.0002);
      await shows(path, follower, one.place.lng + 0.0002);
      const later = await create(one);
      await one.offered(later);
      expect((await t.rest.post(`/v1/deliveries/${later}/accept`, one.token, {})).status).toBe(200);
      for (const status of ["picked_up", "delivered"]) {
        const answer = await t.rest.post(`${path}/status`, one.token, { status });
        expect(answer.status, answer.text).toBe(200);
      }
      const last = await until(
        () =>
          follower.frames.findLast((f) => f.type === "delivery" && f.view.status === "delivered"),
        "the last status",
        WAIT_MS,
      );
      expect(last).toBeDefined();
      const versions = follower.frames.flatMap((f) => (f.type === "delivery" ? [f.version] : []));
      expect(versions).toEqual(versions.toSorted((a, b) => a - b));
      // The token that was good after the step ends when its own time is over.
      const refused = await until(
        async () => {
          const answer = await t.rest.get(path, brief);
          return answer.status === 401 && answer.body.code;
        },
        "the token's end",
        WAIT_MS,
      );
      expect(refused).toBe("token_expired");
      seen(`${nameOf(step)}: versions ${versions.join(", ")}`);
      // The machine is right again, for the next.
      move(-step);
      await t.rest.post("/v1/couriers/me/shift", one.token, { online: false });
    },
    TEST_MS,
  );

  it(
    "attack 37: timers that ran before a step back fire when their own time is over",
    async () => {
      const one = await rider();
      one.ping(one.place.lng);
      const delivery = await create(one);
      await one.offered(delivery);
      const path = `/v1/deliveries/${delivery}/ledger`;
      const silent = await openClient(t.url);
      const since = performance.now();
      move(-3_600_000);
      const lapsed = async (): Promise<boolean> => {
        const { text } = await t.rest.get(path, t.tokens.operator);
        return text.includes("laps");
      };
      const [code] = await Promise.all([silent.closed, until(lapsed, "the lapse", WAIT_MS)]);
      expect(code).toBe(4004);
      const waitedS = (performance.now() - since) / 1_000;
      seen(
        `-3600 s: an offer lapsed and a silent socket was closed within ${waitedS.toFixed(0)} s`,
      );
    },
    TEST_MS,
  );
});
