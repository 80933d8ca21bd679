/**
 * Runs one world from a seed and says what happened: `npm run sim -- --seed 7 --minutes 5 [--couriers 200] [--log]`.
 * Exits with 1, the violated invariant and the command that replays it when a check fails.
 */
import { parseArgs } from "node:util";
import { World } from "./world.ts";

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: "1" },
    minutes: { type: "string", default: "5" },
    couriers: { type: "string", default: "200" },
    log: { type: "boolean", default: false },
  },
});
const [seed, minutes, couriers] = [values.seed, values.minutes, values.couriers].map(Number);
if (![seed, minutes, couriers].every((n) => Number.isFinite(n))) {
  throw new Error("--seed, --minutes and --couriers are numbers");
}

const world = new World({ seed: seed ?? 1, couriers: couriers ?? 200, keepLog: values.log });
let failure: unknown = null;
try {
  world.run((minutes ?? 5) * 60_000);
  world.settle();
} catch (error) {
  failure = error;
}
if (values.log) for (const line of world.log) process.stdout.write(line);

const statuses = new Map<string, number>();
for (const event of world.history) statuses.set(event.type, (statuses.get(event.type) ?? 0) + 1);
console.log(JSON.stringify({ seed, minutes, couriers, faults: world.faultsDrawn }));
console.log(JSON.stringify({ ...world.counts, events: Object.fromEntries(statuses) }));
console.log(`log ${world.digest()}`);
if (failure !== null) {
  console.error(failure);
  console.error(
    `replay: npm run sim -- --seed ${seed} --minutes ${minutes} --couriers ${couriers}`,
  );
  process.exitCode = 1;
}
