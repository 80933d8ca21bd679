/**
 * What stands between a test's client and its gateway: nothing, or what HEXDISPATCH_TEST_VIA names,
 * so that the very same tests run behind nginx and HAProxy (the shipped files) and by Node's `http`
 * agent, which keeps its connections and forgives less than fetch. The vitest projects of those
 * names set it; `vitest.config.ts` has their files.
 */
import { Agent, request } from "node:http";
import type { IncomingMessage } from "node:http";
import { shippedHaproxy, shippedNginx } from "../../scripts/testing/proxies.ts";
import { startHaproxy, startNginx } from "../../scripts/testing/proxies.ts";

export const VIAS = ["straight", "nginx", "haproxy", "agent"] as const;
export type Via = (typeof VIAS)[number];

/** What this run of the tests goes through. */
export const via: Via = readVia(process.env["HEXDISPATCH_TEST_VIA"] ?? "straight");

function readVia(text: string): Via {
  const found = VIAS.find((one) => one === text);
  if (found === undefined) throw new Error(`HEXDISPATCH_TEST_VIA is none of ${VIAS.join(", ")}`);
  return found;
}

export type Door = {
  readonly port: number;
  readonly url: string;
  readonly close: () => Promise<void>;
};

/** The door that clients use for a gateway that listens on `port`. */
export async function doorTo(port: number, adminPort?: number): Promise<Door> {
  const at = (door: number) => ({ port: door, url: `http://127.0.0.1:${door}` });
  if (via === "straight" || via === "agent") {
    return { ...at(port), close: () => Promise.resolve() };
  }
  const upstream = { door: `127.0.0.1:${port}`, ...(adminPort === undefined ? {} : { adminPort }) };
  const proxy =
    via === "nginx"
      ? await startNginx(shippedNginx(upstream))
      : await startHaproxy(shippedHaproxy(upstream));
  return { ...at(proxy.port), close: proxy.stop };
}

/** Few, so that each connection carries many requests one after the other. */
const agent = new Agent({ keepAlive: true, maxSockets: 4 });

/** As fetch, through Node's `http` with connections that are kept. */
export function askByAgent(
  url: string,
  asked: {
    readonly method: string;
    readonly headers: Readonly<Record<string, string>>;
    readonly body?: string | Uint8Array;
  },
): Promise<Response> {
  return new Promise((resolve, reject) => {
    const { method, headers, body } = asked;
    const length = body === undefined ? {} : { "content-length": String(Buffer.byteLength(body)) };
    const sent = request(url, { method, agent, headers: { ...headers, ...length } }, (answer) => {
      collect(answer).then(resolve, reject);
    });
    sent.once("error", reject);
    sent.end(body);
  });
}

async function collect(answer: IncomingMessage): Promise<Response> {
  const chunks: Buffer[] = [];
  for await (const chunk of answer) chunks.push(chunk as Buffer);
  const status = answer.statusCode ?? 0;
  const headers = new Headers();
  for (let i = 0; i + 1 < answer.rawHeaders.length; i += 2) {
    headers.append(answer.rawHeaders[i] ?? "", answer.rawHeaders[i + 1] ?? "");
  }
  const isBodyless = status === 204 || status === 304;
  return new Response(isBodyless ? null : Buffer.concat(chunks), { status, headers });
}
