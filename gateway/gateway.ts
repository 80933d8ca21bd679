/**
 * One gateway put together from its ports: the REST door, the sockets, the fan-out. It reads no
 * environment and ends no process (`gateway/main.ts` does), so that a test can have one on any free
 * port.
 */
import { BlockList, isIPv6 } from "node:net";
import { addressReader, parseNetworks } from "../engine/client-address.ts";
import { DOOR_DEFAULTS } from "../engine/door-limits.ts";
import { errorFields } from "../engine/io/log.ts";
import { whenPortIsFree } from "../engine/io/port-wait.ts";
import type { PortWait } from "../engine/io/port-wait.ts";
import { DispatchError } from "../proto/errors.ts";
import { SUBPROTOCOL } from "../proto/frames.ts";
import { FRAME_MAX_BYTES, SOCKET_BUFFER_MAX_BYTES, SOCKET_IDLE_S } from "../proto/limits.ts";
import type { Connections } from "./websocket/connections.ts";
import { createCore } from "./core.ts";
import type { Deps } from "./base/deps.ts";
import { authOf, createGuards } from "./access/guards.ts";
import { problemHeaders, problemOf, securityHeadersFor } from "./base/problem.ts";
import type { SocketCaps } from "./access/socket-caps.ts";
import { listenerOf } from "./listener/kinds.ts";
import type { Headers, Listener, ListenerOptions, UpgradeAnswer } from "./listener/listener.ts";

/** A line about refused connections at most so often. */
const REFUSALS_SAID_MS = 10_000;

export type Gateway = {
  /** The port of the public listener. */
  readonly port: number;
  readonly connections: Connections;
  /** From now on every answer of the public port ends its connection; nothing else changes. */
  readonly drain: () => void;
  /**
   * Stops listening, says goodbye to the sockets, hands on what is collected. May be asked twice.
   */
  readonly stop: () => Promise<void>;
};

export type StartOptions = {
  /** Open connections at most; 0: no bound. */
  readonly connectionsMax?: number;
  /** How a taken port is waited for; absent: not at all. */
  readonly portWait?: PortWait;
};

/** Starts a gateway. Rejects when the port is taken, and stays so as long as it is waited for. */
export async function startGateway(
  deps: Deps,
  version: string,
  { connectionsMax = 0, portWait }: StartOptions = {},
): Promise<Gateway> {
  const { log, config } = deps;
  const guards = createGuards(deps);
  const core = createCore(deps, authOf(deps, guards), version, guards);
  const { connections, door } = core;
  await guards.revocations.read();
  // Made now, so that what cannot be described stops the start and no request.
  core.description();

  const proxies = parseNetworks(config.trustedProxies ?? "") ?? new BlockList();
  const listen = await listenerOf(config.listener ?? "node");
  const options: ListenerOptions = {
    host: config.publicHost,
    port: config.publicPort,
    isShared: config.portShared,
    socketPaths: ["/v1/socket", "/socket"],
    frameMaxBytes: FRAME_MAX_BYTES,
    bufferMaxBytes: SOCKET_BUFFER_MAX_BYTES,
    idleS: SOCKET_IDLE_S,
    connectionsMax,
    onRefused: countingRefusals(deps, connectionsMax),
    onRequest: (exchange) => door.serve(exchange),
    addressOf: addressReader(proxies),
    isProxy: (address) => proxies.check(address, isIPv6(address) ? "ipv6" : "ipv4"),
    connectionsPerAddressMax: (config.doors ?? DOOR_DEFAULTS).socketsPerAddressMax * 2,
    securityHeaders: securityHeadersFor(config.publicUrl),
    onUpgrade: (headers, address) => admitSocket(deps, guards.caps, headers, address),
    onOpen: (peer) => connections.open(peer),
    onError: (error, where) => {
      const stack = error instanceof Error ? error.stack : undefined;
      log.error({ where, ...errorFields(error), stack }, "a handler threw");
    },
  };
  const open = (): Promise<Listener> => listen(options);
  const listener = await (portWait ? whenPortIsFree(config.publicPort, open, portWait) : open());
  const stopAll = async (): Promise<void> => {
    listener.stopListening();
    await core.drain();
    listener.close();
    core.stop();
    guards.revocations.stop();
  };
  let stopped: Promise<void> | null = null;
  const { port } = listener;
  const drain = (): void => listener.drain();
  return { port, connections, drain, stop: () => (stopped ??= stopAll()) };
}

/** Each refused connection counts; a line says it once in a while, however many they are. */
function countingRefusals({ metrics, log, clock }: Deps, connectionsMax: number): () => void {
  let unsaid = 0;
  let sayAt = 0;
  return () => {
    metrics.limited.inc({ scope: "connections" });
    unsaid++;
    if (clock.now() < sayAt) return;
    sayAt = clock.now() + REFUSALS_SAID_MS;
    const why = "connections are refused: as many are open as the limit of open files allows";
    log.warn({ refused: unsaid, connectionsMax }, why);
    unsaid = 0;
  };
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
  const code = refused === "all" ? "overloaded" : "rate_limited";
  return refusal(new DispatchError(code), config.publicUrl);
}

/**
 * The subprotocol says version and codec; a page of another origin may not open sockets in a user's
 * name.
 */
function upgrade(headers: Headers, publicUrl: string): UpgradeAnswer {
  const offered = (headers["sec-websocket-protocol"] ?? "").split(",").map((name) => name.trim());
  if (!isOwnOrigin(headers, publicUrl)) {
    const text = "This origin may not open a socket here.";
    return refusal(new DispatchError("forbidden", text), publicUrl);
  }
  if (offered.includes(SUBPROTOCOL)) return { protocol: SUBPROTOCOL };
  const text = `Ask for the subprotocol ${SUBPROTOCOL}.`;
  return refusal(new DispatchError("bad_request", text), publicUrl);
}

/** Apps send no Origin; a browser's must be the address that it asked, or the public one. */
function isOwnOrigin(headers: Headers, publicUrl: string): boolean {
  const origin = headers["origin"];
  if (origin === undefined) return true;
  if (!URL.canParse(origin)) return false;
  const { host } = new URL(origin);
  return host === headers["host"] || host === new URL(publicUrl).host;
}

function refusal(error: DispatchError, publicUrl: string): UpgradeAnswer {
  const problem = problemOf(error, "/v1/socket");
  const headers = { ...securityHeadersFor(publicUrl), ...problemHeaders(error) };
  return { status: problem.status, headers, body: JSON.stringify(problem) };
}
