/**
 * D4 from outside: creates of the replay sent once more with their keys must be answered as before,
 * word for word.
 */
import { isDeepStrictEqual } from "node:util";
import { RestClient } from "../../sdk/rest.ts";
import type { System } from "./system.ts";
import type { Tales } from "./tales.ts";

const REPEATS_MAX = 25;

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
    const token = await system.token("customer", customer);
    const rest = new RestClient({ url: system.publicUrl, getToken: () => token });
    const before = await rest.delivery(id);
    const again = await rest.createDelivery(input, key);
    const after = await rest.delivery(id);
    const same = isDeepStrictEqual(again.body, answer) && again.replayed;
    if (same && before.body?.version === after.body?.version) continue;
    different++;
    tales.violations.push(`D4: ${id}: a repeated create was answered ${JSON.stringify(again)}`);
  }
  const summary = different === 0 ? "the same answers" : `${different} different answers`;
  return { repeated: sample.length, summary };
}
