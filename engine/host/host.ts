/**
 * Runs actors: mailbox -> step -> commit -> effects -> alarm. It owns their states and knows
 * nothing of what they mean. It refuses what does not fit (a full mailbox, a parked actor) instead
 * of waiting, because the sender can still be told.
 *
 * H1  One step at a time for each actor; steps run to their end in a loop that never recurses.
 * H2  With a `commit`, new state and effects stand only once it is recorded; that actor waits,
 *     others go on.
 * H3  A step that throws changes nothing: the actor is parked with its old state until it is loaded
 *     anew. Nothing that the store says parks an actor.
 * H4  The alarm follows from the state after every step, so nothing but the state must survive.
 * H5  A request is answered exactly once.
 * H6  What a step has begun is finished before anything new: messages that steps send run before
 *     those from outside and before alarms. An overloaded host is late with new work, but what it
 *     does is not in vain.
 */
import type { Effect } from "../../actors/actor.ts";
import type { Millis, ShardId } from "../../proto/ids.ts";
import { ACTORS_MAX, MAILBOX_MAX_MSGS } from "../../proto/limits.ts";
import type { ActorKey, Kind } from "../../proto/posts.ts";
import type { ActorWrite, WriteOutcome } from "../../proto/writes.ts";
import { Alarms } from "./alarms.ts";
import { answer, byRank } from "./effects.ts";
import { IdleSweep, Residents } from "./residents.ts";
import type { Envelope, Request, Resident } from "./residents.ts";
import type { HostCount, HostMessage, HostOptions, HostPorts, Reply } from "./ports.ts";
import type { CancelTimer } from "../io/clock.ts";
import { Loader, retryLater } from "./loader.ts";
import { Mailbox } from "./mailbox.ts";
import { RunQueue } from "./run-queue.ts";

/** After so many steps, or so many milliseconds, sockets are looked at before the next step. */
const STEPS_AT_ONCE = 256;
const RUN_AT_ONCE_MS = 5;
const STEPS_PER_TIME_CHECK = 16;
/** An actor whose deadline stays in the past is woken again only after this. */
const STUCK_ALARM_MS = 100;
const IDLE_MS = 120_000;

const WOKE: HostMessage = { type: "woke" };

export class Host {
  readonly #ports: HostPorts;
  readonly #mailboxMaxMsgs: number;
  readonly #actorsMax: number;
  readonly #residents = new Residents();
  readonly #idle: IdleSweep;
  readonly #alarms = new Alarms<Resident>();
  readonly #toRun = new RunQueue();
  #inStep = false;
  readonly #loader: Loader;
  #commits = 0;
  #scheduled = false;
  #closed = false;
  #paused = false;
  #timerAt: Millis | null = null;
  #cancelTimer: CancelTimer = () => undefined;

  constructor(ports: HostPorts, options: HostOptions = {}) {
    this.#ports = ports;
    this.#mailboxMaxMsgs = options.mailboxMaxMsgs ?? MAILBOX_MAX_MSGS;
    this.#actorsMax = options.actorsMax ?? ACTORS_MAX;
    this.#loader = new Loader(ports, (resident, message) => this.#onLoaded(resident, message));
    this.#idle = new IdleSweep(this.#residents, options.idleMs ?? IDLE_MS);
  }

  /**
   * Puts a message into an actor's mailbox; it is handled soon, never within this call. With
   * `reply` it is a request and is answered in any case. The caller has checked that this node owns
   * `shard` and that it is the actor's.
   */
  deliver(key: ActorKey, shard: ShardId, message: HostMessage, reply?: Reply): void {
    const request = reply === undefined ? null : { reply, answered: false };
    const resident = this.#residents.get(key.kind, key.id) ?? this.#activate(key, shard, message);
    if (resident === null) return this.#refuse("overloaded", key.kind, request, "overloaded");
    if (resident.mode === "parked" && !this.#revive(resident, message)) {
      return this.#refuse("parked_message", key.kind, request, "internal");
    }
    if (!resident.mailbox.push({ message, request })) {
      return this.#refuse("overloaded", key.kind, request, "overloaded");
    }
    this.#wake(resident);
  }

  has(kind: Kind, id: string): boolean {
    return this.#residents.get(kind, id) !== undefined;
  }

  count(kind: Kind): number {
    return this.#residents.count(kind);
  }

  /** Actors that a throwing step has parked. */
  parked(): readonly ActorKey[] {
    return this.#residents.parked();
  }

  /** Actors with something to do. */
  backlog(): number {
    return this.#toRun.size;
  }

  /** Drops all actors of a shard; requests that wait are answered `unavailable`. */
  giveUp(shard: ShardId): void {
    for (const resident of this.#residents.ofShard(shard)) this.#forget(resident, "unavailable");
  }

  /**
   * Drops a bounded number of idle actors; called every second. Resolves nothing, loses nothing.
   */
  passivate(): void {
    for (const resident of this.#idle.next(this.#ports.clock.now())) {
      if (resident.actor.mayPassivate(resident.state)) this.#forget(resident, "unavailable");
    }
  }

  /** Whether nothing is queued, being loaded or being written. */
  isQuiet(): boolean {
    return this.backlog() === 0 && this.#loader.isIdle() && this.#commits === 0;
  }

  /** Those of these shards that are not quiet. */
  restlessIn(shards: ReadonlySet<ShardId>): ReadonlySet<ShardId> {
    return this.#residents.restlessIn(shards);
  }

  /**
   * No step until `resume`: this node is not sure of what it owns. Messages are kept, as far as
   * mailboxes reach.
   */
  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    if (this.backlog() > 0) this.#schedule();
  }

  /** No alarm and no step after this. */
  close(): void {
    this.#closed = true;
    this.#cancelTimer();
  }

  /* Activation. */

  #activate(key: ActorKey, shard: ShardId, message: HostMessage): Resident | null {
    if (this.#residents.total() >= this.#actorsMax) return null;
    const spec = this.#ports.kinds[key.kind];
    const now = this.#ports.clock.now();
    const mailbox = new Mailbox<Envelope>(this.#mailboxMaxMsgs);
    const resident = this.#residents.add(key, shard, spec, mailbox, now);
    if (spec.load !== null && !spec.begins(message)) {
      resident.mode = "loading";
      this.#loader.add(resident);
    }
    return resident;
  }

  #onLoaded(resident: Resident, message: HostMessage | null): void {
    if (message === null) {
      this.#ports.onCount("unknown_actor", resident.kind);
      return this.#forget(resident, "not_found");
    }
    resident.mode = "ready";
    this.#pushUrgent(resident, message, null);
  }

  /** A parked actor begins anew with the message that tells it what is durable. */
  #revive(resident: Resident, message: HostMessage): boolean {
    const spec = this.#ports.kinds[resident.kind];
    if (!spec.begins(message)) return false;
    resident.state = spec.initial(resident.id);
    this.#residents.setParked(resident, false);
    resident.mode = "ready";
    return true;
  }

  #forget(resident: Resident, code: "unavailable" | "not_found"): void {
    resident.mode = "gone";
    this.#alarms.drop(resident);
    this.#residents.remove(resident);
    for (const { request } of resident.mailbox.clear()) answer(request, code, null);
    this.#ports.kinds[resident.kind].observe?.(resident.id, null);
  }

  /* Running. */

  /** Before all that is queued: an answer to what the actor itself asked for. */
  #pushUrgent(resident: Resident, message: HostMessage, request: Request | null): void {
    resident.mailbox.pushUrgent({ message, request });
    this.#wake(resident);
  }

  #wake(resident: Resident): void {
    if (resident.mode !== "ready" || resident.mailbox.size === 0) return;
    this.#toRun.push(resident, this.#inStep ? "begun" : "new");
    this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled || this.#closed || this.#paused) return;
    this.#scheduled = true;
    this.#ports.clock.soon(() => this.#run());
  }

  #run(): void {
    const { clock } = this.#ports;
    const until = clock.now() + RUN_AT_ONCE_MS;
    this.#inStep = true;
    for (let steps = 1; steps <= STEPS_AT_ONCE && !this.#closed && !this.#paused; steps++) {
      if (!this.#runOne()) break;
      if (steps % STEPS_PER_TIME_CHECK === 0 && clock.now() >= until) break;
    }
    this.#inStep = false;
    this.#scheduled = this.backlog() > 0 && !this.#closed && !this.#paused;
    if (this.#scheduled) clock.afterIo(() => this.#run());
    this.#armTimer();
  }

  /** One step of the actor whose turn it is; false when nothing is left to do. */
  #runOne(): boolean {
    const next = this.#toRun.shift();
    if (next === undefined) return false;
    const { resident, queue } = next;
    const envelope = resident.mode === "ready" ? resident.mailbox.shift() : undefined;
    if (envelope !== undefined) this.#step(resident, envelope);
    if (resident.mode === "ready" && resident.mailbox.size > 0) this.#toRun.push(resident, queue);
    return true;
  }

  #step(resident: Resident, envelope: Envelope): void {
    const { message } = envelope;
    const now = this.#ports.clock.now();
    resident.lastAt = now;
    if (message === WOKE) resident.wokeQueued = false;
    this.#ports.onStep(resident.kind);
    let next: unknown;
    let effects: Effect[];
    try {
      [next, ...effects] = resident.actor.step(resident.state, message, now);
    } catch (error) {
      return this.#park(resident, envelope, error);
    }
    if (effects.length > 1) effects.sort(byRank);
    const first = effects[0];
    if (first?.do !== "commit") return this.#stand(resident, next, effects, envelope);
    resident.mode = "committing";
    this.#commits += 1;
    const recorded = (): void => this.#stand(resident, next, effects, envelope);
    void this.#commit(resident, first.write, envelope, recorded, 1);
  }

  /** The step stands: its state, its effects, its alarm. */
  #stand(resident: Resident, next: unknown, effects: readonly Effect[], envelope: Envelope): void {
    const spec = this.#ports.kinds[resident.kind];
    if (resident.state !== next) {
      resident.state = next;
      spec.observe?.(resident.id, next);
    }
    const now = this.#ports.clock.now();
    let follows = false;
    for (const effect of effects) {
      if (effect.do === "search") follows = true;
      this.#perform(resident, effect, envelope.request, now);
    }
    const { request } = envelope;
    if (request !== null && !request.answered && !follows) {
      this.#trouble("unanswered", resident, envelope.message, null);
      answer(request, "internal", null);
    }
    const at = resident.actor.deadline(next);
    const isStuck = at !== null && at <= now && envelope.message === WOKE && !follows;
    if (isStuck) this.#ports.onCount("stuck_deadline", resident.kind);
    // While a wake-up waits in the mailbox the alarm has done its work.
    if (!resident.wokeQueued) this.#alarms.set(resident, isStuck ? now + STUCK_ALARM_MS : at);
  }

  #perform(resident: Resident, effect: Effect, request: Request | null, now: Millis): void {
    const ports = this.#ports;
    switch (effect.do) {
      case "commit":
        return; // Recorded before we came here.
      case "ledger":
        return ports.onLedger(effect.delivery, effect.lines, now);
      case "index":
        return ports.onIndex(effect.record, resident.shard);
      case "history":
        return ports.onHistory(effect);
      case "send":
        return ports.send(effect.post, resident.shard);
      case "notify":
        return ports.onNotify(effect, resident.shard);
      case "answer":
        return answer(request, effect.code, effect.online);
      case "reload":
        return void this.#loader.reload(resident, (m) => this.#pushUrgent(resident, m, null));
      case "search": {
        const message = { type: "candidates", result: ports.search(effect.query, now) };
        const open = request?.answered === false ? request : null;
        return resident.mailbox.pushUrgent({ message, request: open });
      }
    }
  }

  async #commit(
    resident: Resident,
    write: ActorWrite,
    envelope: Envelope,
    recorded: () => void,
    attempt: number,
  ): Promise<void> {
    const { request } = envelope;
    let outcome: WriteOutcome;
    try {
      outcome = await this.#ports.write(write, resident.shard);
    } catch (error) {
      // Whatever the store says, the step was right: it waits until it can be recorded.
      if (resident.mode === "gone") return this.#dropCommit(request);
      const again = (): void => {
        // D8: given up meanwhile, and the shard may be this node's again: this was decided in an
        // older epoch.
        if (resident.mode === "gone") this.#dropCommit(request);
        else void this.#commit(resident, write, envelope, recorded, attempt + 1);
      };
      return retryLater(this.#ports, resident, write.kind, error, attempt, again);
    }
    if (resident.mode === "gone") return this.#dropCommit(request);
    this.#commits -= 1;
    resident.mode = "ready";
    if (outcome.outcome === "fenced") {
      answer(request, "unavailable", null);
      this.giveUp(resident.shard);
      return this.#ports.onFenced(resident.shard);
    }
    this.#inStep = true;
    if (outcome.outcome === "recorded") {
      recorded();
      this.#ports.onRecorded(write);
    } else {
      this.#pushUrgent(resident, { type: "superseded", snapshot: outcome.snapshot }, null);
      // H5: who asked is answered by what stands now.
      if (request !== null) this.#pushUrgent(resident, envelope.message, request);
    }
    this.#wake(resident);
    this.#inStep = false;
    this.#armTimer();
  }

  #dropCommit(request: Request | null): void {
    this.#commits -= 1;
    answer(request, "unavailable", null);
  }

  #park(resident: Resident, envelope: Envelope, error: unknown): void {
    resident.mode = "parked";
    this.#residents.setParked(resident, true);
    this.#alarms.drop(resident);
    resident.wokeQueued = false;
    this.#trouble("threw", resident, envelope.message, error);
    answer(envelope.request, "internal", null);
    for (const { request } of resident.mailbox.clear()) answer(request, "internal", null);
  }

  #trouble(what: HostCount, resident: Resident, message: HostMessage, error: unknown): void {
    this.#ports.onCount(what, resident.kind);
    const { kind, id } = resident;
    this.#ports.onTrouble(what, { kind, id, message: message.type }, error);
  }

  #refuse(
    what: HostCount,
    kind: Kind,
    request: Request | null,
    code: "overloaded" | "internal",
  ): void {
    this.#ports.onCount(what, kind);
    answer(request, code, null);
  }

  /* Alarms: one timer for all of them. */

  #armTimer(): void {
    const at = this.#alarms.earliestAt();
    if (this.#closed || at === null || (this.#timerAt !== null && this.#timerAt <= at)) return;
    this.#cancelTimer();
    this.#timerAt = at;
    this.#cancelTimer = this.#ports.clock.after(at - this.#ports.clock.now(), () => this.#ring());
  }

  #ring(): void {
    this.#timerAt = null;
    const now = this.#ports.clock.now();
    for (;;) {
      const resident = this.#alarms.takeDue(now);
      if (resident === null) break;
      resident.wokeQueued = true;
      // Behind what has already come: a late host must not let time run out on an answer that is
      // there.
      resident.mailbox.pushAnyway({ message: WOKE, request: null });
      this.#wake(resident);
    }
    this.#armTimer();
  }
}
