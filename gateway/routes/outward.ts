/**
 * The REST side of what looks outwards: webhooks, and the description of everything that is not REST. None where the
 * gateway has no outward parts.
 */
import { describeAsync } from "../asyncapi.ts";
import type { Deps } from "../deps.ts";
import { pageAnswerOf, pageOf } from "../page.ts";
import type { Page } from "../page.ts";
import { route } from "../route.ts";
import type { Route } from "../route.ts";
import { webhookRoutes } from "./webhooks.ts";

export function outwardRoutes(
  { outward, config }: Pick<Deps, "outward" | "config">,
  version: string,
): readonly Route[] {
  if (!outward) return [];
  const text = JSON.stringify(describeAsync(outward.prefix, config.publicUrl, version));
  return [...webhookRoutes(outward), asyncRoute(pageOf(text))];
}

const asyncRoute = (page: Page): Route =>
  route({
    method: "GET",
    path: "/asyncapi.json",
    name: "getAsyncDescription",
    roles: "anyone",
    body: null,
    query: null,
    idempotency: "none",
    doc: {
      summary: "The sockets, and the door for partners on NATS, as AsyncAPI 3.",
      answers: { 200: null },
      errors: [],
    },
    handle: ({ headers }) => Promise.resolve(pageAnswerOf(page, headers)),
  });
