/**
 * The admin listener of a process: liveness, readiness, metrics, version. A listener of its own, on another port than the public
 * door, so that no rule about paths stands between the two. It serves people and machines who run the
 * process and knows nothing of deliveries.
 */
import { createServer } from "node:http";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";

export type AdminOptions = {
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  readonly version: string;
  /** What is not ready, by name; empty when all is. */
  readonly notReady: () => readonly string[] | Promise<readonly string[]>;
  /** In the text format of Prometheus. */
  readonly metrics: () => Promise<string>;
};
export type Admin = { readonly port: number; readonly close: () => Promise<void> };

type Page = { readonly status: number; readonly type: string; readonly content: string };

const json = (status: number, value: unknown): Page => ({
  status,
  type: "application/json",
  content: JSON.stringify(value),
});

/** Listens. Rejects when the port is taken. */
export async function listenAdmin(options: AdminOptions): Promise<Admin> {
  const server = createServer((request, response) => {
    const path = (request.url ?? "/").split("?")[0] ?? "/";
    const answer = (page: Page): void => {
      response.writeHead(page.status, {
        "content-type": page.type,
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
      });
      response.end(request.method === "HEAD" ? undefined : page.content);
    };
    if (request.method !== "GET" && request.method !== "HEAD") {
      answer(json(405, { error: "method not allowed" }));
      return;
    }
    pageOf(path, options).then(answer, (error: unknown) =>
      answer(json(500, { error: error instanceof Error ? error.message : String(error) })),
    );
  });
  await listening(server, options);
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function pageOf(path: string, options: AdminOptions): Promise<Page> {
  switch (path) {
    case "/livez":
      return json(200, { status: "alive" });
    case "/readyz": {
      const missing = await options.notReady();
      return missing.length === 0
        ? json(200, { status: "ready" })
        : json(503, { status: "not ready", missing });
    }
    case "/metrics":
      return {
        status: 200,
        type: "text/plain; version=0.0.4; charset=utf-8",
        content: await options.metrics(),
      };
    case "/version":
      return json(200, { version: options.version, node: process.version });
    default:
      return json(404, { error: "not found" });
  }
}

const listening = (server: Server, { host, port }: AdminOptions): Promise<void> =>
  new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host, port, exclusive: true }, () => {
      server.off("error", reject);
      resolve();
    });
  });
