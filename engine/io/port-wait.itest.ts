/** A port that is given up while it is waited for, and one that is not. */
import { createServer } from "node:net";
import type { AddressInfo, Server } from "node:net";
import { expect, it } from "vitest";
import { whenPortIsFree } from "./port-wait.ts";

const listenOn = (port: number): Promise<Server> =>
  new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen({ port, host: "127.0.0.1", exclusive: true }, () => resolve(server));
  });
const closed = (server: Server): Promise<void> => new Promise((done) => server.close(() => done()));
const portOf = (server: Server): number => (server.address() as AddressInfo).port;

it("a port that another process still holds is waited for, and said once", async () => {
  const before = await listenOn(0);
  const port = portOf(before);
  let said = 0;
  const onWait = (): void => {
    said += 1;
    void closed(before);
  };
  const after = await whenPortIsFree(port, () => listenOn(port), { onWait });
  expect([portOf(after), said]).toEqual([port, 1]);
  await closed(after);
});

it("a port that stays taken is an error, and so is one for a process that ends", async () => {
  const other = await listenOn(0);
  const open = (): Promise<Server> => listenOn(portOf(other));
  const onWait = (): void => undefined;
  const taken = { code: "EADDRINUSE" };
  await expect(whenPortIsFree(portOf(other), open, { onWait, waitMs: 300 })).rejects.toMatchObject(
    taken,
  );
  await expect(
    whenPortIsFree(portOf(other), open, { onWait, isEnding: () => true }),
  ).rejects.toMatchObject(taken);
  await closed(other);
});

it("any other failure is not waited for", async () => {
  const broken = new Error("no such address");
  const open = (): Promise<never> => Promise.reject(broken);
  await expect(whenPortIsFree(1, open, { onWait: () => undefined })).rejects.toBe(broken);
});
