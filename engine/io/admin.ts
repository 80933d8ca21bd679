/**
 * The admin listener of a node: /livez, /readyz, /metrics, /version, for the people and machines who run it. It shows
 * nothing of deliveries, and listens on the loopback unless told otherwise.
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

export type AdminOptions = {
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  readonly version: string;
  /** What is not ready, by name; empty when all is. */
  readonly notReady: () => readonly string[];
  /** In the text format of Prometheus. */
  readonly metrics: () => Promise<string>;
};
export type Admin = { readonly port: number; readonly close: () => Promise<void> };

type Page = readonly [status: number, type: string, content: string];

const JSON_TYPE = "application/json";
const METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8";
const MISSING: Page = [404, JSON_TYPE, JSON.stringify({ error: "not found" })];

/** Listens. Rejects when the port is taken. */
export async function listenAdmin(options: AdminOptions): Promise<Admin> {
  const server = createServer((request, response) => {
    const answer = ([status, type, content]: Page): void => {
      response.writeHead(status, { "content-type": type, "cache-control": "no-store" });
      response.end(request.method === "HEAD" ? undefined : content);
    };
    const isRead = request.method === "GET" || request.method === "HEAD";
    const page = isRead ? pageOf(request.url?.split("?")[0] ?? "/", options) : MISSING;
    Promise.resolve(page).then(answer, () => answer([500, JSON_TYPE, "{}"]));
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host: options.host, port: options.port, exclusive: true }, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function pageOf(path: string, options: AdminOptions): Page | Promise<Page> {
  switch (path) {
    case "/livez":
      return [200, JSON_TYPE, JSON.stringify({ status: "alive" })];
    case "/readyz": {
      const missing = options.notReady();
      const status = missing.length === 0 ? "ready" : "not ready";
      return [missing.length === 0 ? 200 : 503, JSON_TYPE, JSON.stringify({ status, missing })];
    }
    case "/metrics":
      return options.metrics().then((text): Page => [200, METRICS_TYPE, text]);
    case "/version":
      return [200, JSON_TYPE, JSON.stringify({ version: options.version, node: process.version })];
    default:
      return MISSING;
  }
}
