/**
 * A subscription that the server's refusal does not end. The client drops a subscription at a
 * permissions violation, and a permission that comes back with the next reload would then never
 * reach it: it is asked for again until it is taken or nobody wants it any more. The refusal itself
 * is reported by `NatsWatch`.
 */
import type { Msg, NatsConnection, Subscription } from "@nats-io/transport-node";
import { NATS_RESUBSCRIBE_MS } from "../../../proto/limits.ts";

/**
 * `onMessage` must not throw. With `queue`, one member of that group gets each message. Returns its
 * end.
 */
export function keepSubscribed(
  nc: NatsConnection,
  subject: string,
  queue: string | undefined,
  onMessage: (message: Msg) => void,
): () => void {
  let current: Subscription;
  let isOver = false;
  let timer: NodeJS.Timeout | undefined;
  const open = (): void => {
    current = nc.subscribe(subject, {
      ...(queue === undefined ? {} : { queue }),
      callback: (error, message) => {
        if (error === null) return onMessage(message);
        clearTimeout(timer);
        timer = setTimeout(again, NATS_RESUBSCRIBE_MS).unref();
      },
    });
  };
  const again = (): void => {
    if (isOver || nc.isClosed()) return;
    if (!current.isClosed()) current.unsubscribe();
    open();
  };
  open();
  return () => {
    isOver = true;
    clearTimeout(timer);
    if (!nc.isClosed() && !current.isClosed()) current.unsubscribe();
  };
}
