// When what died is started again, and that what was stopped is not.

import { expect, test } from "vitest";
import { keepRunning, nextPauseMs } from "./keep-running.ts";

test("the pause doubles from 0.25 s to 5 s and starts anew after 30 s of life", () => {
  const pauses = [0, 0, 0, 0, 0, 0, 0].reduce<number[]>(
    (all) => [...all, nextPauseMs(all.at(-1) ?? 0, 10)],
    [],
  );
  expect(pauses).toEqual([250, 500, 1_000, 2_000, 4_000, 5_000, 5_000]);
  expect(nextPauseMs(5_000, 30_000)).toBe(250);
});

/** A stand-in for a server: it ends when told to, or when stopped. */
class Fake {
  readonly exited: Promise<string>;
  wasStopped = false;
  end: (how: string) => void = () => undefined;

  constructor() {
    this.exited = new Promise((resolve) => (this.end = resolve));
  }

  readonly stop = (): Promise<boolean> => {
    this.wasStopped = true;
    this.end("stopped");
    return Promise.resolve(false);
  };
}

test("a server that dies is started again, and the new one is what stop() ends", async () => {
  const servers: Fake[] = [];
  const said: string[] = [];
  const start = (): Promise<Fake> => {
    servers.push(new Fake());
    return Promise.resolve(servers.at(-1)!);
  };
  const kept = await keepRunning("nats-server", start, (line) => said.push(line));
  servers[0]!.end("ended by SIGKILL");
  await expect.poll(() => servers.length, { timeout: 5_000 }).toBe(2);
  expect(said).toEqual(["nats-server ended by SIGKILL; it is started again in 0.25 s"]);
  expect(await kept.stop()).toBe(false);
  expect(servers.map((server) => server.wasStopped)).toEqual([false, true]);
});

test("a server that dies while it is being stopped stays dead", async () => {
  const servers: Fake[] = [];
  const start = (): Promise<Fake> => {
    servers.push(new Fake());
    return Promise.resolve(servers.at(-1)!);
  };
  const kept = await keepRunning("postgres", start, () => undefined);
  servers[0]!.end("ended by SIGKILL");
  await kept.stop();
  expect(servers).toHaveLength(1);
});
