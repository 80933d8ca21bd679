// `npm run cluster`: a hexdispatch of three nats-servers, three nodes and two gateways on this
// machine, and a prompt at which people kill, freeze, drain, cut off and start its processes and
// watch who takes over. Reads its commands from standard input, whether that is a terminal or not.

import { join } from "node:path";
import { mkdirSync } from "node:fs";
import { createInterface } from "node:readline";
import { SHARDS_DEFAULT } from "../../proto/limits.ts";
import { demoTokens, ensureDemoCourier } from "../run/demo.ts";
import type { DemoTokens } from "../run/demo.ts";
import { ProcessList, authKey, cacheFolder, keptSecret, projectRoot } from "../run/state.ts";
import { stateFolder, takeLock } from "../run/state.ts";
import { findNatsServer } from "../services/nats-binary.ts";
import { firstFreePort, isPortFree } from "../services/ports.ts";
import { canEnter, findPostgres, pathHash, reachableFolder } from "../services/postgres-binary.ts";
import { SetupError, endLeftovers } from "../services/process.ts";
import { Cluster } from "./cluster.ts";
import { makeDatabase } from "./database.ts";
import { FactFinder } from "./facts.ts";
import { thisHost } from "./host.ts";
import { parseCommand } from "./commands.ts";
import { Prompt } from "./prompt.ts";
import { Screen } from "./screen.ts";
import { tableLines } from "./table.ts";

const PUBLIC_PORT = 8080;
const POSTGRES_PORT = 5442;
const REFRESH_MS = 1_000;

const screen = new Screen();
const say = (line: string): void => {
  process.stdout.write(`${line}\n`);
};

export async function main(): Promise<void> {
  const stopping = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(signal, () => stopping.abort());
  }
  let cluster: Cluster | null = null;
  try {
    const made = await make();
    cluster = made.cluster;
    await Promise.race([cluster.start(), aborted(stopping.signal)]);
    if (!stopping.signal.aborted) await play(made, stopping);
  } catch (error) {
    const known = error instanceof SetupError;
    process.stderr.write(`${known ? error.message : (error as Error).stack}\n`);
    process.exitCode = 1;
  }
  screen.close();
  say("stopping ...");
  await cluster?.end();
  say("stopped");
  process.exit();
}

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));

interface Made {
  readonly cluster: Cluster;
  readonly postgresUrl: string;
  readonly shards: number;
  readonly folder: string;
  readonly key: string;
}

/** Everything found and named; nothing is started yet. */
async function make(): Promise<Made> {
  const root = projectRoot();
  const state = stateFolder(root);
  const folder = join(state, "cluster");
  mkdirSync(join(folder, "logs"), { recursive: true });
  process.once("exit", takeLock(folder));
  const list = new ProcessList(folder);
  const left = await endLeftovers(list.recorded());
  if (left.length > 0) say(`ended what an earlier start left behind: ${left.join(", ")}`);
  const publicPort = Number(process.env["HEXDISPATCH_PUBLIC_PORT"] || PUBLIC_PORT);
  if (!(await isPortFree(publicPort))) {
    throw new SetupError(`port ${publicPort} is taken: set HEXDISPATCH_PUBLIC_PORT to a free one`);
  }
  const natsBinary = await findNatsServer(cacheFolder(state), say);
  const binaries = findPostgres(root, say);
  const onSpawn = list.add.bind(list);
  const data = canEnter(folder, binaries.user)
    ? join(folder, "postgres")
    : join(reachableFolder(root), `cluster-${pathHash(folder)}`);
  const database = makeDatabase({
    binaries,
    folder: data,
    password: keptSecret(folder, "postgres-password"),
    port: await firstFreePort([POSTGRES_PORT]),
    standbyPort: null,
    onSpawn,
  });
  const key = authKey(state);
  const shards = Number(process.env["HEXDISPATCH_SHARDS"] || SHARDS_DEFAULT);
  const cluster = new Cluster({
    root,
    folder,
    natsBinary,
    hosts: [thisHost],
    database,
    authKey: key,
    publicPort,
    nodes: countFrom("HEXDISPATCH_CLUSTER_NODES", 3),
    gateways: countFrom("HEXDISPATCH_CLUSTER_GATEWAYS", 2),
    settings: {},
    onSpawn,
    say,
  });
  return { cluster, postgresUrl: database.url, shards, folder, key };
}

function countFrom(variable: string, usual: number): number {
  const count = Number(process.env[variable] || usual);
  if (Number.isInteger(count) && count >= 1 && count <= 9) return count;
  throw new SetupError(`${variable} must be a number from 1 to 9`);
}

/** Everything is up: the doors are named, commands are obeyed until the end. */
async function play(made: Made, stopping: AbortController): Promise<void> {
  const { cluster, postgresUrl, shards, key } = made;
  const tokens = await demoTokens(key);
  await ensureDemoCourier(cluster.publicUrl, tokens.operator).catch((error: unknown) =>
    say(`the demo courier could not be made: ${(error as Error).message}`),
  );
  const finder = new FactFinder(cluster, postgresUrl, shards);
  const refresh = async (): Promise<void> => screen.show(tableLines(await finder.find()));
  if (screen.isTerminal) await refresh();
  say(welcome(made, tokens));
  const ticker = screen.isTerminal ? setInterval(() => void refresh(), REFRESH_MS) : null;
  const input = createInterface({ input: process.stdin, output: process.stdout, prompt: "> " });
  // With a terminal readline takes Ctrl-C for itself.
  input.on("SIGINT", () => stopping.abort());
  stopping.signal.addEventListener("abort", () => input.close(), { once: true });
  const prompt = new Prompt(cluster, finder, say);
  if (!screen.isTerminal) say(tableLines(await finder.find()).join("\n"));
  input.prompt();
  for await (const line of input) {
    const command = parseCommand(line);
    if (typeof command === "string") say(command);
    else if (command.do === "quit") break;
    else await prompt.obey(command);
    if (!screen.isTerminal && typeof command !== "string" && command.do !== "help") {
      say(tableLines(await finder.find()).join("\n"));
    }
    input.prompt();
  }
  if (ticker !== null) clearInterval(ticker);
  input.close();
  await finder.close();
}

function welcome({ cluster, postgresUrl, folder }: Made, tokens: DemoTokens): string {
  const replay =
    `HEXDISPATCH_POSTGRES_URL=${postgresUrl} HEXDISPATCH_NATS_URL=${cluster.natsUrls.join(",")} ` +
    `HEXDISPATCH_ADMIN_PORT=${new URL(cluster.member("gateway1")?.adminUrl ?? "http://x:0").port} npm run replay`;
  return `
a cluster of hexdispatch is ready. Ctrl-C stops everything; help lists the commands.

  REST, WebSocket  ${cluster.publicUrl}/v1   (both gateways take turns behind it)
  NATS             ${cluster.natsUrls.join(" ")}
  Postgres         ${postgresUrl}
  logs             ${join(folder, "logs")}

CUSTOMER=${tokens.customer}
COURIER=${tokens.courier}
OPERATOR=${tokens.operator}

A busy city to break, in another terminal:
${replay}
`;
}
