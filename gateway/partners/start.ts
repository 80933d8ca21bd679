/**
 * Everything that looks outwards, put together: the door for partners, the webhooks, the notices. Part of a gateway
 * when it has what they need (`Deps.outward`).
 */
import { errorFields } from "../../engine/io/log.ts";
import type { Deps, Outward } from "../deps.ts";
import type { PartnerParts } from "./calls.ts";
import { PartnerDoor } from "./door.ts";
import { createQuotes } from "./quote.ts";
import { PartnerRegistry, ensurePartnerConsumer } from "./registry.ts";

export type OutwardRunning = { readonly stop: () => Promise<void> };

/** Does nothing where the gateway has no outward parts. */
export function startOutward(
  deps: Deps,
  parts: Omit<PartnerParts, "deps" | "quotes" | "partners">,
  version: string,
): OutwardRunning {
  const { outward } = deps;
  return outward ? start(deps, outward, parts, version) : { stop: () => Promise.resolve() };
}

function start(
  deps: Deps,
  outward: Outward,
  parts: Omit<PartnerParts, "deps" | "quotes" | "partners">,
  version: string,
): OutwardRunning {
  const { clock, log, config } = deps;
  const { nats, prefix, store } = outward;
  const registry = new PartnerRegistry({
    store,
    clock,
    log,
    ensureConsumer: (partner) => ensurePartnerConsumer(nats, prefix, partner),
  });
  const quotes = createQuotes(config.authKey);
  const door = new PartnerDoor({ ...parts, deps, quotes, partners: store }, registry, version);
  if (nats.info?.auth_required !== true) {
    log.warn("the NATS server asks nobody who they are: anyone who reaches it can be any partner");
  }
  door.open(nats);
  registry.refresh().catch((error: unknown) => {
    log.warn(errorFields(error), "the partners could not be read yet");
  });
  return {
    async stop() {
      await door.close();
    },
  };
}
