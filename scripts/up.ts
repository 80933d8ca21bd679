// Brings up a whole hexdispatch on this machine and keeps it up: services, tables, keys, one node,
// one gateway, the demo data. It owns the order in which things start and end, and that nothing is
// left behind; how each part is started is in run/ and services/. Reached by `npm start`.
//
// SIGINT, SIGTERM, SIGHUP (a closed terminal) and the end of npm take everything down in order,
// also in the middle of a start. A reader of the output that goes away (`npm start | head`) changes
// nothing.

import { readlinkSync } from "node:fs";
import { performance } from "node:perf_hooks";
import { setImmediate } from "node:timers/promises";
import { join } from "node:path";
import { catchSignals } from "../engine/io/signals.ts";
import { migrate } from "../engine/store/migrate.ts";
import { explain } from "./run/explain.ts";
import { endWhatIsLeft } from "./run/leftovers.ts";
import { demoTokens, ensureDemoCourier, welcome } from "./run/demo.ts";
import { startProcesses } from "./run/processes.ts";
import { bringUpNats, bringUpPostgres, choosePort } from "./run/services.ts";
import type { Service, ServicesOptions } from "./run/services.ts";
import { ProcessList, RememberedPorts, authKey, projectRoot } from "./run/state.ts";
import { stateFolder, takeLock } from "./run/state.ts";
import { isPortFree } from "./services/ports.ts";
import { complain, isNohup, say } from "./run/terminal.ts";
import { SetupError, endLeftovers, endProcess } from "./services/process.ts";
import { findChildren } from "./services/process.ts";

const PUBLIC_PORT = 8080;
const ADMIN_PORT = 9090;
const NODE_ADMIN_PORT = 9091;
/** Commands of the start itself that are under way: fetching a program, making a database. */
const COMMAND_DEADLINE_MS = 2_000;

/** A part that is up, and how it is taken down; resolves to the names that had to be killed. */
interface Part {
  readonly name: string;
  stop(): Promise<readonly string[]>;
}

/** What is up so far, last started first, and the one way to take it down. */
class Parts {
  readonly #parts: Part[] = [];
  #list: ProcessList | null = null;
  #stopped: Promise<void> | null = null;

  readonly isStopping = (): boolean => this.#stopped !== null;

  /** Throws when everything is going down: the step that would come next must not begin. */
  check(): void {
    if (this.isStopping()) throw new Error("everything is being stopped");
  }

  /** The processes that are recorded here are ended as well, those too that are not ready yet. */
  watch(list: ProcessList): void {
    this.#list = list;
  }

  /**
   * Adds a part. One that comes up while everything goes down is ended at once, and this throws.
   */
  async add(part: Part): Promise<void> {
    if (!this.isStopping()) {
      this.#parts.unshift(part);
      return;
    }
    await end(part);
    this.check();
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#endAll();
    return this.#stopped;
  }

  async #endAll(): Promise<void> {
    for (const part of this.#parts) await end(part);
    await endLeftovers(this.#list?.current() ?? []);
    for (const pid of findChildren(process.pid)) {
      await endProcess(pid, "SIGTERM", COMMAND_DEADLINE_MS);
    }
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

/**
 * Starts everything, and ends the process when everything has been stopped. The exit code says how
 * it went.
 */
export async function main(): Promise<void> {
  // First of all, so that no moment is left in which a signal would end us alone.
  const { ending, hurry } = catchSignals(isNohup(process.env, outputFile()) ? ["SIGHUP"] : []);
  const parts = new Parts();
  endOnBug(parts);
  const told = new Promise<"told">((resolve) => {
    ending.addEventListener("abort", () => resolve("told"), { once: true });
    if (ending.aborted) resolve("told");
  });
  const bringingUp = bringUp(parts, hurry);
  try {
    await Promise.race([bringingUp, told]);
    await told;
    say("\nstopping ...");
    // A start that is cut off fails in many places, all of them wanted.
    bringingUp.catch(() => undefined);
  } catch (error) {
    // Ctrl-C ends the commands of a start as well: the signal that did it may be about to arrive
    // here.
    await setImmediate();
    if (!ending.aborted) {
      complain(explain(error));
      process.exitCode = 1;
    }
  }
  await parts.stop();
  if (ending.aborted) say("stopped");
  // Whatever still holds the event loop (an idle connection) is no reason to stay.
  process.exit();
}

/** A bug takes everything down too: what it left would be nobody's. */
function endOnBug(parts: Parts): void {
  const onBug = (error: unknown): void => {
    if (!parts.isStopping()) complain(explain(error));
    process.exitCode = 1;
    void parts.stop().then(() => process.exit());
  };
  process.on("uncaughtException", onBug);
  process.on("unhandledRejection", onBug);
}

/** The file behind standard output; null where there is none, or nobody says. */
function outputFile(): string | null {
  try {
    return readlinkSync("/proc/self/fd/1");
  } catch {
    return null; // Not Linux: the name of the command has to do.
  }
}

async function bringUp(parts: Parts, hurry: AbortSignal): Promise<void> {
  const startedAt = performance.now();
  const root = projectRoot();
  const folder = stateFolder(root);
  process.once("exit", takeLock(folder));
  const list = new ProcessList(folder);
  parts.watch(list);
  const left = await endWhatIsLeft(root, folder, list.recorded());
  if (left.length > 0) say(`ended what an earlier start left behind: ${left.join(", ")}`);
  const publicPort = await doorPort("HEXDISPATCH_PUBLIC_PORT", PUBLIC_PORT);
  const adminPort = await doorPort("HEXDISPATCH_ADMIN_PORT", ADMIN_PORT);
  const ports = new RememberedPorts(folder);
  // For npm run courier, replay and the like, which are then found without the variables.
  ports.set("public", publicPort);
  ports.set("admin", adminPort);
  const givenNodePort = Number(process.env["HEXDISPATCH_NODE_ADMIN_PORT"] || 0);
  const nodeAdminPort = givenNodePort || (await choosePort(folder, "node-admin", NODE_ADMIN_PORT));

  const key = authKey(folder);

  parts.check();
  say("starting NATS and Postgres ...");
  const { isStopping } = parts;
  const common = { root, stateFolder: folder, list, say };
  const services = await bringUpServices(parts, { ...common, isStopping });
  parts.check();
  const applied = await migrateTables(services.postgres.url);
  parts.check();
  if (applied.length > 0) say(`migrations applied: ${applied.join(", ")}`);
  say("starting a node and a gateway ...");
  const processes = startProcesses({
    ...common,
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
  hurry.addEventListener("abort", () => processes.hasten(), { once: true });
  await parts.add({ name: "node and gateway", stop: () => processes.stop() });
  await processes.ready();

  const tokens = await demoTokens(key);
  await ensureDemoCourier(`http://127.0.0.1:${publicPort}`, tokens.operator).catch(
    (error: unknown) => say(`the demo courier could not be made: ${(error as Error).message}`),
  );
  const seconds = (performance.now() - startedAt) / 1000;
  say(welcome({ publicPort, adminPort, ...services, logs: join(folder, "logs") }, tokens, seconds));
}

async function migrateTables(url: string): Promise<readonly string[]> {
  try {
    return await migrate(url);
  } catch (error) {
    const { message } = error as Error;
    throw new SetupError(`the tables could not be brought up to date: ${message}`, {
      cause: error,
    });
  }
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
