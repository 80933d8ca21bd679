/**
 * The gateway as a process: settings from the environment, the ports opened, the gateway and its
 * admin listener started, and an orderly end: not ready any more, every answer asks its connection
 * to go elsewhere, then no new connections, goodbye to the sockets, everything handed on, exit.
 * Signals and exit codes are those of every process of ours (`engine/service.ts`).
 */
import type { NatsConnection } from "@nats-io/transport-node";
import { printable } from "../engine/config.ts";
import type { Config } from "../engine/config.ts";
import { loadCityGeocoder } from "../engine/geo/city-geocoder.ts";
import { createGreatCircleTravel } from "../engine/geo/travel-time.ts";
import { newNodeId } from "../engine/ids.ts";
import { systemClock } from "../engine/io/clock.ts";
import { systemRandom } from "../engine/io/random.ts";
import { createLog, errorFields } from "../engine/io/log.ts";
import type { Log } from "../engine/io/log.ts";
import { Metrics, watchEventLoop } from "../engine/io/metrics.ts";
import { endWithoutNats, openNats } from "../engine/io/nats/link.ts";
import type { NatsLink } from "../engine/io/nats/link.ts";
import { openFilesMax, socketCapacity } from "../engine/io/open-files.ts";
import { catchSignals } from "../engine/io/signals.ts";
import { watchSessions } from "../engine/io/postgres/pooling.ts";
import { readLedger } from "../engine/streams/ledger-reader.ts";
import { pauseUnless, readConfigOrExit, runService } from "../engine/service.ts";
import type { Opening, Running } from "../engine/service.ts";
import { openPartnerStore } from "../engine/store/partners.ts";
import { openPostgresStore } from "../engine/store/postgres-store.ts";
import type { PostgresStore } from "../engine/store/postgres-store.ts";
import type { StreamKeeper } from "../engine/streams/keeper.ts";
import { keepStreams } from "../engine/streams/look.ts";
import { readVersion } from "../engine/version.ts";
import { listenAdmin } from "../engine/io/admin.ts";
import type { Admin } from "../engine/io/admin.ts";
import { whenPortIsFree } from "../engine/io/port-wait.ts";
import type { PortWait } from "../engine/io/port-wait.ts";
import { GATEWAY_STOP_MAX_MS } from "../proto/limits.ts";
import { subjectsFor } from "../proto/subjects.ts";
import { ADMISSION_LIMITS } from "./access/admission.ts";
import { openCityMap } from "./page/city-map.ts";
import type { CityMap } from "./page/city-map.ts";
import { Fence } from "./base/fence.ts";
import { gatewayMetrics } from "./base/metrics.ts";
import type { Deps, Outward } from "./base/deps.ts";
import { startGateway } from "./gateway.ts";
import type { Gateway } from "./gateway.ts";
import { createNotifier } from "./events/notify/adapters.ts";
import { openProbe } from "./backend/postgres-probe.ts";

/** A readiness question to Postgres may take so long. */
const READY_TIMEOUT_MS = 1_000;

async function start(
  config: Config,
  log: Log,
  gateway: ReturnType<typeof newNodeId>,
  { opened, ending }: Opening,
): Promise<Running> {
  const version = readVersion();
  const metrics = new Metrics("gateway");
  const filesMax = openFilesMax();
  const capacity = socketCapacity(filesMax, config);
  const onLost = endWithoutNats(log);
  const link = await openNats({ config, name: gateway, log, metrics, onLost });
  opened(() => link.close());
  const { nc, bus, watch } = link;
  const { postgresUrl: url, postgresConnections: connections } = config;
  const store = openPostgresStore({ url, applicationName: gateway, connections });
  opened(() => store.close());
  const outward = outwardOf(config, nc, gateway, log);
  opened(() => outward.store.close());
  const probe = openProbe(url, gateway, [store, outward.store]);
  opened(() => probe.close());
  const { socketsMax, connectionsMax } = capacity;
  const parts = { config, log, gateway, metrics, socketsMax, link, store, outward };
  const deps = { ...(await depsOf(parts)), probe: probe.ask };
  const portWait = portWaitOf(log, ending);
  const door = await startGateway(deps, version, { connectionsMax, portWait });
  opened(() => door.stop());
  showSockets(metrics, door, socketsMax);
  const stopWatching = watchEventLoop(metrics);
  const stopChecking = watchSessions(url, (error) => {
    log.fatal(errorFields(error), "what stands in front of Postgres cannot be worked with");
    process.exit(1);
  });

  let isDraining = false;
  const streams = followStreams(config, link, log);
  const notReady = async (): Promise<string[]> => {
    const isAway = !probe.isWritable() || !(await answers(store.ping()));
    const draining = isDraining ? ["draining"] : [];
    return [...draining, ...watch.problems(), ...(isAway ? ["postgres"] : [])];
  };
  const { adminHost: host, adminPort: port } = config;
  const openAdmin = (): Promise<Admin> =>
    listenAdmin({
      ...{ host, port, version, metrics: () => metrics.text(), notReady },
      // Creates, accepts and statuses go on without them: no reason to keep clients away.
      degraded: () => streams.problems(),
      notAlive: () => (bus.status() === "closed" && !isDraining ? ["nats"] : []),
    });
  const admin = await whenPortIsFree(port, openAdmin, portWait);
  opened(() => admin.close());

  const stop = async (hurry: AbortSignal): Promise<void> => {
    isDraining = true;
    door.drain();
    await pauseUnless(hurry, config.drainMs);
    await Promise.all([door.stop(), streams.stop()]);
    // The last messages to actors are on their way before the connection goes.
    if (bus.status() === "connected") await bus.flush();
    await Promise.all([store.close(), probe.close(), outward.store.close()]);
    await link.close();
    await admin.close();
    await stopChecking();
    stopWatching();
  };
  const files = { openFilesMax: filesMax, ...capacity };
  const found = { port: door.port, adminPort: admin.port, ...files, settings: printable(config) };
  return { found, stop };
}

type Opened = {
  readonly config: Config;
  readonly log: Log;
  readonly gateway: ReturnType<typeof newNodeId>;
  readonly metrics: Metrics;
  readonly socketsMax: number;
  readonly link: NatsLink;
  readonly store: PostgresStore;
  readonly outward: Outward;
};

/** One gateway is started while another one still drains on the same port. */
const portWaitOf = (log: Log, ending: AbortSignal): PortWait => ({
  onWait: (port) => log.warn({ port }, "the port is taken; it is waited for"),
  isEnding: () => ending.aborted,
});

function showSockets(metrics: Metrics, { connections }: Gateway, socketsMax: number): void {
  metrics.gauge("hexdispatch_ws_connections", "Open WebSockets.", () => connections.size);
  const help = "WebSockets that may be open; 0: no cap.";
  metrics.gauge("hexdispatch_sockets_max", help, () => socketsMax);
}

/** What the parts of the gateway share, from what was opened. */
async function depsOf(opened: Opened): Promise<Omit<Deps, "probe">> {
  const { config, log, gateway, metrics, socketsMax, link, store, outward } = opened;
  return {
    gateway,
    config: { ...config, doors: { ...config.doors, socketsMax } },
    ...{ store, access: store, fleet: store },
    bus: link.bus,
    subjects: subjectsFor(config.natsPrefix),
    clock: systemClock,
    random: systemRandom,
    admission: ADMISSION_LIMITS,
    fence: new Fence(),
    log,
    metrics: gatewayMetrics(metrics),
    geocoder: await loadCityGeocoder(config.cityDir),
    travel: createGreatCircleTravel(),
    map: await loadMap(config, log),
    outward,
    ledger: (id) => readLedger(link.nc, config.natsPrefix, id),
  };
}

/** Looks at the streams that a gateway needs, and makes none: the owner of shard 0 does. */
function followStreams(config: Config, { nc, bus }: NatsLink, log: Log): StreamKeeper {
  const keys = ["EVENTS", "INTAKE"] as const;
  const streams = keepStreams(systemClock, log, { nc, ...config, keys, makes: false });
  bus.onStatus((status) => status === "connected" && streams.nudge());
  streams.start();
  return streams;
}

/** Deliveries do without streets on a page: a map that cannot be read is a warning. */
const loadMap = ({ cityDir }: Config, log: Log): Promise<CityMap | null> =>
  openCityMap(cityDir).catch((error: unknown) => {
    log.warn(errorFields(error), "the city's map cannot be read, tracking pages show a plan");
    return null;
  });

const outwardOf = (config: Config, nats: NatsConnection, name: string, log: Log): Outward => ({
  nats,
  prefix: config.natsPrefix,
  store: openPartnerStore({ url: config.postgresUrl, applicationName: `${name} outward` }),
  webhookTargets: config.webhookTargets,
  notifier: createNotifier(config.notify, log),
});

/** Whether the promise is kept within the deadline. */
async function answers(promise: Promise<void>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<false>((resolve) => {
    timer = setTimeout(() => resolve(false), READY_TIMEOUT_MS);
  });
  const answered = promise.then(
    () => true,
    () => false,
  );
  const result = await Promise.race([answered, late]);
  clearTimeout(timer);
  return result;
}

/** Runs the gateway until it is told to end or fails. */
export async function main(): Promise<void> {
  const requests = catchSignals();
  const config = readConfigOrExit(process.env, "gateway");
  const gateway = newNodeId("gw");
  const log = createLog(config.logLevel, { role: "gateway", node: gateway });
  await runService({
    name: "the gateway",
    log,
    requests,
    stopDeadlineMs: config.drainMs + GATEWAY_STOP_MAX_MS,
    start: (opening) => start(config, log, gateway, opening),
  });
}
