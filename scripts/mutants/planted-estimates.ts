// Planted bugs of estimates: nothing breaks, only every promise is wrong.

import type { Planted } from "./planted-bug.ts";

const WITHIN_REACH = {
  file: "gateway/views/eta-forecast.test.ts",
  name: "is a wait that only those count for who are within reach and of the wanted kind",
};

export const BUGS_OF_ESTIMATES: readonly Planted[] = [
  {
    name: "a backlog anywhere makes everybody wait",
    kind: "estimates",
    file: "gateway/views/eta-forecast.ts",
    find: ".filter((backlog) => distanceM(backlog, pickup) <= reachM)\n",
    replace: "",
    test: WITHIN_REACH,
  },
  {
    name: "busy couriers anywhere shorten the wait",
    kind: "estimates",
    file: "gateway/views/eta-forecast.ts",
    find: "if (east * east + north * north > reach) continue;",
    replace: "if (east * east + north * north > reach * 1e9) continue;",
    test: WITHIN_REACH,
  },
  {
    name: "couriers of the wrong kind shorten the wait",
    kind: "estimates",
    file: "gateway/views/eta-forecast.ts",
    find: "if (vehicle !== null && fleet.couriers[i]?.vehicle !== vehicle) continue;\n",
    replace: "",
    test: WITHIN_REACH,
  },
  {
    name: "when a parcel is ready is counted in milliseconds",
    kind: "estimates",
    file: "gateway/views/eta-forecast.ts",
    find: "const readyS = readyAt === null ? 0 : (readyAt - this.#deps.clock.now()) / 1000;",
    replace: "const readyS = readyAt === null ? 0 : readyAt - this.#deps.clock.now();",
    test: {
      file: "gateway/views/eta-forecast.test.ts",
      name: "is no sooner than the parcel is ready",
    },
  },
  {
    name: "the wait for a search is promised twice",
    kind: "estimates",
    file: "gateway/views/eta-forecast.ts",
    find: "readyS: readyS - reading.searchS };",
    replace: "readyS };",
    test: {
      file: "gateway/views/eta-forecast.test.ts",
      name: "is no sooner than the parcel is ready",
    },
  },
  {
    name: "handing over takes no time",
    kind: "estimates",
    file: "gateway/views/estimates.ts",
    find: "vehicle) + DROPOFF_HANDLING_S;",
    replace: "vehicle);",
    test: {
      file: "gateway/views/estimates.test.ts",
      name: "promise assignment, approach, handling, trip and handing over",
    },
  },
];
