// What happens to NATS servers beside being killed: their store is gone, their disk full, and our
// user is not among those whom they know for a while.

import { readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { NatsAuth } from "../cluster/cluster.ts";
import type { Member } from "../cluster/member.ts";
import { newUserKey } from "../run/nats-keys.ts";
import { sendSignal } from "../services/process.ts";
import type { Disk } from "./disks.ts";

const REFUSED_MS = 5_000;
const FULL_MS = 6_000;

/**
 * Keys of our processes and of whoever looks on, with the line by which servers know the former.
 */
export function makeNatsAuth(folder: string): NatsAuth & { readonly processLine: string } {
  const [own, onlooker] = [newUserKey(), newUserKey()];
  const files = {
    processes: join(folder, "nats-seed"),
    onlooker: join(folder, "nats-seed-faults"),
  };
  writeFileSync(files.processes, `${own.seed}\n`, { mode: 0o600 });
  writeFileSync(files.onlooker, `${onlooker.seed}\n`, { mode: 0o600 });
  const processLine = `    { nkey: ${own.publicKey} }\n`;
  const config = `authorization {
  users: [
${processLine}    { nkey: ${onlooker.publicKey} }
  ]
}
`;
  return { config, ...files, processLine };
}

/** These servers know our processes no more, and throw them out; after a while they do again. */
export async function refusedByNats(
  servers: readonly Member[],
  configOf: (server: Member) => string,
  line: string,
): Promise<void> {
  const rewrite = (from: string, to: string): void => {
    for (const server of servers) {
      const file = configOf(server);
      writeFileSync(file, readFileSync(file, "utf8").replace(from, to));
      if (server.pid !== null) sendSignal(server.pid, "SIGHUP");
    }
  };
  rewrite(line, "");
  await sleep(REFUSED_MS);
  rewrite("  users: [\n", `  users: [\n${line}`);
}

/** They come back with an empty disk. */
export async function withoutStore(
  servers: readonly Member[],
  storeOf: (server: Member) => string,
): Promise<void> {
  await Promise.all(servers.map((server) => server.kill()));
  for (const server of servers) {
    const store = storeOf(server);
    // What is in it, not it: it may be a disk of its own.
    for (const name of readdirSync(store)) rmSync(join(store, name), { recursive: true });
  }
  await Promise.all(servers.map((server) => server.start()));
}

/** No room for a while. */
export async function full(disks: readonly Disk[]): Promise<void> {
  try {
    for (const disk of disks) disk.fill();
    await sleep(FULL_MS);
  } finally {
    for (const disk of disks) disk.free();
  }
}
