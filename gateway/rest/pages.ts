/**
 * What anyone may ask for: the description of the API, the page behind a tracking link, and the map
 * on it.
 */
import type { Store } from "../../engine/store/port.ts";
import { DispatchError } from "../../proto/errors.ts";
import { TRACKING_SECRET_PATTERN, linkPrincipal, trackingHash } from "../access/auth.ts";
import type { Deps } from "../base/deps.ts";
import type { CityMap } from "../page/city-map.ts";
import { isLinkWaiting, isTrackable } from "../access/policy.ts";
import type { Revocations } from "../access/revocations.ts";
import { packedAnswer } from "./packed-page.ts";
import type { PackedPage } from "./packed-page.ts";
import { pageRoute } from "./route.ts";
import type { Answer, Route } from "./route.ts";
import { EXPIRED_PAGE, WAITING_PAGE, trackingPage } from "../page/tracking-page.ts";
import type { TrackingPage } from "../page/tracking-page.ts";

export type OpenParts = {
  readonly deps: Pick<Deps, "clock" | "map"> & {
    readonly store: Pick<Store, "deliveryByTracking">;
  };
  readonly revocations: Pick<Revocations, "revokes">;
  /** The description; asked for late, since it describes this route too. */
  readonly description: () => PackedPage;
  /** The same of everything that is not REST; null where the gateway has no outward parts. */
  readonly asyncDescription: PackedPage | null;
};

export const openRoutes = (parts: OpenParts): readonly Route[] => [
  descriptionRoute(parts),
  socketRoute(),
  ...(parts.asyncDescription === null ? [] : [asyncRoute(parts.asyncDescription)]),
];

const descriptionRoute = ({ description }: OpenParts): Route =>
  pageRoute({
    path: "/openapi.json",
    name: "getDescription",
    summary: "This description, made from what the server itself validates with.",
    answers: { 200: null },
    errors: [],
    handle: (_, headers) => Promise.resolve(packedAnswer(description(), headers)),
  });

const asyncRoute = (page: PackedPage): Route =>
  pageRoute({
    path: "/asyncapi.json",
    name: "getAsyncDescription",
    summary: "The sockets, and the door for partners on NATS, as AsyncAPI 3.",
    answers: { 200: null },
    errors: [],
    handle: (_, headers) => Promise.resolve(packedAnswer(page, headers)),
  });

const socketRoute = (): Route =>
  pageRoute({
    path: "/socket",
    name: "openSocket",
    summary: "The WebSocket (subprotocol hexdispatch.v1.msgpack); see docs/protocol.md.",
    answers: { 101: null },
    errors: ["bad_request"],
    handle: () => Promise.reject(new DispatchError("bad_request", "Connect with a WebSocket.")),
  });

/** Not described: they are for people, and the path of the page is a secret. */
export const pageRoutes = (parts: OpenParts): readonly Route[] => [
  trackingPageRoute(parts),
  ...(parts.deps.map ? [mapRoute(parts.deps.map)] : []),
];

const trackingPageRoute = ({ deps, revocations }: OpenParts): Route =>
  pageRoute({
    path: "/t/{secret}",
    name: "trackingPage",
    summary: "The tracking page.",
    answers: { 200: null },
    errors: ["not_found"],
    async handle(secret) {
      if (!TRACKING_SECRET_PATTERN.test(secret)) throw new DispatchError("not_found");
      const found = await deps.store.deliveryByTracking(trackingHash(secret));
      const row = found !== null && revocations.revokes(linkPrincipal(found.id, 0)) ? null : found;
      const facts = deps.map?.facts ?? null;
      if (row !== null && isTrackable(row, deps.clock.now())) {
        return pageAnswer(200, trackingPage(row.id, facts));
      }
      if (row !== null && isLinkWaiting(row)) return pageAnswer(200, WAITING_PAGE);
      return pageAnswer(404, EXPIRED_PAGE);
    },
  });

const pageAnswer = (status: number, { html, headers }: TrackingPage): Answer => ({
  status,
  headers,
  raw: { type: "text/html; charset=utf-8", content: html },
});

/**
 * A worker has the policy of its own answer: it may ask us for tiles, and nobody else for anything.
 */
const MAP_HEADERS = {
  "content-security-policy": "default-src 'none'; connect-src 'self'; frame-ancestors 'none'",
  "cache-control": "public, max-age=31536000, immutable",
  "content-encoding": "gzip",
};

/** Streets are no secret. What the archive does not hold is empty, and no guess at anything. */
const mapRoute = (map: CityMap): Route =>
  pageRoute({
    path: "/map/{file}",
    name: "mapFile",
    summary: "A script or tile of the map.",
    answers: { 200: null, 204: null },
    errors: [],
    async handle(name) {
      const file = await map.file(name);
      if (file === null) return { status: 204 };
      return {
        status: 200,
        headers: MAP_HEADERS,
        raw: { type: file.type, content: file.gzipped },
      };
    },
  });
