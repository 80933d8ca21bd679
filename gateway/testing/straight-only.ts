/** Tests that say nothing about us when something stands in front: by name, with the reason. */
import type { Via } from "./via.ts";

export type StraightOnly = { readonly via: readonly Via[]; readonly reason: string };

const behind = (reason: string): StraightOnly => ({ via: ["nginx", "haproxy"], reason });

export const STRAIGHT_ONLY: Readonly<Record<string, StraightOnly>> = {
  "tells nobody what it is, and lets nothing be kept": behind("a proxy names itself"),
};
