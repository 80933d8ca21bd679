// The processes of a local start: one node and one gateway. Knows their environment, when they are
// ready and in which order they end; keeping one alive is child.ts.

import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { isPortFree } from "../services/ports.ts";
import { STOP_DEADLINE_MS, SetupError } from "../services/process.ts";
import { Child } from "./child.ts";
import { stateArgument } from "./leftovers.ts";
import { FIRST_MODULE } from "./node-flags.ts";
import type { ProcessList } from "./state.ts";

const READY_DEADLINE_MS = 30_000;
const POLL_MS = 100;

export interface ProcessesOptions {
  readonly root: string;
  readonly stateFolder: string;
  readonly list: ProcessList;
  readonly env: {
    readonly natsUrl: string;
    /** A file with the key of our own processes; absent: what the environment says. */
    readonly natsCredentials?: string | undefined;
    readonly postgresUrl: string;
    readonly authKey: string;
    readonly publicPort: number;
    readonly adminPort: number;
    /** The node's own admin listener, for its health and metrics. */
    readonly nodeAdminPort: number;
  };
  readonly say: (line: string) => void;
}

export interface Processes {
  /** Resolves when both are ready; throws a SetupError with the last log lines when one is not. */
  ready(): Promise<void>;
  /** Ends the gateway, then the node. Names those that had to be killed. */
  stop(deadlineMs?: number): Promise<string[]>;
  /** Cuts the waiting of an end under way short. */
  hasten(): void;
}

export function startProcesses(options: ProcessesOptions): Processes {
  const node = startOne(options, "node");
  const gateway = startOne(options, "gateway");
  const readyUrl = `http://127.0.0.1:${options.env.adminPort}/readyz`;
  const gatewayReady = (): Promise<boolean> => answersOk(readyUrl);
  return {
    async ready() {
      const { publicPort, adminPort, nodeAdminPort } = options.env;
      await Promise.all([
        untilReady("node", node, () => Promise.resolve(node.saidReady), [nodeAdminPort]),
        untilReady("gateway", gateway, gatewayReady, [publicPort, adminPort]),
      ]);
    },
    hasten() {
      for (const child of [gateway, node]) child.hasten();
    },
    async stop(deadlineMs = STOP_DEADLINE_MS) {
      const killed: string[] = [];
      if (await gateway.stop(deadlineMs + drainMs())) killed.push("gateway");
      if (await node.stop(deadlineMs)) killed.push("node");
      return killed;
    },
  };
}

/** The compiled entry of a role. */
const scriptOf = (root: string, role: "node" | "gateway"): string =>
  join(root, "dist", role === "node" ? "engine/node.js" : "gateway/main.js");

/**
 * Nobody balances in front of a local start, so it does not wait for balancers unless it is told
 * to.
 */
const DRAIN_VARIABLE = "HEXDISPATCH_DRAIN_MS";
const drainMs = (): number => Number(process.env[DRAIN_VARIABLE] || 0) || 0;

function startOne(options: ProcessesOptions, role: "node" | "gateway"): Child {
  const { env, list } = options;
  return new Child({
    name: role,
    script: scriptOf(options.root, role),
    firstModule: join(options.root, FIRST_MODULE),
    args: [stateArgument(options.stateFolder)],
    env: {
      ...process.env,
      [DRAIN_VARIABLE]: process.env[DRAIN_VARIABLE] || "0",
      HEXDISPATCH_NATS_URL: env.natsUrl,
      ...(env.natsCredentials === undefined
        ? {}
        : { HEXDISPATCH_NATS_CREDENTIALS: env.natsCredentials }),
      HEXDISPATCH_POSTGRES_URL: env.postgresUrl,
      ...keysFor(role, env.authKey),
      HEXDISPATCH_PUBLIC_PORT: String(env.publicPort),
      HEXDISPATCH_ADMIN_PORT: String(env.adminPort),
      HEXDISPATCH_NODE_ADMIN_PORT: String(env.nodeAdminPort),
    },
    logFile: join(options.stateFolder, "logs", `${role}.log`),
    say: options.say,
    onSpawn: (record) => list.add(record),
    onEnd: (name) => list.remove(name),
  });
}

/** A node has no use for the signing key, so it gets none, not even ours. */
const keysFor = (role: "node" | "gateway", authKey: string): Record<string, string | undefined> =>
  role === "gateway"
    ? { HEXDISPATCH_AUTH_KEY: authKey }
    : { HEXDISPATCH_AUTH_KEY: undefined, HEXDISPATCH_AUTH_KEY_PREVIOUS: undefined };

async function untilReady(
  name: string,
  child: Child,
  isReady: () => Promise<boolean>,
  ports: readonly number[],
): Promise<void> {
  const deadline = Date.now() + READY_DEADLINE_MS;
  // Polling: a listener that is not there yet cannot say when it will be.
  for (;;) {
    const answered = await isReady();
    // Looked at second: whoever answered, a process that is dead is not ready.
    const late = Date.now() >= deadline ? "was not ready within 30 s" : null;
    const why = child.death ?? (answered ? null : late);
    if (why !== null) throw await failure(name, child, why, ports);
    if (answered) break;
    await sleep(POLL_MS);
  }
  child.markReady();
}

/**
 * A port that somebody took meanwhile is the whole reason, in one line; else the last lines have to
 * say it.
 */
async function failure(
  name: string,
  child: Child,
  why: string,
  ports: readonly number[],
): Promise<SetupError> {
  for (const port of child.death === null ? [] : ports) {
    if (await isPortFree(port)) continue;
    return new SetupError(`${name} cannot start: port ${port} is taken by another program`);
  }
  const lines = child.lastLines.map((line) => `    ${line}`).join("\n");
  return new SetupError(`${name} ${why}; its last lines:\n${lines}`);
}

async function answersOk(url: string): Promise<boolean> {
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(2_000) });
    await answer.body?.cancel();
    return answer.status === 200;
  } catch {
    return false; // Not listening yet.
  }
}
