/** News grows old, and each of two deliveries has its own. */
import { expect, it } from "vitest";
import { VirtualClock } from "../../../engine/io/virtual-clock.ts";
import { createLog } from "../../../engine/io/log.ts";
import type { DeliveryEvent } from "../../../proto/events.ts";
import { notify } from "./notices.ts";
import type { NoticePorts } from "./notices.ts";
import { NoticeError } from "./notifier.ts";

const NOW = Date.parse("2026-05-03T14:00:00Z");
const MINUTE_MS = 60_000;

function drive() {
  const sent: string[] = [];
  const recorded: string[] = [];
  const provider = { error: null as Error | null };
  const ports = {
    clock: new VirtualClock(NOW),
    log: createLog("silent", {}),
    store: {
      subject: (delivery: string) =>
        Promise.resolve({
          phone: `phone of ${delivery}`,
          recipient_phone: null,
          courier_name: null,
        }),
      record: (delivery: string, number: number, outcome: string) => {
        recorded.push(`${delivery} ${number} ${outcome}`);
        return Promise.resolve();
      },
    },
    notifier: {
      send: ({ deliveryId, to }: { deliveryId: string; to: readonly string[] }) => {
        if (provider.error !== null) return Promise.reject(provider.error);
        sent.push(`${deliveryId}: ${to.join()}`);
        return Promise.resolve();
      },
    },
  } as unknown as NoticePorts;
  const tell = (delivery: string, ageMs: number, tries = 1) => {
    const at = new Date(NOW - ageMs).toISOString();
    const event = { delivery_id: delivery, number: 4, type: "delivered", at } as DeliveryEvent;
    return notify(ports, { event, tries } as Parameters<typeof notify>[1]);
  };
  return { sent, recorded, provider, tell };
}

it("what happened within the hour is told, each delivery to its own people; older news is not", async () => {
  const { sent, recorded, tell } = drive();
  expect(await tell("del_a", 59 * MINUTE_MS)).toBe("done");
  expect(await tell("del_b", 0)).toBe("done");
  expect(await tell("del_c", 61 * MINUTE_MS)).toBe("done");
  expect(sent).toEqual(["del_a: phone of del_a", "del_b: phone of del_b"]);
  expect(recorded).toEqual(["del_a 4 sent", "del_b 4 sent"]);
});

it("a provider that fails is asked again after 2, 4, 8 ... seconds, eight times; one that refuses is not", async () => {
  const { recorded, provider, tell } = drive();
  provider.error = new NoticeError("away", false);
  const waits = [];
  for (let tries = 1; tries <= 8; tries++) waits.push(await tell("del_a", 0, tries));
  const again = [2, 4, 8, 16, 32, 64, 128].map((s) => ({ againInMs: s * 1_000 }));
  expect(waits).toEqual([...again, "done"]);
  provider.error = new NoticeError("no such number", true);
  expect(await tell("del_b", 0)).toBe("done");
  expect(recorded).toEqual(["del_a 4 failed", "del_b 4 failed"]);
});
