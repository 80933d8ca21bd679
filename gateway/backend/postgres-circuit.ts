/**
 * Whether Postgres takes writes, known without waiting for a command to fail: a small question on a
 * connection of its own, several times a second, and once a second a row that is committed (a full
 * disk is met in no other way). While it is not, commands are refused at once instead of after
 * seconds of retries, and those under way are given up. Only the probe opens and closes it; a
 * command that failed merely makes it ask at once, because a statement may also be given up for
 * reasons of its own. A probe that is late while commands are answered says that the machine is
 * busy, not that Postgres is away.
 */
import type { CancelTimer, Clock } from "../../engine/io/clock.ts";
import { isOutage } from "../../engine/io/postgres/verdict.ts";
import { DispatchError } from "../../proto/errors.ts";
import type { Millis } from "../../proto/ids.ts";
import { PROBE_EVERY_MS, PROBE_TIMEOUT_MS, PROBE_WRITE_EVERY_MS } from "../../proto/limits.ts";

export type CircuitPorts = {
  readonly clock: Clock;
  /**
   * Resolves when Postgres takes writes, rejects when it does not. `write` commits a row, `look`
   * does not.
   */
  readonly probe: (what: ProbeKind) => Promise<void>;
  readonly onChange: (isOpen: boolean) => void;
};

export type ProbeKind = "look" | "write";

/** A deadline that fires this late says more about us than about Postgres. */
const OWN_LAG_MS = 150;

type Answer = "answered" | "refused" | "late" | "unclear";

export class Circuit {
  readonly #ports: CircuitPorts;
  readonly #underWay = new Set<() => void>();
  #isOpen = false;
  #isProbing = false;
  #isStopped = false;
  #openAt: Millis | null = null;
  #answeredAt: Millis = -Infinity;
  #wroteAt: Millis = -Infinity;
  /** A command failed: the next probe writes, whatever the last one said. */
  #isDoubtful = false;
  #cancelTick: CancelTimer;

  constructor(ports: CircuitPorts) {
    this.#ports = ports;
    this.#cancelTick = ports.clock.after(PROBE_EVERY_MS, () => void this.#probe());
  }

  /** Postgres is away. */
  readonly isOpen = (): boolean => this.#isOpen;

  /** Postgres was away at some time within the last `ms`. */
  readonly wasOpenWithin = (ms: number): boolean =>
    this.#openAt !== null && this.#ports.clock.now() - this.#openAt <= ms;

  /** Commands that wait for their answer. */
  underWay(): number {
    return this.#underWay.size;
  }

  /**
   * Runs a command, or rejects with `unavailable` at once while Postgres is away and as soon as it
   * is found to be away: not done, or unknown.
   */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#isOpen) throw away();
    let giveUp = (): void => undefined;
    const givenUp = new Promise<never>((_, reject) => {
      giveUp = () => reject(away());
    });
    this.#underWay.add(giveUp);
    try {
      const value = await Promise.race([work(), givenUp]);
      this.#answeredAt = this.#ports.clock.now();
      return value;
    } catch (error) {
      if (isOutage(error) && !this.#isOpen) {
        this.#isDoubtful = true;
        void this.#probe();
      }
      throw error;
    } finally {
      this.#underWay.delete(giveUp);
    }
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancelTick();
  }

  /** One at a time; arms the next. Never rejects. */
  async #probe(): Promise<void> {
    if (this.#isProbing || this.#isStopped) return;
    this.#isProbing = true;
    this.#cancelTick();
    const what = this.#kindNow();
    let answer = await this.#ask(what);
    // A single connection may break for reasons of its own.
    if (answer === "refused" && !this.#isOpen) answer = await this.#ask(what);
    this.#isProbing = false;
    if (this.#isStopped) return;
    if (answer === "answered") this.#set(false);
    if (answer === "refused" || answer === "late") this.#set(true);
    const pauseMs = answer === "unclear" ? 0 : PROBE_EVERY_MS;
    this.#cancelTick = this.#ports.clock.after(pauseMs, () => void this.#probe());
  }

  /** An open circuit and a doubt end with a commit, nothing less. */
  #kindNow(): ProbeKind {
    const now = this.#ports.clock.now();
    const isDue = now - this.#wroteAt >= PROBE_WRITE_EVERY_MS;
    const what = isDue || this.#isOpen || this.#isDoubtful ? "write" : "look";
    this.#isDoubtful = false;
    if (what === "write") this.#wroteAt = now;
    return what;
  }

  #ask(what: ProbeKind): Promise<Answer> {
    const { clock, probe } = this.#ports;
    const startedAt = clock.now();
    return new Promise((resolve) => {
      const cancel = clock.after(PROBE_TIMEOUT_MS, () => {
        const lateMs = clock.now() - startedAt - PROBE_TIMEOUT_MS;
        const isBusy = lateMs > OWN_LAG_MS || this.#answeredAt > startedAt;
        resolve(isBusy ? "unclear" : "late");
      });
      const end = (answer: Answer) => (): void => {
        cancel();
        resolve(answer);
      };
      probe(what).then(end("answered"), end("refused"));
    });
  }

  #set(isOpen: boolean): void {
    if (isOpen || this.#isOpen) this.#openAt = this.#ports.clock.now();
    if (isOpen === this.#isOpen) return;
    this.#isOpen = isOpen;
    this.#ports.onChange(isOpen);
    if (!isOpen) return;
    for (const giveUp of this.#underWay) giveUp();
  }
}

const away = (): DispatchError =>
  new DispatchError("unavailable", "The database is away; try again shortly.");
