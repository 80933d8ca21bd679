/**
 * Webhooks on their way: events of the stream become rows, rows that are due are taken and posted,
 * and the answer decides what becomes of them. All gateways do this side by side; the rows say who
 * has what. The stream's place is kept only after the rows are written, a row ends only after its
 * answer came: so a message may come twice and is never lost, and `webhook-id` is the same each
 * time.
 */
import type { WebhookTargets } from "../../../engine/config.ts";
import type { Clock } from "../../../engine/io/clock.ts";
import type { Log } from "../../../engine/io/log.ts";
import { OutageLog } from "../../../engine/io/outage-log.ts";
import { systemRandom } from "../../../engine/io/random.ts";
import type {
  WebhookMessage,
  WebhookOutcome,
  WebhookStore,
} from "../../../engine/store/webhooks.ts";
import { eventKey } from "../../../proto/events.ts";
import { WEBHOOKS_UNDER_WAY_MAX } from "../../../proto/limits.ts";
import { signedHeaders } from "./signature.ts";
import { TargetError, post } from "./target.ts";
import type { Resolve } from "./target.ts";

const LOOK_MS = 500;
const TAKE_MAX = 8;
/** Messages of one address at the same time: a slow one must not hold all the places. */
const PER_ADDRESS_MAX = 4;
/** Waits after the first, second ... attempt; together nearly a day. */
export const RETRY_DELAYS_S = [5, 300, 1_800, 7_200, 18_000, 25_200, 32_400] as const;
const JITTER = 0.2;
const GONE = 410;

/**
 * The wait after `attempts` failed ones; null when there shall be no more. `chance` is from 0 to 1.
 */
export function retryInMs(attempts: number, chance: number): number | null {
  const delayS = RETRY_DELAYS_S[attempts - 1];
  return delayS === undefined ? null : delayS * 1_000 * (1 - JITTER + 2 * JITTER * chance);
}

export type SenderPorts = {
  readonly store: WebhookStore;
  readonly clock: Clock;
  readonly log: Log;
  readonly targets: WebhookTargets;
  readonly resolve?: Resolve;
  /** From 0 to 1; for tests. */
  readonly chance?: () => number;
};

const systemChance = (): number => {
  const [a = 0, b = 0] = systemRandom(2);
  return (a * 256 + b) / 65_535;
};

export class WebhookSender {
  readonly #ports: SenderPorts;
  readonly #underWay = new Map<Promise<void>, string>();
  readonly #outages: OutageLog;
  #isStopped = false;
  #isNudged = false;
  #wake: () => void = () => undefined;
  readonly #loop: Promise<void>;

  constructor(ports: SenderPorts) {
    this.#ports = ports;
    this.#outages = new OutageLog(ports.log, ports.clock);
    this.#loop = this.#run();
  }

  /** There may be something to send. */
  nudge(): void {
    this.#isNudged = true;
    this.#wake();
  }

  /** Takes nothing more and waits for what is under way. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#wake();
    await this.#loop;
    await Promise.all(this.#underWay.keys());
  }

  async #run(): Promise<void> {
    while (!this.#isStopped) {
      this.#isNudged = false;
      try {
        const taken = await this.#look();
        if (taken > 0) continue;
      } catch (error) {
        this.#outages.tell(error, {}, "webhooks could not be looked up; it is repeated");
      }
      if (!this.#isNudged) await this.#pause(LOOK_MS);
    }
  }

  async #look(): Promise<number> {
    const { store } = this.#ports;
    const room = WEBHOOKS_UNDER_WAY_MAX - this.#underWay.size;
    if (room <= 0) return 0;
    const taken = await store.take(Math.min(room, TAKE_MAX), this.#busy());
    for (const message of taken) this.#begin(message);
    return taken.length;
  }

  #busy(): string[] {
    const counts = new Map<string, number>();
    for (const id of this.#underWay.values()) counts.set(id, (counts.get(id) ?? 0) + 1);
    return [...counts].filter(([, count]) => count >= PER_ADDRESS_MAX).map(([id]) => id);
  }

  #begin(message: WebhookMessage): void {
    const work = this.#send(message).finally(() => {
      this.#underWay.delete(work);
      // The next event of this delivery may go now.
      this.nudge();
    });
    this.#underWay.set(work, message.webhook_id);
  }

  /** Never rejects: what cannot be settled is taken again when its lease is over. */
  async #send(message: WebhookMessage): Promise<void> {
    const { store, log } = this.#ports;
    try {
      const outcome = await this.#attempt(message);
      if (outcome !== null) await store.settle(message, outcome);
      if (outcome === null || outcome.sent || outcome.retryInMs !== null) return;
      const { webhook_id: webhook, delivery_id: delivery, number } = message;
      log.warn({ webhook, delivery, number, why: outcome.error }, "a webhook was given up");
    } catch (error) {
      this.#outages.tell(error, {}, "a webhook could not be settled; it is sent again");
    }
  }

  /** Null: the address has gone meanwhile. */
  async #attempt(message: WebhookMessage): Promise<WebhookOutcome | null> {
    const { store, clock, targets, resolve, chance = systemChance } = this.#ports;
    const webhook = await store.one(message.webhook_id);
    if (webhook === null || webhook.disabled_reason !== null) return null;
    const again = retryInMs(message.attempts + 1, chance());
    if (webhook.secret === null) {
      // Unsigned it would be worth nothing. A new secret (`rotate`) mends it, and until then it
      // waits.
      return { sent: false, error: "its secret cannot be opened", retryInMs: again };
    }
    const secrets = [webhook.secret, ...(webhook.old_secret === null ? [] : [webhook.old_secret])];
    const timestampS = Math.floor(clock.now() / 1_000);
    const headers = {
      "content-type": "application/json",
      "user-agent": "hexdispatch",
      ...signedHeaders(secrets, eventKey(message), timestampS, message.body),
    };
    try {
      const options = resolve === undefined ? { targets } : { targets, resolve };
      const status = await post(webhook.url, headers, message.body, options);
      if (status >= 200 && status < 300) return { sent: true };
      if (status === GONE) await store.disable(webhook.id, "the receiver answered 410");
      return { sent: false, error: `status ${status}`, retryInMs: status === GONE ? null : again };
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code ?? (error as Error).name;
      const text = error instanceof TargetError ? error.message : String(code);
      return { sent: false, error: text, retryInMs: again };
    }
  }

  #pause(ms: number): Promise<void> {
    if (this.#isStopped) return Promise.resolve();
    return new Promise((resolve) => {
      const cancel = this.#ports.clock.after(ms, resolve);
      this.#wake = () => {
        cancel();
        resolve();
      };
    });
  }
}
