/**
 * The notifiers that are shipped: one that writes a line to the log, for development, and one that
 * posts each notice to a provider, or to a small service of one's own that knows a provider. What a
 * provider must do is in `docs/notifications.md`.
 */
import type { NotifySettings } from "../../../engine/config.ts";
import type { Log } from "../../../engine/io/log.ts";
import { NOTICE_TIMEOUT_MS } from "../../../proto/limits.ts";
import { NoticeError } from "./notifier.ts";
import type { Notice, Notifier } from "./notifier.ts";

export function createNotifier(settings: NotifySettings, log: Log): Notifier | null {
  switch (settings.kind) {
    case "off":
      return null;
    case "log":
      return logNotifier(log);
    case "http":
      return httpNotifier(settings);
  }
}

/** Says that somebody would have been told; the numbers and the words stay out of the log. */
export const logNotifier = (log: Log): Notifier => ({
  send({ id, kind, to }) {
    log.info({ notice: id, kind, receivers: to.length }, "a customer would have been told");
    return Promise.resolve();
  },
});

/**
 * Posts the notice as JSON, under its id as idempotency key. 2xx: taken. 408, 425, 429 and 5xx:
 * again later. Anything else will not become better by repeating. Redirects are not followed.
 */
export const httpNotifier = ({ url, token }: Pick<NotifySettings, "url" | "token">): Notifier => ({
  async send(notice: Notice) {
    const response = await fetch(url, {
      method: "POST",
      redirect: "manual",
      signal: AbortSignal.timeout(NOTICE_TIMEOUT_MS),
      headers: {
        "content-type": "application/json",
        "idempotency-key": notice.id,
        ...(token === null ? {} : { authorization: `Bearer ${token}` }),
      },
      body: JSON.stringify({
        id: notice.id,
        kind: notice.kind,
        to: notice.to,
        delivery_id: notice.deliveryId,
        external_id: notice.externalId,
        courier: notice.courier,
        text: notice.text,
        at: notice.at,
      }),
    });
    await response.body?.cancel();
    if (response.ok) return;
    const { status } = response;
    const isPassing = status >= 500 || status === 408 || status === 425 || status === 429;
    throw new NoticeError(`the provider answered ${status}`, !isPassing);
  },
});
