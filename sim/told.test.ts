/**
 * What a phone is told of a delivery: nothing is jumped over in silence, nothing foreign is told
 * (D5).
 */
import { beforeEach, describe, expect, it } from "vitest";
import type { DeliveryEvent } from "../proto/events.ts";
import { SimClock } from "./clock.ts";
import { History } from "./history.ts";
import { ToldVersions } from "./told.ts";

let history: History;
let told: ToldVersions;

beforeEach(() => {
  history = new History(new SimClock(0), false);
  told = new ToldVersions(history, "shop");
  told.asked("del_1", null);
  told.shown("del_1", 2);
});

const event = (number: number, delivery_id = "del_1"): DeliveryEvent =>
  ({ number, delivery_id }) as DeliveryEvent;
const violated = (): string | null => history.violation?.invariant ?? null;

describe("a phone that follows a delivery", () => {
  it("is told each version, or what passed, or that something is missing", () => {
    told.shown("del_1", 3);
    told.passed("del_1", true, [event(4), event(5)]);
    told.shown("del_1", 6);
    told.passed("del_1", false, []);
    told.shown("del_1", 9);
    told.shown("del_1", 9);
    expect(violated()).toBeNull();
  });

  it("may go on after what it was told, not after more", () => {
    told.asked("del_1", 2);
    told.passed("del_1", true, [event(3)]);
    told.shown("del_1", 4);
    expect(violated()).toBeNull();
    told.asked("del_1", 5);
    expect(violated()).toBe("D5");
  });

  it("does not jump over a version in silence, but polling may", () => {
    told.polled("del_1", 3);
    told.polled("del_1", 7);
    told.passed("del_1", true, [event(4), event(5), event(6)]);
    told.shown("del_1", 7);
    expect(violated()).toBeNull();
    told.shown("del_1", 9);
    expect(violated()).toBe("D5");
  });

  it("does not go on from a wrong number, and is told nothing of another delivery", () => {
    told.passed("del_1", true, [event(4)]);
    expect(violated()).toBe("D5");
    history.violation = null;
    told.passed("del_1", true, [event(3, "del_2")]);
    expect(violated()).toBe("D5");
  });
});
