// Planted bugs that show only where there are two of something: two customers with one key, two
// deliveries or connections of one courier, two issuers, partners, webhooks, processes.

import type { Planted } from "./planted-bug.ts";

export const BUGS_OF_TWO: readonly Planted[] = [
  {
    name: "a takeover does not wait for its flush before it reads rows",
    kind: "two of something",
    file: "engine/cluster/takeover.ts",
    find: `  await flushBus(runtime);
  const loaded`,
    replace: `  void flushBus(runtime);
  const loaded`,
    test: {
      file: "engine/cluster/takeover.test.ts",
      name: "reads no row before the server knows that it listens",
    },
  },
  {
    name: "a frame is cached by courier: the follower of another delivery gets a foreign id",
    kind: "two of something",
    file: "gateway/follow/fan-out.ts",
    find: `    let encoded = frames.get(followed);
    if (encoded === undefined) {
      const item = this.#itemOf(followed, now);
      encoded =
        item === null
          ? null
          : { at: item.at, bytes: serverFrames.encode({ type: "positions", positions: [item] }) };
      frames.set(followed, encoded);
    }`,
    replace: `    const key = followed.row?.courierId as unknown as Followed;
    let encoded = frames.get(key);
    if (encoded === undefined) {
      const item = this.#itemOf(followed, now);
      encoded =
        item === null
          ? null
          : { at: item.at, bytes: serverFrames.encode({ type: "positions", positions: [item] }) };
      frames.set(key, encoded);
    }`,
    test: {
      file: "gateway/follow/fan-out.test.ts",
      name: "is told of its own delivery and of no other that the same courier carries",
    },
  },
  {
    name: "who gives an offer back is asked again at once",
    kind: "two of something",
    file: "actors/search.ts",
    find: `      passed: [...search.passed, courier],
    };
    const step = lookIfNoneLeft(back, ctx);`,
    replace: `    };
    const step = lookIfNoneLeft(back, ctx);`,
    test: {
      file: "actors/delivery.test.ts",
      name: "who gives an offer back is passed over in the look under way",
    },
  },
  {
    name: "tokens of another issuer are accepted",
    kind: "two of something",
    file: "gateway/access/auth.ts",
    find: "      issuer: TOKEN_ISSUER,\n",
    replace: "",
    test: {
      file: "gateway/access/auth-keys.test.ts",
      name: "of our issuer is believed; of another, or of none, it is not",
    },
  },
  {
    name: "the previous key signs under any name",
    kind: "two of something",
    file: "gateway/access/auth.ts",
    find: `  if (secret === undefined) throw new DispatchError("unauthorized");
  return secret;`,
    replace: "  return secret ?? current;",
    test: { file: "gateway/access/auth-keys.test.ts", name: "holds under either of our keys" },
  },
  {
    name: "a key under way is not scoped to its customer",
    kind: "two of something",
    file: "gateway/operations/idempotency.ts",
    find: "const name = `${key.principal}\\n${key.key}`;",
    replace: "const name = key.key;",
    test: {
      file: "gateway/operations/idempotency.test.ts",
      name: "holds up nobody but whoever brought it",
    },
  },
  {
    name: "a key belongs to a name, whatever its role",
    kind: "two of something",
    file: "gateway/operations/idempotency.ts",
    find: "principal: `${principal.role}:${principal.subject}`,",
    replace: "principal: principal.subject,",
    test: {
      file: "gateway/operations/idempotency.test.ts",
      name: "holds up nobody but whoever brought it",
    },
  },
  {
    name: "a stored key is looked up without its customer",
    kind: "two of something",
    file: "engine/store/idempotency.ts",
    find: "from idempotency where principal = $1 and key = $2`;",
    replace: "from idempotency where $1::text is not null and key = $2 limit 1`;",
    test: {
      file: "engine/store/postgres-store.itest.ts",
      writtenIn: "engine/store/contract/creates.ts",
      name: "answers of other commands are kept by key; the first stays",
    },
  },
  {
    name: "a reader may acknowledge frames that were never sent",
    kind: "two of something",
    file: "gateway/follow/ack-window.ts",
    find: "if (frames <= this.#seen || frames > this.#sent) return;",
    replace: "if (frames <= this.#seen) return;",
    test: {
      file: "gateway/follow/ack-window.test.ts",
      name: "cannot have seen what was never sent",
    },
  },
  {
    name: "a connection that gives way takes the newer one off the list",
    kind: "two of something",
    file: "gateway/websocket/connections.ts",
    find: "if (this.#byCourier.get(courier) === connection) this.#byCourier.delete(courier);",
    replace: "this.#byCourier.delete(courier);",
    test: {
      file: "gateway/websocket/ws.itest.ts",
      name: "is one at a time, however often the courier",
    },
  },
  {
    name: "of a partner's addresses only the first is told",
    kind: "two of something",
    file: "engine/store/webhooks.ts",
    find: "on conflict (webhook_id, delivery_id, number) do nothing\nreturning number`;",
    replace: "limit 1 on conflict (webhook_id, delivery_id, number) do nothing\nreturning number`;",
    test: {
      file: "gateway/events/webhooks/webhooks.itest.ts",
      name: "of two addresses of one partner each is told all",
    },
  },
  {
    name: "an address that fails holds up the others of its partner",
    kind: "two of something",
    file: "engine/store/webhooks.ts",
    find: "where e.webhook_id = m.webhook_id and e.delivery_id = m.delivery_id\n        and e.number < m.number",
    replace: "where e.delivery_id = m.delivery_id\n        and e.number < m.number",
    test: {
      file: "gateway/events/webhooks/webhooks.itest.ts",
      name: "of two addresses of one partner each is told all",
    },
  },
  {
    name: "a quote of one partner is good for another",
    kind: "two of something",
    file: "gateway/partners/quote.ts",
    find: "\\n${owner}\\n${what}",
    replace: "\\n${what}",
    test: {
      file: "gateway/partners/quote.test.ts",
      name: "a quote is good for its partner and its stops alone",
    },
  },
];
