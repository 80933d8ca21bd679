/**
 * The gateway as a process: settings from the environment, the ports opened, the gateway and its admin listener
 * started, and an orderly end at SIGTERM or SIGINT: not ready any more, no new connections, goodbye to the sockets,
 * everything handed on, exit. A bug that nobody caught ends the process; whoever runs it starts it again.
 */
import type { NatsConnection } from "@nats-io/transport-node";
import { ConfigError, printable, readConfig } from "../engine/config.ts";
import type { Config } from "../engine/config.ts";
import { loadCityGeocoder } from "../engine/geo/city-geocoder.ts";
import { createGreatCircleTravel } from "../engine/geo/travel-time.ts";
import { newNodeId } from "../engine/ids.ts";
import { systemClock } from "../engine/io/clock.ts";
import { systemRandom } from "../engine/io/random.ts";
import { createLog, errorFields } from "../engine/io/log.ts";
import type { Log } from "../engine/io/log.ts";
import { Metrics, watchEventLoop } from "../engine/io/metrics.ts";
import { endWithoutNats, openNats } from "../engine/io/nats-link.ts";
import type { NatsLink } from "../engine/io/nats-link.ts";
import { watchSessions } from "../engine/io/postgres-pooling.ts";
import { readLedger } from "../engine/ledger-reader.ts";
import { openPartnerStore } from "../engine/store/partners.ts";
import { openPostgresStore } from "../engine/store/postgres-store.ts";
import type { StreamKeeper } from "../engine/stream-keeper.ts";
import { keepStreams } from "../engine/stream-look.ts";
import { readVersion } from "../engine/version.ts";
import { listenAdmin } from "../engine/io/admin.ts";
import { subjectsFor } from "../proto/subjects.ts";
import { ADMISSION_LIMITS } from "./admission.ts";
import { openCityMap } from "./city-map.ts";
import type { CityMap } from "./city-map.ts";
import { Fence } from "./fence.ts";
import { gatewayMetrics } from "./gateway-metrics.ts";
import type { Outward } from "./deps.ts";
import { startGateway } from "./gateway.ts";
import { createNotifier } from "./notify/adapters.ts";
import { openProbe } from "./probe.ts";

/** How long load balancers get to see that we are not ready, before we stop listening. */
const UNREADY_MS = 200;
/** An end that takes longer is cut short. */
const STOP_DEADLINE_MS = 28_000;
/** A readiness question to Postgres may take so long. */
const READY_TIMEOUT_MS = 1_000;

type Running = { readonly stop: () => Promise<void> };

async function start(config: Config, log: Log, gateway: ReturnType<typeof newNodeId>) {
  const version = readVersion();
  const metrics = new Metrics("gateway");
  const onLost = endWithoutNats(log);
  const link = await openNats({ config, name: gateway, log, metrics, onLost });
  const { nc, bus, watch } = link;
  const store = openPostgresStore({
    url: config.postgresUrl,
    applicationName: gateway,
    connections: config.postgresConnections,
  });
  const subjects = subjectsFor(config.natsPrefix);
  const outward = outwardOf(config, nc, gateway, log);
  const probe = openProbe(config.postgresUrl, gateway, [store, outward.store]);
  const deps = {
    gateway,
    config,
    ...{ store, access: store, fleet: store },
    probe: probe.ask,
    bus,
    subjects,
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
    ledger: (id: Parameters<typeof readLedger>[2]) => readLedger(nc, config.natsPrefix, id),
  };
  const door = await startGateway(deps, version);
  metrics.gauge("hexdispatch_ws_connections", "Open WebSockets.", () => door.connections.size);
  const stopWatching = watchEventLoop(metrics);
  const stopChecking = watchSessions(config.postgresUrl, (error) => {
    log.fatal(errorFields(error), "what stands in front of Postgres cannot be worked with");
    process.exit(1);
  });

  let isDraining = false;
  const streams = followStreams(config, link, log);
  const notReady = async (): Promise<string[]> => {
    const missing: string[] = [];
    if (isDraining) missing.push("draining");
    missing.push(...watch.problems());
    if (!probe.isWritable() || !(await answers(store.ping()))) missing.push("postgres");
    return missing;
  };
  const { adminHost: host, adminPort: port } = config;
  const admin = await listenAdmin({
    ...{ host, port, version, metrics: () => metrics.text(), notReady },
    // Creates, accepts and statuses go on without them: no reason to keep clients away.
    degraded: () => streams.problems(),
    notAlive: () => (bus.status() === "closed" && !isDraining ? ["nats"] : []),
  });
  log.info({ port: door.port, adminPort: admin.port, settings: printable(config) }, "ready");

  const stop = async (): Promise<void> => {
    isDraining = true;
    await new Promise((resolve) => setTimeout(resolve, UNREADY_MS));
    await Promise.all([door.stop(), streams.stop()]);
    // The last messages to actors are on their way before the connection goes.
    if (bus.status() === "connected") await bus.flush();
    await Promise.all([store.close(), probe.close(), outward.store.close()]);
    await link.close();
    await admin.close();
    await stopChecking();
    stopWatching();
  };
  return { stop };
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

/** Ends the process in order at the first signal; a second one changes nothing, the deadline stands. */
function endOnSignal(running: Running, log: Log): void {
  let isEnding = false;
  const onSignal = (signal: NodeJS.Signals): void => {
    if (isEnding) return;
    isEnding = true;
    log.info({ signal }, "stopping");
    setTimeout(() => {
      log.error("the end took too long");
      process.exit(1);
    }, STOP_DEADLINE_MS).unref();
    running.stop().then(
      () => {
        log.info("stopped");
        process.exit(0);
      },
      (error: unknown) => {
        log.error(errorFields(error), "the end failed");
        process.exit(1);
      },
    );
  };
  process.on("SIGTERM", onSignal);
  process.on("SIGINT", onSignal);
}

async function main(): Promise<void> {
  let config: Config;
  try {
    config = readConfig(process.env);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exit(2);
  }
  const gateway = newNodeId("gw");
  const log = createLog(config.logLevel, { role: "gateway", node: gateway });
  const onBug = (error: unknown): void => {
    const stack = error instanceof Error ? error.stack : undefined;
    log.fatal({ ...errorFields(error), stack }, "a bug ends this process");
    process.exit(1);
  };
  process.on("uncaughtException", onBug);
  process.on("unhandledRejection", onBug);
  try {
    const running = await start(config, log, gateway);
    endOnSignal(running, log);
  } catch (error) {
    log.fatal(errorFields(error), "the gateway cannot start");
    process.exit(1);
  }
  process.send?.({ ready: true });
}

await main();
