/**
 * A gateway without its listener: the parts behind both doors, wired together over given ports. `gateway/gateway.ts` puts a
 * listener in front of it, the simulator sockets and requests of its own.
 */
import { COME_BACK_SOCKETS_PER_S } from "../proto/limits.ts";
import { streamMessages } from "../proto/messages.ts";
import type { Auth } from "./auth.ts";
import { Circuit } from "./circuit.ts";
import { createCommands } from "./commands.ts";
import { Connections } from "./connections.ts";
import { createCreate } from "./create.ts";
import type { Deps } from "./deps.ts";
import { Doorkeeper } from "./doorkeeper.ts";
import { createFollowing } from "./following.ts";
import type { Following } from "./following.ts";
import { createFrameService } from "./frame-service.ts";
import { createGuards } from "./guards.ts";
import type { Guards } from "./guards.ts";
import { guardedStore } from "./guarded-store.ts";
import { HttpDoor } from "./http.ts";
import { Idempotency } from "./idempotency.ts";
import { Ingest } from "./ingest.ts";
import { IntakeDoor } from "./intake.ts";
import { createMail } from "./mail.ts";
import { pageOf } from "./page.ts";
import type { Page } from "./page.ts";
import { describe } from "./openapi.ts";
import { Outlook } from "./outlook.ts";
import { startOutward } from "./partners/start.ts";
import { Reader } from "./reader.ts";
import type { Route } from "./route.ts";
import { courierRoutes } from "./routes/couriers.ts";
import { deliveryRoutes } from "./routes/deliveries.ts";
import { outwardRoutes } from "./routes/outward.ts";
import { openRoutes, pageRoutes } from "./routes/open.ts";
import { operatorRoutes } from "./routes/operator.ts";
import { Whereabouts } from "./whereabouts.ts";

/** A gateway that ends closes its sockets in batches, as fast as the others can welcome them, with a pause between two. */
const DRAIN_PAUSE_MS = 100;
const DRAIN_BATCH_SOCKETS = (COME_BACK_SOCKETS_PER_S * DRAIN_PAUSE_MS) / 1_000;

export type Core = {
  readonly connections: Connections;
  readonly door: HttpDoor;
  /** The OpenAPI text; made at the first call. */
  readonly description: () => Page;
  /** Says goodbye to the sockets and hands on what is collected. The listener takes no new ones any more. */
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
  const deps = { ...ports, store: guardedStore(ports.store, circuit) };
  const doorkeeper = new Doorkeeper({
    ...{ clock: deps.clock, limits: deps.admission, metrics: deps.metrics },
    statements: () => circuit.underWay(),
  });
  const mail = createMail(deps);
  const whereabouts = new Whereabouts(mail, deps.store, deps.clock);
  const outlook = new Outlook(deps);
  const phones = config.courierPhone ?? "shown";
  const reader = new Reader({
    whereabouts,
    outlook,
    travel: deps.travel,
    clock: deps.clock,
    phones,
  });
  const intake = new IntakeDoor(deps);
  const commands = createCommands(deps, mail, intake);
  const following = createFollowing(deps, whereabouts, reader, intake);
  const { tracking, fanOut } = following;
  const onLeave = tracking.leave.bind(tracking);
  const connections = new Connections({ deps, auth, mail, caps, onLeave });
  revocations.tell(() => connections.revoke((principal) => revocations.revokes(principal)));
  const ingest = new Ingest(deps, mail, (session, seq) => connections.acknowledge(session, seq));
  const frames = { deps, doorkeeper, commands, ingest, tracking, fanOut };
  connections.serveWith(createFrameService(frames));

  const unsubscribe = announceToNodes(deps, connections, following);

  const idempotency = new Idempotency(deps.store, log);
  const create = createCreate({ deps, mail, intake, circuit, outlook });
  const outward = startOutward(deps, { create, commands, reader, idempotency, outlook }, version);
  let page: Page | null = null;
  const description = (): Page => (page ??= pageOf(describe(described, config.publicUrl, version)));
  const open = { deps, description, revocations };
  const described: readonly Route[] = [
    ...deliveryRoutes({ deps, create, intake, commands, reader, idempotency }),
    ...courierRoutes({ deps, outlook, commands, ingest }),
    ...operatorRoutes({ deps, mail, intake, whereabouts, revocations }),
    ...outwardRoutes(deps, version),
    ...openRoutes(open),
  ];
  const routes = [...described, ...pageRoutes(open)];
  const door = new HttpDoor({ deps, auth, idempotency, doorkeeper, limits }, routes);

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
      for (const part of [connections, following, intake, circuit, doorkeeper, outlook])
        part.stop();
    },
  };
}

/** Nodes that took shards, and all of them after NATS was away, are told who is here and what is needed. */
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
      if (isOpen) log.error("Postgres is away: creates go to the intake, the rest is refused");
      else log.warn("Postgres is back");
    },
  });
}
