/**
 * Idempotency-Key on every POST (D4, decision 0006): the same key and body give the same answer,
 * marked as a replay; the same key with another body is refused; while the first still runs, the
 * second is told so. Keys belong to a principal.
 *
 * Kept are answers of commands that ran: success, and a refusal that the command itself decided
 * (409). Never kept are failed validation, missing permission and our own failures, so that they
 * can be mended and repeated. A secret in an answer is kept sealed.
 */
import { createHash } from "node:crypto";
import type { Log } from "../../engine/io/log.ts";
import { errorFields } from "../../engine/io/log.ts";
import type { IdempotencyKey, Store } from "../../engine/store/port.ts";
import { DispatchError } from "../../proto/errors.ts";
import { IDEMPOTENCY_KEY_MAX_CHARS } from "../../proto/limits.ts";
import type { Principal } from "../base/principal.ts";
import { fieldProblem } from "../base/problem.ts";
import type { SecretBox } from "../base/secret-box.ts";

/** An answer as it is stored: a JSON body, or null for none. */
export type KeptAnswer = { readonly status: number; readonly body: unknown };
export type Replayable = KeptAnswer & { readonly isReplay: boolean };

/** Printable ASCII: it may go into a log line. */
const KEY_PATTERN = /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/;
const KEPT_STATUSES: ReadonlySet<number> = new Set([200, 201, 202, 204, 409]);

/**
 * The key of a request, or null when it has none. `route` is the method and path, without the
 * version prefix, so that one key cannot stand for two calls. Throws when the header is not usable.
 */
export function keyOf(
  header: string | undefined,
  principal: Principal,
  route: string,
  body: Uint8Array,
): IdempotencyKey | null {
  if (header === undefined) return null;
  if (header.length > IDEMPOTENCY_KEY_MAX_CHARS || !KEY_PATTERN.test(header)) {
    const detail = `Idempotency-Key must be 1 to ${IDEMPOTENCY_KEY_MAX_CHARS} printable characters.`;
    throw fieldProblem("/Idempotency-Key", "invalid_field", detail);
  }
  return key(`key:${header}`, principal, route, body);
}

/** A create without a key is kept under the id that the client chose for it. */
export const keyOfExternalId = (
  externalId: string,
  principal: Principal,
  route: string,
  body: Uint8Array,
): IdempotencyKey => key(`ext:${externalId}`, principal, route, body);

const key = (
  name: string,
  principal: Principal,
  route: string,
  body: Uint8Array,
): IdempotencyKey => ({
  principal: `${principal.role}:${principal.subject}`,
  key: name,
  fingerprint: createHash("sha256").update(route).update("\n").update(body).digest("base64url"),
});

const contextOf = ({ principal, key }: IdempotencyKey): string => `${principal}\n${key}`;

const hasSecret = (body: unknown): body is { readonly secret: string } =>
  typeof body === "object" && body !== null && "secret" in body && typeof body.secret === "string";

export class Idempotency {
  readonly #store: Pick<Store, "storedAnswer" | "keepAnswer">;
  readonly #log: Log;
  readonly #box: SecretBox;
  /** Keys whose first request still runs here. Bounded by the requests in flight. */
  readonly #inFlight = new Set<string>();

  constructor(store: Pick<Store, "storedAnswer" | "keepAnswer">, log: Log, box: SecretBox) {
    this.#store = store;
    this.#log = log;
    this.#box = box;
  }

  /** Runs `work` unless the same key is running. Throws `idempotency_in_progress`. */
  async once<T>(key: IdempotencyKey | null, work: () => Promise<T>): Promise<T> {
    if (key === null) return work();
    const name = `${key.principal}\n${key.key}`;
    if (this.#inFlight.has(name)) throw new DispatchError("idempotency_in_progress");
    this.#inFlight.add(name);
    try {
      return await work();
    } finally {
      this.#inFlight.delete(name);
    }
  }

  /**
   * For commands that are idempotent by nature: the stored answer, or `work` and its answer kept.
   */
  async kept(key: IdempotencyKey | null, work: () => Promise<KeptAnswer>): Promise<Replayable> {
    if (key === null) return { ...(await work()), isReplay: false };
    const stored = await this.#store.storedAnswer(key);
    if (stored !== null) {
      if (stored.fingerprint !== key.fingerprint) throw new DispatchError("idempotency_mismatch");
      return { status: stored.status, body: this.#opened(key, stored.body), isReplay: true };
    }
    const answer = await work();
    if (KEPT_STATUSES.has(answer.status)) await this.#keep(key, answer);
    return { ...answer, isReplay: false };
  }

  /** A field named `secret` is kept sealed, for this very key. */
  #sealed(key: IdempotencyKey, body: unknown): unknown {
    if (!hasSecret(body)) return body;
    return { ...body, secret: this.#box.seal(body.secret, contextOf(key)) };
  }

  /** Null in its place when it cannot be opened: the signing key it was kept under is gone. */
  #opened(key: IdempotencyKey, body: unknown): unknown {
    if (!hasSecret(body)) return body;
    return { ...body, secret: this.#box.open(body.secret, contextOf(key)) };
  }

  /**
   * The command is committed: when only its answer cannot be kept, a repetition gives the same
   * answer by nature.
   */
  async #keep(key: IdempotencyKey, answer: KeptAnswer): Promise<void> {
    try {
      await this.#store.keepAnswer(key, answer.status, this.#sealed(key, answer.body));
    } catch (error) {
      this.#log.warn(errorFields(error), "an answer could not be kept under its key");
    }
  }
}
