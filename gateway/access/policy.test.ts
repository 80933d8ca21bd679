/** Who may do what, and what each role sees. */
import { describe, expect, it } from "vitest";
import type { DeliveryRow } from "../../engine/store/port.ts";
import type { CourierId, DeliveryId, PrincipalId, ShardId } from "../../proto/ids.ts";
import { STATUSES } from "../../proto/status.ts";
import type { Principal } from "../base/principal.ts";
import { ROLES_OF, allowed, isLinkWaiting } from "./policy.ts";
import type { Action } from "./policy.ts";
import { etagOf, matchesEtag } from "../views/view-assembler.ts";
import {
  assignmentView,
  deliveryView,
  firstName,
  phoneSeen,
  timeText,
} from "../views/delivery-view.ts";

const NOW = Date.parse("2026-05-03T14:00:00Z");
const LATER = NOW + 600_000;
const id = "del_00aaaaaaaaaaaaaaaaaaaaa" as DeliveryId;
const row: DeliveryRow = {
  id,
  shard: 10 as ShardId,
  version: 2,
  status: "assigned",
  statusReason: null,
  owner: "cus_1" as PrincipalId,
  externalId: "order-1",
  pickupAddress: "123 Market St, SF",
  pickupLng: -122.39,
  pickupLat: 37.79,
  dropoffAddress: null,
  dropoffLng: -122.42,
  dropoffLat: 37.76,
  size: "small",
  weightKg: null,
  vehicle: null,
  phone: "+1-555-0100",
  recipientPhone: null,
  notes: null,
  readyAt: null,
  createdAt: NOW,
  searchUntil: LATER,
  estimatedPickupAt: LATER,
  estimatedArrivalAt: LATER,
  assignedAt: NOW,
  pickedUpAt: null,
  deliveredAt: null,
  endedAt: null,
  pickedUpClaimedAt: null,
  deliveredClaimedAt: null,
  courierId: "cur_1" as CourierId,
  courierName: "Alice Anderson",
  courierPhone: "+1-555-0101",
  courierVehicle: "bike",
  wave: 1,
  replacing: false,
};
const who = (role: Principal["role"], subject: string): Principal =>
  ({ role, subject, expiresAt: NOW + 1e6 }) as Principal;
const ACTIONS: readonly Action[] = Object.keys(ROLES_OF) as Action[];
const may = (principal: Principal, delivery = row, now = NOW): Action[] =>
  ACTIONS.filter((action) => allowed(principal, action, delivery, now));

describe("the policy", () => {
  it("gives each role its own and no more", () => {
    const ofOwners = ["read", "position", "follow", "cancel", "update"];
    expect(may(who("customer", "cus_1"))).toEqual(ofOwners);
    expect(may(who("partner", "cus_1"))).toEqual(ofOwners);
    expect(may(who("courier", "cur_1"))).toEqual([
      "read",
      "position",
      "accept",
      "decline",
      "report",
    ]);
    expect(may(who("operator", "ops_1"))).toEqual([
      "read",
      "position",
      "follow",
      "cancel",
      "update",
      "ledger",
    ]);
    expect(may(who("tracking", id))).toEqual(["read", "position", "follow"]);
  });

  it("gives strangers nothing, couriers named like owners included", () => {
    const open = ["accept", "decline"];
    for (const principal of [
      who("customer", "cus_2"),
      who("partner", "par_1"),
      who("courier", "cur_2"),
      who("courier", "cus_1"),
      who("customer", "cur_1"),
      who("tracking", "del_00bbbbbbbbbbbbbbbbbbbbb"),
    ]) {
      const isCourier = principal.role === "courier";
      expect(may(principal), JSON.stringify(principal)).toEqual(isCourier ? open : []);
    }
  });

  it("D6: shows a position only from the assignment to the end", () => {
    const seen = STATUSES.filter((status) =>
      allowed(who("operator", "ops_1"), "position", { ...row, status }, NOW),
    );
    expect(seen).toEqual(["assigned", "picked_up"]);
  });

  it("lets a link open nothing before the assignment, and nothing an hour after the end", () => {
    const waiting = { ...row, status: "pending", assignedAt: null, courierId: null } as const;
    expect(may(who("tracking", id), waiting)).toEqual([]);
    expect([isLinkWaiting(waiting), isLinkWaiting(row)]).toEqual([true, false]);
    expect(isLinkWaiting({ assignedAt: null, endedAt: NOW })).toBe(false);
    const ended = { ...row, status: "delivered", endedAt: NOW } as const;
    expect(may(who("tracking", id), ended, NOW + 3_599_999)).toEqual(["read", "follow"]);
    expect(may(who("tracking", id), ended, NOW + 3_600_000)).toEqual([]);
  });
});

describe("the view", () => {
  const position = { courier: "cur_1" as CourierId, at: NOW - 4_000, lng: -122.4, lat: 37.78 };
  const none = { pickupAt: null, arrivalAt: null };
  const courierOf = (audience: "party" | "link" | "operator", status: DeliveryRow["status"]) =>
    deliveryView({ ...row, status }, audience, position, none, NOW).courier;

  it("names the courier in full only to those whose delivery it carries, while it does", () => {
    const full = { id: "cur_1", name: "Alice Anderson", phone: "+1-555-0101", vehicle: "bike" };
    expect(courierOf("party", "assigned")).toEqual(full);
    expect(courierOf("party", "picked_up")).toEqual(full);
    expect(courierOf("party", "delivered")).toEqual({ ...full, name: null, phone: null });
    expect(courierOf("link", "assigned")).toEqual({ ...full, name: "Alice", phone: null });
    expect(courierOf("link", "delivered")).toEqual({ ...full, name: null, phone: null });
    expect(courierOf("operator", "delivered")).toEqual(full);
  });

  it("shows the courier's number whole, masked, or a relay's in its place", () => {
    const number = "+1-415-555-0101";
    expect(phoneSeen(number, "shown")).toBe(number);
    expect(phoneSeen(number, "masked")).toBe("+*-***-***-**01");
    expect(phoneSeen(number, "+1-800-555-0000")).toBe("+1-800-555-0000");
    expect(phoneSeen(null, "masked")).toBeNull();
  });

  it("has no position outside the carrying, whatever it is given", () => {
    const delivered = { ...row, status: "delivered" } as const;
    expect(deliveryView(delivered, "party", position, none, NOW).courier_location).toBeNull();
    expect(deliveryView(row, "party", position, none, NOW).courier_location).toEqual({
      lat: 37.78,
      lng: -122.4,
      updated_at: "2026-05-03T13:59:56Z",
      age_s: 4,
    });
  });

  it("gives phones and notes to the carrying courier alone", () => {
    expect(JSON.stringify(deliveryView(row, "party", null, none, NOW))).not.toContain("0100");
    expect(assignmentView(row)).toMatchObject({ phone: "+1-555-0100", assigned_at: timeText(NOW) });
  });

  it("has an ETag that follows the content and not the age of the position", () => {
    const early = deliveryView(row, "party", position, none, NOW);
    const late = deliveryView(row, "party", position, none, NOW + 3_000);
    expect(late.courier_location?.age_s).toBe(7);
    expect(etagOf(late)).toBe(etagOf(early));
    const moved = deliveryView(row, "party", { ...position, at: NOW }, none, NOW);
    expect(etagOf(moved)).not.toBe(etagOf(early));
    const tag = etagOf(early);
    for (const header of [tag, `W/${tag}`, `"x", ${tag}`, "*"]) {
      expect(matchesEtag(header, tag)).toBe(true);
    }
    for (const header of [undefined, "", '"x"', tag.slice(1)]) {
      expect(matchesEtag(header, tag)).toBe(false);
    }
  });

  it("greets by the first name, whatever a name looks like", () => {
    expect([null, "Alice", " Ana María López ", "李 小龍"].map(firstName)).toEqual([
      null,
      "Alice",
      "Ana",
      "李",
    ]);
  });
});
