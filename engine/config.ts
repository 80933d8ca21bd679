/**
 * The environment, read once into one frozen, checked `Config`. All mistakes are reported together,
 * each with the variable's name, its value and what is allowed, so that one round of mending is
 * enough. Unset and empty are the same. Nothing else in the project reads `process.env` for
 * settings.
 */
import type { Box } from "../proto/geo.ts";
import { NAME_PATTERN } from "../proto/ids.ts";
import { DISPATCH_DEFAULTS, SERVICE_AREA_DEFAULT } from "../proto/limits.ts";
import { DRAIN_DEFAULT_MS, DRAIN_MAX_MS } from "../proto/limits.ts";
import { POSTGRES_POOL_CONNECTIONS, SHARDS_DEFAULT, SHARDS_MAX } from "../proto/limits.ts";
import type { DispatchSettings } from "../proto/limits.ts";
import { linkHost, parseNetworks } from "./client-address.ts";
import { STREAMS } from "../proto/subjects.ts";
import type { StreamKey } from "../proto/subjects.ts";
import { DOOR_DEFAULTS } from "./door-limits.ts";
import type { DoorLimits } from "./door-limits.ts";
import { LOG_LEVELS } from "./io/log.ts";
import type { LogLevel } from "./io/log.ts";
import { maskedNatsUrl, natsProblems } from "./io/nats/address.ts";
import { maskedPostgresUrl, postgresUrlProblem, withLibpqEnvironment } from "./io/postgres/url.ts";

export type Config = {
  /**
   * One address or several, separated by commas, with a user and password or a token if need be.
   */
  readonly natsUrl: string;
  /** A file with an nkey's seed, or a .creds file; null: the server asks for none. */
  readonly natsCredentials: string | null;
  /** First token of every subject: keeps clusters on one server apart. */
  readonly natsPrefix: string;
  /** Copies of each stream: 1 on a single server, 3 in a cluster. */
  readonly natsReplicas: number;
  /** What each stream may hold, bytes; the server sets so much aside when it makes the stream. */
  readonly streamBytes: Readonly<Record<StreamKey, number>>;
  readonly postgresUrl: string;
  /** Connections of one process. Few: what waits for one shares the next statement. */
  readonly postgresConnections: number;
  readonly publicHost: string;
  readonly publicPort: number;
  /** Several gateways of this machine listen on the same public port. */
  readonly portShared: boolean;
  /**
   * How long a gateway that was told to end still serves, not ready, while balancers notice; 0: not
   * at all.
   */
  readonly drainMs: number;
  /** What the public listener is made of. */
  readonly listener: ListenerKind;
  readonly adminHost: string;
  readonly adminPort: number;
  /** The node's admin listener; 0: none. */
  readonly nodeAdminPort: number;
  /** Key of the tokens' signatures, at least 32 characters. */
  readonly authKey: string;
  /** The key before it, whose tokens count until they expire; null: no keys are being exchanged. */
  readonly authKeyPrevious: string | null;
  /**
   * Addresses and networks of proxies whose X-Forwarded-For counts, separated by commas; empty:
   * none.
   */
  readonly trustedProxies: string;
  readonly doors: DoorLimits;
  /** Folder with addresses.csv and roads; null: no city. */
  readonly cityDir: string | null;
  readonly serviceArea: Box;
  /** Fixed when the cluster is created. */
  readonly shards: number;
  readonly logLevel: LogLevel;
  /**
   * Where webhooks may go: `public` is https to public addresses; `any` is for a development
   * machine.
   */
  readonly webhookTargets: WebhookTargets;
  /**
   * What customers see of their courier's number: `shown`, `masked`, or a relay's number in its
   * place.
   */
  readonly courierPhone: string;
  /** How customers are told: not at all, into the log (development), or by a provider over HTTP. */
  readonly notify: NotifySettings;
  /** Base of tracking links, without a slash at the end. */
  readonly publicUrl: string;
  readonly settings: DispatchSettings;
};

/** `node`: node:http and ws. `uws`: uWebSockets.js, behind a proxy that normalises requests. */
export const LISTENER_KINDS = ["node", "uws"] as const;
export type ListenerKind = (typeof LISTENER_KINDS)[number];
export const WEBHOOK_TARGETS = ["public", "any"] as const;
export type WebhookTargets = (typeof WEBHOOK_TARGETS)[number];
const NOTIFY_KINDS = ["off", "log", "http"] as const;
/** `url` is empty unless `kind` is `http`; `token` goes into its Authorization header. */
export type NotifySettings = {
  readonly kind: (typeof NOTIFY_KINDS)[number];
  readonly url: string;
  readonly token: string | null;
};

export type Environment = Readonly<Record<string, string | undefined>>;

/** Everything that is wrong with the environment, one line each. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(`the settings cannot be used:\n${problems.map((line) => `  - ${line}`).join("\n")}`);
    this.problems = problems;
  }
}

type SettingName = keyof DispatchSettings;

/** What an operator may set: whole numbers, both ends included. */
export const SETTING_RANGES: Readonly<Record<SettingName, readonly [min: number, max: number]>> = {
  WAVE_COURIERS: [1, 20],
  WAVE_MS: [100, 600_000],
  OFFER_TTL_MS: [1_000, 600_000],
  HOLD_TTL_MS: [100, 60_000],
  HOLD_WAIT_MS: [10, 10_000],
  OFFERS_PARALLEL_MAX: [1, 20],
  WAVE_1_RADIUS_M: [50, 100_000],
  WAVE_2_RADIUS_M: [50, 100_000],
  WAVE_3_RADIUS_M: [50, 100_000],
  CANDIDATES_MAX: [1, 500],
  WAIT_LOOK_MS: [100, 3_600_000],
  SEARCH_DEADLINE_MS: [1_000, 86_400_000],
  SEARCH_AHEAD_MS: [0, 86_400_000],
  STALE_MS: [1_000, 3_600_000],
  DARK_MS: [1_000, 3_600_000],
  STILL_MS: [1_000, 3_600_000],
  STILL_M: [1, 10_000],
  RETREAT_M: [10, 100_000],
  WARN_MS: [0, 3_600_000],
  REMIND_MS: [1_000, 3_600_000],
  ARRIVE_M: [1, 5_000],
  LEAVE_M: [1, 10_000],
  PING_SPEED_MAX_MPS: [1, 10_000],
  PING_DOUBT_MAX: [0, 1_000],
  ROBOT_PACE: [1, 20],
  PING_DOUBT_HALF_MS: [1_000, 86_400_000],
  PING_AHEAD_MAX_MS: [0, 3_600_000],
  PING_AGE_MAX_MS: [1_000, 3_600_000],
  PING_INTERVAL_MS: [200, 600_000],
  PING_BUSY_INTERVAL_MS: [200, 600_000],
  PING_NEAR_INTERVAL_MS: [200, 600_000],
  PING_NEAR_M: [0, 10_000],
  PING_BATCH_MS: [1, 5_000],
  CELLS_BATCH_MS: [1, 5_000],
  POSITIONS_MS: [50, 60_000],
  FOLLOW_REREAD_MS: [500, 600_000],
  SWEEP_MS: [50, 60_000],
  LAST_KNOWN_MS: [100, 600_000],
  HISTORY_MS: [50, 60_000],
  TRACKS_KEPT_H: [1, 87_600],
  PERSONAL_KEPT_H: [1, 87_600],
  BEAT_MS: [10, 10_000],
  SUSPECT_MS: [50, 60_000],
  JOIN_MS: [0, 60_000],
  SETTLE_MS: [0, 600_000],
  DIGEST_MS: [100, 600_000],
  CELL_RESOLUTION: [4, 12],
  SHARD_RESOLUTION: [0, 12],
};

/** Pairs that make no sense the other way round: the first must not be greater than the second. */
const ORDERED: readonly (readonly [SettingName, SettingName])[] = [
  ["WAVE_1_RADIUS_M", "WAVE_2_RADIUS_M"],
  ["WAVE_2_RADIUS_M", "WAVE_3_RADIUS_M"],
  ["SHARD_RESOLUTION", "CELL_RESOLUTION"],
  ["HOLD_WAIT_MS", "HOLD_TTL_MS"],
  ["ARRIVE_M", "LEAVE_M"],
  ["BEAT_MS", "SUSPECT_MS"],
  ["WAVE_COURIERS", "CANDIDATES_MAX"],
];

const PREFIX = "HEXDISPATCH_";
const AUTH_KEY_MIN_CHARS = 32;
const COURIER_PHONE = /^(shown|masked|\+?\d[\d\-(). ]{4,38})$/;
const COURIER_PHONE_TEXT = "shown, masked, or the number of a relay";
/** 1 MiB to 1 TiB. */
const STREAM_BYTES_RANGE = [1_048_576, 1_099_511_627_776] as const;

/** The variable, without its prefix, that bounds a stream. */
export const streamBytesName = (key: StreamKey): string => `${key}_BYTES_MAX`;
const MASK = "[masked]";

/**
 * Reads and checks the settings. Throws ConfigError with all problems. A node signs and checks no
 * tokens: it needs no key, and where its environment holds one all the same it is not kept.
 */
export function readConfig(env: Environment, role: "gateway" | "node" = "gateway"): Config {
  const reader = new Reader(env);
  const publicPort = reader.whole("PUBLIC_PORT", 8080, 0, 65_535);
  const publicHost = reader.text("PUBLIC_HOST", "127.0.0.1");
  const natsUrl = reader.text("NATS_URL", "nats://127.0.0.1:4222");
  const natsCredentials = reader.optional("NATS_CREDENTIALS");
  natsProblems(natsUrl, natsCredentials, PREFIX).forEach((line) => reader.problem(line));
  const config: Config = {
    natsUrl,
    natsCredentials,
    natsPrefix: reader.matching("NATS_PREFIX", "hd", NAME_PATTERN, "letters, digits, - and _"),
    natsReplicas: reader.whole("NATS_REPLICAS", 1, 1, 5),
    streamBytes: readStreamBytes(reader),
    postgresUrl: reader.postgresUrl("POSTGRES_URL"),
    postgresConnections: reader.whole("POSTGRES_CONNECTIONS", POSTGRES_POOL_CONNECTIONS, 2, 100),
    publicHost,
    publicPort,
    portShared: reader.oneOf("PUBLIC_PORT_SHARED", "no", ["no", "yes"]) === "yes",
    drainMs: reader.whole("DRAIN_MS", DRAIN_DEFAULT_MS, 0, DRAIN_MAX_MS),
    listener: reader.oneOf("LISTENER", "node", LISTENER_KINDS),
    adminHost: reader.text("ADMIN_HOST", "127.0.0.1"),
    adminPort: reader.whole("ADMIN_PORT", 9090, 0, 65_535),
    nodeAdminPort: reader.whole("NODE_ADMIN_PORT", 0, 0, 65_535),
    ...readKeys(reader, role),
    trustedProxies: reader.networks("TRUSTED_PROXIES"),
    doors: readDoors(reader),
    cityDir: reader.optional("CITY_DIR"),
    serviceArea: reader.box("SERVICE_AREA", SERVICE_AREA_DEFAULT),
    shards: reader.whole("SHARDS", SHARDS_DEFAULT, 1, SHARDS_MAX),
    logLevel: reader.oneOf("LOG_LEVEL", "info", LOG_LEVELS),
    webhookTargets: reader.oneOf("WEBHOOK_TARGETS", "public", WEBHOOK_TARGETS),
    courierPhone: reader.matching("COURIER_PHONE", "shown", COURIER_PHONE, COURIER_PHONE_TEXT),
    notify: readNotify(reader),
    publicUrl: reader
      .url("PUBLIC_URL", `http://${linkHost(publicHost)}:${publicPort}`, ["http:", "https:"])
      .replace(/\/+$/, ""),
    settings: readSettings(reader),
  };
  reader.finish();
  return Object.freeze(config);
}

function readKeys(
  reader: Reader,
  role: "gateway" | "node",
): Pick<Config, "authKey" | "authKeyPrevious"> {
  const previous = reader.optionalSecret("AUTH_KEY_PREVIOUS", AUTH_KEY_MIN_CHARS);
  if (role === "gateway") {
    return { authKey: reader.secret("AUTH_KEY", AUTH_KEY_MIN_CHARS), authKeyPrevious: previous };
  }
  reader.optionalSecret("AUTH_KEY", AUTH_KEY_MIN_CHARS);
  return { authKey: "", authKeyPrevious: null };
}

function readNotify(reader: Reader): NotifySettings {
  const kind = reader.oneOf("NOTIFY", "off", NOTIFY_KINDS);
  const token = reader.optional("NOTIFY_TOKEN");
  if (kind !== "http") return { kind, url: "", token };
  return { kind, url: reader.url("NOTIFY_URL", null, ["http:", "https:"]), token };
}

function readStreamBytes(reader: Reader): Config["streamBytes"] {
  const read = (key: StreamKey): number =>
    reader.whole(streamBytesName(key), STREAMS[key].bytesMax, ...STREAM_BYTES_RANGE);
  return Object.freeze({
    CELLS: read("CELLS"),
    LEDGER: read("LEDGER"),
    EVENTS: read("EVENTS"),
    INTAKE: read("INTAKE"),
  });
}

function readDoors(reader: Reader): DoorLimits {
  const rate = (name: string, fallback: number) => reader.whole(name, fallback, 0, 1_000_000);
  const d = DOOR_DEFAULTS;
  return Object.freeze({
    requestsPerPrincipalPerS: rate("REQUESTS_PER_PRINCIPAL_PER_S", d.requestsPerPrincipalPerS),
    requestsPerAddressPerS: rate("REQUESTS_PER_ADDRESS_PER_S", d.requestsPerAddressPerS),
    socketsMax: rate("SOCKETS_MAX", d.socketsMax),
    socketsPerPrincipalMax: rate("SOCKETS_PER_PRINCIPAL_MAX", d.socketsPerPrincipalMax),
    welcomesPerCourierPerS: rate("WELCOMES_PER_COURIER_PER_S", d.welcomesPerCourierPerS),
    socketsPerAddressMax: rate("SOCKETS_PER_ADDRESS_MAX", d.socketsPerAddressMax),
  });
}

function readSettings(reader: Reader): DispatchSettings {
  const settings = {} as Record<SettingName, number>;
  for (const name of Object.keys(SETTING_RANGES) as SettingName[]) {
    const [min, max] = SETTING_RANGES[name];
    settings[name] = reader.whole(name, DISPATCH_DEFAULTS[name], min, max);
  }
  for (const [low, high] of ORDERED) {
    if (settings[low] <= settings[high]) continue;
    reader.problem(
      `${PREFIX}${low} (${settings[low]}) must not be above ${high} (${settings[high]})`,
    );
  }
  return Object.freeze(settings);
}

/** The settings for a log or a page: keys and passwords are masked. */
export function printable(config: Config): Record<string, unknown> {
  return {
    ...config,
    authKey: MASK,
    authKeyPrevious: config.authKeyPrevious === null ? null : MASK,
    notify: { ...config.notify, token: config.notify.token === null ? null : MASK },
    natsUrl: maskedNatsUrl(config.natsUrl),
    postgresUrl: maskedPostgresUrl(config.postgresUrl),
  };
}

/**
 * Reads one variable after the other and collects what is wrong. A bad value reads as its default.
 */
class Reader {
  readonly #env: Environment;
  readonly #problems: string[] = [];

  constructor(env: Environment) {
    this.#env = env;
  }

  problem(line: string): void {
    this.#problems.push(line);
  }

  finish(): void {
    if (this.#problems.length > 0) throw new ConfigError(this.#problems);
  }

  optional(name: string): string | null {
    const raw = this.#env[PREFIX + name]?.trim();
    return raw === undefined || raw === "" ? null : raw;
  }

  text(name: string, fallback: string): string {
    return this.optional(name) ?? fallback;
  }

  whole(name: string, fallback: number, min: number, max: number): number {
    const raw = this.optional(name);
    if (raw === null) return fallback;
    const value = /^-?\d{1,15}$/.test(raw) ? Number(raw) : Number.NaN;
    if (value >= min && value <= max) return value;
    this.#refuse(name, raw, `a whole number from ${min} to ${max}`);
    return fallback;
  }

  matching(name: string, fallback: string, pattern: RegExp, allowed: string): string {
    const raw = this.optional(name);
    if (raw === null || pattern.test(raw)) return raw ?? fallback;
    this.#refuse(name, raw, allowed);
    return fallback;
  }

  oneOf<T extends string>(name: string, fallback: T, allowed: readonly T[]): T {
    const raw = this.optional(name);
    if (raw === null) return fallback;
    if (allowed.includes(raw as T)) return raw as T;
    this.#refuse(name, raw, `one of ${allowed.join(", ")}`);
    return fallback;
  }

  /** A null fallback makes it required. */
  url(name: string, fallback: string | null, schemes: readonly string[]): string {
    const raw = this.text(name, fallback ?? "");
    if (URL.canParse(raw) && schemes.includes(new URL(raw).protocol)) return raw;
    const allowed = `a URL that begins with ${schemes.map((s) => `${s}//`).join(" or ")}`;
    if (raw === "") this.problem(`${PREFIX}${name} is not set; it must be ${allowed}`);
    else this.#refuse(name, raw, allowed);
    return raw;
  }

  /** With what libpq's variables add. The value is not repeated in a message. */
  postgresUrl(name: string): string {
    const url = withLibpqEnvironment(this.text(name, ""), this.#env);
    const problem = postgresUrlProblem(url);
    if (problem !== null) this.problem(`${PREFIX}${name} ${problem}`);
    return url;
  }

  secret(name: string, minChars: number): string {
    const raw = this.optional(name);
    if (raw !== null && raw.length >= minChars) return raw;
    const state = raw === null ? "is not set" : `has ${raw.length} characters`;
    this.problem(`${PREFIX}${name} ${state}; it must have at least ${minChars} characters`);
    return "";
  }

  optionalSecret(name: string, minChars: number): string | null {
    return this.optional(name) === null ? null : this.secret(name, minChars);
  }

  networks(name: string): string {
    const raw = this.text(name, "");
    if (parseNetworks(raw) !== null) return raw;
    this.#refuse(name, raw, "addresses or networks like 10.0.0.0/8, separated by commas");
    return "";
  }

  box(name: string, fallback: Box): Box {
    const raw = this.optional(name);
    if (raw === null) return fallback;
    const numbers = raw.split(",").map((part) => (part.trim() === "" ? Number.NaN : Number(part)));
    const [west = Number.NaN, south = Number.NaN, east = Number.NaN, north = Number.NaN] = numbers;
    const inRange = west >= -180 && east <= 180 && south >= -90 && north <= 90;
    if (numbers.length === 4 && inRange && west < east && south < north) {
      return Object.freeze({ west, south, east, north });
    }
    this.#refuse(name, raw, "west,south,east,north in degrees with west < east and south < north");
    return fallback;
  }

  #refuse(name: string, raw: string, allowed: string): void {
    this.problem(`${PREFIX}${name} is "${raw}"; it must be ${allowed}`);
  }
}
