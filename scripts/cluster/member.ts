// One process of a cluster, to be killed, paused and started again at will. Nothing here starts it
// by itself: whoever plays, or the fault plan, decides. What kind of process it is, and how it is
// started, is its maker's knowledge.

import { isAlive, sendSignal } from "../services/process.ts";

export type Kind = "nats" | "postgres" | "node" | "gateway";

/** A process that has started and answers. */
export interface Running {
  readonly pid: number;
  /** Resolves with how it ended, whoever ended it. */
  readonly exited: Promise<string>;
  /** What the process calls itself, where it does. */
  readonly id?: string;
}

export interface MemberOptions {
  readonly name: string;
  readonly kind: Kind;
  /** For people: where it listens. */
  readonly ports: string;
  /** Of the admin listener; null where there is none. */
  readonly adminUrl: string | null;
  /** What asks it to end in order. */
  readonly endSignal: NodeJS.Signals;
  readonly launch: () => Promise<Running>;
}

export type MemberState = "starting" | "up" | "paused" | "ending" | "down";

/** Who starts it again when it ends unasked, as systemd or Kubernetes would. */
export interface Supervisor {
  readonly afterMs: number;
  /** Told each time, with how it ended. */
  readonly onEnded: (member: Member, how: string) => void;
}

/** How long an orderly end may take before it is cut short. */
const END_DEADLINE_MS = 25_000;

export class Member {
  readonly name: string;
  readonly kind: Kind;
  readonly ports: string;
  readonly adminUrl: string | null;
  readonly #options: MemberOptions;
  #running: Running | null = null;
  #state: MemberState = "down";
  #supervisor: Supervisor | null = null;
  #ended: string | null = null;
  #starting: Promise<void> | null = null;
  /** Counted up by each start and end, so that news of an older process changes nothing. */
  #run = 0;

  constructor(options: MemberOptions) {
    this.#options = options;
    this.name = options.name;
    this.kind = options.kind;
    this.ports = options.ports;
    this.adminUrl = options.adminUrl;
  }

  get state(): MemberState {
    return this.#state;
  }
  get pid(): number | null {
    return this.#running?.pid ?? null;
  }
  /** What the process calls itself; null while it is down. */
  get id(): string | null {
    return this.#running?.id ?? null;
  }
  /** How it ended last; null when it never did. */
  get ended(): string | null {
    return this.#ended;
  }

  /**
   * Resolves when it answers; rejects when it does not come up. Nothing happens when it is there.
   */
  start(): Promise<void> {
    if (this.#running !== null) return Promise.resolve();
    this.#starting ??= this.#start().finally(() => (this.#starting = null));
    return this.#starting;
  }

  async #start(): Promise<void> {
    const run = ++this.#run;
    this.#state = "starting";
    try {
      const running = await this.#options.launch();
      this.#running = running;
      this.#state = "up";
      void running.exited.then((how) => this.#gone(run, how));
    } catch (error) {
      this.#gone(run, (error as Error).message.split("\n")[0] ?? "did not start");
      throw error;
    }
  }

  #gone(run: number, how: string): void {
    if (run !== this.#run) return;
    const wasAsked = this.#state === "ending";
    this.#running = null;
    this.#state = "down";
    this.#ended = how;
    if (!wasAsked && this.#supervisor !== null) this.#startLater(this.#supervisor, how);
  }

  #startLater(supervisor: Supervisor, how: string): void {
    supervisor.onEnded(this, how);
    const again = (): void => {
      // Who does not come up is tried again by the same way.
      if (this.#supervisor === supervisor && this.#state === "down") {
        this.start().catch(() => undefined);
      }
    };
    setTimeout(again, supervisor.afterMs).unref();
  }

  /** From now on it is started again whenever it ends unasked; null: it stays down. */
  supervise(supervisor: Supervisor | null): void {
    this.#supervisor = supervisor;
  }

  /** Killed as by the kernel: nobody asked for it, and whoever supervises starts it again. */
  crash(): void {
    if (this.#running !== null) sendSignal(this.#running.pid, "SIGKILL");
  }

  /** Sends a signal that ends it and waits until it is gone; killed when it takes too long. */
  async end(signal: NodeJS.Signals = this.#options.endSignal): Promise<void> {
    await this.#starting?.catch(() => undefined);
    const running = this.#running;
    if (running === null) return;
    const wasPaused = this.#state === "paused";
    this.#state = "ending";
    sendSignal(running.pid, signal);
    // A stopped process sees no signal but the kill.
    if (wasPaused) sendSignal(running.pid, "SIGCONT");
    const timer = setTimeout(() => {
      if (isAlive(running.pid)) sendSignal(running.pid, "SIGKILL");
    }, END_DEADLINE_MS);
    await running.exited;
    clearTimeout(timer);
  }

  /** The end that nobody can prepare for. */
  kill(): Promise<void> {
    return this.end("SIGKILL");
  }

  /** It does not run any more and does not know it. */
  pause(): void {
    if (this.#running === null || this.#state !== "up") return;
    sendSignal(this.#running.pid, "SIGSTOP");
    this.#state = "paused";
  }
  resume(): void {
    if (this.#running === null || this.#state !== "paused") return;
    sendSignal(this.#running.pid, "SIGCONT");
    this.#state = "up";
  }
}
