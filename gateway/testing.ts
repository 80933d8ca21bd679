/**
 * For tests of the gateway: a whole gateway on a free port over a database and a NATS prefix of its own, a stand-in for
 * the nodes behind it that speaks the real protocol, a REST client, a WebSocket client. It builds, it hides nothing.
 */
import { WebSocket } from "ws";
import { createCityGeocoder } from "../engine/geo/city-geocoder.ts";
import { createGreatCircleTravel } from "../engine/geo/travel-time.ts";
import { newNodeId } from "../engine/ids.ts";
import { systemClock } from "../engine/io/clock.ts";
import { createLog } from "../engine/io/log.ts";
import { Metrics } from "../engine/io/metrics.ts";
import { connectNats, natsBus } from "../engine/io/nats.ts";
import type { Bus } from "../engine/io/nats.ts";
import { migrate } from "../engine/store/migrate.ts";
import { openPostgresStore } from "../engine/store/postgres-store.ts";
import type { PostgresStore } from "../engine/store/postgres-store.ts";
import { SUBPROTOCOL, clientFrames, serverFrames } from "../proto/frames.ts";
import type { ClientFrame, ServerFrame, ServerFrameOf } from "../proto/frames.ts";
import type { CourierId } from "../proto/ids.ts";
import { DISPATCH_DEFAULTS, SERVICE_AREA_DEFAULT } from "../proto/limits.ts";
import { decodePosts, encodeSessionPosts, streamMessages } from "../proto/messages.ts";
import type { CourierRecord, Posted, SessionPost, StreamMessage } from "../proto/messages.ts";
import { subjectsFor } from "../proto/subjects.ts";
import type { Subjects } from "../proto/subjects.ts";
import { testDatabase, testNatsUrl, testPrefix } from "../scripts/testing/services.ts";
import type { Deps, GatewayConfig } from "./deps.ts";
import { gatewayMetrics } from "./gateway-metrics.ts";
import { startGateway } from "./gateway.ts";
import type { Gateway } from "./gateway.ts";
import { signToken } from "./token.ts";
import type { TokenRole } from "./token.ts";

export const TEST_KEY = "a signing key for tests, 32 characters and more";
const WAIT_MS = 10_000;

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
  /** Lines of the log at level warn and above. */
  readonly logLines: string[];
  readonly nodes: FakeNodes;
  readonly rest: Rest;
  readonly connect: (token: string) => Promise<Client>;
  readonly close: () => Promise<void>;
};

export async function startTestGateway(
  change: { readonly ledger?: Deps["ledger"] } = {},
): Promise<TestGateway> {
  const database = await testDatabase();
  await migrate(database.url);
  const store = openPostgresStore({ url: database.url, applicationName: "gateway test" });
  const bus = natsBus(await connectNats({ url: testNatsUrl(), name: "gateway test" }));
  const nodesBus = natsBus(await connectNats({ url: testNatsUrl(), name: "nodes test" }));
  const subjects = subjectsFor(testPrefix());
  const logLines: string[] = [];
  const metrics = new Metrics("gateway");
  const config: GatewayConfig = {
    publicHost: "127.0.0.1",
    publicPort: 0,
    publicUrl: "http://links.test",
    authKey: TEST_KEY,
    serviceArea: SERVICE_AREA_DEFAULT,
    shards: 64,
    settings: { ...DISPATCH_DEFAULTS, POSITIONS_MS: 100 },
  };
  const deps: Deps = {
    gateway: newNodeId("gw"),
    config,
    store,
    bus,
    subjects,
    clock: systemClock,
    log: createLog("warn", {}, { write: (line) => void logLines.push(line) }),
    metrics: gatewayMetrics(metrics),
    geocoder: createCityGeocoder(CITY),
    travel: createGreatCircleTravel(),
    ledger: change.ledger ?? (() => Promise.resolve([])),
  };
  const nodes = new FakeNodes(nodesBus, subjects, config.shards);
  await nodesBus.flush();
  const gateway = await startGateway(deps, "0.0.0-test");
  await bus.flush();
  const url = `http://127.0.0.1:${gateway.port}`;
  const clients: Client[] = [];
  return {
    gateway,
    store,
    bus,
    subjects,
    deps,
    metrics,
    url,
    logLines,
    nodes,
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
      await store.close();
      await bus.close();
      await nodesBus.close();
      await database.drop();
    },
  };
}

/** A token for tests; `ttlS` may be negative. */
export const tokenOf = (role: TokenRole, sub: string, ttlS = 600): Promise<string> =>
  signToken({ role, sub, ttlS }, TEST_KEY);

/** Waits until `read` gives something. Polling: what is awaited happens in another process. */
export async function until<T>(
  read: () => T | undefined | null | false | Promise<T | undefined | null | false>,
  what = "the condition",
): Promise<T> {
  const deadline = Date.now() + WAIT_MS;
  for (;;) {
    const value = await read();
    if (value !== undefined && value !== null && value !== false) return value;
    if (Date.now() > deadline) throw new Error(`${what} did not come within ${WAIT_MS} ms`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** What nodes would do: hears all messages for actors, answers requests and questions as it was told. */
export class FakeNodes {
  readonly posts: Posted[] = [];
  readonly watches: Extract<StreamMessage, { type: "watch" }>[] = [];
  readonly records = new Map<string, CourierRecord>();
  outboxNudges = 0;
  /** Code of the answer to declines and shifts; null: no answer at all. */
  answer: string | null = "ok";
  readonly #bus: Bus;
  readonly #subjects: Subjects;

  constructor(bus: Bus, subjects: Subjects, shards: number) {
    this.#bus = bus;
    this.#subjects = subjects;
    bus.subscribe(subjects.outbox, () => void this.outboxNudges++);
    bus.subscribe(subjects.fleet, (message) =>
      message.respond(this.#part([...this.records.values()])),
    );
    for (let shard = 0; shard < shards; shard++) {
      bus.subscribe(subjects.shard(shard), (message) => {
        const posts = decodePosts(message.data)?.posts ?? [];
        this.posts.push(...posts);
        const msg = posts[0]?.msg;
        if (!message.wantsAnswer || this.answer === null) return;
        const online = msg?.type === "shift" ? msg.online : null;
        message.respond(streamMessages.encode({ type: "answer", code: this.answer, online }));
      });
      bus.subscribe(subjects.where(shard), (message) => {
        const question = streamMessages.decode(message.data);
        const record = question?.type === "where" ? this.records.get(question.courier) : undefined;
        message.respond(this.#part(record === undefined ? [] : [record]));
      });
      bus.subscribe(subjects.watch(shard), ({ data }) => {
        const watch = streamMessages.decode(data);
        if (watch?.type === "watch") this.watches.push(watch);
      });
    }
  }

  /** Messages of one type, to one actor or to all. */
  heard<T extends Posted["msg"]["type"]>(type: T, id?: string) {
    const found = this.posts.filter(
      (post) => post.msg.type === type && (id ?? post.id) === post.id,
    );
    return found.map((post) => post.msg as Extract<Posted["msg"], { type: T }>);
  }

  /** Frames for sessions, as an actor's owner would send them. */
  notify(gateway: string, posts: readonly SessionPost[]): void {
    this.#bus.publish(this.#subjects.gateway(gateway), encodeSessionPosts(posts));
  }

  /** A watched courier moved. */
  move(gateway: string, courier: string, at: number, lng: number, lat: number): void {
    const positions = [{ courier: courier as CourierId, no: 1, at, lng, lat }];
    const bytes = streamMessages.encode({ type: "positions", positions });
    this.#bus.publish(this.#subjects.positions(gateway), bytes);
  }

  /** The outbox relay published an event of the delivery. */
  event(owner: string, delivery: string): void {
    this.#bus.publish(this.#subjects.events(owner, delivery), new Uint8Array(0));
  }

  nodeUp(shards: readonly number[]): void {
    const node = "node_test" as Extract<StreamMessage, { type: "node_up" }>["node"];
    this.#bus.publish(
      this.#subjects.nodeUp,
      streamMessages.encode({ type: "node_up", node, shards }),
    );
  }

  #part(records: readonly CourierRecord[]): Uint8Array {
    return streamMessages.encode({ type: "fleet_part", records });
  }
}

export type RestAnswer = {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  // Tests look into bodies of any shape.
  readonly body: any;
};

export class Rest {
  readonly #url: string;

  constructor(url: string) {
    this.#url = url;
  }

  get = (path: string, token?: string, headers: Record<string, string> = {}) =>
    this.ask("GET", path, token, undefined, headers);
  post = (path: string, token: string, body?: unknown, headers: Record<string, string> = {}) =>
    this.ask("POST", path, token, body, headers);
  put = (path: string, token: string, body: unknown) => this.ask("PUT", path, token, body, {});

  async ask(
    method: string,
    path: string,
    token: string | undefined,
    body: unknown,
    headers: Record<string, string>,
  ): Promise<RestAnswer> {
    const isRaw = typeof body === "string" || body instanceof Uint8Array;
    const answer = await fetch(this.#url + path, {
      method,
      headers: {
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: isRaw ? (body as string) : JSON.stringify(body) }),
      redirect: "manual",
    });
    const text = await answer.text();
    const isJson = /json/.test(answer.headers.get("content-type") ?? "") && text !== "";
    const { status, headers: out } = answer;
    return { status, headers: out, text, body: isJson ? JSON.parse(text) : null };
  }
}

/** A client of the socket that keeps every frame it got. */
export type Client = {
  readonly frames: ServerFrame[];
  readonly socket: WebSocket;
  readonly send: (frame: ClientFrame) => void;
  readonly sendRaw: (data: Uint8Array | string) => void;
  /** The first frame of the type that has not been taken yet. */
  readonly next: <T extends ServerFrame["type"]>(type: T) => Promise<ServerFrameOf<T>>;
  /** Resolves with the close code. */
  readonly closed: Promise<number>;
  readonly end: () => void;
};

export async function openClient(url: string, protocol: string = SUBPROTOCOL): Promise<Client> {
  const socket = new WebSocket(`${url.replace("http", "ws")}/v1/socket`, protocol);
  const frames: ServerFrame[] = [];
  const taken = new Set<ServerFrame>();
  socket.on("message", (data: Buffer) => {
    const frame = serverFrames.decode(data);
    if (frame === null) throw new Error("a frame of the server could not be read");
    frames.push(frame);
  });
  const closed = new Promise<number>((resolve) => socket.on("close", resolve));
  await new Promise<void>((resolve, reject) => {
    socket.once("open", () => resolve());
    socket.once("error", reject);
  });
  socket.on("error", () => undefined);
  return {
    frames,
    socket,
    closed,
    send: (frame) => socket.send(clientFrames.encode(frame)),
    sendRaw: (data) => socket.send(data),
    async next(type) {
      const isNew = (frame: ServerFrame) => frame.type === type && !taken.has(frame);
      const frame = await until(() => frames.find(isNew), `a frame "${type}"`);
      taken.add(frame);
      return frame as ServerFrameOf<typeof type>;
    },
    end: () => socket.terminate(),
  };
}
