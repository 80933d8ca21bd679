/**
 * From events to notices: what customers are told about, in which words, and what happens when the
 * provider will not take it. The event's place in the stream is kept only after the provider took
 * it and that was written down; so a notice is sent at least once, and twice only when the process
 * dies between the two, under the same id.
 */
import type { Clock } from "../../../engine/io/clock.ts";
import { errorFields } from "../../../engine/io/log.ts";
import type { Log } from "../../../engine/io/log.ts";
import type { NoticeStore, NoticeSubject } from "../../../engine/store/notices.ts";
import { eventKey } from "../../../proto/events.ts";
import type { DeliveryEvent } from "../../../proto/events.ts";
import { NOTICE_AGE_MAX_MS, NOTICE_ATTEMPTS_MAX } from "../../../proto/limits.ts";
import { isTestDelivery } from "../../../proto/test-mode.ts";
import type { FeedEvent, Verdict } from "../event-feed.ts";
import { firstName } from "../../views/delivery-view.ts";
import { NOTICE_KINDS, NoticeError } from "./notifier.ts";
import type { Notice, NoticeKind, Notifier } from "./notifier.ts";

const RETRY_FIRST_MS = 2_000;

const TEXTS: Readonly<Record<NoticeKind, (courier: string) => string>> = {
  assigned: (courier) => `${courier} is on the way to the pickup.`,
  reassigned: (courier) =>
    `${courier} has taken over your delivery and is on the way to the pickup.`,
  picked_up: (courier) => `${courier} has your delivery and is on the way.`,
  delivered: () => "Your delivery has arrived.",
  canceled: () => "Your delivery was canceled.",
  unfilled: () => "No courier was found for your delivery.",
  returned: () => "Your delivery could not be handed over and went back to the sender.",
};
const WITH_COURIER: ReadonlySet<NoticeKind> = new Set(["assigned", "reassigned", "picked_up"]);

const isKind = (type: string): type is NoticeKind =>
  (NOTICE_KINDS as readonly string[]).includes(type);

/** The notice of an event; null when customers are not told about it, or not any more. */
export function noticeOf(event: DeliveryEvent, subject: NoticeSubject): Notice | null {
  const { type } = event;
  if (!isKind(type)) return null;
  const courier = WITH_COURIER.has(type) ? firstName(subject.courier_name) : null;
  const numbers = [subject.phone, subject.recipient_phone].filter((phone) => phone !== null);
  return {
    id: eventKey(event),
    kind: type,
    to: [...new Set(numbers)],
    deliveryId: event.delivery_id,
    externalId: event.external_id,
    courier,
    text: TEXTS[type](courier ?? "Your courier"),
    at: event.at,
  };
}

export type NoticePorts = {
  readonly store: NoticeStore;
  readonly notifier: Notifier;
  readonly clock: Clock;
  readonly log: Log;
};

/** What is to become of one event. Rejects only when the store is away. */
export async function notify(
  { store, notifier, clock, log }: NoticePorts,
  { event, tries }: FeedEvent,
): Promise<Verdict> {
  // News of this morning is none: it would only confuse.
  const isOld = clock.now() - Date.parse(event.at) > NOTICE_AGE_MAX_MS;
  // Behind the number of a test there may be somebody all the same.
  if (isOld || !isKind(event.type) || isTestDelivery(event.delivery_id)) return "done";
  const subject = await store.subject(event.delivery_id, event.number);
  const notice = subject === null ? null : noticeOf(event, subject);
  if (notice === null) return "done";
  try {
    await notifier.send(notice);
  } catch (error) {
    const isFinal = error instanceof NoticeError && error.isFinal;
    log.warn({ notice: notice.id, tries, ...errorFields(error) }, "a customer could not be told");
    if (!isFinal && tries < NOTICE_ATTEMPTS_MAX) {
      return { againInMs: RETRY_FIRST_MS * 2 ** (tries - 1) };
    }
    await store.record(event.delivery_id, event.number, "failed");
    return "done";
  }
  await store.record(event.delivery_id, event.number, "sent");
  return "done";
}
