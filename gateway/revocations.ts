/**
 * Who was thrown out: a table in Postgres, read by every gateway every two seconds and at once when somebody says that
 * there is news. It names principals (`courier:cur_1`) or single tokens (`token:` and their `jti`), with the time
 * before which credentials count no more. A principal who signs in again has a newer token and is let in.
 *
 * Known revocations stand while Postgres is away; those made meanwhile elsewhere come when it is back.
 */
import { repeat } from "../engine/io/clock.ts";
import { errorFields } from "../engine/io/log.ts";
import type { RevocationRow } from "../engine/store/access.ts";
import { DispatchError } from "../proto/errors.ts";
import type { Millis } from "../proto/ids.ts";
import type { Deps } from "./deps.ts";
import { nameOf } from "./principal.ts";
import type { Principal } from "./principal.ts";

export const REVOCATIONS_READ_MS = 2_000;
/** Read again so far back: a row may become visible after one that is later by its time. */
const OVERLAP_MS = 60_000;
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
  readonly #notBefore = new Map<string, Millis>();
  readonly #unsubscribe: () => void;
  readonly #stopReading: () => Promise<void>;
  #onNews: () => void = () => undefined;
  #since: Millis = 0;
  #isAway = false;

  constructor(deps: RevocationDeps) {
    this.#deps = deps;
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

  /** Whether the credential behind the principal was revoked. */
  revokes(principal: Principal): boolean {
    if (this.#notBefore.size === 0) return false;
    const issuedAt = principal.issuedAt ?? 0;
    const byName = this.#notBefore.get(nameOf(principal)) ?? -1;
    if (issuedAt <= byName) return true;
    return principal.jti !== undefined && this.#notBefore.has(`token:${principal.jti}`);
  }

  /** Durable when it resolves, and known to this gateway; the others hear of it. Rejects with `unavailable`. */
  async revoke(what: Revoked): Promise<void> {
    if (this.#deps.access === undefined) throw new DispatchError("unavailable");
    await this.#deps.access.revoke(keyOf(what));
    this.#deps.bus.publish(this.#deps.subjects.revoked, NOTHING);
    await this.read();
  }

  /** Takes in what is new. Never rejects. */
  async read(): Promise<void> {
    const { access } = this.#deps;
    if (access === undefined) return;
    try {
      const rows = await access.revocations(this.#since);
      this.#isAway = false;
      if (this.#learn(rows)) this.#onNews();
    } catch (error) {
      // Once in a while is enough to know it; the circuit of Postgres says the rest.
      if (!this.#isAway) this.#deps.log.warn(errorFields(error), "revocations could not be read");
      this.#isAway = true;
    }
  }

  stop(): void {
    this.#unsubscribe();
    void this.#stopReading();
  }

  #learn(rows: readonly RevocationRow[]): boolean {
    let isNews = false;
    for (const { subject, notBefore } of rows) {
      this.#since = Math.max(this.#since, notBefore - OVERLAP_MS);
      if (notBefore <= (this.#notBefore.get(subject) ?? -1)) continue;
      this.#notBefore.set(subject, notBefore);
      isNews = true;
    }
    return isNews;
  }
}
