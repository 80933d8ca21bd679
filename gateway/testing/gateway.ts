/**
 * For tests: a whole gateway on a free port, over a database and a NATS prefix of its own. It
 * builds, it hides nothing.
 */
import type { NatsConnection } from "@nats-io/transport-node";
import { createCityGeocoder } from "../../engine/geo/city-geocoder.ts";
import { createGreatCircleTravel } from "../../engine/geo/travel-time.ts";
import { newNodeId } from "../../engine/ids.ts";
import { systemClock } from "../../engine/io/clock.ts";
import { systemRandom } from "../../engine/io/random.ts";
import { createLog } from "../../engine/io/log.ts";
import { Metrics } from "../../engine/io/metrics.ts";
import { connectNats, natsBus } from "../../engine/io/nats/nats.ts";
import type { Bus } from "../../engine/io/nats/nats.ts";
import type { Store } from "../../engine/store/port.ts";
import { migrate } from "../../engine/store/migrate.ts";
import { openPartnerStore } from "../../engine/store/partners.ts";
import type { PartnerStore } from "../../engine/store/partners.ts";
import { openPostgresStore } from "../../engine/store/postgres-store.ts";
import type { PostgresStore } from "../../engine/store/postgres-store.ts";
import type { CourierId, ShardId } from "../../proto/ids.ts";
import { takeOver } from "../../engine/store/contract/world.ts";
import { DISPATCH_DEFAULTS, SERVICE_AREA_DEFAULT } from "../../proto/limits.ts";
import { subjectsFor } from "../../proto/subjects.ts";
import type { Subjects } from "../../proto/subjects.ts";
import { testDatabase, testNatsUrl, testPrefix } from "../../scripts/testing/services.ts";
import type { TestDatabase } from "../../scripts/testing/services.ts";
import type { Deps, GatewayConfig } from "../base/deps.ts";
import type { AdmissionLimits } from "../access/admission.ts";
import type { CityMap } from "../page/city-map.ts";
import { Fence } from "../base/fence.ts";
import { gatewayMetrics } from "../base/metrics.ts";
import { startGateway } from "../gateway.ts";
import { openProbe } from "../backend/postgres-probe.ts";
import type { Gateway } from "../gateway.ts";
import type { Notifier } from "../events/notify/notifier.ts";
import { signToken } from "../token.ts";
import type { TokenRole } from "../token.ts";
import { keepLog } from "./attacked-process.ts";
import { Rest, openClient } from "./clients.ts";
import type { Client } from "./clients.ts";
import { FakeNodes } from "./nodes.ts";
import { doorTo } from "./via.ts";

export const TEST_KEY = "a signing key for tests, 32 characters and more";

/** Two addresses and nothing else. */
const CITY = {
  addresses:
    "number,street,lat,lng\n123,Market St,37.7936,-122.3958\n456,Valencia St,37.7646,-122.4218\n",
  intersections: null,
};

/** A point in the served area, and one a walk away. */
export const HERE = { lat: 37.7879, lng: -122.4075 };
export const THERE = { lat: 37.7599, lng: -122.4148 };
export const BODY = {
  origin: HERE,
  destination: THERE,
  package_size: "small",
  phone: "+1-415-555-0100",
} as const;

export type TestGateway = {
  readonly gateway: Gateway;
  readonly store: PostgresStore;
  readonly bus: Bus;
  readonly subjects: Subjects;
  readonly deps: Deps;
  readonly metrics: Metrics;
  readonly url: string;
  readonly databaseUrl: string;
  /** Lines of the log at level warn and above. */
  readonly logLines: string[];
  readonly nodes: FakeNodes;
  readonly partners: PartnerStore;
  readonly nats: NatsConnection;
  readonly prefix: string;
  readonly postgresUrl: string;
  readonly rest: Rest;
  readonly connect: (token: string) => Promise<Client>;
  readonly close: () => Promise<void>;
};

const NEVER_TOO_MUCH: AdmissionLimits = { lagMs: 1e9, requests: 1e9, statements: 1e9 };

export type TestChange = {
  readonly ledger?: Deps["ledger"];
  /** In place of a new database on the run's Postgres. */
  readonly database?: Pick<TestDatabase, "url" | "drop">;
  readonly natsUrl?: string;
  readonly prefix?: string;
  /** Default: none is ever reached, so that a slow machine does not refuse a test. */
  readonly admission?: AdmissionLimits;
  /** Put around the store that the gateway gets. */
  readonly wrap?: (store: PostgresStore) => Store;
  /** Streets for its tracking pages. */
  readonly map?: CityMap | null;
  /** Over the settings of all tests. */
  readonly config?: Partial<GatewayConfig>;
  /** Real nodes are behind it: nobody answers in their place. */
  readonly withNodes?: boolean;
  /** With the outward parts; `natsUrl` and `credentials` where the run's server will not do. */
  readonly outward?: {
    readonly natsUrl?: string;
    readonly credentials?: string;
    readonly prefix?: string;
    readonly notifier?: Notifier;
  };
};

export async function startTestGateway(change: TestChange = {}): Promise<TestGateway> {
  const database = change.database ?? (await testDatabase());
  await migrate(database.url);
  const store = openPostgresStore({ url: database.url, applicationName: "gateway test" });
  const partners = openPartnerStore({ url: database.url, applicationName: "gateway test" });
  const probe = openProbe(database.url, "gateway_test", [store, partners]);
  // Connecting may take longer than a probe does, on a machine that is busy with other things.
  await probe.ask("look").catch(() => undefined);
  const options = {
    url: change.natsUrl ?? change.outward?.natsUrl ?? testNatsUrl(),
    credentials: change.outward?.credentials ?? null,
  };
  const nats = await connectNats({ ...options, name: "gateway test" });
  const bus = natsBus(nats);
  const nodesBus = natsBus(await connectNats({ ...options, name: "nodes test" }));
  const prefix = change.prefix ?? change.outward?.prefix ?? testPrefix();
  const subjects = subjectsFor(prefix);
  const logLines: string[] = [];
  const metrics = new Metrics("gateway");
  const config: GatewayConfig = {
    publicHost: "127.0.0.1",
    publicPort: 0,
    portShared: false,
    publicUrl: "http://links.test",
    authKey: TEST_KEY,
    serviceArea: SERVICE_AREA_DEFAULT,
    shards: 64,
    settings: { ...DISPATCH_DEFAULTS, POSITIONS_MS: 100, FOLLOW_REREAD_MS: 2_000 },
    ...change.config,
  };
  const deps: Deps = {
    gateway: newNodeId("gw"),
    config,
    store: change.wrap?.(store) ?? store,
    access: store,
    fleet: store,
    probe: probe.ask,
    bus,
    subjects,
    clock: systemClock,
    random: systemRandom,
    admission: change.admission ?? NEVER_TOO_MUCH,
    fence: new Fence(),
    log: createLog("warn", {}, { write: (line) => void logLines.push(line) }),
    metrics: gatewayMetrics(metrics),
    geocoder: createCityGeocoder(CITY),
    travel: createGreatCircleTravel(),
    map: change.map ?? null,
    ledger: change.ledger ?? (() => Promise.resolve([])),
    ...(change.outward === undefined
      ? {}
      : {
          outward: {
            nats,
            prefix,
            store: partners,
            webhookTargets: "any" as const,
            notifier: change.outward.notifier ?? null,
          },
        }),
  };
  const { withNodes = false } = change;
  const nodes = new FakeNodes(nodesBus, subjects, withNodes ? 0 : config.shards, !withNodes);
  await nodesBus.flush();
  const gateway = await startGateway(deps, "0.0.0-test");
  await bus.flush();
  const between = await doorTo(gateway.port);
  const { url } = between;
  const clients: Client[] = [];
  return {
    gateway,
    store,
    bus,
    subjects,
    deps,
    metrics,
    url,
    databaseUrl: database.url,
    logLines,
    nodes,
    partners,
    nats,
    prefix,
    postgresUrl: database.url,
    rest: new Rest(url),
    async connect(token) {
      const client = await openClient(url);
      clients.push(client);
      client.send({ type: "hello", version: 1, token, client: "test" });
      return client;
    },
    async close() {
      for (const client of clients) client.end();
      await gateway.stop();
      await between.close();
      await Promise.all([store.close(), probe.close(), partners.close()]);
      await bus.close();
      await nodesBus.close();
      await database.drop();
      keepLog("gateway", logLines);
    },
  };
}

/** Puts a courier on shift; in operation its actor writes that. */
export async function goOnShift(store: PostgresStore, id: string): Promise<void> {
  const shard = 0 as ShardId;
  const epoch = await takeOver(store, "node_test", shard);
  const write = { kind: "shift", courier: id as CourierId, online: true } as const;
  const outcome = await store.write(write, shard, epoch);
  if (outcome.outcome !== "recorded") throw new Error(`the shift was ${outcome.outcome}`);
}

/** A token for tests; `ttlS` may be negative. */
export const tokenOf = (role: TokenRole, sub: string, ttlS = 600): Promise<string> =>
  signToken({ role, sub, ttlS }, TEST_KEY);
