/**
 * Following put together: what is followed here, whose positions that needs, and how they reach the
 * followers.
 */
import type { Deps } from "../base/deps.ts";
import { FanOut } from "./fan-out.ts";
import type { Spool } from "../operations/spool.ts";
import { Leases, Positions } from "./positions.ts";
import type { Reader } from "../views/view-assembler.ts";
import { Tracking } from "./tracking.ts";
import type { CourierNeeds } from "./tracking.ts";
import type { PositionCache } from "../views/position-cache.ts";

export type Following = {
  readonly tracking: Tracking;
  readonly leases: Leases;
  readonly fanOut: FanOut;
  readonly stop: () => void;
};

export function createFollowing(
  deps: Deps,
  positionCache: PositionCache,
  reader: Reader,
  spool: Pick<Spool, "refuseIfTaken">,
): Following {
  const leases = new Leases(deps);
  const periodMs = deps.config.settings.POSITIONS_MS;
  const fanOut = new FanOut({ clock: deps.clock, periodMs, positionCache });
  // Who needs a courier's positions asks the nodes for them, and is told of them here.
  const needs: CourierNeeds = {
    need: (courier, followed) => {
      leases.need(courier);
      fanOut.need(courier, followed);
    },
    release: (courier, followed) => {
      leases.release(courier);
      fanOut.release(courier, followed);
    },
  };
  const tracking = new Tracking(deps, reader, needs, spool);
  const positions = new Positions(deps, positionCache, (courier) => fanOut.moved(courier));
  const stop = (): void => {
    for (const part of [positions, leases, tracking, fanOut]) part.stop();
  };
  return { tracking, leases, fanOut, stop };
}
