import { parseArgs } from "node:util";
import { inMacrotask } from "./clock.ts";
import { World } from "./world.ts";

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: "1" },
    minutes: { type: "string", default: "10" },
    couriers: { type: "string", default: "25" },
    nodes: { type: "string", default: "1" },
    log: { type: "boolean", default: false },
  },
});
const t = performance.now();
const world = await inMacrotask(() => {
  const w = new World({
    seed: Number(values.seed),
    minutes: Number(values.minutes),
    couriers: Number(values.couriers),
    nodes: Number(values.nodes),
    keepLines: values.log,
  });
  w.run();
  return w;
});
if (values.log) for (const line of world.history.lines) process.stdout.write(line);
console.log(
  JSON.stringify({
    noise: world.network.noise,
    plan: { ...world.plan, faults: world.plan.faults.length },
  }),
);
console.log(
  JSON.stringify({
    ...world.checks.counts,
    ...world.network.counts,
    ...world.postgres.counts,
    ...world.doors.counts,
    ...world.injector.counts,
  }),
);
console.log(
  world.history.digest(),
  Math.round(performance.now() - t),
  "ms",
  "simulated",
  (world.clock.now() - 1_700_000_000_000) / 60000,
);
console.log(world.history.violation);
process.exitCode = world.isViolated ? 1 : 0;
