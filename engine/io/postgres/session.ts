/**
 * Opens sessions of Postgres for the driver: reaches the server, speaks TLS as the URL wants it,
 * and sets what each session must have before the driver may use it.
 *
 * The settings are not startup parameters, because a pooler (PgBouncer) ends a session whose
 * startup message holds one that it does not know. They are one statement that this file sends
 * between the login and the driver's first: the driver does not see "ready for query" before the
 * server has taken them, so that no statement ever runs without its timeout, on no session, however
 * often the driver connects again (it has no hook of its own for that). Messages are only cut at
 * their length and told apart by their first byte (PostgreSQL documentation, 54.7).
 */
import { Socket, isIP } from "node:net";
import { Duplex } from "node:stream";
import { connect as connectTls } from "node:tls";
import type { TLSSocket } from "node:tls";
import type { PostgresTarget } from "./url.ts";

export type SessionSettings = Readonly<Record<string, string | number>>;

/** Sent before the startup message: "may I speak TLS?" */
const SSL_REQUEST = Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]);
const YES = 0x53;
const NO = 0x4e;
const READY_FOR_QUERY = 0x5a;
const ERROR_RESPONSE = 0x45;
const QUERY = 0x51;
/** One byte of type, four of length. */
const HEAD_BYTES = 5;
/** Nothing that comes at a login is longer; beyond it no Postgres is at the other end. */
const MESSAGE_MAX_BYTES = 1_048_576;

/** An error as the driver and the system make them, so that it is judged like theirs. */
const failure = (code: string, text: string): Error => Object.assign(new Error(text), { code });

/**
 * A socket on which the driver may log in. Never rejects, because the driver would lose the
 * connection's place in its pool: what went wrong comes as the error of a socket that is destroyed.
 */
export async function openSession(
  target: PostgresTarget,
  settings: SessionSettings,
  timeoutMs: number,
  isWanted: () => boolean,
): Promise<Socket> {
  const tcp = new Socket();
  const timer = setTimeout(() => {
    const where = `${target.host}:${target.port}`;
    tcp.destroy(failure("CONNECT_TIMEOUT", `no connection to ${where} within ${timeoutMs} ms`));
  }, timeoutMs);
  try {
    const socket = await reach(target, tcp);
    if (!isWanted()) throw failure("CONNECTION_ENDED", "the pool was closed");
    setFirst(socket, Object.keys(settings).length > 0 ? settingStatement(settings) : null);
    return Object.assign(socket, { host: target.host, port: target.port });
  } catch (error) {
    tcp.destroy();
    return failed(error as Error);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Fails at the first write: the driver is then past the moment at which an end would leave it stuck
 * (see below).
 */
function failed(error: Error): Socket {
  const dead = new Duplex({
    emitClose: false,
    read: () => undefined,
    write: (_chunk, _encoding, done) => done(error),
    destroy(why, done) {
      done(why);
      // As a socket says it: the driver waits longer after an end with an error.
      process.nextTick(() => this.emit("close", why !== null));
    },
  });
  return dead as Socket;
}

async function reach(target: PostgresTarget, tcp: Socket): Promise<Socket> {
  const { host, port, tls } = target;
  if (host.startsWith("/")) tcp.connect({ path: `${host}/.s.PGSQL.${port}` });
  else tcp.connect({ host, port, noDelay: true });
  await next(tcp, "connect");
  if (tls.mode === "off") return tcp;
  tcp.write(SSL_REQUEST);
  const answer = (await next(tcp, "data")) as Buffer;
  // More than the one byte would be somebody else's, to be taken for what came within TLS.
  if (answer.length !== 1 || (answer[0] !== YES && answer[0] !== NO)) {
    throw failure("ECONNRESET", `what answers at ${host}:${port} does not speak Postgres`);
  }
  if (answer[0] === YES) return secure(target, tcp);
  if (tls.mode === "prefer") return tcp;
  throw failure(
    "TLS_REFUSED",
    `the server at ${host}:${port} does not speak TLS, sslmode wants it`,
  );
}

/** What the event brings; rejects when the socket ends first, with its error where there is one. */
function next(socket: Socket, event: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    let why: Error = failure("ECONNRESET", "the connection ended during the login");
    const onError = (error: Error): void => void (why = error);
    const onClose = (): void => reject(why);
    socket.once("error", onError).once("close", onClose);
    socket.once(event, (value: unknown) => {
      socket.off("error", onError).off("close", onClose);
      resolve(value);
    });
  });
}

async function secure({ host, tls }: PostgresTarget, tcp: Socket): Promise<Socket> {
  const { verifies, ca, cert, key } = tls;
  const socket: TLSSocket = connectTls({
    socket: tcp,
    // The name that the certificate must be for; the server's name within TLS can be no address.
    host,
    ...(isIP(host) === 0 ? { servername: host } : {}),
    rejectUnauthorized: verifies !== "nothing",
    ...(verifies === "chain" ? { checkServerIdentity: () => undefined } : {}),
    ...(ca === null ? {} : { ca }),
    ...(cert === null || key === null ? {} : { cert, key }),
  });
  try {
    await next(socket, "secureConnect");
  } catch (error) {
    socket.destroy();
    const { code = "TLS", message } = error as NodeJS.ErrnoException;
    throw failure(code, `no TLS with ${host}: ${message}`);
  }
  return socket;
}

/** One statement that sets all; the values are ours or an operator's, and quoted all the same. */
export function settingStatement(settings: SessionSettings): string {
  const quoted = (value: string | number): string => `'${String(value).replaceAll("'", "''")}'`;
  const calls = Object.entries(settings).map(
    ([name, value]) => `pg_catalog.set_config(${quoted(name)}, ${quoted(value)}, false)`,
  );
  return `select ${calls.join(", ")}`;
}

function queryMessage(statement: string): Buffer {
  const text = Buffer.from(`${statement}\0`);
  const head = Buffer.alloc(HEAD_BYTES);
  head[0] = QUERY;
  head.writeInt32BE(text.length + 4, 1);
  return Buffer.concat([head, text]);
}

/**
 * Holds the server's first "ready for query" back until `statement` was run, and swallows its
 * answer. An error goes to the driver, which fails the login by it, and the connection ends.
 * Afterwards the socket is as it was: no byte of later traffic passes here.
 *
 * Two faults of the driver (3.4.9) are kept from it meanwhile. An end without an error before the
 * login was through makes it connect again at once, without end (a proxy whose server is away
 * accepts and closes): it gets an error, and waits. An end before its first write has left the
 * process leaves it a timer that it never sets again, and that place of the pool can never log in
 * any more: the end is told one turn of the event loop later.
 */
function setFirst(socket: Socket, statement: string | null): void {
  const emit = socket.emit.bind(socket) as (event: string | symbol, ...args: unknown[]) => boolean;
  let rest: Buffer = Buffer.alloc(0);
  let ready: Buffer | null = null;
  let hasFailed = false;
  const finish = (): void => {
    Reflect.deleteProperty(socket, "emit");
    emit("data", Buffer.concat([ready ?? Buffer.alloc(0), rest]));
  };
  const receive = (message: Buffer): void => {
    const type = message[0];
    if (type === READY_FOR_QUERY && ready === null) {
      ready = message;
      if (statement === null) finish();
      else socket.write(queryMessage(statement));
    } else if (ready === null) emit("data", message);
    else if (type === READY_FOR_QUERY) finish();
    else if (type === ERROR_RESPONSE) {
      hasFailed = true;
      emit("data", message);
      socket.destroy();
    }
  };
  const take = (chunk: Buffer): void => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    while (Object.hasOwn(socket, "emit") && rest.length >= HEAD_BYTES && !socket.destroyed) {
      const end = rest.readUInt32BE(1) + 1;
      if (end < HEAD_BYTES || end > MESSAGE_MAX_BYTES) {
        socket.destroy(failure("ECONNRESET", "what answers does not speak Postgres"));
        return;
      }
      if (rest.length < end) return;
      const message = rest.subarray(0, end);
      rest = rest.subarray(end);
      receive(message);
    }
  };
  const close = (): void => {
    const text = "the connection ended during the login";
    if (!hasFailed) emit("error", failure("ECONNRESET", text));
    emit("close", true);
  };
  // Nothing else in Node lets one stand before the driver's listeners without a copy of each later
  // byte.
  socket.emit = (event: string | symbol, ...args: unknown[]): boolean => {
    if (event === "close") setImmediate(() => setImmediate(close));
    else if (event === "data") take(args[0] as Buffer);
    else {
      hasFailed ||= event === "error";
      return emit(event, ...args);
    }
    return true;
  };
}
