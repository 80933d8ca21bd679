/**
 * The store of webhooks with its secrets sealed: what goes in is sealed for its row, what comes out
 * is opened. Beside it the step that an exchange of the signing key needs: sealing anew whatever is
 * not under the current key, rows of before this existed among them.
 */
import type { WebhookRow, WebhookStore } from "../../../engine/store/webhooks.ts";
import type { SecretBox } from "../../base/secret-box.ts";

export function sealedWebhooks(store: WebhookStore, box: SecretBox): WebhookStore {
  const opened = (row: WebhookRow): WebhookRow => ({
    ...row,
    secret: row.secret === null ? null : box.open(row.secret, row.id),
    old_secret: row.old_secret === null ? null : box.open(row.old_secret, row.id),
  });
  return {
    ...store,
    all: async (owner) => (await store.all(owner)).map(opened),
    async one(id) {
      const row = await store.one(id);
      return row === null ? null : opened(row);
    },
    add: ({ secret, ...row }) => store.add({ ...row, secret: box.seal(secret, row.id) }),
    rotate: (id, secret, keepOldMs) => store.rotate(id, box.seal(secret, id), keepOldMs),
  };
}

/**
 * Seals anew what is not sealed under the current key. Resolves to the ids of those that cannot be
 * opened any more: their key was dropped too early, and they need a new secret. `store` is the one
 * below the sealing.
 */
export async function resealAll(store: WebhookStore, box: SecretBox): Promise<readonly string[]> {
  const lost: string[] = [];
  for (const { id, secret, old_secret: old } of await store.all(null)) {
    for (const sealed of [secret, old]) {
      if (sealed === null || box.isCurrent(sealed)) continue;
      const text = box.open(sealed, id);
      if (text === null) lost.push(id);
      else await store.reseal(id, sealed, box.seal(text, id));
    }
  }
  return lost;
}
