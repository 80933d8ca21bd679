/**
 * D4 from outside: creates of the replay sent once more with their keys must be answered as before,
 * word for word.
 */
import { isDeepStrictEqual } from "node:util";
import { systemClock } from "../../sdk/clock.ts";
import { RestClient } from "../../sdk/rest.ts";
import { COMMAND_DEADLINE_MS, untilAnswered } from "../../sdk/retry.ts";
import type { System } from "./system.ts";
import type { Tales } from "./tales.ts";

const REPEATS_MAX = 25;
const RETRY = { clock: systemClock, random: Math.random, deadlineMs: COMMAND_DEADLINE_MS };

/** Notes every difference as a violation. */
export async function repeatCreates(
  system: System,
  tales: Tales,
): Promise<{ repeated: number; summary: string }> {
  const { creates } = tales.acknowledged;
  const step = Math.max(1, Math.floor(creates.length / REPEATS_MAX));
  const sample = creates.filter((_, i) => i % step === 0).slice(0, REPEATS_MAX);
  let different = 0;
  for (const { id, customer, key, input, answer } of sample) {
    tales.count("repeated creates");
    const token = await system.token("customer", customer);
    const rest = new RestClient({ url: system.publicUrl, getToken: () => token });
    const before = await untilAnswered(() => rest.delivery(id), RETRY);
    const again = await untilAnswered(() => rest.createDelivery(input, key), RETRY);
    const after = await untilAnswered(() => rest.delivery(id), RETRY);
    const same = isDeepStrictEqual(again.body, answer) && again.replayed;
    if (same && before.body?.version === after.body?.version) continue;
    different++;
    const text = `a repeated create was answered ${JSON.stringify(again)}`;
    tales.violations.push({ rule: "D4", delivery: id, text });
  }
  const summary = different === 0 ? "the same answers" : `${different} different answers`;
  return { repeated: sample.length, summary };
}
