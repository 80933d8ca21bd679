/**
 * Reads what is durable of actors, for the host: at their activation, a bounded number at a time
 * and until the store answers, and once more at their own wish. Whether the actor is still wanted
 * is looked at after each wait.
 */
import type { HostMessage, HostPorts } from "./ports.ts";
import { backOffMs } from "../io/clock.ts";
import { Mailbox } from "./mailbox.ts";
import type { Resident } from "./residents.ts";

/** Rows being read at the same time. */
const LOADS_AT_ONCE = 64;
const RETRY_FIRST_MS = 50;
const RETRY_MAX_MS = 2_000;

/** Waits before the next attempt at the store; the first failure of a row is logged. */
export function retryLater(
  ports: HostPorts,
  { kind, id }: Resident,
  what: string,
  error: unknown,
  attempt: number,
  again: () => void,
): void {
  ports.onCount("store_retry", kind);
  if (attempt === 1) ports.onTrouble("store_retry", { kind, id, message: what }, error);
  ports.clock.after(backOffMs(attempt, RETRY_FIRST_MS, RETRY_MAX_MS), again);
}

export class Loader {
  readonly #ports: HostPorts;
  readonly #onLoaded: (resident: Resident, message: HostMessage | null) => void;
  readonly #waiting = new Mailbox<Resident>(Number.MAX_SAFE_INTEGER);
  #running = 0;

  /**
   * `onLoaded` gets the message that begins the actor; null: there is no such delivery or courier.
   */
  constructor(
    ports: HostPorts,
    onLoaded: (resident: Resident, message: HostMessage | null) => void,
  ) {
    this.#ports = ports;
    this.#onLoaded = onLoaded;
  }

  isIdle(): boolean {
    return this.#running === 0;
  }

  /** Loads an actor that has just been activated, as soon as there is room. */
  add(resident: Resident): void {
    this.#waiting.push(resident);
    this.#next();
  }

  #next(): void {
    while (this.#running < LOADS_AT_ONCE) {
      const resident = this.#waiting.shift();
      if (resident === undefined) return;
      if (resident.mode === "gone") continue;
      this.#running += 1;
      void this.#load(resident, 1);
    }
  }

  async #load(resident: Resident, attempt: number): Promise<void> {
    let message: HostMessage | null = null;
    try {
      message = await this.#read(resident);
    } catch (error) {
      if (resident.mode !== "gone") {
        const again = (): void => void this.#load(resident, attempt + 1);
        return retryLater(this.#ports, resident, "load", error, attempt, again);
      }
    }
    this.#running -= 1;
    this.#next();
    if (resident.mode !== "gone") this.#onLoaded(resident, message);
  }

  /**
   * Reads the row once more for an actor that asked for it and goes on meanwhile. A failure is not
   * repeated.
   */
  async reload(resident: Resident, onRead: (message: HostMessage) => void): Promise<void> {
    if (resident.reloading) return;
    resident.reloading = true;
    try {
      const message = await this.#read(resident);
      if (resident.mode === "gone" || resident.mode === "parked") return;
      onRead(message ?? { type: "superseded", snapshot: null });
    } catch (error) {
      const { kind, id } = resident;
      this.#ports.onCount("store_retry", kind);
      this.#ports.onTrouble("store_retry", { kind, id, message: "reload" }, error);
    } finally {
      resident.reloading = false;
    }
  }

  async #read({ kind, id }: Resident): Promise<HostMessage | null> {
    return (await this.#ports.kinds[kind].load?.(id)) ?? null;
  }
}
