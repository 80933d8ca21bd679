/**
 * A gateway without its listener: the parts behind both doors, wired together over given ports.
 * `gateway/gateway.ts` puts a listener in front of it, the simulator sockets and requests of its
 * own.
 */
import { COME_BACK_SOCKETS_PER_S } from "../proto/limits.ts";
import { streamMessages } from "../proto/messages.ts";
import { describeAsync } from "./partners/asyncapi.ts";
import type { Auth } from "./access/auth.ts";
import { Circuit } from "./backend/postgres-circuit.ts";
import { createCommands } from "./operations/commands.ts";
import { Connections } from "./websocket/connections.ts";
import { createCreate } from "./operations/create.ts";
import type { Deps, Outward } from "./base/deps.ts";
import { LoadShedder } from "./access/load-shedder.ts";
import { createFollowing } from "./follow/following.ts";
import type { Following } from "./follow/following.ts";
import { createFrameService } from "./websocket/frames.ts";
import { createGuards, keysOf } from "./access/guards.ts";
import type { Guards } from "./access/guards.ts";
import { guardedOutward, guardedStore } from "./backend/guarded-store.ts";
import { HttpDoor } from "./rest/door.ts";
import { Idempotency } from "./operations/idempotency.ts";
import { Ingest } from "./backend/ping-ingest.ts";
import { Spool } from "./operations/spool.ts";
import { createActorClient } from "./backend/actor-client.ts";
import { OperationRunner } from "./operations/run.ts";
import { packed } from "./rest/packed-page.ts";
import type { PackedPage } from "./rest/packed-page.ts";
import { describe } from "./rest/openapi.ts";
import { EtaForecast } from "./views/eta-forecast.ts";
import { createQuotes } from "./partners/quote.ts";
import { startOutward } from "./outward.ts";
import { Reader } from "./views/view-assembler.ts";
import { openRoutes, pageRoutes } from "./rest/pages.ts";
import { operationRoutes } from "./rest/route.ts";
import { createSecretBox } from "./base/secret-box.ts";
import type { SecretBox } from "./base/secret-box.ts";
import { resealAll, sealedWebhooks } from "./events/webhooks/sealed.ts";
import { PositionCache } from "./views/position-cache.ts";

/**
 * A gateway that ends closes its sockets in batches, as fast as the others can welcome them, with a
 * pause between two.
 */
const DRAIN_PAUSE_MS = 100;
const DRAIN_BATCH_SOCKETS = (COME_BACK_SOCKETS_PER_S * DRAIN_PAUSE_MS) / 1_000;

export type Core = {
  readonly connections: Connections;
  readonly door: HttpDoor;
  /** The OpenAPI page; made at the first call. */
  readonly description: () => PackedPage;
  /**
   * Says goodbye to the sockets and hands on what is collected. The listener takes no new ones any
   * more.
   */
  readonly drain: () => Promise<void>;
  /** Ends what is done again and again; after `drain`. */
  readonly stop: () => void;
};

export function createCore(
  ports: Deps,
  auth: Auth,
  version: string,
  { caps, limits, revocations }: Guards = createGuards(ports),
): Core {
  const { log, config } = ports;
  const circuit = watchPostgres(ports);
  const box = createSecretBox(keysOf(config));
  const sealed = sealedOutward(ports.outward, box);
  const outside = sealed === null ? null : guardedOutward(sealed, circuit);
  const deps = { ...ports, outward: outside, store: guardedStore(ports.store, circuit) };
  const shedder = new LoadShedder({
    ...{ clock: deps.clock, limits: deps.admission, metrics: deps.metrics },
    statements: () => circuit.underWay(),
  });
  const actorClient = createActorClient(deps);
  const positionCache = new PositionCache(actorClient, deps.store, deps.clock);
  const forecast = new EtaForecast(deps);
  const phones = config.courierPhone ?? "shown";
  const { travel, clock } = deps;
  const reader = new Reader({ positionCache, forecast, travel, clock, phones });
  const spool = new Spool(deps);
  const commands = createCommands(deps, actorClient, spool);
  const following = createFollowing(deps, positionCache, reader, spool);
  const { tracking, fanOut } = following;
  const onLeave = tracking.leave.bind(tracking);
  const connections = new Connections({ deps, auth, actorClient, caps, onLeave });
  revocations.tell(() => connections.revoke((principal) => revocations.revokes(principal)));
  const ingest = new Ingest(deps, actorClient, (session, seq) =>
    connections.acknowledge(session, seq),
  );

  const unsubscribe = announceToNodes(deps, connections, following);

  const idempotency = new Idempotency(deps.store, log, box);
  const create = createCreate({ deps, actorClient, spool, circuit, forecast });
  const quotes = createQuotes(config.authKey);
  const runner = new OperationRunner({
    ...{ deps, create, commands, idempotency, ingest, spool, quotes, reader },
    ...{ revocations, positionCache, shedder, actorClient, forecast },
    requestsPerPrincipalPerS: limits.requestsPerPrincipalPerS,
  });
  connections.serveWith(createFrameService({ deps, runner, ingest, tracking, fanOut }));
  const outward = startOutward(deps, { runner, revocations }, version);
  const { door, description } = restDoor(deps, { auth, runner, limits, revocations }, version);

  return {
    connections,
    door,
    description,
    drain: async () => {
      unsubscribe();
      await outward.stop();
      await connections.drain(DRAIN_BATCH_SOCKETS, DRAIN_PAUSE_MS);
      ingest.flush();
    },
    stop: () => {
      for (const part of [connections, following, spool, circuit, shedder, forecast]) part.stop();
    },
  };
}

type DoorParts = Pick<Guards, "limits" | "revocations"> & {
  readonly auth: Auth;
  readonly runner: OperationRunner;
};

/** The REST door, and the description of what it offers. */
function restDoor(
  deps: Deps,
  { auth, runner, limits, revocations }: DoorParts,
  version: string,
): Pick<Core, "door" | "description"> {
  const { outward, config } = deps;
  let page: PackedPage | null = null;
  const description = (): PackedPage =>
    (page ??= packed(describe(described, config.publicUrl, version)));
  const asyncDescription = outward
    ? packed(JSON.stringify(describeAsync(outward.prefix, config.publicUrl, version)))
    : null;
  const pages = { deps, description, asyncDescription, revocations };
  const described = [...operationRoutes(Boolean(outward)), ...openRoutes(pages)];
  const routes = [...described, ...pageRoutes(pages)];
  return { door: new HttpDoor({ deps, auth, runner, limits }, routes), description };
}

/** With webhooks' secrets sealed in the database. */
const sealedOutward = (outward: Outward | null | undefined, box: SecretBox): Outward | null =>
  outward
    ? {
        ...outward,
        store: { ...outward.store, webhooks: sealedWebhooks(outward.store.webhooks, box) },
        reseal: () => resealAll(outward.store.webhooks, box),
      }
    : null;

/**
 * Nodes that took shards, and all of them after NATS was away, are told who is here and what is
 * needed.
 */
function announceToNodes(
  { bus, subjects, log, config }: Deps,
  connections: Connections,
  { leases, tracking }: Following,
): () => void {
  const announce = (shards: readonly number[]): void => {
    connections.announce(shards);
    leases.announce(shards);
  };
  const unsubscribe = bus.subscribe(subjects.nodeUp, ({ data }) => {
    const message = streamMessages.decode(data);
    if (message?.type === "node_up") announce(message.shards);
  });
  bus.onStatus((status) => {
    log.warn({ status }, "the connection to NATS changed");
    // What was said meanwhile is lost: say again who is here and what is needed.
    if (status !== "connected") return;
    announce(Array.from({ length: config.shards }, (_, shard) => shard));
    tracking.doubtAll();
  });
  return unsubscribe;
}

function watchPostgres({ clock, probe, log, metrics }: Deps): Circuit {
  return new Circuit({
    clock,
    probe,
    onChange: (isOpen) => {
      metrics.away.set(isOpen ? 1 : 0);
      if (isOpen) log.error("Postgres is away: creates go to the spool, the rest is refused");
      else log.warn("Postgres is back");
    },
  });
}
