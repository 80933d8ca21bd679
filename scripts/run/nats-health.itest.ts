// A real nats-server that stops writing: a limit on the size of its files fails a write as a full
// disk does, and the server stays switched off when the limit is lifted, as it does after a full
// disk.

import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";
import { lookAtStreams } from "../../engine/streams/look.ts";
import { ensureStreams } from "../../engine/streams/streams.ts";
import { subjectsFor } from "../../proto/subjects.ts";
import { findNatsServer } from "../services/nats-binary.ts";
import { startNatsServer } from "../services/nats.ts";
import type { NatsServer } from "../services/nats.ts";
import { freePort } from "../services/ports.ts";
import { makeTestFolder } from "../testing/folder.ts";
import { until } from "../testing/until.ts";
import { keepRunning } from "./keep-running.ts";
import { watchNatsHealth, whyNotWriting } from "./nats-health.ts";
import { cacheFolder, projectRoot, stateFolder } from "./state.ts";

const LONG_MS = 30_000;
const MIB = 1_048_576;
/** In blocks of 512 bytes, as a POSIX shell counts. */
const LIMITED = ["-c", `trap "" XFSZ; ulimit -S -f 1024; exec "$0" "$@"`];
const settings = {
  natsPrefix: "hd",
  natsReplicas: 1,
  streamBytes: { CELLS: 8 * MIB, LEDGER: 32 * MIB, EVENTS: 32 * MIB, INTAKE: 32 * MIB },
};

test("a server that stopped writing is noticed, and started anew when there is room", async () => {
  const binary = await findNatsServer(cacheFolder(stateFolder()), () => undefined);
  const folder = makeTestFolder(projectRoot(), undefined);
  const inner = join(folder.path, "nats");
  const [port, monitorPort] = [await freePort(), await freePort()];
  const said: string[] = [];
  const say = (line: string): void => void said.push(line);
  const monitorUrl = `http://127.0.0.1:${monitorPort}`;
  let isLimited = true;
  let makeRoom = (): void => undefined;
  const isRoom = new Promise<void>((resolve) => (makeRoom = resolve));
  const start = async (): Promise<NatsServer> => {
    const server = await startNatsServer({
      ...{ binary, folder: inner, port, monitorPort, onSpawn: (one) => folder.list.add(one) },
      launch: (command, args) =>
        isLimited
          ? { command: "/bin/sh", args: [...LIMITED, command, ...args] }
          : { command, args },
    });
    const { exited, stop: restart } = server;
    void isRoom.then(() =>
      watchNatsHealth({ ...{ monitorUrl, folder: inner, exited, say, restart }, lookMs: 50 }),
    );
    return server;
  };
  const { server, stop } = await keepRunning("nats-server", start, say);
  const nc = await connect({ servers: server.url, maxReconnectAttempts: -1 });
  try {
    const api = await jetstreamManager(nc, { checkAPI: false, timeout: 2_000 });
    await ensureStreams(api, "hd", 1, settings.streamBytes);
    const subject = subjectsFor("hd").events("acme", "del_1");
    const publish = (): Promise<boolean> =>
      jetstream(nc)
        .publish(subject, new Uint8Array(100_000), { timeout: 500 })
        .then(
          () => true,
          () => false,
        );
    await until(async () => !(await publish()), "the limit", LONG_MS);
    execFileSync("prlimit", ["--pid", String(server.pid), "--fsize=unlimited"]);
    // There is room, and nothing is taken all the same.
    expect(await publish()).toBe(false);
    const troubles = await lookAtStreams({ nc, ...settings, makes: true });
    expect(troubles.get("EVENTS")).toMatch(/^takes no messages: write .*file too large/);
    expect([...troubles.keys()]).toEqual(["EVENTS"]);
    expect(await whyNotWriting(monitorUrl)).toContain("write error");

    isLimited = false;
    makeRoom();
    await until(publish, "a server that writes", LONG_MS);
    expect(said.join("\n")).toContain("there is room for nats-server's streams");
  } finally {
    await nc.close();
    await stop();
    folder.remove();
  }
});
