/**
 * Revoked credentials: a table in Postgres, read by every gateway every two seconds and at once
 * when somebody says that there is news. It names principals (`courier:cur_1`) or single tokens
 * (`token:` and their `jti`), with the time before which credentials count no more. A principal who
 * signs in again has a newer token and is let in.
 *
 * The table is read by position, page after page until nothing is left, so that a mass revocation
 * reaches every gateway whole (`engine/store/access.ts`). A token made by a clock that is ahead
 * counts as made when it was first seen here, and one from more than TOKEN_CLOCK_SKEW_MS ahead is
 * refused (`gateway/access/auth.ts`). What is left: a token made less than so long before the
 * revocation, by a clock that is ahead, and shown to this gateway only after it. Covering it as
 * well would shut out everybody who signs in again at once, who are most after a mass revocation;
 * it takes a second revocation.
 *
 * Known revocations stand while Postgres is away; those made meanwhile elsewhere come when it is
 * back.
 */
import { repeat } from "../../engine/io/clock.ts";
import { errorFields } from "../../engine/io/log.ts";
import type { RevocationCursor, RevocationRow } from "../../engine/store/access.ts";
import { DispatchError } from "../../proto/errors.ts";
import type { Millis } from "../../proto/ids.ts";
import { REVOCATIONS_KEPT_H, REVOCATIONS_REREAD_MS } from "../../proto/limits.ts";
import type { Deps } from "../base/deps.ts";
import { nameOf } from "../base/principal.ts";
import type { Principal } from "../base/principal.ts";

export const REVOCATIONS_READ_MS = 2_000;
const HOUR_MS = 3_600_000;
const NOTHING = new Uint8Array(0);

type RevocationDeps = Pick<Deps, "bus" | "subjects" | "clock" | "log"> & Pick<Deps, "access">;

/** What a revocation is about. */
export type Revoked =
  | { readonly jti: string }
  | { readonly principal: Pick<Principal, "role" | "subject"> };

const keyOf = (what: Revoked): string =>
  "jti" in what ? `token:${what.jti}` : nameOf(what.principal);

export class Revocations {
  readonly #deps: RevocationDeps;
  /** As many as the table has rows that are not purged yet. */
  #notBefore = new Map<string, Millis>();
  readonly #unsubscribe: () => void;
  readonly #stopReading: () => Promise<void>;
  #onNews: () => void = () => undefined;
  #cursor: RevocationCursor | null = null;
  #readAllAt: Millis;
  /** The reading under way, and the one that begins after it. */
  #reading: Promise<void> | null = null;
  #waiting: Promise<void> | null = null;
  #isAway = false;

  constructor(deps: RevocationDeps) {
    this.#deps = deps;
    this.#readAllAt = deps.clock.now();
    this.#unsubscribe = () => undefined;
    this.#stopReading = () => Promise.resolve();
    if (deps.access === undefined) return;
    this.#unsubscribe = deps.bus.subscribe(deps.subjects.revoked, () => void this.read());
    this.#stopReading = repeat(deps.clock, REVOCATIONS_READ_MS, () => this.read());
  }

  /** Called after each read that brought something new. */
  tell(onNews: () => void): void {
    this.#onNews = onNews;
  }

  /** How many are known. */
  get size(): number {
    return this.#notBefore.size;
  }

  /** Whether the credential behind the principal was revoked. */
  revokes(principal: Principal): boolean {
    if (this.#notBefore.size === 0) return false;
    const notBefore = this.#notBefore.get(nameOf(principal));
    if (notBefore !== undefined && (principal.issuedAt ?? 0) <= notBefore) return true;
    return principal.jti !== undefined && this.#notBefore.has(`token:${principal.jti}`);
  }

  /**
   * Durable when it resolves, and known to this gateway; the others hear of it. Rejects with
   * `unavailable`.
   */
  async revoke(what: Revoked): Promise<void> {
    if (this.#deps.access === undefined) throw new DispatchError("unavailable");
    const subject = keyOf(what);
    const notBefore = await this.#deps.access.revoke(subject);
    this.#deps.bus.publish(this.#deps.subjects.revoked, NOTHING);
    // Before it is read, which may fail: what was answered holds.
    if (learn(this.#notBefore, { subject, notBefore })) this.#onNews();
    await this.read();
  }

  /**
   * Takes in all that became visible before this call. Never rejects. However many calls come
   * during a reading, one more follows it.
   */
  read(): Promise<void> {
    if (this.#reading === null) return this.#begin();
    this.#waiting ??= this.#reading.then(() => {
      this.#waiting = null;
      return this.#begin();
    });
    return this.#waiting;
  }

  stop(): void {
    this.#unsubscribe();
    void this.#stopReading();
  }

  #begin(): Promise<void> {
    this.#reading = this.#read().finally(() => {
      this.#reading = null;
    });
    return this.#reading;
  }

  async #read(): Promise<void> {
    try {
      const isNews = await this.#readPages();
      this.#isAway = false;
      if (isNews) this.#onNews();
    } catch (error) {
      // Once in a while is enough to know it; the circuit of Postgres says the rest.
      if (!this.#isAway) this.#deps.log.warn(errorFields(error), "revocations could not be read");
      this.#isAway = true;
    }
  }

  /**
   * Whether anything is new. What a reading learned before it failed stays; the next one begins
   * where it did.
   */
  async #readPages(): Promise<boolean> {
    const { access, clock } = this.#deps;
    if (access === undefined) return false;
    const isAll = this.#cursor === null || clock.now() - this.#readAllAt >= REVOCATIONS_REREAD_MS;
    const since = isAll ? null : this.#cursor;
    const first = await access.revocations(since);
    const isAnew = isAll || first.cursor.server !== since?.server;
    // All of them: into a new map, so that what was purged since is forgotten.
    const fresh = isAnew ? new Map<string, Millis>() : null;
    let isNews = false;
    for (let page = first; ; page = await access.revocations(since, page.next)) {
      for (const row of page.rows) {
        if (learn(this.#notBefore, row)) isNews = true;
        if (fresh !== null) learn(fresh, row);
      }
      if (page.next === null) break;
    }
    this.#cursor = first.cursor;
    if (fresh !== null) this.#forgetAllBut(fresh);
    return isNews;
  }

  #forgetAllBut(fresh: Map<string, Millis>): void {
    const now = this.#deps.clock.now();
    this.#readAllAt = now;
    // One that this gateway has just made may not have been on the pages.
    const youngest = now - REVOCATIONS_KEPT_H * HOUR_MS;
    for (const [subject, notBefore] of this.#notBefore) {
      if (notBefore > youngest) learn(fresh, { subject, notBefore });
    }
    this.#notBefore = fresh;
  }
}

/** Whether the row says more than what is known. */
function learn(known: Map<string, Millis>, { subject, notBefore }: RevocationRow): boolean {
  if (notBefore <= (known.get(subject) ?? -1)) return false;
  known.set(subject, notBefore);
  return true;
}
