/**
 * Notices to customers over the HTTP adapter: each once, however often its event comes, and again
 * when it failed.
 */
import { createServer } from "node:http";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { jetstream } from "@nats-io/jetstream";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { BODY, goOnShift, tokenOf } from "../../testing/gateway.ts";
import { startPartnerSystem } from "../../testing/partner-system.ts";
import type { PartnerSystem } from "../../testing/partner-system.ts";
import { createNotifier, httpNotifier } from "./adapters.ts";
import { NoticeError } from "./notifier.ts";

const WAIT = { timeout: 20_000, interval: 20 };
type Got = { key: string; auth: string; body: any };
let system: PartnerSystem;
let provider: Server;
let url: string;
const got: Got[] = [];
let statuses: number[] = [];

beforeAll(async () => {
  provider = createServer((request, response) => {
    let text = "";
    request.on("data", (chunk: Buffer) => (text += chunk.toString()));
    request.on("end", () => {
      const { "idempotency-key": key, authorization: auth } = request.headers;
      got.push({ key: String(key), auth: String(auth), body: JSON.parse(text) });
      response.writeHead(statuses.shift() ?? 202).end();
    });
  });
  await new Promise<void>((resolve) => provider.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(provider.address() as AddressInfo).port}/`;
  system = await startPartnerSystem(httpNotifier({ url, token: "t0ken" }));
});
afterAll(async () => {
  await system.close();
  provider.closeAllConnections();
  provider.close();
});

async function publish(delivery: string, number: number, type: string, at = new Date()) {
  const { t } = system;
  const event = {
    id: `${delivery}${number}`,
    delivery_id: delivery,
    number,
    type,
    status: type,
    reason: null,
    courier_id: "cur_1",
    external_id: "o-1",
    at: at.toISOString(),
  };
  await jetstream(t.nats).publish(t.subjects.events("acme", delivery), JSON.stringify(event));
}
const keys = (): string[] => got.map(({ key }) => key);

test("customer and recipient are told once of what concerns them, and again only after a failure", async () => {
  const { t } = system;
  const courier = await tokenOf("courier", "cur_1");
  const profile = { name: "Ann Lee", phone: "+1-555-0101", vehicle: "bike", capacity: 20 };
  await t.rest.put("/v1/couriers/cur_1", await tokenOf("operator", "ops_1"), profile);
  await goOnShift(t.store, "cur_1");
  const body = { ...BODY, recipient_phone: "+1-415-555-0177" };
  const made = await t.rest.post("/v1/deliveries", await tokenOf("partner", "acme"), body);
  const id = made.body.delivery_id as string;
  await t.rest.post(`/v1/deliveries/${id}/accept`, courier);

  await publish(id, 1, "created");
  await publish(id, 2, "assigned");
  await vi.waitFor(() => expect(keys()).toEqual([`${id}_2`]), WAIT);
  expect(got[0]).toMatchObject({
    auth: "Bearer t0ken",
    body: {
      kind: "assigned",
      to: [BODY.phone, "+1-415-555-0177"],
      courier: "Ann",
      text: "Ann is on the way to the pickup.",
      external_id: "o-1",
    },
  });
  statuses = [503];
  await publish(id, 2, "assigned");
  await publish(id, 3, "picked_up", new Date(Date.now() - 7_200_000));
  await publish(id, 3, "picked_up");
  await vi.waitFor(() => expect(keys()).toEqual([`${id}_2`, `${id}_3`, `${id}_3`]), WAIT);
  // A refusal is not repeated, and does not hold up what follows.
  statuses = [400];
  await publish(id, 4, "delivered");
  await vi.waitFor(() => expect(keys()).toContain(`${id}_4`), WAIT);
  await publish(id, 4, "delivered");
  await publish(id, 5, "returned");
  await vi.waitFor(() => expect(keys().slice(3)).toEqual([`${id}_4`, `${id}_5`]), WAIT);
  // No number and no name in the log.
  expect(system.t.logLines.join("\n")).not.toMatch(/555|Ann/);
});

test("the provider's answer says whether trying again can help; a redirect is a refusal", async () => {
  const notice = {
    id: "x",
    kind: "delivered" as const,
    to: [],
    deliveryId: "x",
    externalId: null,
    courier: null,
    text: "",
    at: "",
  };
  const notifier = createNotifier({ kind: "http", url, token: null }, system.t.deps.log);
  for (const [status, isFinal] of [
    [500, false],
    [429, false],
    [404, true],
    [302, true],
  ] as const) {
    statuses = [status];
    const error = await notifier?.send(notice).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(NoticeError);
    expect((error as NoticeError).isFinal, String(status)).toBe(isFinal);
  }
});
