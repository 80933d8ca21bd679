import { describe, expect, it } from "vitest";
import type { SessionId } from "../../proto/ids.ts";
import { COME_BACK_WITHIN_MAX_MS, COURIER_COME_BACK_WITHIN_MAX_MS } from "../../proto/limits.ts";
import { ReconnectSpread, comeBackWithinMs } from "./reconnect-spread.ts";
import type { Connection } from "./connection.ts";

/** Sockets that come one after the other, and what each was told last. */
function gatewayWith(role: "customer" | "courier" = "customer") {
  const all = new Map<SessionId, Connection>();
  const reconnectSpread = new ReconnectSpread(all);
  let sent = 0;
  const join = (count: number): void => {
    for (let i = 0; i < count; i++) {
      const link = { principal: { role }, send: () => void sent++ };
      const connection = { link, comeBackWithinMs: null } as unknown as Connection;
      all.set(`s_${all.size}` as SessionId, connection);
      reconnectSpread.told(connection, role);
    }
  };
  const toldMs = (): number[] => [...all.values()].map((one) => one.comeBackWithinMs ?? 0);
  return { all, reconnectSpread, join, toldMs, sent: () => sent };
}

/**
 * How many would come back in the busiest second, were each to draw a moment within what it was
 * told.
 */
function busiestSecond(told: readonly number[]): number {
  let worst = 0;
  for (let from = 0; from < COME_BACK_WITHIN_MAX_MS; from += 250) {
    const expected = told.reduce((sum, withinMs) => {
      const share = Math.min(withinMs, from + 1_000) - from;
      return sum + Math.max(0, share) / Math.max(1, withinMs);
    }, 0);
    worst = Math.max(worst, expected);
  }
  return worst;
}

describe("the way back", () => {
  it("is longer with more sockets, up to a bound that is shorter for couriers", () => {
    expect(comeBackWithinMs(500, "customer")).toBe(500);
    expect(comeBackWithinMs(1_000_000, "customer")).toBe(COME_BACK_WITHIN_MAX_MS);
    expect(comeBackWithinMs(1_000_000, "courier")).toBe(COURIER_COME_BACK_WITHIN_MAX_MS);
  });

  it("is told again to those who came when there were few: no second is much busier than meant", () => {
    const { reconnectSpread, join, toldMs } = gatewayWith();
    join(10_000);
    expect(busiestSecond(toldMs())).toBeGreaterThan(2_500);
    for (let i = 0; i < 20; i++) reconnectSpread.look();
    expect(Math.min(...toldMs())).toBeGreaterThan(10_000 / 1.5 - 1);
    expect(busiestSecond(toldMs())).toBeLessThan(1_500);
  });

  it("is told to few at a time, to each once, and not for a difference that nobody notices", () => {
    const { reconnectSpread, join, sent } = gatewayWith();
    join(100);
    reconnectSpread.look();
    expect(sent()).toBe(0);
    join(9_900);
    reconnectSpread.look();
    expect(sent()).toBe(500);
    for (let i = 0; i < 40; i++) reconnectSpread.look();
    const all = sent();
    expect(all).toBeLessThan(7_000);
    for (let i = 0; i < 10; i++) reconnectSpread.look();
    expect(sent()).toBe(all);
  });

  it("begins anew after many have gone", () => {
    const { all, reconnectSpread, join, toldMs } = gatewayWith();
    join(8_000);
    for (let i = 0; i < 40; i++) reconnectSpread.look();
    all.clear();
    reconnectSpread.look();
    join(4_000);
    for (let i = 0; i < 40; i++) reconnectSpread.look();
    expect(Math.min(...toldMs())).toBeGreaterThan(4_000 / 1.5 - 1);
  });
});
