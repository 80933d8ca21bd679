/**
 * Whose turn it is: actors with a message to handle, in two queues. Those in the middle of
 * something that a step has begun go before those with something new, so that an overloaded host
 * finishes what it does.
 */
import { Mailbox } from "./mailbox.ts";
import type { Resident } from "./residents.ts";

export class RunQueue {
  readonly #new = new Mailbox<Resident>(Number.MAX_SAFE_INTEGER);
  readonly #begun = new Mailbox<Resident>(Number.MAX_SAFE_INTEGER);

  /** Leftovers included. */
  get size(): number {
    return this.#new.size + this.#begun.size;
  }

  /** Into that queue, unless it stands there or in the faster one. */
  push(resident: Resident, queue: "new" | "begun"): void {
    if (resident.queued === queue || resident.queued === "begun") return;
    resident.queued = queue;
    if (queue === "begun") this.#begun.push(resident);
    else this.#new.push(resident);
  }

  /** The next one and the queue that it stood in; undefined when nobody waits. */
  shift(): { readonly resident: Resident; readonly queue: "new" | "begun" } | undefined {
    for (;;) {
      const begun = this.#begun.shift();
      const resident = begun ?? this.#new.shift();
      if (resident === undefined) return undefined;
      const queue = begun === undefined ? "new" : "begun";
      if (resident.queued !== queue) continue; // A leftover: it moved on to the faster queue.
      resident.queued = "no";
      return { resident, queue };
    }
  }
}
