/** How often a courier's app is asked to ping, by what passes through its connection. */
import { describe, expect, it } from "vitest";
import type { ClientFrame, ServerFrame } from "../../proto/frames.ts";
import { DISPATCH_DEFAULTS } from "../../proto/limits.ts";
import { assignmentView } from "../../sdk/testing/fake-gateway.ts";
import { intervalMs, observe, startAdvice } from "./ping-advice.ts";

const DELIVERY = "del_00000000000000000000001";
const view = assignmentView(DELIVERY);
const offer = { type: "offer", delivery: DELIVERY, until: 20_000 } as unknown as ServerFrame;
const ping = (lat: number): ClientFrame =>
  ({ type: "ping", lng: view.origin.lng, lat }) as unknown as ClientFrame;
const status = (to: string): ClientFrame =>
  ({ type: "status", delivery: DELIVERY, status: to }) as unknown as ClientFrame;

function story(...frames: readonly (readonly [ClientFrame | ServerFrame, number])[]): string[] {
  let advice = startAdvice([]);
  return frames.map(([frame, now]) => {
    advice = observe(advice, frame, now, 300);
    return advice.why;
  });
}

describe("the advice", () => {
  it("follows a delivery from the offer to the door and back to idle", () => {
    const at = { pickup: view.origin.lat, between: 37.77, dropoff: view.destination.lat };
    const there = { type: "ping", lng: view.destination.lng, lat: at.dropoff } as never;
    expect(
      story(
        [ping(37.7), 0],
        [offer, 1],
        [{ type: "assignment", assignment: view }, 2],
        [ping(at.pickup + 0.002), 3],
        [status("picked_up"), 4],
        [ping(at.between), 5],
        [there, 6],
        [status("delivered"), 7],
      ),
    ).toEqual(["idle", "offered", "carrying", "near", "carrying", "carrying", "near", "idle"]);
  });

  it("forgets an offer that lapsed, was withdrawn or declined", () => {
    expect(story([offer, 0], [ping(37.7), 20_001])).toEqual(["offered", "idle"]);
    const gone = { type: "withdrawn", delivery: DELIVERY, reason: "taken" } as never;
    expect(story([offer, 0], [gone, 1])).toEqual(["offered", "idle"]);
    const decline = { type: "decline", delivery: DELIVERY, ref: 1, reason: null } as never;
    expect(story([offer, 0], [decline, 1])).toEqual(["offered", "idle"]);
  });

  it("starts with what is carried, and asks for more the nearer it counts", () => {
    expect(startAdvice([view]).why).toBe("carrying");
    const wanted = (["idle", "offered", "carrying", "near"] as const).map((why) =>
      intervalMs(why, DISPATCH_DEFAULTS),
    );
    expect(wanted).toEqual([10_000, 5_000, 5_000, 2_000]);
  });
});
