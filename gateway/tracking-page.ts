/**
 * The page behind a tracking link: a plan with pickup, dropoff and courier, the status, the time of arrival, the courier's
 * first name. It polls the REST door (ETag) with the link's secret, which it reads off its own address, so that nothing
 * secret stands in the page. The plan is drawn by the page itself: no third party is asked for anything, and the policy
 * below lets nothing else in.
 */
import { createHash } from "node:crypto";
import type { DeliveryId } from "../proto/ids.ts";
import { TRACKING_SCRIPT } from "./tracking-script.ts";

const STYLE = `
:root { color-scheme: light dark; font: 17px/1.45 system-ui, sans-serif;
  --paper: #f4f2ee; --ink: #1d2328; --soft: #5c666e; --line: #d9d5cd; --card: #fff; --go: #14784a; --from: #2b5fc2; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #14181b; --ink: #eceff1; --soft: #a0abb3; --line: #2f373d; --card: #1d2327; --go: #4cc38a; --from: #8ab4ff; }
}
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; background: var(--paper); color: var(--ink); }
main { max-width: 34rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.45rem; line-height: 1.2; margin: .25rem 0 .35rem; }
p { margin: .2rem 0; }
.big { font-size: 1.1rem; }
.soft { color: var(--soft); font-size: .9rem; }
svg { display: block; width: 100%; height: auto; background: var(--card); border: 1px solid var(--line);
  border-radius: .9rem; margin: 1rem 0 .4rem; }
svg text { font: 600 13px system-ui, sans-serif; fill: var(--ink); paint-order: stroke; stroke: var(--card); stroke-width: 4px; }
.grid { stroke: var(--line); stroke-width: 1; }
.way { stroke: var(--soft); stroke-width: 3; stroke-dasharray: 2 8; stroke-linecap: round; fill: none; }
.from { fill: var(--from); } .to { fill: var(--go); }
.courier circle { fill: var(--ink); stroke: var(--card); stroke-width: 4; }
.courier path { fill: var(--card); }
.courier { transition: transform .9s linear; }
.courier.old { opacity: .45; }
@media (prefers-reduced-motion: reduce) { .courier { transition: none; } }
ol { list-style: none; display: flex; gap: .4rem; padding: 0; margin: 1.1rem 0 .8rem; }
li { flex: 1; border-top: 4px solid var(--line); padding-top: .35rem; font-size: .82rem; color: var(--soft); }
li.done { border-color: var(--go); color: var(--ink); }
[hidden] { display: none; }
`;

const hashOf = (text: string): string =>
  `'sha256-${createHash("sha256").update(text).digest("base64")}'`;

export const TRACKING_PAGE_HEADERS: Readonly<Record<string, string>> = {
  "content-security-policy": [
    "default-src 'none'",
    `script-src ${hashOf(TRACKING_SCRIPT)}`,
    `style-src ${hashOf(STYLE)}`,
    "connect-src 'self'",
    // The page's own empty icon; without it the browser would ask for /favicon.ico.
    "img-src data:",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join("; "),
  // The address is the secret: it goes to nobody else, search engines and shared caches included.
  "referrer-policy": "no-referrer",
  "x-robots-tag": "noindex",
  "cache-control": "no-store",
};

const document = (bodyAttributes: string, body: string, script: string): string =>
  `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Your delivery</title>
<link rel="icon" href="data:,">
<style>${STYLE}</style>
</head>
<body${bodyAttributes}>
<main>
${body}</main>
${script}</body>
</html>
`;

const EXPIRED = `<h1>This link has expired</h1>
<p class="soft">A tracking link works until an hour after the delivery has ended.</p>
`;

const LIVE = `<h1 id="heading">Your delivery</h1>
<p id="arrival" class="big"></p>
<p id="courier" class="soft"></p>
<svg id="plan" viewBox="0 0 360 300" role="img" aria-label="Plan with pickup, dropoff and courier" hidden>
<g id="grid"></g>
<path id="way" class="way"></path>
<g id="pickup"><circle class="from" r="8"></circle><text y="-14" text-anchor="middle">Pickup</text></g>
<g id="dropoff"><path class="to" d="M0 0 C-5 -9 -11 -13 -11 -20 A11 11 0 1 1 11 -20 C11 -13 5 -9 0 0 Z"></path><text y="18" text-anchor="middle">Dropoff</text></g>
<g id="dot" class="courier" hidden><circle r="12"></circle><path d="M-5 4 L0 -6 L5 4 L0 1.5 Z"></path></g>
</svg>
<p id="age" class="soft"></p>
<ol>
<li id="pending">Ordered</li>
<li id="assigned">Courier found</li>
<li id="picked_up">Picked up</li>
<li id="delivered">Delivered</li>
</ol>
<p id="note" class="soft" role="status"></p>
`;

/** The page of a delivery; null: there is none behind the link, or not any more. */
export const trackingPage = (id: DeliveryId | null): string =>
  id === null
    ? document("", EXPIRED, "")
    : document(` data-delivery="${id}"`, LIVE, `<script>${TRACKING_SCRIPT}</script>\n`);
