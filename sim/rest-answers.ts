/**
 * Listening in on REST: what an answer tells a client, and the answer as its `fetch` gives it.
 */
import type { Checks } from "./checks.ts";
import type { Phone } from "./doors.ts";

/** One answer, with what was asked. */
export type Answered = {
  readonly method: string;
  readonly path: string;
  /** Of the request. */
  readonly headers: Readonly<Record<string, string>>;
  readonly asked: string;
  readonly status: number;
  readonly text: string;
  /** Creates of this client with the same key that this gateway has in hand, this one too. */
  readonly underWay: number;
};

const OK = 200;
const ACCEPTED = 202;
const LATER_RETRY = new Set([429, 503]);

/** P: a door has answers for everything, and says when to come back. */
export function isClean(status: number, headers: Readonly<Record<string, string>>): boolean {
  const hasWait = Object.keys(headers).some((name) => name.toLowerCase() === "retry-after");
  return status < 500 ? status !== 429 || hasWait : LATER_RETRY.has(status) && hasWait;
}

/** The name under which a create is done once: its key, or the id that the client chose. */
export function nameOfCreate(headers: Readonly<Record<string, string>>, asked: string): string {
  const key = headers["idempotency-key"];
  if (key !== undefined) return key;
  const { external_id } = JSON.parse(asked === "" ? "{}" : asked) as { external_id?: string };
  return `ext ${external_id ?? ""}`;
}

/** What a client learns from an answer is what the checks hold the world to. */
export function hears(checks: Checks, phone: Phone, answered: Answered): void {
  const { method, path, status, text } = answered;
  if (text === "") return;
  if (method === "GET" && status === OK) {
    const [, followed] = /^\/v1\/deliveries\/(del_[^/]+)$/.exec(path) ?? [];
    if (followed === undefined) return;
    const view = JSON.parse(text) as { version: number; status: string };
    phone.told.polled(followed, view.version);
    checks.promises.shown(followed, view.version, view.status);
  }
  if (method !== "POST") return;
  if (path === "/v1/deliveries") return hearsOfCreate(checks, phone, answered);
  if (status >= 300) return;
  const [, delivery = "", what] = /^\/v1\/deliveries\/([^/]+)\/([a-z]+)$/.exec(path) ?? [];
  const body = JSON.parse(text) as { assigned_at?: string };
  if (what === "accept" && body.assigned_at !== undefined) {
    checks.acceptAnswered(delivery, phone.owner, body.assigned_at);
  }
  if (what === "cancel") checks.promises.canceled(delivery);
}

function hearsOfCreate(checks: Checks, { owner }: Phone, answered: Answered): void {
  const { headers, asked, status, text, underWay } = answered;
  const name = nameOfCreate(headers, asked);
  if (text.includes(`"idempotency_mismatch"`)) {
    return checks.createMismatched(owner, name, text.includes("long ago"));
  }
  if (text.includes(`"idempotency_in_progress"`)) return checks.createHeldUp(owner, name, underWay);
  if (status >= 300) return;
  const { delivery_id } = JSON.parse(text) as { delivery_id?: string };
  if (delivery_id !== undefined) {
    checks.createAnswered(owner, delivery_id, name, status === ACCEPTED);
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
