/**
 * One gateway put together from its ports: the REST door, the sockets, the fan-out. It reads no environment and ends no
 * process (`gateway/main.ts` does), so that a test can have one on any free port.
 */
import { errorFields } from "../engine/io/log.ts";
import { DispatchError } from "../proto/errors.ts";
import { SUBPROTOCOL } from "../proto/frames.ts";
import { FRAME_MAX_BYTES, SOCKET_BUFFER_MAX_BYTES, SOCKET_IDLE_S } from "../proto/limits.ts";
import { streamMessages } from "../proto/messages.ts";
import { createAuth } from "./auth.ts";
import { createCommands } from "./commands.ts";
import { Connections } from "./connections.ts";
import { createCreate } from "./create.ts";
import type { Deps } from "./deps.ts";
import { createFrameService } from "./frame-service.ts";
import { HttpDoor } from "./http.ts";
import { Idempotency } from "./idempotency.ts";
import { Ingest } from "./ingest.ts";
import { createMail } from "./mail.ts";
import { describe } from "./openapi.ts";
import { Leases, Positions } from "./positions.ts";
import { startOutward } from "./partners/start.ts";
import { problemHeaders, problemOf } from "./problem.ts";
import { Reader } from "./reader.ts";
import type { Route } from "./route.ts";
import { courierRoutes } from "./routes/couriers.ts";
import { deliveryRoutes } from "./routes/deliveries.ts";
import { openRoutes, trackingPageRoute } from "./routes/open.ts";
import { operatorRoutes } from "./routes/operator.ts";
import { outwardRoutes } from "./routes/outward.ts";
import { listen } from "./socket.ts";
import type { Headers, Listener, UpgradeAnswer } from "./socket.ts";
import { Tracking } from "./tracking.ts";
import { Whereabouts } from "./whereabouts.ts";

/** Sockets closed at once when the gateway ends, and the pause between two batches. */
const DRAIN_BATCH_SOCKETS = 500;
const DRAIN_PAUSE_MS = 100;

export type Gateway = {
  /** The port of the public listener. */
  readonly port: number;
  readonly connections: Connections;
  /** Stops listening, says goodbye to the sockets, hands on what is collected. May be asked twice. */
  readonly stop: () => Promise<void>;
};

/** Starts a gateway. Rejects when the port is taken. */
export async function startGateway(deps: Deps, version: string): Promise<Gateway> {
  const { bus, subjects, log, config } = deps;
  const mail = createMail(deps);
  const auth = createAuth(config.authKey, deps.store, deps.clock);
  const whereabouts = new Whereabouts(mail, deps.store, deps.clock);
  const reader = new Reader(whereabouts, deps.travel, deps.clock);
  const commands = createCommands(deps, mail);
  const leases = new Leases(deps);
  const tracking = new Tracking(deps, reader, leases);
  const positions = new Positions(deps, whereabouts, tracking);
  const onLeave = tracking.leave.bind(tracking);
  const connections = new Connections({ deps, auth, mail, onLeave });
  const ingest = new Ingest(deps, mail, (session, seq) => connections.acknowledge(session, seq));
  connections.serveWith(createFrameService({ deps, commands, ingest, tracking }));

  const unsubscribe = bus.subscribe(subjects.nodeUp, ({ data }) => {
    const message = streamMessages.decode(data);
    if (message?.type !== "node_up") return;
    connections.announce(message.shards);
    leases.announce(message.shards);
  });
  bus.onStatus((status) => {
    log.warn({ status }, "the connection to NATS changed");
    // What was said meanwhile is lost: say again who is here and what is needed.
    const all = Array.from({ length: config.shards }, (_, shard) => shard);
    if (status === "connected") {
      connections.announce(all);
      leases.announce(all);
    }
  });

  const idempotency = new Idempotency(deps.store, log);
  const create = createCreate(deps, mail);
  const outward = startOutward(deps, { create, commands, reader, idempotency }, version);
  const description = (): string => text;
  const open = { deps, description };
  const described: readonly Route[] = [
    ...deliveryRoutes({ deps, create, commands, reader, idempotency }),
    ...courierRoutes({ deps, commands, ingest }),
    ...operatorRoutes({ deps, mail, whereabouts }),
    ...outwardRoutes(deps, version),
    ...openRoutes(open),
  ];
  const text = describe(described, config.publicUrl, version);
  const door = new HttpDoor(deps, auth, idempotency, [...described, trackingPageRoute(open)]);

  const listener = await listen({
    host: config.publicHost,
    port: config.publicPort,
    socketPaths: ["/v1/socket", "/socket"],
    frameMaxBytes: FRAME_MAX_BYTES,
    bufferMaxBytes: SOCKET_BUFFER_MAX_BYTES,
    idleS: SOCKET_IDLE_S,
    onRequest: (exchange) => door.serve(exchange),
    onUpgrade: (headers) => upgrade(headers, config.publicUrl),
    onOpen: (peer) => connections.open(peer),
    onError: (error, where) => {
      const stack = error instanceof Error ? error.stack : undefined;
      log.error({ where, ...errorFields(error), stack }, "a handler threw");
    },
  });
  const stopAll = async (): Promise<void> => {
    unsubscribe();
    await outward.stop();
    await end(listener, connections, ingest);
    for (const part of [positions, leases, tracking]) part.stop();
  };
  let stopped: Promise<void> | null = null;
  return { port: listener.port, connections, stop: () => (stopped ??= stopAll()) };
}

async function end(listener: Listener, connections: Connections, ingest: Ingest): Promise<void> {
  listener.stopListening();
  await connections.drain(DRAIN_BATCH_SOCKETS, DRAIN_PAUSE_MS);
  ingest.flush();
  listener.close();
}

/** The subprotocol says version and codec; a page of another origin may not open sockets in a user's name. */
function upgrade(headers: Headers, publicUrl: string): UpgradeAnswer {
  const offered = (headers["sec-websocket-protocol"] ?? "").split(",").map((name) => name.trim());
  if (!isOwnOrigin(headers, publicUrl)) {
    return refusal(new DispatchError("forbidden", "This origin may not open a socket here."));
  }
  if (offered.includes(SUBPROTOCOL)) return { protocol: SUBPROTOCOL };
  return refusal(new DispatchError("bad_request", `Ask for the subprotocol ${SUBPROTOCOL}.`));
}

/** Apps send no Origin; a browser's must be the address that it asked, or the public one. */
function isOwnOrigin(headers: Headers, publicUrl: string): boolean {
  const origin = headers["origin"];
  if (origin === undefined) return true;
  if (!URL.canParse(origin)) return false;
  const { host } = new URL(origin);
  return host === headers["host"] || host === new URL(publicUrl).host;
}

function refusal(error: DispatchError): UpgradeAnswer {
  const problem = problemOf(error, "/v1/socket");
  return { status: problem.status, headers: problemHeaders(error), body: JSON.stringify(problem) };
}
