/**
 * Parity of the doors: whatever an operation is asked through, overload, a bad or forbidden
 * request, a key, the rate and an absent Postgres are answered alike, reach the store as often and
 * leave as many lines in the log. Every row of the table is asked at every door that binds it.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { newDeliveryId } from "../../engine/store/contract/world.ts";
import type { Store } from "../../engine/store/port.ts";
import type { Role } from "../../proto/ids.ts";
import { PARTNER_ACTIONS } from "../../proto/subjects.ts";
import { connectOnce } from "../../scripts/services/postgres.ts";
import { OPERATIONS, OPERATION_NAMES } from "./table.ts";
import type { OperationName } from "./table.ts";
import { PARTNER_BINDINGS } from "../partners/binding.ts";
import { REST } from "../rest/binding.ts";
import { until } from "../testing/clients.ts";
import { startWithPeople } from "../testing/people.ts";
import type { People } from "../testing/people.ts";
import { ACTIONS, DOORS, FRAMES, ParityClient, SAMPLES, isOffered } from "../testing/parity.ts";
import type { Asking, Door, Said } from "../testing/parity.ts";

const admission = { lagMs: 1e9, requests: 1e9, statements: 1e9 };
/** Statements that hang are the pressure; what it means is set by the limit. */
const HELD = newDeliveryId();
const HELD_STATEMENTS = 8;
const held: (() => void)[] = [];
let statements = 0;

const watched = (store: Store): Store => {
  const counted = { ...store } as unknown as Record<string, unknown>;
  for (const [name, work] of Object.entries(store)) {
    if (typeof work !== "function") continue;
    counted[name] = (...args: unknown[]): unknown => {
      statements += 1;
      return (work as (...all: unknown[]) => unknown)(...args);
    };
  }
  counted["delivery"] = async (id: string) => {
    if (id === HELD) await new Promise<void>((resolve) => void held.push(resolve));
    statements += 1;
    return store.delivery(id as never);
  };
  return counted as unknown as Store;
};

let people: People;
let parity: ParityClient;
let tokens: Readonly<Record<Exclude<Role, "tracking">, string>>;

beforeAll(async () => {
  people = await startWithPeople({ outward: {}, admission, wrap: watched });
  const { t, customer, partner, operator, alice } = people;
  tokens = { customer, partner, operator, courier: alice };
  parity = new ParityClient(t);
  await t.partners.putPartner({ name: "par_1" as never, keys: ["key"] });
  // Sockets are welcomed, which reads, before anything is counted.
  for (const token of Object.values(tokens)) {
    const question = { operation: "setShift", id: "", token } as const;
    await parity.ask("socket", question);
  }
});
afterAll(() => people.t.close());

/** Somebody who may ask, and over NATS is the partner. */
function askerOf(operation: OperationName, door: Door): string {
  if (door === "nats") return tokens.partner;
  const [role] = OPERATIONS[operation].roles.filter((one) => one !== "tracking");
  return tokens[role as keyof typeof tokens];
}
type Heard = Said & { readonly statements: number; readonly lines: number };
async function ask(door: Door, operation: OperationName, more: Partial<Asking> = {}) {
  const { logLines } = people.t;
  const [before, lines] = [statements, linesOf(logLines)];
  const id = REST[operation].path.startsWith("/couriers") ? "cur_alice" : newDeliveryId();
  const said = await parity.ask(door, { operation, id, token: askerOf(operation, door), ...more });
  return { ...said, statements: statements - before, lines: linesOf(logLines) - lines };
}
/** Lines about requests; others are about a state (Postgres is away), once for all of them. */
const linesOf = (lines: readonly string[]): number =>
  lines.filter((line) => line.includes('"route":')).length;
/** The same question at each door, as a table by `operation door`. */
async function everywhere(
  operations: readonly OperationName[],
  question: (door: Door, operation: OperationName) => Promise<object>,
): Promise<Record<string, object>> {
  const answers: Record<string, object> = {};
  for (const operation of operations) {
    for (const door of DOORS.filter((one) => isOffered(one, operation))) {
      answers[`${operation} ${door}`] = await question(door, operation);
    }
  }
  return answers;
}
const allAre = (answers: Record<string, object>, expected: object): void =>
  expect(answers).toMatchObject(
    Object.fromEntries(Object.keys(answers).map((name) => [name, expected])),
  );

describe("the doors", () => {
  it("bind what this test asks, and a key means the same call at each of them", () => {
    expect(Object.keys(REST).sort()).toEqual([...OPERATION_NAMES].sort());
    const bound = PARTNER_ACTIONS.map((action) => [PARTNER_BINDINGS[action].operation, action]);
    expect(Object.fromEntries(bound)).toEqual(ACTIONS);
    for (const name of OPERATION_NAMES) {
      const { method, path } = REST[name];
      const { keyed } = OPERATIONS[name];
      expect(keyed?.scope ?? `${method} ${path}`, name).toBe(`${method} ${path}`);
    }
    expect(Object.keys(FRAMES).length).toBe(4);
  });

  for (const [kind, limit] of [
    ["read", HELD_STATEMENTS],
    ["create", HELD_STATEMENTS / 2],
    ["command", HELD_STATEMENTS / 4],
  ] as const) {
    it(`refuse a ${kind} under overload before any work is done for it`, async () => {
      const path = `/v1/deliveries/${HELD}`;
      const waiting = Array.from({ length: HELD_STATEMENTS }, () =>
        people.t.rest.get(path, tokens.customer),
      );
      await until(() => held.length === HELD_STATEMENTS, "statements that hang");
      const rows = OPERATION_NAMES.filter((name) => OPERATIONS[name].kind === kind);
      const other = ({ read: "createDelivery", create: "cancelDelivery" } as const)[
        kind as "read" | "create"
      ];
      try {
        await until(async () => {
          admission.statements = limit;
          return (await ask("rest", rows[0] as OperationName)).status === 503;
        }, "the pressure");
        const answers = await everywhere(rows, (door, name) => ask(door, name));
        for (const answer of Object.values(answers) as Heard[]) {
          expect(answer.retryAfterS).toBeGreaterThanOrEqual(1);
        }
        const refusal = { status: 503, code: "overloaded", statements: 0, lines: 0 };
        allAre(answers, refusal);
        if (other !== undefined) {
          const taken = await everywhere([other], (door, name) => ask(door, name));
          for (const { code } of Object.values(taken) as Heard[]) {
            expect(code).not.toBe("overloaded");
          }
        }
      } finally {
        admission.statements = 1e9;
        for (const release of held.splice(0)) release();
        await Promise.all(waiting);
      }
      await until(async () => (await ask("rest", "getDelivery")).code !== "overloaded", "calm");
    });
  }

  it("refuse a field that is not known, at its pointer, before the store hears of it", async () => {
    const rows = OPERATION_NAMES.filter((name) => SAMPLES[name].body !== undefined);
    const answers = await everywhere(
      rows.filter((name) => name !== "rotateWebhook"),
      async (door, name) =>
        door === "socket" ? UNKNOWN : ask(door, name, { more: { colour: "red" } }),
    );
    allAre(answers, UNKNOWN);
  });
  const UNKNOWN = { status: 422, code: "unknown_field", pointer: "/colour", lines: 0 };

  it("refuse a bad field alike", async () => {
    const phone = { more: { phone: "x" } };
    const rows = ["quoteDelivery", "createDelivery", "changeDelivery"] as const;
    const answers = await everywhere(rows, (door, name) => ask(door, name, phone));
    const refusal = { status: 422, code: "invalid_field", pointer: "/phone", statements: 0 };
    allAre(answers, { ...refusal, lines: 0 });
  });

  it("refuse whoever has no business there, before the store hears of it", async () => {
    for (const role of Object.keys(tokens) as (keyof typeof tokens)[]) {
      const rows = OPERATION_NAMES.filter((name) => !OPERATIONS[name].roles.includes(role));
      const answers = await everywhere(rows, async (door, name) =>
        // Over NATS everybody is a partner.
        door === "nats" ? FORBIDDEN : ask(door, name, { token: tokens[role] }),
      );
      allAre(answers, FORBIDDEN);
    }
  });
  const FORBIDDEN = { status: 403, code: "forbidden", statements: 0, lines: 0 };

  it("keep a refusal that the command decided under its key, and give it again", async () => {
    for (const door of ["rest", "nats"] as const) {
      const { delivery_id: id } = await people.create(tokens.partner);
      const admin = connectOnce(people.t.databaseUrl);
      await admin`update deliveries set status = 'unfilled', ended_at = now() where id = ${id}`;
      await admin.end();
      const about = { id, key: `refused-${door}`, token: tokens.partner };
      const first = await ask(door, "cancelDelivery", about);
      const again = await ask(door, "cancelDelivery", about);
      const refusal = { status: 409, code: "wrong_status", lines: 0 };
      expect(first, door).toMatchObject({ ...refusal, isReplay: false });
      expect(again, door).toMatchObject({ ...refusal, isReplay: true, statements: 1 });
      const other = { ...about, more: { reason: "another body" } };
      const mismatch = { status: 422, code: "idempotency_mismatch" };
      expect(await ask(door, "cancelDelivery", other), door).toMatchObject(mismatch);
    }
  });

  it("know a key of each other", async () => {
    const { delivery_id: id } = await people.create(tokens.partner);
    const about = { id, key: "both-doors", token: tokens.partner };
    expect(await ask("rest", "cancelDelivery", about)).toMatchObject({ status: 200 });
    const again = { status: 200, isReplay: true };
    expect(await ask("nats", "cancelDelivery", about)).toMatchObject(again);
  });
});

describe("one principal's rate", () => {
  it("is one for all doors together", async () => {
    const doors = { ...people.t.deps.config.doors, requestsPerPrincipalPerS: 1 } as never;
    const slow = await startWithPeople({ outward: {}, config: { doors } });
    try {
      await slow.t.partners.putPartner({ name: "par_1" as never, keys: ["key"] });
      const client = new ParityClient(slow.t);
      // Partners that were just made are known a moment later.
      const partner = { operation: "listDeliveries", id: "", token: slow.partner } as const;
      await until(async () => (await client.ask("nats", partner)).status !== 401, "the partner");
      for (const [spender, asker, operation, token] of [
        ["rest", "nats", "listDeliveries", slow.partner],
        ["nats", "rest", "listDeliveries", slow.partner],
        ["rest", "socket", "acceptDelivery", slow.bob],
        ["socket", "rest", "acceptDelivery", slow.bob],
      ] as const) {
        const question = { operation, id: newDeliveryId(), token };
        // A socket is opened before anything is spent.
        if (spender === "socket" || asker === "socket") await client.ask("socket", question);
        await until(async () => {
          const { code } = await client.ask(spender, question);
          return code === "rate_limited";
        }, `the limit at ${spender}`);
        const said = await client.ask(asker, question);
        expect(said, `${spender} then ${asker}`).toMatchObject({ code: "rate_limited" });
        expect(said.retryAfterS).toBeGreaterThanOrEqual(1);
      }
    } finally {
      await slow.t.close();
    }
  });
});

describe("with Postgres away", () => {
  it("the doors say so alike, and the log hears of it once and not for each request", async () => {
    const { t } = people;
    const { pathname } = new URL(t.databaseUrl);
    const name = pathname.slice(1);
    const other = new URL(t.databaseUrl);
    other.pathname = "/postgres";
    const admin = connectOnce(other.href);
    const isAway = async (): Promise<boolean> =>
      /^hexdispatch_postgres_away\S* 1$/m.test(await t.metrics.text());
    // Sockets are welcomed while it is there.
    await ask("socket", "setShift");
    try {
      await admin.unsafe(`alter database ${name} allow_connections false`);
      await admin`select pg_terminate_backend(pid) from pg_stat_activity where datname = ${name}`;
      await until(isAway, "the outage");
      const rows = OPERATION_NAMES.filter((one) => !NEEDLESS.has(one));
      const answers = await everywhere(rows, (door, one) => ask(door, one));
      allAre(answers, { status: 503, code: "unavailable", lines: 0 });
      for (const [asked, answer] of Object.entries(answers) as [string, Heard][]) {
        expect(answer.retryAfterS, asked).toBeGreaterThanOrEqual(1);
      }
    } finally {
      await admin.unsafe(`alter database ${name} allow_connections true`);
      await admin.end();
    }
    await until(async () => !(await isAway()), "the end of the outage");
  });

  /** Works without the database, or has a way of its own while it is away (the intake). */
  const NEEDLESS: ReadonlySet<OperationName> = new Set<OperationName>([
    ...(["quoteDelivery", "createDelivery", "declineDelivery", "setShift"] as const),
    "reportLocation",
    "revoke",
  ]);
});
