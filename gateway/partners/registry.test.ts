/** What the gateways believe of the partners, and for how long. */
import { expect, test } from "vitest";
import { VirtualClock } from "../../engine/io/virtual-clock.ts";
import { createLog } from "../../engine/io/log.ts";
import type { PrincipalId } from "../../proto/ids.ts";
import { PARTNERS_KNOWN_MS, PARTNERS_MISS_MS } from "../../proto/limits.ts";
import { PartnerRegistry } from "./registry.ts";

function drive() {
  const names = ["acme"];
  const made: string[] = [];
  const state = { isAway: false, reads: 0 };
  const clock = new VirtualClock(1_000);
  const registry = new PartnerRegistry({
    clock,
    log: createLog("silent", {}),
    store: {
      partners: () => {
        state.reads += 1;
        if (state.isAway) return Promise.reject(new Error("away"));
        const rows = names.map((name) => ({ name: name as PrincipalId, keys: [], keyedAt: 5 }));
        return Promise.resolve(rows);
      },
    },
    ensureConsumer: (partner) => Promise.resolve(void made.push(partner)),
  });
  return { names, made, state, clock, registry };
}

test("a partner is known for a moment, a new one at once, and the last known while Postgres is away", async () => {
  const { names, state, clock, registry } = drive();
  expect(await registry.has("acme")).toBe(true);
  await registry.has("acme");
  expect(state.reads).toBe(1);
  names.push("beta");
  await clock.advance(PARTNERS_MISS_MS + 1);
  expect(await registry.has("beta")).toBe(true);
  state.isAway = true;
  await clock.advance(PARTNERS_KNOWN_MS + 1);
  expect(await registry.has("acme")).toBe(true);
  expect(await registry.has("gamma")).toBe(false);
});

test("each partner's consumer is made once, and looked for again at a recheck: its stream may be a new one", async () => {
  const { made, clock, registry } = drive();
  await registry.has("acme");
  await clock.advance(PARTNERS_KNOWN_MS + 1);
  await registry.has("acme");
  expect(made).toEqual(["acme"]);
  await registry.recheck();
  expect(made).toEqual(["acme", "acme"]);
});
