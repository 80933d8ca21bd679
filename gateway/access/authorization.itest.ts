/**
 * The authorization matrix, asked of the doors: every relation, every action, every status, over
 * REST, where there is a frame for it over the socket, and for partners over NATS; each on a
 * delivery of its own. And the policy function itself says the same.
 */
import { randomBytes } from "node:crypto";
import type postgres from "postgres";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createOf, newDeliveryId } from "../../engine/store/contract/world.ts";
import type { ErrorCode } from "../../proto/errors.ts";
import { ERRORS } from "../../proto/errors.ts";
import type { ClientFrame } from "../../proto/frames.ts";
import type { DeliveryId } from "../../proto/ids.ts";
import type { PartnerAction } from "../../proto/subjects.ts";
import { STATUSES } from "../../proto/status.ts";
import type { Status } from "../../proto/status.ts";
import { connectOnce } from "../../scripts/services/postgres.ts";
import { trackingHash } from "./auth.ts";
import { ROLES_OF, allowed } from "./policy.ts";
import type { Action } from "./policy.ts";
import type { Principal } from "../base/principal.ts";
import { EXPECTED, RELATIONS } from "../testing/authorization.ts";
import type { Outcome, Relation } from "../testing/authorization.ts";
import { openClient, until } from "../testing/clients.ts";
import type { Client } from "../testing/clients.ts";
import { HERE, startTestGateway, tokenOf } from "../testing/gateway.ts";
import type { TestGateway } from "../testing/gateway.ts";

const SUBJECTS: Readonly<Record<Relation, readonly [role: string, subject: string] | null>> = {
  owner: ["customer", "cus_owner"],
  stranger: ["customer", "cus_stranger"],
  partner: ["partner", "par_owner"],
  other_partner: ["partner", "par_other"],
  carrier: ["courier", "cur_carrier"],
  former: ["courier", "cur_former"],
  offered: ["courier", "cur_offered"],
  other_courier: ["courier", "cur_other"],
  operator: ["operator", "ops_1"],
  link: null,
  other_link: null,
  nobody: null,
};
const PARTNERS = ["par_owner", "par_other"];
const COURIERS = ["cur_carrier", "cur_former", "cur_offered", "cur_other"];
const WITH_COURIER: readonly Status[] = ["assigned", "picked_up", "delivered", "returned"];
const ENDED: readonly Status[] = ["delivered", "canceled", "unfilled", "returned"];

let t: TestGateway;
let admin: postgres.Sql;
const tokens = new Map<Relation, string>();
const sockets = new Map<Relation, Client>();
let otherLink = "";

type Made = { readonly id: DeliveryId; readonly secret: string; readonly relation: Relation };

/** A delivery in that status, whose owner is the partner when the partner's relation is asked. */
async function make(relation: Relation, status: Status): Promise<Made> {
  const owner = relation === "partner" ? "par_owner" : "cus_owner";
  const secret = randomBytes(16).toString("base64url");
  const id = newDeliveryId();
  const createdAt = Date.now();
  await t.store.create(
    createOf({ id, owner: owner as never, createdAt }, { trackingHash: trackingHash(secret) }),
  );
  const courier = WITH_COURIER.includes(status) ? "cur_carrier" : null;
  const assignedAt = courier === null ? null : new Date();
  const endedAt = ENDED.includes(status) ? new Date() : null;
  await admin`update deliveries set status = ${status}, courier_id = ${courier},
    assigned_at = ${assignedAt}, ended_at = ${endedAt} where id = ${id}`;
  // So that neither an accept nor an end meets a limit of the courier's own.
  await admin`update couriers set load = 10, online = true`;
  t.nodes.answer = relation === "offered" && status === "pending" ? "ok" : "not_offered";
  return { id, secret, relation };
}

const tokenFor = ({ relation, secret }: Made): string | undefined => {
  if (relation === "link") return secret;
  return relation === "other_link" ? otherLink : tokens.get(relation);
};

type RestCall = readonly [method: string, path: string, body?: object];
const REST: Readonly<Partial<Record<Action, RestCall>>> = {
  read: ["GET", ""],
  accept: ["POST", "/accept", {}],
  decline: ["POST", "/decline", {}],
  report: ["POST", "/status", { status: "picked_up" }],
  cancel: ["POST", "/cancel", {}],
  update: ["PATCH", "", { notes: "n" }],
  ledger: ["GET", "/ledger"],
};

async function byRest(action: Action, made: Made): Promise<string> {
  const [method, path, body] = REST[action] as RestCall;
  const url = `/v1/deliveries/${made.id}${path}`;
  const answer = await t.rest.ask(method, url, tokenFor(made), body, {});
  const seesPosition = action === "read" && Boolean(answer.body?.courier_location);
  return `${answer.status}${seesPosition ? "+" : ""}`;
}

let ref = 0;
const FRAMES: Readonly<Partial<Record<Action, (delivery: DeliveryId) => ClientFrame>>> = {
  follow: (delivery) => ({ type: "track", ref: ++ref, delivery, after: null }),
  accept: (delivery) => ({ type: "accept", ref: ++ref, delivery }),
  decline: (delivery) => ({ type: "decline", ref: ++ref, delivery, reason: null }),
  report: (delivery) => {
    const report = { status: "picked_up", at: null, reason: null } as const;
    return { type: "status", ref: ++ref, delivery, ...report };
  },
};

/** An HTTP status for what the socket said. */
async function byFrame(action: Action, made: Made): Promise<string> {
  const client = await socketOf(made);
  const frame = FRAMES[action]?.(made.id) as ClientFrame & { ref: number };
  client.send(frame);
  const closed = client.closed.then((code) => (code === 4500 ? "401" : `close ${code}`));
  const answered = until(() =>
    client.frames.find(
      (one) => (one.type === "ok" || one.type === "error") && one.ref === frame.ref,
    ),
  ).then((answer) =>
    answer.type === "error" ? String(ERRORS[answer.code as ErrorCode].status) : "200",
  );
  const outcome = await Promise.race([answered, closed]);
  if (action === "follow") client.send({ type: "untrack", ref: ++ref, delivery: made.id });
  client.frames.length = 0;
  if (isOwnSocket(made.relation)) client.end();
  return outcome;
}

const PARTNER_ACTIONS: Readonly<Partial<Record<Action, PartnerAction>>> = {
  read: "get",
  update: "update",
  cancel: "cancel",
};

/**
 * The status that stands in the answer's header; only partners have this door, and their name is in
 * the subject.
 */
async function byNats(action: Action, { id, relation }: Made): Promise<string> {
  const [, name] = SUBJECTS[relation] as readonly [string, string];
  const subject = t.subjects.partnerRequest(name, PARTNER_ACTIONS[action] as PartnerAction);
  const body = { delivery_id: id, ...(action === "update" ? { notes: "n" } : {}) };
  const reply = await t.nats.request(subject, JSON.stringify(body), { timeout: 5_000 });
  const seesPosition = action === "read" && Boolean(reply.json<any>().courier_location);
  return `${reply.headers?.get("hexdispatch-status")}${seesPosition ? "+" : ""}`;
}

/** Links and nobody have no socket that could be used twice. */
const isOwnSocket = (relation: Relation): boolean => SUBJECTS[relation] === null;

async function socketOf(made: Made): Promise<Client> {
  const known = sockets.get(made.relation);
  if (known !== undefined) return known;
  const client = await openClient(t.url);
  const token = tokenFor(made) ?? "nothing";
  client.send({ type: "hello", version: 1, token, client: "test" });
  // What opens nothing is closed in place of a welcome.
  if (made.relation !== "nobody") {
    const welcome = client.next("welcome").catch(() => null);
    await Promise.race([welcome, client.closed]);
  }
  if (!isOwnSocket(made.relation)) sockets.set(made.relation, client);
  return client;
}

beforeAll(async () => {
  t = await startTestGateway({ outward: {} });
  for (const name of PARTNERS) await t.partners.putPartner({ name: name as never, keys: ["key"] });
  admin = connectOnce(t.databaseUrl);
  for (const [relation, who] of Object.entries(SUBJECTS)) {
    if (who === null) continue;
    tokens.set(relation as Relation, await tokenOf(who[0] as never, who[1]));
  }
  const body = { name: "A B", phone: "+1-555-0101", vehicle: "bike", capacity: 20 };
  for (const id of COURIERS) await t.rest.put(`/v1/couriers/${id}`, tokens.get("operator")!, body);
  const facts = { no: 1, vehicle: "bike", slots: 1, online: true, active: 1, doubt: 0 } as const;
  const courier = "cur_carrier" as never;
  t.nodes.records.set("cur_carrier", { courier, at: Date.now(), ...HERE, ...facts });
  otherLink = (await make("owner", "assigned")).secret;
  const carried = await make("owner", "assigned");
  await until(async () => (await byRest("read", carried)) === "200+", "the first position");
});
afterAll(async () => {
  for (const client of sockets.values()) client.end();
  await admin.end();
  await t.close();
});

const ASKED = Object.keys(EXPECTED) as (keyof typeof EXPECTED)[];

describe("the authorization matrix", () => {
  it("has every action, every relation and every status", () => {
    expect([...ASKED, "position"].sort()).toEqual(Object.keys(ROLES_OF).sort());
    for (const action of ASKED) {
      expect(Object.keys(EXPECTED[action]).sort()).toEqual(Object.keys(RELATIONS).sort());
    }
  });

  for (const action of ASKED) {
    for (const [door, ask, actions] of [
      ["REST", byRest, REST],
      ["frames", byFrame, FRAMES],
      ["NATS", byNats, PARTNER_ACTIONS],
    ] as const) {
      if (actions[action] === undefined) continue;
      it(`${action} by ${door} is answered as the table says`, async () => {
        const found: Record<string, string> = {};
        const wanted: Record<string, string> = {};
        const relations = Object.keys(RELATIONS) as Relation[];
        const atDoor = relations.filter((one) => door !== "NATS" || one.endsWith("partner"));
        for (const relation of atDoor) {
          for (const status of STATUSES) {
            const expected = EXPECTED[action][relation][status];
            if (expected === "-") continue;
            wanted[`${relation} ${status}`] = expected;
            found[`${relation} ${status}`] = await ask(action, await make(relation, status));
          }
        }
        expect(found).toEqual(wanted);
      });
    }
  }

  it("is what the policy function says, as far as it decides", () => {
    const now = Date.now();
    for (const [action, relation, status] of decided()) {
      const expected: Outcome = EXPECTED[action][relation][status];
      const what = `${action} ${relation} ${status}`;
      expect(said(relation, action, status, now), what).toBe(expected.startsWith("200"));
      const sees = said(relation, "position", status, now);
      if (action === "read") expect(sees, what).toBe(expected === "200+");
    }
  });
});

/** Cells that exist, and in which neither a missing token nor the status has decided before. */
function decided(): (readonly [(typeof ASKED)[number], Relation, Status])[] {
  const relations = (Object.keys(RELATIONS) as Relation[]).filter((one) => one !== "nobody");
  return ASKED.flatMap((action) =>
    relations.flatMap((relation) =>
      STATUSES.map((status) => [action, relation, status] as const).filter(
        ([, , status]) => !["-", "409"].includes(EXPECTED[action][relation][status]),
      ),
    ),
  );
}

function said(relation: Relation, action: Action, status: Status, now: number): boolean {
  const id = "del_00aaaaaaaaaaaaaaaaaaaaa" as DeliveryId;
  const link = relation === "link" ? id : "del_00bbbbbbbbbbbbbbbbbbbbb";
  const [role, subject] = SUBJECTS[relation] ?? ["tracking", link];
  const principal = { role, subject, expiresAt: now + 1_000 } as Principal;
  const row = {
    id,
    owner: relation === "partner" ? "par_owner" : "cus_owner",
    courierId: WITH_COURIER.includes(status) ? "cur_carrier" : null,
    status,
    assignedAt: WITH_COURIER.includes(status) ? now : null,
    endedAt: ENDED.includes(status) ? now : null,
  } as Parameters<typeof allowed>[2];
  return allowed(principal, action, row, now);
}
