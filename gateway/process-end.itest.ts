/**
 * How gateways and nodes end, as processes: during their start (as process 1 too, where the kernel
 * drops signals that nobody listens to), in a drain, with settings that cannot be used; and how a
 * gateway lives at its limit of open files.
 */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { Agent, get } from "node:http";
import type { IncomingMessage } from "node:http";
import { connect, createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { migrate } from "../engine/store/migrate.ts";
import { freePort } from "../scripts/services/ports.ts";
import { findChildren } from "../scripts/services/process.ts";
import { testDatabase, testNatsUrl, testPrefix } from "../scripts/testing/services.ts";
import type { TestDatabase } from "../scripts/testing/services.ts";
import { until } from "../scripts/testing/until.ts";
import { TEST_KEY } from "./testing/gateway.ts";

const GATEWAY = fileURLToPath(new URL("main.ts", import.meta.url));
const NODE = fileURLToPath(new URL("../engine/node.ts", import.meta.url));
const NATS_URL = "HEXDISPATCH_NATS_URL";
const POSTGRES_URL = "HEXDISPATCH_POSTGRES_URL";
const START_MS = 60_000;
/** Room for the process and its libraries, and for some tens of connections. */
const FILES_MAX = 160;
const PRESSING = 250;

let database: TestDatabase;
const started: Started[] = [];
/** Servers that accept and say nothing: what a start waits for. */
const silent: Server[] = [];
const held: Socket[] = [];

beforeAll(async () => {
  database = await testDatabase();
  await migrate(database.url);
});
afterEach(() => {
  for (const { child, pid } of started.splice(0)) {
    if (child.exitCode === null && child.signalCode === null) process.kill(pid(), "SIGKILL");
  }
  for (const server of silent.splice(0)) server.close();
  for (const socket of held.splice(0)) socket.destroy();
});
afterAll(() => database.drop());

type Started = {
  readonly child: ChildProcess;
  /** Of the process itself, below whatever launched it. */
  readonly pid: () => number;
  readonly output: string[];
  readonly exit: Promise<number | null>;
};

function launch(
  command: readonly string[],
  env: Readonly<Record<string, string>>,
  isBelow = false,
): Started {
  const [program = "", ...args] = command;
  const child = spawn(program, args, {
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      ...process.env,
      HEXDISPATCH_AUTH_KEY: TEST_KEY,
      HEXDISPATCH_POSTGRES_URL: database.url,
      HEXDISPATCH_NATS_URL: testNatsUrl(),
      HEXDISPATCH_NATS_PREFIX: testPrefix(),
      HEXDISPATCH_PUBLIC_PORT: "0",
      HEXDISPATCH_ADMIN_PORT: "0",
      ...env,
    },
  });
  const output: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding("utf8").on("data", (text: string) => output.push(text));
  }
  const exit = once(child, "close").then(([code]) => code as number | null);
  const own = child.pid ?? 0;
  const pid = (): number => (isBelow ? (findChildren(own)[0] ?? own) : own);
  const one = { child, pid, output, exit };
  started.push(one);
  return one;
}

const script = (file: string): string[] => [process.execPath, "--import", "tsx", file];

/** As process 1 of a namespace of its own, where this machine lets us make one. */
async function launchAsFirst(file: string, env: Readonly<Record<string, string>>) {
  const namespace = ["unshare", "--pid", "--fork", "--mount-proc"];
  const probe = spawn("unshare", [...namespace.slice(1), "true"], { stdio: "ignore" });
  const mayUnshare = await new Promise<boolean>((resolve) => {
    probe.once("error", () => resolve(false));
    probe.once("exit", (code) => resolve(code === 0));
  });
  return mayUnshare
    ? launch([...namespace, ...script(file)], env, true)
    : launch(script(file), env);
}

/**
 * A port behind which somebody takes connections and never says a word; resolves `met` at the
 * first.
 */
async function silentServer(): Promise<{ readonly port: number; readonly met: Promise<unknown> }> {
  const server = createServer((socket) => {
    held.push(socket);
    socket.on("error", () => undefined);
  });
  silent.push(server);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { port: (server.address() as AddressInfo).port, met: once(server, "connection") };
}

const said = ({ output }: Started): string => output.join("");

describe("a process that is told to end before it was ready", () => {
  it.each([
    ["a gateway that waits for NATS", GATEWAY, NATS_URL, "SIGTERM"],
    ["a node that waits for NATS", NODE, NATS_URL, "SIGHUP"],
    ["a node that waits for Postgres", NODE, POSTGRES_URL, "SIGINT"],
  ] as const)(
    "%s ends with 0, and never becomes ready",
    async (_, file, whom, signal) => {
      const server = await silentServer();
      const scheme = whom === NATS_URL ? "nats://" : "postgres://user:pw@";
      const env = { [whom]: `${scheme}127.0.0.1:${server.port}/` };
      const one = await launchAsFirst(file, env);
      await Promise.race([server.met, one.exit]);
      process.kill(one.pid(), signal);
      expect(await one.exit, said(one)).toBe(0);
      expect(said(one)).toContain("told to end before it was ready");
      expect(said(one)).not.toContain('"msg":"ready"');
      expect(said(one)).not.toContain('"level":"fatal"');
    },
    START_MS,
  );

  it("settings that cannot be used end it with 2, whichever it is", async () => {
    const both = [GATEWAY, NODE].map((file) =>
      launch(script(file), { HEXDISPATCH_DRAIN_MS: "soon" }),
    );
    expect(await Promise.all(both.map(({ exit }) => exit))).toEqual([2, 2]);
    for (const one of both) expect(said(one)).toContain("HEXDISPATCH_DRAIN_MS");
  });
});

describe("a gateway at its limit of open files, and in its drain", () => {
  const kept = new Agent({ keepAlive: true, maxSockets: 1 });
  afterAll(() => kept.destroy());

  const ask = (port: number, path: string, agent?: Agent): Promise<IncomingMessage> =>
    new Promise((resolve, reject) => {
      const options = agent === undefined ? {} : { agent };
      const request = get({ host: "127.0.0.1", port, path, ...options }, (answer) => {
        answer.resume();
        answer.once("end", () => resolve(answer));
      });
      request.once("error", reject);
    });

  it(
    "keeps its admin door, serves on unready until it is told again, and refuses nothing meanwhile",
    async () => {
      const [port, admin] = [await freePort(), await freePort()];
      const limited = ["/bin/sh", "-c", `ulimit -n ${FILES_MAX}; exec "$@"`, "sh"];
      const one = launch([...limited, ...script(GATEWAY)], {
        HEXDISPATCH_PUBLIC_PORT: String(port),
        HEXDISPATCH_ADMIN_PORT: String(admin),
        HEXDISPATCH_DRAIN_MS: "600000",
      });
      const status = (path: string): Promise<number | null> =>
        ask(admin, path).then(
          (answer) => answer.statusCode ?? null,
          () => null,
        );
      await until(
        async () => one.child.exitCode !== null || (await status("/readyz")) === 200,
        "the gateway",
        START_MS,
      );
      expect(one.child.exitCode, said(one)).toBeNull();
      expect(said(one)).toContain(`"openFilesMax":${FILES_MAX}`);

      let closed = 0;
      for (let i = 0; i < PRESSING; i++) {
        const socket = connect(port, "127.0.0.1");
        socket.on("error", () => undefined).once("close", () => closed++);
        held.push(socket);
      }
      await until(() => closed >= PRESSING - FILES_MAX, "refusals");
      expect(await status("/livez")).toBe(200);
      expect(await status("/readyz")).toBe(200);
      await until(() => said(one).includes("connections are refused"), "a line about it");
      for (const socket of held) socket.destroy();
      await until(
        () =>
          ask(port, "/openapi.json", kept).then(
            (answer) => answer.statusCode === 200,
            () => false,
          ),
        "room for requests again",
      );

      // Twice at once is one request, as npm and some service managers send it.
      process.kill(one.pid(), "SIGTERM");
      process.kill(one.pid(), "SIGINT");
      await until(async () => (await status("/readyz")) === 503);
      const onKept = await ask(port, "/openapi.json", kept);
      expect([onKept.statusCode, onKept.headers.connection]).toEqual([200, "close"]);
      expect((await ask(port, "/openapi.json")).statusCode).toBe(200);
      expect(await status("/livez")).toBe(200);
      // A later one cuts the waiting short. Sent until it counts: within a second it is still the
      // first request.
      await until(() => {
        if (one.child.exitCode === null) process.kill(one.pid(), "SIGTERM");
        return one.child.exitCode !== null;
      });
      expect(await one.exit, said(one)).toBe(0);
    },
    2 * START_MS,
  );
});
