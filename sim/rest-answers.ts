/** Listening in on REST: what an answer tells a client, and the answer as its `fetch` gives it. */
import type { Checks } from "./checks.ts";
import type { Phone } from "./doors.ts";

/** One answer, with what was asked. */
export type Answered = {
  readonly method: string;
  readonly path: string;
  /** Of the request. */
  readonly headers: Readonly<Record<string, string>>;
  readonly status: number;
  readonly text: string;
};

/** What a client learns from an answer is what the checks hold the world to. */
export function hears(checks: Checks, phone: Phone, answered: Answered): void {
  const { method, path, headers, status, text } = answered;
  if (text === "") return;
  if (method === "GET" && status === 200) {
    const [, followed] = /^\/v1\/deliveries\/(del_[^/]+)$/.exec(path) ?? [];
    const { version } = JSON.parse(text) as { version: number };
    if (followed !== undefined) phone.told.polled(followed, version);
  }
  if (method !== "POST") return;
  if (path === "/v1/deliveries" && text.includes(`"idempotency_mismatch"`)) {
    return checks.createMismatched(headers["idempotency-key"] ?? "");
  }
  if (status >= 300) return;
  const body = JSON.parse(text) as { delivery_id?: string; assigned_at?: string };
  const [, delivery, what] = /^\/v1\/deliveries\/([^/]+)\/([a-z]+)$/.exec(path) ?? [];
  if (path === "/v1/deliveries" && body.delivery_id !== undefined) {
    checks.createAnswered(body.delivery_id, headers["idempotency-key"] ?? "", status === 202);
  } else if (what === "accept" && body.assigned_at !== undefined) {
    checks.acceptAnswered(delivery ?? "", phone.name, body.assigned_at);
  }
}

/** As `fetch` resolves. */
export function responseOf(
  status: number,
  headers: Readonly<Record<string, string>>,
  text: string,
): Response {
  const all = new Map(Object.entries(headers));
  return {
    status,
    ok: status >= 200 && status < 300,
    headers: { get: (name: string) => all.get(name.toLowerCase()) ?? null },
    text: () => Promise.resolve(text),
  } as unknown as Response;
}
