/**
 * One gateway put together from its ports: the REST door, the sockets, the fan-out. It reads no environment and ends no
 * process (`gateway/main.ts` does), so that a test can have one on any free port.
 */
import { BlockList } from "node:net";
import { addressReader, parseNetworks } from "../engine/client-address.ts";
import { DOOR_DEFAULTS } from "../engine/config.ts";
import { errorFields } from "../engine/io/log.ts";
import { DispatchError } from "../proto/errors.ts";
import { SUBPROTOCOL } from "../proto/frames.ts";
import { FRAME_MAX_BYTES, SOCKET_BUFFER_MAX_BYTES, SOCKET_IDLE_S } from "../proto/limits.ts";
import { streamMessages } from "../proto/messages.ts";
import { createAuth } from "./auth.ts";
import { Circuit } from "./circuit.ts";
import { createCommands } from "./commands.ts";
import { Connections } from "./connections.ts";
import { createCreate } from "./create.ts";
import type { Deps } from "./deps.ts";
import { Doorkeeper } from "./doorkeeper.ts";
import { createFrameService } from "./frame-service.ts";
import { guardedStore } from "./guarded-store.ts";
import { HttpDoor } from "./http.ts";
import { Idempotency } from "./idempotency.ts";
import { Ingest } from "./ingest.ts";
import { IntakeDoor } from "./intake.ts";
import { createMail } from "./mail.ts";
import { describe } from "./openapi.ts";
import { Leases, Positions } from "./positions.ts";
import { SECURITY_HEADERS, problemHeaders, problemOf } from "./problem.ts";
import { Reader } from "./reader.ts";
import { Revocations } from "./revocations.ts";
import type { Route } from "./route.ts";
import { courierRoutes } from "./routes/couriers.ts";
import { deliveryRoutes } from "./routes/deliveries.ts";
import { openRoutes, trackingPageRoute } from "./routes/open.ts";
import { operatorRoutes } from "./routes/operator.ts";
import { SocketCaps } from "./socket-caps.ts";
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
export async function startGateway(ports: Deps, version: string): Promise<Gateway> {
  const { log, config } = ports;
  const circuit = watchPostgres(ports);
  const deps = { ...ports, store: guardedStore(ports.store, circuit) };
  const doorkeeper = new Doorkeeper({
    ...{ clock: deps.clock, limits: deps.admission, metrics: deps.metrics },
    statements: () => circuit.underWay(),
  });
  const mail = createMail(deps);
  const revocations = new Revocations(deps);
  const { auth, caps, doors } = guards(deps, revocations);
  const whereabouts = new Whereabouts(mail, deps.store, deps.clock);
  const reader = new Reader(whereabouts, deps.travel, deps.clock);
  const commands = createCommands(deps, mail);
  const leases = new Leases(deps);
  const tracking = new Tracking(deps, reader, leases);
  const positions = new Positions(deps, whereabouts, tracking);
  const onLeave = tracking.leave.bind(tracking);
  const connections = new Connections({ deps, auth, mail, caps, onLeave });
  revocations.tell(() => connections.revoke((principal) => revocations.revokes(principal)));
  await revocations.read();
  const ingest = new Ingest(deps, mail, (session, seq) => connections.acknowledge(session, seq));
  connections.serveWith(createFrameService({ deps, doorkeeper, commands, ingest, tracking }));

  const unsubscribe = announceToNodes(deps, connections, leases);

  const idempotency = new Idempotency(deps.store, log);
  const intake = new IntakeDoor(deps);
  const create = createCreate({ deps, mail, intake, circuit });
  const description = (): string => text;
  const open = { deps, description };
  const described: readonly Route[] = [
    ...deliveryRoutes({ deps, create, intake, commands, reader, idempotency }),
    ...courierRoutes({ deps, commands, ingest }),
    ...operatorRoutes({ deps, mail, whereabouts, revocations }),
    ...openRoutes(open),
  ];
  const text = describe(described, config.publicUrl, version);
  const routes = [...described, trackingPageRoute(open)];
  const door = new HttpDoor({ deps, auth, idempotency, doorkeeper, limits: doors }, routes);

  const listener = await listen({
    host: config.publicHost,
    port: config.publicPort,
    socketPaths: ["/v1/socket", "/socket"],
    frameMaxBytes: FRAME_MAX_BYTES,
    bufferMaxBytes: SOCKET_BUFFER_MAX_BYTES,
    idleS: SOCKET_IDLE_S,
    onRequest: (exchange) => door.serve(exchange),
    addressOf: addressReader(parseNetworks(config.trustedProxies ?? "") ?? new BlockList()),
    onUpgrade: (headers, address) => admitSocket(deps, caps, headers, address),
    onOpen: (peer) => connections.open(peer),
    onError: (error, where) => {
      const stack = error instanceof Error ? error.stack : undefined;
      log.error({ where, ...errorFields(error), stack }, "a handler threw");
    },
  });
  const stopAll = async (): Promise<void> => {
    unsubscribe();
    await end(listener, connections, ingest);
    for (const part of [positions, leases, tracking, intake, circuit, doorkeeper, revocations]) {
      part.stop();
    }
  };
  let stopped: Promise<void> | null = null;
  return { port: listener.port, connections, stop: () => (stopped ??= stopAll()) };
}

/** Who may come in, and how often. */
function guards({ config, store, clock }: Deps, revocations: Revocations) {
  const { authKey, authKeyPrevious: previous } = config;
  const keys = previous ? ([authKey, previous] as const) : ([authKey] as const);
  const doors = config.doors ?? DOOR_DEFAULTS;
  const caps = new SocketCaps({
    all: doors.socketsMax,
    perAddress: doors.socketsPerAddressMax,
    perPrincipal: doors.socketsPerPrincipalMax,
  });
  return { auth: createAuth({ keys, store, clock, revocations }), caps, doors };
}

/** Nodes that took shards, and all of them after NATS was away, are told who is here and what is needed. */
function announceToNodes(
  { bus, subjects, log, config }: Deps,
  connections: Connections,
  leases: Leases,
): () => void {
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

async function end(listener: Listener, connections: Connections, ingest: Ingest): Promise<void> {
  listener.stopListening();
  await connections.drain(DRAIN_BATCH_SOCKETS, DRAIN_PAUSE_MS);
  ingest.flush();
  listener.close();
}

/** Before the upgrade: how many there are already, then who asks. */
function admitSocket(
  { config, metrics }: Pick<Deps, "config" | "metrics">,
  caps: SocketCaps,
  headers: Headers,
  address: string,
): UpgradeAnswer {
  const refused = caps.refusal(address);
  if (refused === null) return upgrade(headers, config.publicUrl);
  metrics.limited.inc({ scope: `${refused} sockets` });
  return refusal(new DispatchError(refused === "all" ? "overloaded" : "rate_limited"));
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
  const headers = { ...SECURITY_HEADERS, ...problemHeaders(error) };
  return { status: problem.status, headers, body: JSON.stringify(problem) };
}
