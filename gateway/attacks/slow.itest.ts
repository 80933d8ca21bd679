/**
 * Attack 36 on a gateway and a node in processes of their own whose links to NATS and to Postgres
 * run through a proxy: servers that are not dead but late, and servers that say nothing any more,
 * until the link heals.
 */
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { Link } from "../../scripts/faults/proxy.ts";
import { testNatsUrl } from "../../scripts/testing/services.ts";
import { seen, tryStart } from "../testing/attacked-process.ts";
import { freePort } from "../../scripts/services/ports.ts";
import { startAttacked } from "../testing/attacked.ts";
import type { Attacked } from "../testing/attacked.ts";
import { until } from "../testing/clients.ts";
import type { Client, RestAnswer } from "../testing/clients.ts";
import { BODY, HERE } from "../testing/gateway.ts";

const TEST_MS = 150_000;
/**
 * For what comes after a heal: connections that hung are given up by timeouts, on a machine that is
 * busy.
 */
const WAIT_MS = 40_000;
/**
 * No answer may take longer than the sum of what the product waits for in its course, and a busy
 * machine's share.
 */
const ANSWER_MAX_MS = 15_000;
const START_DELAY_MS = 300;
const LATE = { delayMs: 2_000 };
const PING_MS = 1_000;
const SILENT = { upHeld: true, downHeld: true };
/** Longer than any of ours needs to notice: a link that is bad for a moment only is no attack. */
const TROUBLE_MS = 3_000;

let t: Attacked;
let courier: Awaited<ReturnType<typeof followedCourier>>;
const links: Partial<Record<"postgres" | "nats", Link>> = {};
/** What was acknowledged with 201 or 202. */
const acknowledged: string[] = [];

/** A link to the server behind a URL, and the URL of the link. */
async function linkTo(text: string): Promise<readonly [Link, string]> {
  const url = new URL(text);
  const target = { host: url.hostname, port: Number(url.port) };
  const link = await Link.open({ targets: () => [target] });
  url.hostname = "127.0.0.1";
  url.port = String(link.port);
  return [link, url.toString()];
}
const linkOf = (name: "postgres" | "nats"): Link => {
  const link = links[name];
  if (link === undefined) throw new Error("the links are not there yet");
  return link;
};

beforeAll(async () => {
  const [nats, natsUrl] = await linkTo(testNatsUrl());
  links.nats = nats;
  const bend = async (databaseUrl: string): Promise<Record<string, string>> => {
    const [postgres, postgresUrl] = await linkTo(databaseUrl);
    links.postgres = postgres;
    // Slow from the start: each of the questions of a start comes later, and it gets there all the
    // same.
    for (const link of [nats, postgres]) link.set({ delayMs: START_DELAY_MS });
    setTimeout(() => [nats, postgres].forEach((link) => link.heal()), 10_000).unref();
    return { HEXDISPATCH_POSTGRES_URL: postgresUrl, HEXDISPATCH_NATS_URL: natsUrl };
  };
  t = await startAttacked({ withNode: true, bend });
  courier = await followedCourier();
}, TEST_MS);
afterEach(async ({ task }) => {
  for (const link of Object.values(links)) link.heal();
  await t.noteLag(task.name);
  await until(() => t.isServing(), "service after the attack", WAIT_MS);
  await t.expectAlive();
});
afterAll(async () => {
  await t?.close();
  for (const link of Object.values(links)) await link.close();
});

const positionsOf = ({ frames }: Client) => frames.filter((one) => one.type === "positions");

/** A courier with a delivery whose customer follows it. */
async function followedCourier() {
  const { body } = await create();
  const accept = `/v1/deliveries/${body.delivery_id}/accept`;
  const accepted = await t.rest.post(accept, t.tokens.courier, {});
  expect(accepted.status, accepted.text).toBe(200);
  const [rider, follower] = [await t.connect(t.tokens.courier), await t.connect(t.tokens.customer)];
  // Whoever does not say what it has seen counts as slow.
  follower.socket.on("message", () => {
    follower.send({ type: "seen", frames: positionsOf(follower).length });
  });
  follower.send({ type: "track", ref: 1, delivery: body.delivery_id, after: null });
  await follower.next("delivery");
  let [seq, pingedAt] = [0, -Infinity];
  return {
    /** Once a second: moves a little to the east. Where it is now. */
    ping(): number {
      if (performance.now() - pingedAt < PING_MS) return HERE.lng + seq * 1e-5;
      pingedAt = performance.now();
      const lng = HERE.lng + ++seq * 1e-5;
      rider.send({
        ...{ type: "ping", seq, at: Date.now(), lng, lat: HERE.lat },
        ...{ accuracyM: 5, speedMps: null, headingDeg: null },
      });
      return lng;
    },
    /** The last that the follower was shown. */
    lngSeen: (): number => positionsOf(follower).at(-1)?.positions.at(-1)?.lng ?? -Infinity,
  };
}

type Timed = { readonly answer: RestAnswer; readonly ms: number };
async function timed(work: Promise<RestAnswer>): Promise<Timed> {
  const began = performance.now();
  let bell: NodeJS.Timeout | undefined;
  const hangs = new Promise<never>((_, reject) => {
    bell = setTimeout(() => reject(new Error("a call hangs")), ANSWER_MAX_MS);
  });
  try {
    return { answer: await Promise.race([work, hangs]), ms: performance.now() - began };
  } finally {
    clearTimeout(bell);
  }
}

const create = () => t.rest.post("/v1/deliveries", t.tokens.customer, BODY);

/**
 * A create and a read at once: each is done, or says with a code when to come back. The slowest of
 * them, ms.
 */
async function askedMs(what: string, tally: Map<number, number>): Promise<number> {
  const read = t.rest.get(`/v1/deliveries/${t.delivery}`, t.tokens.customer);
  const live = fetch(`http://127.0.0.1:${t.adminPort}/livez`).then(({ status }) => status);
  const [made, found] = await Promise.all([timed(create()), timed(read)]);
  expect(await live, what).toBe(200);
  for (const { answer } of [made, found]) {
    tally.set(answer.status, (tally.get(answer.status) ?? 0) + 1);
    expect([200, 201, 202, 503], `${what}: ${answer.text}`).toContain(answer.status);
    if (answer.status !== 503) continue;
    expect(["unavailable", "overloaded"], what).toContain(answer.body.code);
    expect(Number(answer.headers.get("retry-after")), what).toBeGreaterThan(0);
  }
  if ([201, 202].includes(made.answer.status)) acknowledged.push(made.answer.body.delivery_id);
  return Math.max(made.ms, found.ms);
}

/** All that was acknowledged can be read, now or soon. */
const expectNothingLost = async (): Promise<void> => {
  for (const id of acknowledged) {
    const path = `/v1/deliveries/${id}`;
    const isThere = async (): Promise<boolean> => {
      const answer = await t.rest.get(path, t.tokens.customer);
      return answer.status === 200 && answer.body.status === "pending";
    };
    await until(isThere, `the acknowledged ${id}`, WAIT_MS);
  }
};

it.each([
  ["postgres", "late", LATE],
  ["postgres", "silent", SILENT],
  ["nats", "late", LATE],
  ["nats", "silent", SILENT],
] as const)(
  "attack 36: with a %s that is %s every call is answered, and nothing acknowledged is lost",
  async (server, how, trouble) => {
    const tally = new Map<number, number>();
    let slowestMs = 0;
    linkOf(server).set(trouble);
    const endsAt = performance.now() + TROUBLE_MS;
    const firstLng = courier.ping();
    const beganAt = performance.now();
    let followedMs = 0;
    let isNoticed = false;
    await until(
      async () => {
        slowestMs = Math.max(slowestMs, await askedMs(`${server} ${how}`, tally));
        isNoticed ||= (await t.ready()) === 503;
        courier.ping();
        const isFollowed = server === "nats" || courier.lngSeen() > firstLng;
        if (isFollowed && followedMs === 0) followedMs = performance.now() - beganAt;
        return isNoticed && isFollowed && performance.now() > endsAt;
      },
      `the trouble with ${server}, and positions beside it`,
      WAIT_MS,
    );
    linkOf(server).heal();
    const healedAt = performance.now();
    const isCreated = async (): Promise<boolean> => {
      const { status, body } = await create();
      if ([201, 202].includes(status)) acknowledged.push(body.delivery_id);
      return status === 201;
    };
    await until(isCreated, "a create after the heal", WAIT_MS);
    await until(async () => (await t.ready()) === 200, "ready after the heal", WAIT_MS);
    const healS = (performance.now() - healedAt) / 1_000;
    await expectNothingLost();
    const answers = [...tally].map(([status, times]) => `${times} x ${status}`).join(", ");
    const followed =
      server === "nats" ? "" : ` a position after ${(followedMs / 1_000).toFixed(1)} s,`;
    seen(
      `${server} ${how}:${followed} ${answers}, within ${(slowestMs / 1_000).toFixed(1)} s; whole ${healS.toFixed(1)} s after`,
    );
  },
  TEST_MS,
);

it(
  "attack 36: a start behind servers that are late or silent ends in time; the next one is ready",
  async () => {
    const [port, adminPort] = [await freePort(), await freePort()];
    const ports = {
      HEXDISPATCH_PUBLIC_PORT: String(port),
      HEXDISPATCH_ADMIN_PORT: String(adminPort),
    };
    const start = async (role: "gateway" | "node"): Promise<"ready" | number> =>
      tryStart(role, { ...t.env, ...ports });
    const told: string[] = [];
    for (const [server, how, trouble] of [
      ["postgres", "late", { delayMs: 1_000 }],
      ["nats", "silent", SILENT],
    ] as const) {
      linkOf(server).set(trouble);
      const began = performance.now();
      const ends = await Promise.all([start("gateway"), start("node")]);
      const tookS = (performance.now() - began) / 1_000;
      for (const end of ends) expect(["ready", 1], `${server} ${how}`).toContain(end);
      told.push(`${server} ${how}: ${ends.join(" and ")} in ${tookS.toFixed(0)} s`);
      linkOf(server).heal();
    }
    expect(await Promise.all([start("gateway"), start("node")])).toEqual(["ready", "ready"]);
    seen(`starts of a gateway and a node, ${told.join("; ")}; after the heal both ready`);
  },
  TEST_MS,
);
