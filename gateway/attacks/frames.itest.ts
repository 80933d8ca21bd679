/**
 * Each field of each frame of the table, wrong in type, range, encoding and size: a coded error or
 * close, the database as before, the process alive. A new frame or field is attacked from the day
 * it exists.
 */
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { packValue } from "../../proto/codec.ts";
import { clientFrames, clientTable } from "../../proto/frames.ts";
import type { ClientFrame } from "../../proto/frames.ts";
import { FRAME_MAX_BYTES } from "../../proto/limits.ts";
import { until } from "../testing/clients.ts";
import { startAttacked } from "../testing/attacked.ts";
import type { Attacked, Role } from "../testing/attacked.ts";
import { HERE } from "../testing/gateway.ts";

let t: Attacked;

beforeAll(async () => {
  t = await startAttacked();
});
afterEach(({ task }) => t.noteLag(task.name));
afterAll(() => t?.close());

const REF = 7;
const REFUSALS = ["error bad_request", "close 4501"];
const PING = { seq: 1, at: 1, ...HERE, accuracyM: 1, speedMps: null, headingDeg: null };

/** One of each type that would do something if it were let in; the types make the list complete. */
const validFrames = (): { readonly [T in ClientFrame["type"]]: ClientFrame & { type: T } } => {
  const delivery = t.delivery as never;
  return {
    hello: { type: "hello", version: 1, token: "x", client: "x" },
    ping: { type: "ping", ...PING },
    pings: { type: "pings", pings: [PING] },
    shift: { type: "shift", ref: REF, online: false },
    accept: { type: "accept", ref: REF, delivery },
    decline: { type: "decline", ref: REF, delivery, reason: null },
    status: { type: "status", ref: REF, delivery, status: "picked_up", at: null, reason: null },
    track: { type: "track", ref: REF, delivery, after: null },
    untrack: { type: "untrack", ref: REF, delivery },
    seen: { type: "seen", frames: 1 },
  };
};

/**
 * Values of all kinds; of those that a field's own codec takes, each is left out for that field.
 */
const ALIENS: readonly unknown[] = [
  ...[null, true, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, -(2 ** 63), 1e300],
  ...["", "\0", "\ud800", "x".repeat(9_000), "del_", "37.7", "PICKED_UP"],
  ...[[], [[[[]]]], {}, { a: 1 }, [null], [[1]], Array.from({ length: 500 }, () => 1)],
  ...[new Uint8Array(3), new Uint8Array(20_000), 1_800_000_001, 4_294_967_296],
];
/** A reference may be any number, and a text any text: for those fewer kinds are left. */
const ALIENS_REFUSED_MIN = 8;

/** Sends it in a session of its own; resolves once the door has refused it, in one of its ways. */
async function expectRefused(role: Role, bytes: Uint8Array, what: string): Promise<void> {
  const client = await t.connect(t.tokens[role]);
  client.sendRaw(bytes);
  const refusal = await Promise.race([
    client.closed.then((code) => `close ${code}`),
    until(() => client.frames.find((frame) => frame.type === "error"), what).then(
      (frame) => `error ${(frame as { code: string }).code}`,
    ),
  ]);
  // The library itself cuts off who sends more than it takes.
  const ways = bytes.length > FRAME_MAX_BYTES ? ["close 1006", "close 1009"] : REFUSALS;
  expect(ways, `${what}: ${refusal}`).toContain(refusal);
  expect(client.frames.filter((frame) => !["welcome", "error"].includes(frame.type))).toEqual([]);
  client.end();
}

/** The path to each place of a packed frame: its fields, and those of a list's first item. */
function placesOf(packed: readonly unknown[]): readonly (readonly number[])[] {
  return packed.flatMap((value, at): readonly (readonly number[])[] => {
    if (at === 0) return [];
    const item = Array.isArray(value) ? (value as unknown[])[0] : null;
    const inner = Array.isArray(item) ? item.map((_, i) => [at, 0, i]) : [];
    return [[at], ...inner];
  });
}

function withAlien(packed: readonly unknown[], path: readonly number[], alien: unknown): unknown[] {
  const [at = 0, ...rest] = path;
  const next = rest.length === 0 ? alien : withAlien(packed[at] as unknown[], rest, alien);
  return packed.map((value, i) => (i === at ? next : value));
}

for (const type of Object.keys(clientTable) as ClientFrame["type"][]) {
  it(`${type}: every field, wrong in every way, is refused`, async () => {
    const packed = clientFrames.toArray(validFrames()[type]);
    expect(clientFrames.decode(packValue(packed)), "the valid one").not.toBeNull();
    const places = placesOf(packed);
    expect(places.length).toBeGreaterThanOrEqual(Object.keys(clientTable[type].fields).length);
    const role = type === "track" || type === "untrack" ? "customer" : "courier";
    await t.unchanged(async () => {
      for (const place of places) {
        const bad = ALIENS.map((alien) => packValue(withAlien(packed, place, alien)));
        const refused = bad.filter((bytes) => clientFrames.decode(bytes) === null);
        expect(refused.length, `${type} ${place.join(".")}`).toBeGreaterThan(ALIENS_REFUSED_MIN);
        for (const bytes of refused) await expectRefused(role, bytes, `${type} ${place.join(".")}`);
      }
      const cut = clientFrames.decode(packValue(packed.slice(0, 1)));
      expect(cut, "a frame without its fields").toBeNull();
      await expectRefused(role, packValue(packed.slice(0, 1)), `${type} without fields`);
    });
  });
}

it("codes that no frame has, and codes of the server's frames, are refused", async () => {
  const known = new Set(Object.values(clientTable).map((row) => row.code as number));
  const codes = Array.from({ length: 260 }, (_, code) => code).filter((code) => !known.has(code));
  await t.unchanged(async () => {
    for (const code of codes.filter((one) => one % 5 === 0 || one > 60)) {
      await expectRefused("courier", packValue([code, REF, t.delivery]), `code ${code}`);
    }
  });
});

it("nothing was a bug: the log has no error", () => {
  expect(t.logLines().filter((line) => /"level":"(error|fatal)"/.test(line))).toEqual([]);
});
