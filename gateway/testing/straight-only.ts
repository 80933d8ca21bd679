/** Tests that say nothing about us when something stands in front: by name, with the reason. */
import type { Via } from "./via.ts";

export type StraightOnly = { readonly via: readonly Via[]; readonly reason: string };

const behind = (reason: string): StraightOnly => ({ via: ["nginx", "haproxy"], reason });
const nginx = (reason: string): StraightOnly => ({ via: ["nginx"], reason });

export const STRAIGHT_ONLY: Readonly<Record<string, StraightOnly>> = {
  "tells nobody what it is, and lets nothing be kept": behind("a proxy names itself"),
  "answers 404 for unknown paths and 405 with Allow for other methods": nginx(
    "nginx refuses %00 in a path itself",
  ),
  "an id that is none is not found or a problem, whatever it holds": nginx(
    "nginx refuses %00 in a path itself",
  ),
  "has its scripts and tiles kept by the browser, and says nothing of what is not there": nginx(
    "nginx refuses a path that leaves the root itself",
  ),
  "says goodbye, closes with a code to come back on, and tells the couriers' actors": behind(
    "a proxy answers 503 for a gateway that is gone: proxies.itest.ts",
  ),
};
