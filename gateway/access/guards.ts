/**
 * Who may come in, and how often: credentials, revocations, caps and rates of one gateway, made
 * from its settings.
 */
import { DOOR_DEFAULTS } from "../../engine/door-limits.ts";
import type { DoorLimits } from "../../engine/door-limits.ts";
import { createAuth } from "./auth.ts";
import type { Auth } from "./auth.ts";
import type { Deps } from "../base/deps.ts";
import { Revocations } from "./revocations.ts";
import { SocketCaps } from "./socket-caps.ts";

export type Guards = {
  readonly revocations: Revocations;
  readonly caps: SocketCaps;
  readonly limits: DoorLimits;
};

export function createGuards(deps: Deps): Guards {
  const limits = deps.config.doors ?? DOOR_DEFAULTS;
  const caps = new SocketCaps({
    all: limits.socketsMax,
    perAddress: limits.socketsPerAddressMax,
    perPrincipal: limits.socketsPerPrincipalMax,
    welcomesPerCourierPerS: limits.welcomesPerCourierPerS,
  });
  return { revocations: new Revocations(deps), caps, limits };
}

/** The verifier of credentials under the keys of the settings. */
export function authOf({ config, store, clock }: Deps, { revocations }: Guards): Auth {
  return createAuth({ keys: keysOf(config), store, clock, revocations });
}

/** The signing key, and while keys are exchanged the one before it. */
export const keysOf = ({
  authKey,
  authKeyPrevious: previous,
}: Deps["config"]): readonly [current: string, previous?: string] =>
  previous ? [authKey, previous] : [authKey];
