/**
 * The page behind a tracking link: status, time of arrival, the courier's first name. It polls the REST door with the
 * link's secret, which it reads off its own address, so that nothing secret stands in the page. No third party is
 * asked for anything, and the policy below lets nothing else in.
 */
import { createHash } from "node:crypto";
import type { DeliveryId } from "../proto/ids.ts";

const STYLE = `
:root { color-scheme: light dark; font: 17px/1.5 system-ui, sans-serif; }
body { margin: 0 auto; max-width: 32rem; padding: 2rem 1.25rem; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; }
p { margin: .25rem 0; }
.soft { opacity: .7; font-size: .9rem; }
ol { list-style: none; display: flex; gap: .5rem; padding: 0; margin: 1.5rem 0; }
li { flex: 1; border-top: 4px solid #8884; padding-top: .4rem; font-size: .85rem; opacity: .6; }
li.done { border-color: #1a7f4b; opacity: 1; }
`;

const SCRIPT = `
const PAUSE_MS = 5000, LONG_PAUSE_MS = 30000;
const HEADINGS = {
  pending: "Looking for a courier",
  assigned: "Your courier is on the way to the pickup",
  picked_up: "Your parcel is on its way",
  delivered: "Delivered",
  canceled: "This delivery was canceled",
  unfilled: "No courier was found",
  returned: "The parcel was returned",
};
const STEPS = ["pending", "assigned", "picked_up", "delivered"];
const page = (id) => document.getElementById(id);
const secret = location.pathname.split("/").pop();
const url = "/v1/deliveries/" + document.body.dataset.delivery;
let etag = null;

function clock(text) {
  return new Date(text).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
}
function show(d) {
  page("heading").textContent = HEADINGS[d.status] || d.status;
  page("arrival").textContent = d.estimated_arrival ? "Expected at " + clock(d.estimated_arrival)
    : d.delivered_at ? "At " + clock(d.delivered_at) : "";
  page("courier").textContent = d.courier && d.courier.name
    ? d.courier.name + " is bringing it (" + d.courier.vehicle + ")" : "";
  const reached = STEPS.indexOf(d.status);
  STEPS.forEach((step, i) => page(step).classList.toggle("done", i <= reached));
}
async function poll() {
  let pause = PAUSE_MS;
  try {
    const headers = { authorization: "Bearer " + secret };
    if (etag) headers["if-none-match"] = etag;
    const answer = await fetch(url, { headers, cache: "no-store" });
    if (answer.status === 200) {
      etag = answer.headers.get("etag");
      const delivery = await answer.json();
      show(delivery);
      if (delivery.ended_at) pause = LONG_PAUSE_MS;
    }
    if (answer.status === 401 || answer.status === 404) {
      page("heading").textContent = "This link has expired";
      return;
    }
    page("note").textContent = answer.status < 400 ? "" : "Trying again ...";
  } catch {
    page("note").textContent = "No connection; trying again ...";
  }
  setTimeout(poll, document.hidden ? LONG_PAUSE_MS : pause);
}
poll();
`;

const hashOf = (text: string): string =>
  `'sha256-${createHash("sha256").update(text).digest("base64")}'`;

export const TRACKING_PAGE_HEADERS: Readonly<Record<string, string>> = {
  "content-security-policy": [
    "default-src 'none'",
    `script-src ${hashOf(SCRIPT)}`,
    `style-src ${hashOf(STYLE)}`,
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join("; "),
  // The address is the secret: it goes to nobody else, search engines included.
  "referrer-policy": "no-referrer",
  "x-robots-tag": "noindex",
};

const document = (bodyAttributes: string, body: string, script: string): string =>
  `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Your delivery</title>
<style>${STYLE}</style>
</head>
<body${bodyAttributes}>
${body}${script}
</body>
</html>
`;

const EXPIRED = `<h1>This link has expired</h1>
<p class="soft">A tracking link works until an hour after the delivery has ended.</p>`;

const LIVE = `<h1 id="heading">Your delivery</h1>
<p id="arrival"></p>
<p id="courier"></p>
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
    : document(` data-delivery="${id}"`, LIVE, `<script>${SCRIPT}</script>`);
