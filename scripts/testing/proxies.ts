// Real nginx, HAProxy and PgBouncer for tests, each on a free port with a configuration that the
// test gives, ended by its id. Where the machine lacks them they are fetched (debian-program.ts).
// The files of `deploy/` run as they are shipped: only ports and paths are put in, and a line that
// is no longer there fails the test.

import { chmodSync, cpSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { dirname, join } from "node:path";
import { cacheFolder, projectRoot, stateFolder } from "../run/state.ts";
import { HAPROXY, NGINX, PGBOUNCER, findDebianProgram } from "../services/debian-program.ts";
import type { DebianProgram } from "../services/debian-program.ts";
import { canEnter, findPostgres } from "../services/postgres-binary.ts";
import type { PostgresUser } from "../services/postgres-binary.ts";
import { freePort } from "../services/ports.ts";
import { SetupError, endChild, startServer, waitUntilReady } from "../services/process.ts";
import { makeTestFolder } from "./folder.ts";
import type { TestFolder } from "./folder.ts";

const READY_DEADLINE_MS = 15_000;

/** A proxy or pooler that runs for one test. */
export interface Beside {
  /** Where it listens, on 127.0.0.1 unless its configuration says otherwise. */
  readonly port: number;
  readonly pid: number;
  readonly folder: string;
  /** All that it wrote so far. */
  readonly log: () => string;
  /** Ends it and removes its folder. */
  readonly stop: () => Promise<void>;
}

/**
 * `port` is where it must answer; the configuration text gets the port and a folder to write to.
 */
type MakeConfig = (port: number, folder: string) => string;

/** nginx with a whole configuration; what it writes goes to a folder of its own. */
export async function startNginx(config: MakeConfig): Promise<Beside> {
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
  return startBeside(NGINX, undefined, (folder, port) => {
    const paths = temporary.map((name) => `${name}_temp_path ${join(folder, name)};`).join(" ");
    const text = config(port, folder).replace(/^http \{/m, `http { access_log off; ${paths}`);
    writeFileSync(join(folder, "nginx.conf"), text);
    // As root its workers would be another user, who cannot enter the folder.
    const user = process.getuid?.() === 0 ? "user root; " : "";
    const more = `${user}daemon off; pid ${join(folder, "nginx.pid")};`;
    const log = join(folder, "out.log");
    return ["-p", folder, "-e", log, "-c", join(folder, "nginx.conf"), "-g", more];
  });
}

export async function startHaproxy(config: MakeConfig): Promise<Beside> {
  return startBeside(HAPROXY, undefined, (folder, port) => {
    const file = join(folder, "haproxy.cfg");
    writeFileSync(file, config(port, folder));
    return ["-db", "-f", file];
  });
}

/**
 * PgBouncer in front of a Postgres: `databaseUrl` names what it leads to, `lines` what the test
 * wants set.
 */
export async function startPgbouncer(
  config: MakeConfig,
  files: Readonly<Record<string, string>> = {},
): Promise<Beside> {
  // It refuses to run as root, as Postgres does.
  const { user } = findPostgres(projectRoot(), () => undefined);
  return startBeside(PGBOUNCER, user, (folder, port) => {
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
    const file = join(folder, "pgbouncer.ini");
    writeFileSync(file, config(port, folder));
    return [file];
  });
}

async function startBeside(
  wanted: DebianProgram,
  user: PostgresUser | undefined,
  prepare: (folder: string, port: number) => string[],
): Promise<Beside> {
  const root = projectRoot();
  const found = await findDebianProgram(wanted, cacheFolder(stateFolder(root)), (line) =>
    process.stdout.write(`${line}\n`),
  );
  if (found === null) throw new SetupError(`${wanted.package} is not to be had on this machine`);
  const place = makeTestFolder(root, user);
  try {
    const command = readable(found, place, user);
    const port = await freePort();
    const args = prepare(place.path, port);
    const logFile = join(place.path, "out.log");
    const child = startServer({ command, args, logFile, user });
    if (child.pid !== undefined) {
      place.list.add({ name: wanted.package, pid: child.pid, marker: place.path });
    }
    await waitUntilReady(child, () => isListening(port), {
      name: wanted.package,
      deadlineMs: READY_DEADLINE_MS,
      logFile,
    });
    return {
      port,
      pid: child.pid ?? 0,
      folder: place.path,
      log: () => readFileSync(logFile, "utf8"),
      async stop() {
        await endChild(child, "SIGTERM");
        place.remove();
      },
    };
  } catch (error) {
    place.remove();
    throw error;
  }
}

/** The program, copied to where `user` can read it when its place is not. */
function readable(command: string, place: TestFolder, user: PostgresUser | undefined): string {
  if (user === undefined || canEnter(dirname(command), user)) return command;
  const copy = join(place.path, "program");
  cpSync(dirname(command), copy, { recursive: true });
  chmodSync(copy, 0o755);
  return join(copy, "run");
}

function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    const done = (isOpen: boolean): void => {
      socket.destroy();
      resolve(isOpen);
    };
    socket.once("connect", () => done(true));
    socket.once("error", () => done(false));
  });
}

/** A file of `deploy/` with every pair put in its place; each must be there. */
export function shipped(name: string, changes: readonly (readonly [string, string])[]): string {
  const file = join(projectRoot(), "deploy", name);
  if (!existsSync(file)) throw new Error(`deploy/${name} is not there`);
  return changes.reduce(
    (text, [from, to]) => {
      if (!text.includes(from)) throw new Error(`deploy/${name} has no line "${from}"`);
      return text.replaceAll(from, to);
    },
    readFileSync(file, "utf8"),
  );
}

export interface Upstream {
  /** `host:port`, the host in brackets where it is IPv6. */
  readonly door: string;
  /** The admin listener's port; without one the door is asked whether it is there. */
  readonly adminPort?: number;
}
/** PEM texts, for a listener with TLS; without them it speaks plain HTTP. */
export interface ServerCertificate {
  readonly cert: string;
  readonly key: string;
}

/** `deploy/nginx.conf`, leading to one gateway. */
export const shippedNginx =
  ({ door }: Upstream, tls?: ServerCertificate): MakeConfig =>
  (port, folder) => {
    const listen: [string, string][] =
      tls === undefined
        ? [
            ["listen 443 ssl;", `listen 127.0.0.1:${port};`],
            ["listen [::]:443 ssl;", `listen [::1]:${port};`],
            ["ssl_certificate /etc/nginx/tls/fullchain.pem;", ""],
            ["ssl_certificate_key /etc/nginx/tls/privkey.pem;", ""],
          ]
        : [
            ["listen 443 ssl;", `listen 127.0.0.1:${port} ssl;`],
            ["listen [::]:443 ssl;", `listen [::1]:${port} ssl;`],
            ["/etc/nginx/tls/fullchain.pem", writeBeside(folder, "fullchain.pem", tls.cert)],
            ["/etc/nginx/tls/privkey.pem", writeBeside(folder, "privkey.pem", tls.key)],
          ];
    return shipped("nginx.conf", [
      ["worker_processes auto;", "worker_processes 1;"],
      ["worker_connections 16384;", "worker_connections 1024;"],
      ["127.0.0.1:8080", door],
      ...listen,
    ]);
  };

/** `deploy/haproxy.cfg`, leading to one gateway. */
export const shippedHaproxy =
  ({ door, adminPort }: Upstream, tls?: ServerCertificate): MakeConfig =>
  (port, folder) => {
    const pem = (): string =>
      writeBeside(folder, "hexdispatch.pem", `${tls?.cert ?? ""}${tls?.key ?? ""}`);
    const bind = "bind :::443 v4v6 ssl crt /etc/haproxy/tls/hexdispatch.pem alpn h2,http/1.1";
    return shipped("haproxy.cfg", [
      ["maxconn 16384", "maxconn 1024"],
      [
        bind,
        tls === undefined
          ? `bind 127.0.0.1:${port}\n  bind [::1]:${port}`
          : `bind 127.0.0.1:${port} ssl crt ${pem()} alpn h2,http/1.1`,
      ],
      adminPort === undefined
        ? ["default-server check port 9090 inter 1s fall 2 rise 1", "default-server"]
        : ["port 9090 inter 1s", `port ${adminPort} inter 200ms`],
      ["127.0.0.1:8080", door],
    ]);
  };

function writeBeside(folder: string, name: string, text: string): string {
  const file = join(folder, name);
  writeFileSync(file, text, { mode: 0o600 });
  return file;
}
