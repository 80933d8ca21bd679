/**
 * A connection to NATS that outlives every outage. It reconnects for ever, also while the server
 * refuses our credentials (a rotated key, a wrong configuration for a while), slower from one
 * refusal to the next; it shows the present content of the credentials file at each attempt; and it
 * passes the gate of the server at the start.
 */
import { connect } from "@nats-io/transport-node";
import { AuthorizationError, UserAuthenticationExpiredError } from "@nats-io/transport-node";
import type { Authenticator, NatsConnection } from "@nats-io/transport-node";
import { randomInt } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import {
  NATS_RECONNECT_MS,
  NATS_REFUSED_RECONNECT_MAX_MS,
  NATS_TROUBLE_LOG_MS,
  NATS_VERSION_MIN,
} from "../../../proto/limits.ts";
import { parseNatsAddress } from "./address.ts";
import type { NatsAddress } from "./address.ts";
import { fileAuthenticator, loginAuthenticator, readCredentials } from "./credentials.ts";

/** Hears what goes wrong, in words for the log. */
export type ConnectLog = {
  readonly warn: (fields: Readonly<Record<string, unknown>>, text: string) => void;
};

export type NatsOptions = {
  readonly url: string;
  /** Shown in the server's list of connections. */
  readonly name: string;
  /**
   * A file with an nkey's seed, or a .creds file; absent or null where the server asks for none.
   */
  readonly credentials?: string | null;
  /** How long the first connection may take; default: one attempt at each server. */
  readonly startWaitMs?: number;
  readonly log?: ConnectLog;
};

/** NATS did not take us within the time of the start; the message says where and why. */
export class NatsStartError extends Error {
  override readonly name = "NatsStartError";
}

const CONNECT_TIMEOUT_MS = 5_000;
const START_RETRY_MS = 500;
const JITTER_MS = 100;
const HEARTBEAT_MS = 1_000;
const HEARTBEATS_MISSED_MAX = 2;

/**
 * A connection that passed the gate. Rejects with UnfitServerError, NatsAddressError or
 * CredentialsError at once where waiting cannot help, else after `startWaitMs`: with
 * NatsStartError, or, without a wait, the client's own error.
 */
export async function connectNats(options: NatsOptions): Promise<NatsConnection> {
  const { startWaitMs = 0 } = options;
  const address = parseNatsAddress(options.url);
  const until = performance.now() + startWaitMs;
  let loggedAt = -Infinity;
  for (;;) {
    try {
      return await connectOnce(options, address);
    } catch (error) {
      if (startWaitMs === 0 || error instanceof UnfitServerError) throw error;
      const servers = address.servers.join(", ");
      const why = (error as Error).message;
      if (performance.now() >= until) {
        const text = `NATS at ${servers} did not take us within ${startWaitMs / 1_000} s: ${why}`;
        throw new NatsStartError(text, { cause: error });
      }
      if (performance.now() - loggedAt >= NATS_TROUBLE_LOG_MS) {
        loggedAt = performance.now();
        options.log?.warn({ servers, why }, "NATS does not take us yet; it is tried again");
      }
      await sleep(START_RETRY_MS);
    }
  }
}

async function connectOnce(options: NatsOptions, address: NatsAddress): Promise<NatsConnection> {
  const file = options.credentials ?? null;
  // Without it the first attempt would show nothing, and a server that asks nobody would take that.
  if (file !== null) readCredentials(file);
  const refusals = { inARow: 0 };
  const nc = await connect({
    servers: [...address.servers],
    name: options.name,
    timeout: CONNECT_TIMEOUT_MS,
    maxReconnectAttempts: -1,
    // Else the second refusal in a row closes the client for good, and the process is without NATS
    // until its end.
    ignoreAuthErrorAbort: true,
    reconnectDelayHandler: () => delayMs(refusals.inARow) + randomInt(JITTER_MS),
    pingInterval: HEARTBEAT_MS,
    maxPingOut: HEARTBEATS_MISSED_MAX,
    ...(address.tls ? { tls: {} } : {}),
    ...authOf(file, address, options.log),
  });
  void countRefusals(nc, refusals);
  try {
    checkServer(nc.info?.version ?? "0.0.0", nc.info?.jetstream === true);
  } catch (error) {
    await nc.close();
    throw error;
  }
  return nc;
}

/**
 * Doubles from one refusal to the next: a server that refuses us is not asked five times a second
 * for hours.
 */
const delayMs = (refusals: number): number =>
  Math.min(NATS_RECONNECT_MS * 2 ** Math.min(refusals, 16), NATS_REFUSED_RECONNECT_MAX_MS);

async function countRefusals(nc: NatsConnection, count: { inARow: number }): Promise<void> {
  for await (const status of nc.status()) {
    if (status.type === "reconnect") count.inARow = 0;
    if (status.type === "error" && isRefusal(status.error)) count.inARow += 1;
  }
}

/** Whether the server refused what we showed of ourselves. */
export const isRefusal = (error: Error): boolean =>
  error instanceof AuthorizationError || error instanceof UserAuthenticationExpiredError;

/** What a connection shows of itself: a file, read at each connect, or the login of the URL. */
function authOf(
  file: string | null,
  { login }: Pick<NatsAddress, "login">,
  log: ConnectLog | undefined,
): { readonly authenticator?: Authenticator } {
  if (file !== null) {
    let loggedAt = -Infinity;
    const authenticator = fileAuthenticator(file, (error) => {
      if (performance.now() - loggedAt < NATS_TROUBLE_LOG_MS) return;
      loggedAt = performance.now();
      log?.warn({ why: error.message }, "NATS is shown the last key that could be read");
    });
    return { authenticator };
  }
  return login === null ? {} : { authenticator: loginAuthenticator(login) };
}

/**
 * How a tool that connects by itself reaches the servers of a setting: options of the client's
 * `connect`. Throws NatsAddressError or CredentialsError.
 */
export function connectOptions(
  url: string,
  file: string | null,
): { readonly servers: string[]; readonly tls?: object; readonly authenticator?: Authenticator } {
  const address = parseNatsAddress(url);
  if (file !== null) readCredentials(file);
  return {
    servers: [...address.servers],
    ...(address.tls ? { tls: {} } : {}),
    ...authOf(file, address, undefined),
  };
}

/** The server is too old or has no JetStream: the operator's to mend. */
export class UnfitServerError extends Error {
  override readonly name = "UnfitServerError";
}

/**
 * Throws UnfitServerError. An older server accepts stream settings that it does not know and drops
 * them silently.
 */
export function checkServer(version: string, hasJetStream: boolean): void {
  if (!isAtLeast(version, NATS_VERSION_MIN)) {
    throw new UnfitServerError(`nats-server is ${version}; ${NATS_VERSION_MIN} or newer is needed`);
  }
  if (!hasJetStream) throw new UnfitServerError("nats-server runs without JetStream; turn it on");
}

/** Whether version `a` is `b` or newer; what follows the third number is ignored. */
export function isAtLeast(a: string, b: string): boolean {
  const numbers = (version: string): number[] => version.split(/[.+-]/).slice(0, 3).map(Number);
  const [left, right] = [numbers(a), numbers(b)];
  for (let i = 0; i < 3; i++) {
    const difference = (left[i] || 0) - (right[i] || 0);
    if (difference !== 0) return difference > 0;
  }
  return true;
}
