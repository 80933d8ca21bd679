/**
 * What anyone may ask for: the description of the API, and the page behind a tracking link.
 */
import type { Store } from "../../engine/store/port.ts";
import { DispatchError } from "../../proto/errors.ts";
import { TRACKING_SECRET_PATTERN, trackingHash } from "../auth.ts";
import type { Deps } from "../deps.ts";
import { isTrackable } from "../policy.ts";
import { route } from "../route.ts";
import type { Route } from "../route.ts";
import { TRACKING_PAGE_HEADERS, trackingPage } from "../tracking-page.ts";

export type OpenParts = {
  readonly deps: Pick<Deps, "clock"> & { readonly store: Pick<Store, "deliveryByTracking"> };
  /** The description as a text; asked for late, since it describes this route too. */
  readonly description: () => string;
};

export const openRoutes = (parts: OpenParts): readonly Route[] => [
  descriptionRoute(parts),
  socketRoute(),
];

const descriptionRoute = ({ description }: OpenParts): Route =>
  route({
    method: "GET",
    path: "/openapi.json",
    name: "getDescription",
    roles: "anyone",
    body: null,
    query: null,
    idempotency: "none",
    doc: {
      summary: "This description, made from what the server itself validates with.",
      answers: { 200: null },
      errors: [],
    },
    handle: () =>
      Promise.resolve({
        status: 200,
        headers: { "cache-control": "public, max-age=300" },
        raw: { type: "application/json", content: description() },
      }),
  });

const socketRoute = (): Route =>
  route({
    method: "GET",
    path: "/socket",
    name: "openSocket",
    roles: "anyone",
    body: null,
    query: null,
    idempotency: "none",
    doc: {
      summary: "The WebSocket (subprotocol hexdispatch.v1.msgpack); see docs/protocol.md.",
      answers: { 101: null },
      errors: ["bad_request"],
    },
    handle: () => Promise.reject(new DispatchError("bad_request", "Connect with a WebSocket.")),
  });

/** Not described: it is for people, and its path is a secret. */
export const trackingPageRoute = ({ deps }: OpenParts): Route =>
  route({
    method: "GET",
    path: "/t/{secret}",
    name: "trackingPage",
    roles: "anyone",
    body: null,
    query: null,
    idempotency: "none",
    doc: { summary: "The tracking page.", answers: { 200: null }, errors: ["not_found"] },
    async handle({ id: secret }) {
      if (!TRACKING_SECRET_PATTERN.test(secret)) throw new DispatchError("not_found");
      const row = await deps.store.deliveryByTracking(trackingHash(secret));
      const isOpen = row !== null && isTrackable(row, deps.clock.now());
      const content = trackingPage(isOpen ? row.id : null);
      const raw = { type: "text/html; charset=utf-8", content };
      return { status: isOpen ? 200 : 404, headers: TRACKING_PAGE_HEADERS, raw };
    },
  });
