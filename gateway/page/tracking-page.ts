/**
 * The page behind a tracking link: pickup, dropoff and courier on a map of the operator's own or on
 * a plan, the status, the time of arrival, the courier's first name. It polls the REST door (ETag)
 * with the link's secret, which it reads off its own address, so that nothing secret stands in the
 * page. No third party is asked for anything, and the policy below lets nothing else in.
 */
import { createHash } from "node:crypto";
import type { DeliveryId } from "../../proto/ids.ts";
import { mapNames } from "./city-map.ts";
import type { MapFacts } from "./city-map.ts";
import { TRACKING_MAP_SCRIPT } from "./tracking-map-script.ts";
import { TRACKING_SCRIPT, WAITING_SCRIPT } from "./tracking-script.ts";
import { TRACKING_STYLE } from "./tracking-style.ts";

export type TrackingPage = {
  readonly html: string;
  readonly headers: Readonly<Record<string, string>>;
};

const hashOf = (text: string): string =>
  `'sha256-${createHash("sha256").update(text).digest("base64")}'`;

function headersFor(script: string, hasMap: boolean): Readonly<Record<string, string>> {
  const own = hasMap ? " 'self'" : "";
  return {
    "content-security-policy": [
      "default-src 'none'",
      `script-src ${script === "" ? "'none'" : hashOf(script) + own}`,
      `style-src ${hashOf(TRACKING_STYLE)}`,
      // The map's worker and its tiles are ours too.
      ...(hasMap ? ["worker-src 'self'"] : []),
      "connect-src 'self'",
      // The page's own empty icon; without it the browser would ask for /favicon.ico.
      "img-src data:",
      "base-uri 'none'",
      "form-action 'none'",
      "frame-ancestors 'none'",
    ].join("; "),
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "cross-origin-opener-policy": "same-origin",
    // The address is the secret: it goes to nobody else, search engines and shared caches included.
    "referrer-policy": "no-referrer",
    "x-robots-tag": "noindex, nofollow",
    "cache-control": "no-store",
  };
}

function page(bodyAttributes: string, body: string, script: string, hasMap = false): TrackingPage {
  const html = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1, viewport-fit=cover">
<meta name="robots" content="noindex, nofollow">
<title>Your delivery</title>
<link rel="icon" href="data:,">
<style>${TRACKING_STYLE}</style>
</head>
<body${bodyAttributes}>
${body}${script === "" ? "" : `<script>${script}</script>\n`}</body>
</html>
`;
  return { html, headers: headersFor(script, hasMap) };
}

export const EXPIRED_PAGE = page(
  "",
  `<main class="alone"><h1>This link has expired</h1>
<p class="soft">A tracking link works until an hour after the delivery has ended.</p></main>
`,
  "",
);

export const WAITING_PAGE = page(
  "",
  `<main class="alone" role="status"><h1>Looking for a courier</h1>
<p class="soft">Your tracking opens here by itself as soon as a courier has taken the delivery.</p></main>
`,
  WAITING_SCRIPT,
);

const SCRIPT = `"use strict";${TRACKING_MAP_SCRIPT}${TRACKING_SCRIPT}`;
const CREDIT =
  '<a href="https://www.openstreetmap.org/copyright" target="_blank" rel="noopener noreferrer">© OpenStreetMap</a>';

const LIVE = `<section id="picture" aria-label="Where it is">
<svg id="plan" viewBox="0 0 360 300" role="img" aria-label="Plan with pickup, dropoff and courier" hidden>
<g id="grid"></g>
<path id="way" class="way"></path>
<g id="pickup"><circle class="from stop" r="9"></circle><text y="-16" text-anchor="middle">Pickup</text></g>
<g id="dropoff"><path class="to stop" d="M0 0 C-6 -11 -12 -15 -12 -24 A12 12 0 1 1 12 -24 C12 -15 6 -11 0 0 Z"></path><circle cy="-24" r="4.5" fill="#fff"></circle><text y="18" text-anchor="middle">Dropoff</text></g>
<g id="dot" class="courier" hidden><circle r="15"></circle><path class="nose" d="M-6.5 5.5 L0 -8.5 L6.5 5.5 L0 2 Z"></path></g>
</svg>
<div id="map" hidden></div>
<button id="all" type="button" hidden>Show all</button>
<p id="credit" hidden>${CREDIT}</p>
</section>
<main>
<h1 id="heading" aria-live="polite">Your delivery</h1>
<p id="arrival"></p>
<ol id="steps" aria-label="Progress">
<li id="pending">Ordered</li>
<li id="assigned">Assigned</li>
<li id="picked_up">Picked up</li>
<li id="delivered">Delivered</li>
</ol>
<div id="who"><p id="courier"></p><p id="age" class="soft"></p></div>
<p id="note" role="status" aria-live="polite"></p>
</main>
`;

/** The page of a delivery whose link is open; with streets where the gateway has a map. */
export function trackingPage(id: DeliveryId, facts: MapFacts | null): TrackingPage {
  if (facts === null) return page(` data-delivery="${id}"`, LIVE, SCRIPT);
  const { bounds, minZoom, maxZoom } = facts;
  const told = JSON.stringify({ ...mapNames(facts), bounds, minZoom, maxZoom });
  const attributes = ` data-delivery="${id}" data-map="${told.replaceAll('"', "&quot;")}"`;
  return page(attributes, LIVE, SCRIPT, true);
}
