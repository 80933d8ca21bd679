/**
 * A gateway under test with people around it: customers, a partner, an operator, two couriers on
 * shift, and the calls that most stories begin with.
 */
import { expect } from "vitest";
import { BODY, goOnShift, startTestGateway, tokenOf } from "./gateway.ts";
import type { TestChange, TestGateway } from "./gateway.ts";

export type People = {
  readonly t: TestGateway;
  /** Tokens. */
  readonly customer: string;
  readonly stranger: string;
  readonly partner: string;
  readonly operator: string;
  readonly alice: string;
  readonly bob: string;
  /** A new delivery: the body of the answer. */
  readonly create: (token?: string, more?: object) => Promise<any>;
  /** The id of a delivery that a courier has taken. */
  readonly assigned: (courier?: string) => Promise<string>;
};

export async function startWithPeople(change: TestChange = {}): Promise<People> {
  const t = await startTestGateway(change);
  const [customer, stranger, partner, operator, alice, bob] = await Promise.all([
    tokenOf("customer", "cus_1"),
    tokenOf("customer", "cus_2"),
    tokenOf("partner", "par_1"),
    tokenOf("operator", "ops_1"),
    tokenOf("courier", "cur_alice"),
    tokenOf("courier", "cur_bob"),
  ]);
  const names = { cur_alice: "Alice Anderson", cur_bob: "Bob Brown" };
  for (const [id, name] of Object.entries(names)) {
    const body = { name, phone: "+1-555-0101", vehicle: "bike", capacity: 20 };
    expect((await t.rest.put(`/v1/couriers/${id}`, operator, body)).status).toBe(200);
    await goOnShift(t.store, id);
  }
  const create: People["create"] = async (token = customer, more = {}) => {
    const answer = await t.rest.post("/v1/deliveries", token, { ...BODY, ...more });
    expect(answer.status, answer.text).toBe(201);
    return answer.body;
  };
  const assigned: People["assigned"] = async (courier = alice) => {
    const { delivery_id: id } = await create();
    expect((await t.rest.post(`/v1/deliveries/${id}/accept`, courier)).status).toBe(200);
    return id;
  };
  return { t, customer, stranger, partner, operator, alice, bob, create, assigned };
}
