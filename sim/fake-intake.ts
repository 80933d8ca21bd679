/**
 * The durable consumer of the INTAKE stream in memory, behind the worker's port
 * (`engine/streams/intake-stream.ts` is the real one): what was handed out and neither acknowledged
 * nor held for 10 s goes to the next who asks. Questions, answers and acks travel on the wires of
 * the process, so each may be lost. Nobody is answered while the stream has no leader.
 */
import type { IntakeItem, IntakeQueue } from "../engine/streams/intake.ts";
import { subjectsFor } from "../proto/subjects.ts";
import type { SimClock } from "./clock.ts";
import type { FakeStream, Stored } from "./fake-streams.ts";
import type { Machine } from "./machine.ts";
import type { Network } from "./network.ts";

const ACK_WAIT_MS = 10_000;
const API_TIMEOUT_MS = 2_000;
/** The asker's deadline comes this much after the server's own. */
const ANSWER_GRACE_MS = 2_000;

/** A question without an answer yet. */
type Pull = {
  readonly machine: Machine;
  readonly give: (items: readonly Stored[]) => void;
  isOver: boolean;
};

export class FakeIntake {
  readonly #clock: SimClock;
  readonly #network: Network;
  readonly #stream: FakeStream;
  readonly #work: string;
  readonly #dead: string;
  readonly #done = new Set<number>();
  /** Until when a message is somebody's. */
  readonly #leases = new Map<number, number>();
  #pulls: Pull[] = [];

  constructor(clock: SimClock, network: Network, stream: FakeStream, prefix: string) {
    this.#clock = clock;
    this.#network = network;
    this.#stream = stream;
    const subjects = subjectsFor(prefix);
    this.#work = subjects.intakeWork;
    this.#dead = subjects.intakeDead;
    stream.onStored = () => this.#serve();
  }

  /** Creates that nobody has worked off. */
  waiting(): number {
    return this.#open().length;
  }

  /** Their deliveries. */
  waitingIds(): ReadonlySet<string> {
    return new Set(this.#open().map(({ message }) => message.subject.split(".").at(-1) ?? ""));
  }

  /** It is made anew by the next who asks, and begins at the beginning of the stream. */
  loseConsumer(): void {
    this.#done.clear();
    this.#leases.clear();
    for (const pull of this.#pulls) pull.isOver = true;
    this.#pulls = [];
  }

  queueOf(machine: Machine): IntakeQueue {
    return {
      fetch: (max, waitMs) => this.#fetch(machine, max, waitMs),
      bury: (item, why) => this.#bury(machine, item, why),
    };
  }

  #fetch(machine: Machine, max: number, waitMs: number): Promise<readonly IntakeItem[]> {
    return new Promise((resolve, reject) => {
      const cancel = machine.clock.after(waitMs + ANSWER_GRACE_MS, () =>
        reject(new Error("the intake does not answer")),
      );
      const give = (all: readonly Stored[]): void =>
        this.#network.send(null, machine.name, () =>
          machine.io(() => {
            cancel();
            resolve(all.map((one, i) => this.#item(machine, one, all.length - i - 1)));
          }),
        );
      this.#ask(machine, () => {
        const pull = { machine, give, isOver: false };
        if (this.#answer(pull, max)) return;
        this.#pulls.push(pull);
        this.#clock.after(waitMs, () => {
          if (pull.isOver) return;
          pull.isOver = true;
          give([]);
        });
      });
    });
  }

  /** From a process to the server; unheard while the stream has no leader. */
  #ask(machine: Machine, run: () => void): void {
    this.#network.send(machine.name, null, () => {
      if (this.#stream.isLed()) run();
    });
  }

  #open(): readonly Stored[] {
    return this.#stream.stored(this.#work).filter(({ seq }) => !this.#done.has(seq));
  }

  /** False when there is nothing to give. */
  #answer(pull: Pull, max: number): boolean {
    const now = this.#clock.now();
    const free = this.#open().filter(({ seq }) => (this.#leases.get(seq) ?? 0) <= now);
    const items = free.slice(0, max);
    if (items.length === 0) return false;
    pull.isOver = true;
    for (const { seq } of items) this.#lease(seq);
    pull.give(items);
    return true;
  }

  #lease(seq: number): void {
    this.#leases.set(seq, this.#clock.now() + ACK_WAIT_MS);
    this.#clock.after(ACK_WAIT_MS, () => this.#serve());
  }

  /** Whoever has waited longest comes first, and gets one. */
  #serve(): void {
    if (!this.#stream.isLed()) return;
    for (const pull of this.#pulls) {
      if (!pull.isOver && !pull.machine.isDead) this.#answer(pull, 1);
    }
    this.#pulls = this.#pulls.filter((pull) => !pull.isOver && !pull.machine.isDead);
  }

  #item(machine: Machine, { seq, at, message }: Stored, behind: number): IntakeItem {
    return {
      seq,
      at: Math.floor(at),
      behind,
      data: message.data,
      // The server goes by the number alone, and knows only what it gave to somebody.
      done: () =>
        this.#ask(machine, () => {
          if (this.#leases.has(seq)) this.#done.add(seq);
        }),
      hold: () =>
        this.#ask(machine, () => {
          if (this.#leases.has(seq)) this.#lease(seq);
        }),
      giveBack: () =>
        this.#ask(machine, () => {
          this.#leases.delete(seq);
          this.#serve();
        }),
    };
  }

  #bury(machine: Machine, { seq, data }: IntakeItem, why: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const cancel = machine.clock.after(API_TIMEOUT_MS, () =>
        reject(new Error(`${seq} could not be buried as ${why}`)),
      );
      this.#ask(machine, () => {
        this.#stream.take({ subject: this.#dead, data, reply: undefined, id: `dead-${seq}` });
        this.#network.send(null, machine.name, () =>
          machine.io(() => {
            cancel();
            resolve();
          }),
        );
      });
    });
  }
}
