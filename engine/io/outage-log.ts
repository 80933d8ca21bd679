/**
 * Outages in the log: thousands of requests meet the same one, people need it once. Of each text
 * and code the first is written, and then one in a while with how many were left out. No stack:
 * what is away is no bug of ours.
 */
import { OUTAGE_LOG_EVERY_MS } from "../../proto/limits.ts";
import type { Millis } from "../../proto/ids.ts";
import type { Clock } from "./clock.ts";
import { errorFields } from "./log.ts";
import type { Log } from "./log.ts";
import { isRefusal, rootOf } from "./postgres/verdict.ts";

/** Texts and codes that are told apart; beyond them the oldest is forgotten and said anew. */
const KINDS_MAX = 64;

export class OutageLog {
  readonly #log: Pick<Log, "warn" | "error">;
  readonly #clock: Pick<Clock, "now">;
  readonly #said = new Map<string, { readonly at: Millis; leftOut: number }>();

  constructor(log: Pick<Log, "warn" | "error">, clock: Pick<Clock, "now">) {
    this.#log = log;
    this.#clock = clock;
  }

  /** `fields` are those of this occurrence; `text` names what could not be done. */
  tell(error: unknown, fields: Readonly<Record<string, unknown>>, text: string): void {
    const root = rootOf(error);
    const known = errorFields(root);
    const kind = `${text} ${String(known["code"] ?? known["error"])}`;
    const now = this.#clock.now();
    const said = this.#said.get(kind);
    if (said !== undefined && now - said.at < OUTAGE_LOG_EVERY_MS) {
      said.leftOut += 1;
      return;
    }
    this.#said.delete(kind);
    const oldest = this.#said.size < KINDS_MAX ? undefined : this.#said.keys().next().value;
    if (oldest !== undefined) this.#said.delete(oldest);
    this.#said.set(kind, { at: now, leftOut: 0 });
    const more = said === undefined || said.leftOut === 0 ? {} : { leftOut: said.leftOut };
    // Data that the database refuses should have been refused at the door: that is a bug.
    this.#log[isRefusal(error) ? "error" : "warn"]({ ...fields, ...known, ...more }, text);
  }
}
