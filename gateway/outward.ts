/**
 * Everything that looks outwards, put together: the door for partners, the webhooks, the notices.
 * Part of a gateway when it has what they need (`Deps.outward`).
 */
import { listConsumers } from "../engine/streams/consumer-lag.ts";
import type { Clock } from "../engine/io/clock.ts";
import { errorFields } from "../engine/io/log.ts";
import type { Log } from "../engine/io/log.ts";
import { NOTICES_KEPT_H, WEBHOOK_KEPT_H } from "../proto/limits.ts";
import type { Deps, Outward } from "./base/deps.ts";
import { EventFeed } from "./events/event-feed.ts";
import type { FeedEvent, Verdict } from "./events/event-feed.ts";
import { notify } from "./events/notify/notices.ts";
import { WebhookSender } from "./events/webhooks/sender.ts";
import { PartnerDoor } from "./partners/door.ts";
import type { PartnerDoorParts } from "./partners/door.ts";
import { PartnerRegistry, ensurePartnerConsumer } from "./partners/registry.ts";

const HOUR_MS = 3_600_000;
const RECHECK_MS = 60_000;
/** A partner whose consumer was lost gets it again within this time. */
const CONSUMERS_LOOK_MS = 5_000;

export type OutwardRunning = { readonly stop: () => Promise<void> };

/** Does nothing where the gateway has no outward parts. */
export function startOutward(
  deps: Deps,
  served: Omit<PartnerDoorParts, "deps">,
  version: string,
): OutwardRunning {
  const { outward } = deps;
  return outward ? start(deps, outward, served, version) : { stop: () => Promise.resolve() };
}

/** Forgets what is old. Never rejects. */
async function forget({ notices, webhooks }: Outward["store"], log: Log): Promise<void> {
  try {
    while ((await notices.purge(NOTICES_KEPT_H)) > 0);
    while ((await webhooks.purge(WEBHOOK_KEPT_H)) > 0);
  } catch (error) {
    log.warn(errorFields(error), "housekeeping failed; it is repeated");
  }
}

/** After an exchange of the signing key nothing is left under the one before. Never rejects. */
async function reseal({ reseal: resealAll }: Outward, log: Log): Promise<void> {
  try {
    const webhooks = (await resealAll?.()) ?? [];
    if (webhooks.length > 0) {
      log.error({ webhooks }, "secrets cannot be opened: their signing key is gone; rotate them");
    }
  } catch (error) {
    log.warn(errorFields(error), "webhooks' secrets could not be looked through; it is repeated");
  }
}

/** Nothing waits longer because the database's clock was set back. Never rejects. */
async function realign(
  webhooks: Outward["store"]["webhooks"],
  sender: WebhookSender,
  log: Log,
): Promise<void> {
  try {
    if ((await webhooks.realign()) > 0) sender.nudge();
  } catch (error) {
    log.warn(errorFields(error), "webhooks could not be looked through; it is repeated");
  }
}

function every(intervalMs: number, clock: Clock, work: () => Promise<void>): () => void {
  let cancel = (): void => undefined;
  const arm = (): void => {
    cancel = clock.after(intervalMs, () => {
      arm();
      void work();
    });
  };
  arm();
  return () => cancel();
}

async function enqueue(
  { webhooks }: Outward["store"],
  sender: WebhookSender,
  events: readonly FeedEvent[],
): Promise<readonly Verdict[]> {
  if ((await webhooks.enqueue(events)) > 0) sender.nudge();
  return events.map(() => "done" as const);
}

function start(
  deps: Deps,
  outward: Outward,
  served: Omit<PartnerDoorParts, "deps">,
  version: string,
): OutwardRunning {
  const { clock, log } = deps;
  const { nats, prefix, store } = outward;
  const registry = new PartnerRegistry({
    store,
    clock,
    log,
    ensureConsumer: (partner) => ensurePartnerConsumer(nats, prefix, partner),
    consumers: async () => new Set((await listConsumers(nats, prefix)).map(({ name }) => name)),
  });
  const door = new PartnerDoor({ deps, ...served }, registry, version);
  if (nats.info?.auth_required !== true) {
    log.warn("the NATS server asks nobody who they are: anyone who reaches it can be any partner");
  }
  door.open(nats);
  const recheck = (): Promise<void> =>
    registry.recheck().catch((error: unknown) => {
      log.warn(errorFields(error), "the partners could not be read; it is repeated");
    });
  void recheck();
  const findLost = (): Promise<void> =>
    registry.findLost().catch((error: unknown) => {
      log.debug(errorFields(error), "the consumers of partners could not be looked at");
    });
  void reseal(outward, log);
  const sender = new WebhookSender({
    store: store.webhooks,
    clock,
    log,
    targets: outward.webhookTargets,
  });
  const feed = { nats, prefix, clock, log };
  const { notifier } = outward;
  const feeds = [
    new EventFeed({
      ...feed,
      name: "webhooks",
      onBatch: (events) => enqueue(store, sender, events),
    }),
  ];
  if (notifier !== null) {
    const ports = { store: store.notices, notifier, clock, log };
    const onBatch = (events: readonly FeedEvent[]): Promise<Verdict[]> =>
      Promise.all(events.map((event) => notify(ports, event)));
    feeds.push(new EventFeed({ ...feed, name: "notices", onBatch }));
  }
  const loops = [
    every(HOUR_MS, clock, () => forget(store, log)),
    every(RECHECK_MS, clock, recheck),
    every(CONSUMERS_LOOK_MS, clock, findLost),
    every(HOUR_MS, clock, () => reseal(outward, log)),
    every(RECHECK_MS, clock, () => realign(store.webhooks, sender, log)),
  ];
  return {
    async stop() {
      for (const stopLoop of loops) stopLoop();
      await door.close();
      await Promise.all(feeds.map((each) => each.stop()));
      await sender.stop();
    },
  };
}
