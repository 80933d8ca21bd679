/**
 * What clients were told, against what is stored: a create that was answered 201 is a row, one that
 * was answered 202 a row or a message that waits in the intake; an accept, a status and a cancel
 * are events of the delivery; a state that was shown has been there. It is compared after every
 * fault and at the end, whatever else went wrong, since nothing acknowledged may be lost.
 */
import type { DeliveryEvent } from "../proto/events.ts";
import type { FakeStore } from "./fake-store.ts";
import type { History } from "./history.ts";

export type PromiseSources = {
  readonly history: History;
  readonly store: Pick<FakeStore, "peek">;
  /** Committed events of a delivery, oldest first. */
  readonly eventsOf: (delivery: string) => readonly DeliveryEvent[];
  /** Creates that lie in the intake and were neither worked off nor buried. */
  readonly waitingIn: () => ReadonlySet<string>;
};

/** One fact that a client was told; `event`: whether an event of the delivery shows it. */
type Fact = {
  readonly delivery: string;
  readonly text: string;
  readonly isShownBy: (event: DeliveryEvent) => boolean;
};

export class Promises {
  readonly #from: PromiseSources;
  /** Acknowledged creates, by how they were answered last. */
  readonly #created = new Map<string, 201 | 202>();
  readonly #facts = new Map<string, Fact>();
  /** Creates whose stream was lost with its disk: nobody can have them any more. */
  readonly #lost = new Set<string>();
  compared = 0;

  constructor(from: PromiseSources) {
    this.#from = from;
  }

  created(delivery: string, status: 201 | 202): void {
    const before = this.#created.get(delivery);
    if (before !== 201) this.#created.set(delivery, status);
  }

  accepted(delivery: string, courier: string, assignedAt: string): void {
    const at = Date.parse(assignedAt);
    this.#told(delivery, `${courier} got it at ${assignedAt}`, (event) => {
      const isAssignment = event.type === "assigned" || event.type === "reassigned";
      return isAssignment && event.courier_id === courier && Date.parse(event.at) === at;
    });
  }

  hasStatus(delivery: string, courier: string, status: string): void {
    const text = `${courier} made it ${status}`;
    this.#told(delivery, text, (e) => e.status === status && e.courier_id === courier);
  }

  canceled(delivery: string): void {
    this.#told(delivery, "it is canceled", ({ status }) => status === "canceled");
  }

  /** A client was shown this state of it. */
  shown(delivery: string, version: number, status: string): void {
    const text = `version ${version} is ${status}`;
    this.#told(delivery, text, (event) => event.number === version && event.status === status);
  }

  #told(delivery: string, text: string, isShownBy: Fact["isShownBy"]): void {
    const key = `${delivery} ${text}`;
    if (!this.#facts.has(key)) this.#facts.set(key, { delivery, text, isShownBy });
  }

  /** A disk was lost, and with it what had only been told to it. */
  lose(deliveries: Iterable<string>): void {
    for (const id of deliveries) {
      if (this.#from.store.peek(id) === null) this.#lost.add(id);
    }
  }

  isLost(delivery: string): boolean {
    return this.#lost.has(delivery);
  }

  /** Compares everything. `when`: for the history. */
  compare(when: string): void {
    this.compared += 1;
    const { history, store, eventsOf, waitingIn } = this.#from;
    let waiting: ReadonlySet<string> | null = null;
    for (const [id, status] of this.#created) {
      if (this.#lost.has(id)) continue;
      const row = store.peek(id);
      if (row === null) {
        waiting ??= waitingIn();
        const isKept = status === 202 && waiting.has(id);
        const text = `${when}: ${id} was answered ${status} and is nowhere`;
        history.demand(isKept, "D3", text, [id]);
        continue;
      }
      const last = eventsOf(id).at(-1);
      const isOne = last?.number === row.version && last.status === row.status;
      const text = `${when}: ${id} is ${row.status} ${row.version}, its last event ${last?.status} ${last?.number}`;
      history.demand(isOne, "D5", text, [id]);
      const isSame = last?.courier_id === row.courierId;
      history.demand(isSame, "D1", `${when}: ${id} has another courier than its events`, [id]);
      this.#times(id, when);
    }
    for (const { delivery, text, isShownBy } of this.#facts.values()) {
      const isKept = eventsOf(delivery).some(isShownBy);
      history.demand(isKept, "D1", `${when}: a client was told of ${delivery} that ${text}`, [
        delivery,
      ]);
    }
  }

  /** Times of one delivery never run backwards, in its row and in its events. */
  #times(id: string, when: string): void {
    const { history, store, eventsOf } = this.#from;
    const row = store.peek(id);
    const { assignedAt, pickedUpAt, deliveredAt, endedAt } = row ?? {};
    const inRow = [assignedAt, pickedUpAt, deliveredAt, endedAt].filter(
      (at) => typeof at === "number",
    );
    const inEvents = eventsOf(id).map(({ at }) => Date.parse(at));
    for (const times of [inRow, inEvents]) {
      const isInOrder = times.every((at, i) => i === 0 || at >= (times[i - 1] ?? 0));
      history.demand(
        isInOrder,
        "D5",
        `${when}: times of ${id} run backwards: ${times.join(", ")}`,
        [id],
      );
    }
  }
}
