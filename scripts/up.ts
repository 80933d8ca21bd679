// Brings up a whole hexdispatch on this machine and keeps it up: services, tables, keys, one node,
// one gateway, the demo data. It owns the order in which things start and end, and that nothing is
// left behind; how each part is started is in run/ and services/. Reached by `npm start`.

import { performance } from "node:perf_hooks";
import { join } from "node:path";
import { migrate } from "../engine/store/migrate.ts";
import { demoTokens, ensureDemoCourier, welcome } from "./run/demo.ts";
import { startProcesses } from "./run/processes.ts";
import { bringUpNats, bringUpPostgres, choosePort } from "./run/services.ts";
import type { Service, ServicesOptions } from "./run/services.ts";
import { ProcessList, RememberedPorts, authKey, projectRoot } from "./run/state.ts";
import { stateFolder, takeLock } from "./run/state.ts";
import { isPortFree } from "./services/ports.ts";
import { SetupError, endLeftovers } from "./services/process.ts";

const PUBLIC_PORT = 8080;
const ADMIN_PORT = 9090;
const NODE_ADMIN_PORT = 9091;
const say = (line: string): void => {
  process.stdout.write(`${line}\n`);
};

/** A part that is up, and how it is taken down; resolves to the names that had to be killed. */
interface Part {
  readonly name: string;
  stop(): Promise<readonly string[]>;
}

/** What is up so far, last started first, and the one way to take it down. */
class Parts {
  readonly #parts: Part[] = [];
  #stopped: Promise<void> | null = null;

  get isStopping(): boolean {
    return this.#stopped !== null;
  }

  /** Adds a part. One that comes up while everything goes down is ended at once, and this throws. */
  async add(part: Part): Promise<void> {
    if (this.#stopped === null) {
      this.#parts.unshift(part);
      return;
    }
    await end(part);
    throw new Error(`${part.name} came up too late: everything is being stopped`);
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#endAll();
    return this.#stopped;
  }

  async #endAll(): Promise<void> {
    for (const part of this.#parts) await end(part);
  }
}

async function end(part: Part): Promise<void> {
  try {
    const killed = await part.stop();
    for (const name of killed) say(`${name} did not end in time and was killed`);
  } catch (error) {
    // The others still have to go down; the next start looks for what is left of this one.
    say(`${part.name} could not be ended: ${(error as Error).message}`);
  }
}

/** Starts everything, returns when everything has been stopped. The exit code says how it went. */
export async function main(): Promise<void> {
  const parts = new Parts();
  const ended = whenAskedToStop(parts);
  try {
    await bringUp(parts);
    await ended;
  } catch (error) {
    if (!parts.isStopping) {
      const known = error instanceof SetupError;
      process.stderr.write(`${known ? error.message : (error as Error).stack}\n`);
      process.exitCode = 1;
    }
  }
  await parts.stop();
  // Whatever still holds the event loop (an idle connection) is no reason to stay.
  process.exit();
}

/** Resolves once everything is down after a SIGINT, SIGTERM or SIGHUP; repeats change nothing. */
function whenAskedToStop(parts: Parts): Promise<void> {
  return new Promise((resolve) => {
    const onSignal = (): void => {
      if (parts.isStopping) return;
      say("\nstopping ...");
      void parts.stop().then(() => {
        say("stopped");
        resolve();
      });
    };
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, onSignal);
  });
}

async function bringUp(parts: Parts): Promise<void> {
  const startedAt = performance.now();
  const root = projectRoot();
  const folder = stateFolder(root);
  process.once("exit", takeLock(folder));
  const list = new ProcessList(folder);
  const left = await endLeftovers(list.recorded());
  if (left.length > 0) say(`ended what an earlier start left behind: ${left.join(", ")}`);
  const publicPort = await doorPort("HEXDISPATCH_PUBLIC_PORT", PUBLIC_PORT);
  const adminPort = await doorPort("HEXDISPATCH_ADMIN_PORT", ADMIN_PORT);
  const ports = new RememberedPorts(folder);
  // For npm run courier, replay and the like, which are then found without the variables.
  ports.set("public", publicPort);
  ports.set("admin", adminPort);
  const givenNodePort = Number(process.env["HEXDISPATCH_NODE_ADMIN_PORT"] || 0);
  const nodeAdminPort = givenNodePort || (await choosePort(folder, "node-admin", NODE_ADMIN_PORT));

  say("starting NATS and Postgres ...");
  const services = await bringUpServices(parts, { root, stateFolder: folder, list, say });
  const applied = await migrate(services.postgres.url);
  if (applied.length > 0) say(`migrations applied: ${applied.join(", ")}`);
  say("starting a node and a gateway ...");
  const key = authKey(folder);
  const processes = startProcesses({
    root,
    stateFolder: folder,
    list,
    say,
    env: {
      natsUrl: services.nats.url,
      natsCredentials: services.nats.credentials,
      postgresUrl: services.postgres.url,
      authKey: key,
      publicPort,
      adminPort,
      nodeAdminPort,
    },
  });
  await parts.add({ name: "node and gateway", stop: () => processes.stop() });
  await processes.ready();

  const tokens = await demoTokens(key);
  await ensureDemoCourier(`http://127.0.0.1:${publicPort}`, tokens.operator).catch(
    (error: unknown) => say(`the demo courier could not be made: ${(error as Error).message}`),
  );
  const seconds = (performance.now() - startedAt) / 1000;
  say(welcome({ publicPort, adminPort, ...services, logs: join(folder, "logs") }, tokens, seconds));
}

/** Both services at once. When one fails the other still becomes a part, so that it is ended. */
async function bringUpServices(
  parts: Parts,
  options: ServicesOptions,
): Promise<{ nats: Service; postgres: Service }> {
  const addAsPart = async (service: Service): Promise<Service> => {
    const stop = async (): Promise<string[]> => ((await service.stop()) ? [service.name] : []);
    await parts.add({ name: service.name, stop });
    return service;
  };
  const [nats, postgres] = await Promise.allSettled([
    bringUpNats(options).then(addAsPart),
    bringUpPostgres(options).then(addAsPart),
  ]);
  if (nats.status === "rejected") throw nats.reason;
  if (postgres.status === "rejected") throw postgres.reason;
  return { nats: nats.value, postgres: postgres.value };
}

/** The port of one of our doors. Throws when it is taken: clients expect it, so none is made up. */
async function doorPort(variable: string, usual: number): Promise<number> {
  const port = Number(process.env[variable] || usual);
  if (!Number.isInteger(port) || port < 1 || port > 65_535) {
    throw new SetupError(`${variable} must be a port from 1 to 65535`);
  }
  if (await isPortFree(port)) return port;
  throw new SetupError(`port ${port} is taken by another program: set ${variable} to a free one`);
}
