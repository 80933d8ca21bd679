/**
 * Where the running system is: its doors, the signing key, its processes. Read from the environment
 * and from the state folder that `npm start` keeps; the replay, the checker, the bench and the bot
 * courier all look here.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { signToken } from "../../gateway/token.ts";
import type { TokenRole } from "../../gateway/token.ts";
import { authKey, stateFolder } from "../run/state.ts";
import type { ProcessRecord } from "../services/process.ts";

export type System = {
  readonly publicUrl: string;
  readonly adminUrl: string;
  /** Null when this machine's start did not note one. */
  readonly nodeAdminUrl: string | null;
  readonly natsUrl: string;
  readonly natsPrefix: string;
  /** A file with the key of our own processes; null where the server asks for none. */
  readonly natsCredentials: string | null;
  /** Null when neither the environment nor the state folder knows it. */
  readonly postgresUrl: string | null;
  /** Processes that `npm start` runs, by name. */
  readonly processes: readonly ProcessRecord[];
  /** A token for this role and subject, good for `TOKEN_TTL_S`. */
  readonly token: (role: TokenRole, sub: string) => Promise<string>;
};

export const TOKEN_TTL_S = 24 * 3_600;
const HOST = "127.0.0.1";

/** Throws when there is no signing key: then nothing was ever started from this folder. */
export function findSystem(url: string | null = null): System {
  const folder = stateFolder();
  const env = (name: string): string | undefined => process.env[`HEXDISPATCH_${name}`] || undefined;
  if (env("AUTH_KEY") === undefined && !existsSync(join(folder, "auth-key"))) {
    throw new Error(
      `no signing key in ${folder}: run \`npm start\` first, or set HEXDISPATCH_AUTH_KEY`,
    );
  }
  const key = authKey(folder);
  const ports = readJson<Record<string, number>>(join(folder, "ports.json"), {});
  const nodeAdminPort = env("NODE_ADMIN_PORT") ?? ports["node-admin"];
  return {
    publicUrl: url ?? `http://${HOST}:${env("PUBLIC_PORT") ?? ports["public"] ?? 8080}`,
    adminUrl: `http://${HOST}:${env("ADMIN_PORT") ?? ports["admin"] ?? 9090}`,
    nodeAdminUrl: nodeAdminPort === undefined ? null : `http://${HOST}:${nodeAdminPort}`,
    natsUrl: env("NATS_URL") ?? `nats://${HOST}:${ports["nats"] ?? 4222}`,
    natsPrefix: env("NATS_PREFIX") ?? "hd",
    natsCredentials: env("NATS_CREDENTIALS") ?? existing(join(folder, "nats-seed")),
    postgresUrl: env("POSTGRES_URL") ?? embeddedPostgresUrl(folder, ports["postgres"]),
    processes: readJson<ProcessRecord[]>(join(folder, "processes.json"), []),
    token: (role, sub) => signToken({ role, sub, ttlS: TOKEN_TTL_S }, key),
  };
}

/** The database that `npm start` brings up itself (`scripts/services/postgres.ts`). */
function embeddedPostgresUrl(folder: string, port: number | undefined): string | null {
  const file = join(folder, "postgres-password");
  if (port === undefined || !existsSync(file)) return null;
  const password = readFileSync(file, "utf8").trim();
  return `postgres://hexdispatch:${password}@${HOST}:${port}/hexdispatch`;
}

const existing = (file: string): string | null => (existsSync(file) ? file : null);

function readJson<T>(file: string, usual: T): T {
  return existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as T) : usual;
}

/** Prometheus text as a map from `name{labels}` to its value. */
export function parseMetrics(text: string): Map<string, number> {
  const values = new Map<string, number>();
  for (const line of text.split("\n")) {
    if (line === "" || line.startsWith("#")) continue;
    const space = line.lastIndexOf(" ");
    values.set(line.slice(0, space), Number(line.slice(space + 1)));
  }
  return values;
}

/** The metrics of one admin door; null when it is not there. */
export async function scrape(adminUrl: string): Promise<Map<string, number> | null> {
  try {
    const answer = await fetch(`${adminUrl}/metrics`, { signal: AbortSignal.timeout(5_000) });
    return answer.ok ? parseMetrics(await answer.text()) : null;
  } catch {
    return null; // Not there, or not answering at the moment: a gap in the plot.
  }
}
