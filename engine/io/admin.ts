/**
 * The admin listener of a process: liveness, readiness, metrics, version. A listener of its own, on
 * another port than the public door, so that no rule about paths stands between the two. It serves
 * people and machines who run the process and knows nothing of deliveries.
 */
import { createServer } from "node:http";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { READY_KEPT_MS } from "../../proto/limits.ts";

export type AdminOptions = {
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  readonly version: string;
  /** What is not ready, by name; empty when all is. */
  readonly notReady: () => readonly string[] | Promise<readonly string[]>;
  /** What works less well and is no reason to keep clients away, by name. */
  readonly degraded?: () => readonly string[];
  /** What only a restart of this process can mend, by name; empty while there is nothing such. */
  readonly notAlive?: () => readonly string[];
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
  const pageOf = pagesOf(options);
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
    pageOf(path).then(answer, (error: unknown) =>
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

function pagesOf(options: AdminOptions): (path: string) => Promise<Page> {
  const { version, metrics, degraded, notAlive = () => [] } = options;
  const notReady = kept(async () => options.notReady());
  return async (path) => {
    switch (path) {
      case "/livez": {
        const broken = notAlive();
        return broken.length === 0
          ? json(200, { status: "alive" })
          : json(503, { status: "not alive", broken });
      }
      case "/readyz":
        return readyPage(await notReady(), degraded?.() ?? []);
      case "/metrics": {
        const type = "text/plain; version=0.0.4; charset=utf-8";
        return { status: 200, type, content: await metrics() };
      }
      case "/version":
        return json(200, { version, node: process.version });
      default:
        return json(404, { error: "not found" });
    }
  };
}

const readyPage = (missing: readonly string[], degraded: readonly string[]): Page => {
  const more = degraded.length === 0 ? {} : { degraded };
  return missing.length === 0
    ? json(200, { status: "ready", ...more })
    : json(503, { status: "not ready", missing, ...more });
};

/**
 * The answer of `look`, shared by all who ask within a moment: however many ask, what is behind it
 * is asked as often.
 */
function kept<T>(look: () => Promise<T>): () => Promise<T> {
  let answer: Promise<T> | null = null;
  let lookedAt = -Infinity;
  let isLooking = false;
  return () => {
    const isFresh = isLooking || performance.now() - lookedAt < READY_KEPT_MS;
    if (answer !== null && isFresh) return answer;
    isLooking = true;
    answer = look().finally(() => {
      isLooking = false;
      lookedAt = performance.now();
    });
    return answer;
  };
}

const listening = (server: Server, { host, port }: AdminOptions): Promise<void> =>
  new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host, port, exclusive: true }, () => {
      server.off("error", reject);
      resolve();
    });
  });
