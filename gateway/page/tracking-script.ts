/**
 * The script of the tracking page, as it goes to the browser: plain, small, without a library. It
 * is a text here and not a module, because its hash stands in the page's policy and no build step
 * may touch it. It polls, tells, and draws a plan without streets;
 * `gateway/page/tracking-map-script.ts` puts a map in the plan's place where there is one.
 */
export const TRACKING_SCRIPT = `
const PAUSE_MS = 3000, LONG_PAUSE_MS = 30000, OLD_S = 60;
const MARGIN = 56, EARTH_M = 6371009, SCALE_MIN_M = 300;
let WIDTH = 360, HEIGHT = 300;
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
let isPlaced = false, etag = null, shown = null, heardAt = 0, failures = 0, timer = null;

const clock = (text) =>
  new Date(text).toLocaleTimeString([], { hour: "numeric", minute: "2-digit" });
const hide = (id, isHidden) => page(id).toggleAttribute("hidden", isHidden);
const put = (id, x, y) => page(id).setAttribute("transform", "translate(" + x + " " + y + ")");

/* The stops and the courier that are still before it, in order. */
function wayOf(d, spot) {
  const way = spot ? [spot] : [];
  if (d.status !== "picked_up") way.push(d.origin);
  way.push(d.destination);
  return way;
}
/* Metres east and south of the middle, then pixels: true to scale on a plan as small as a town. */
function planOf(points) {
  const lats = points.map((p) => p.lat), lngs = points.map((p) => p.lng);
  const mid = { lat: (Math.max(...lats) + Math.min(...lats)) / 2, lng: (Math.max(...lngs) + Math.min(...lngs)) / 2 };
  const rad = Math.PI / 180;
  const flat = (p) => [(p.lng - mid.lng) * rad * EARTH_M * Math.cos(mid.lat * rad), (mid.lat - p.lat) * rad * EARTH_M];
  const spans = points.map(flat);
  const half = (i) => Math.max(SCALE_MIN_M / 2, ...spans.map((s) => Math.abs(s[i])));
  const scale = Math.min((WIDTH / 2 - MARGIN) / half(0), (HEIGHT / 2 - MARGIN) / half(1));
  return { scale, at: (p) => { const [x, y] = flat(p); return [WIDTH / 2 + x * scale, HEIGHT / 2 + y * scale]; } };
}
/* Lines every round number of metres, for a feeling of distance. */
function drawGrid(scale) {
  const step = [100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000].find((m) => m * scale >= 36) || 1e5;
  const grid = page("grid");
  grid.replaceChildren();
  const line = (x1, y1, x2, y2) => {
    const l = document.createElementNS("http://www.w3.org/2000/svg", "line");
    for (const [k, v] of Object.entries({ x1, y1, x2, y2 })) l.setAttribute(k, v);
    l.setAttribute("class", "grid");
    grid.append(l);
  };
  for (let x = (WIDTH / 2) % (step * scale); x < WIDTH; x += step * scale) line(x, 0, x, HEIGHT);
  for (let y = (HEIGHT / 2) % (step * scale); y < HEIGHT; y += step * scale) line(0, y, WIDTH, y);
}
function drawPlan(d) {
  const spot = d.courier_location;
  hide("plan", false);
  /* The room between the top and the card. */
  const box = page("picture");
  WIDTH = box.clientWidth || 360;
  HEIGHT = box.clientHeight || 300;
  page("plan").setAttribute("viewBox", "0 0 " + WIDTH + " " + HEIGHT);
  const plan = planOf([d.origin, d.destination].concat(spot ? [spot] : []));
  drawGrid(plan.scale);
  const from = plan.at(d.origin), to = plan.at(d.destination);
  put("pickup", from[0], from[1]);
  put("dropoff", to[0], to[1]);
  hide("dot", !spot);
  if (!spot) isPlaced = false;
  if (spot) {
    const at = plan.at(spot);
    const dot = page("dot");
    /* The first time it stands where it is; after that it glides. */
    dot.style.transition = isPlaced ? "" : "none";
    dot.style.transform = "translate(" + at[0] + "px," + at[1] + "px)";
    isPlaced = true;
  }
  const way = d.ended_at ? [] : wayOf(d, spot).map((p) => plan.at(p).join(" "));
  page("way").setAttribute("d", way.length ? "M" + way.join("L") : "");
}
function showAge() {
  const spot = shown && shown.courier_location;
  const s = spot ? Math.max(0, Math.round(spot.age_s + (performance.now() - heardAt) / 1000)) : 0;
  const text = s < 5 ? "just now" : s < 90 ? s + " s ago" : Math.round(s / 60) + " min ago";
  page("age").textContent = spot ? "Position updated " + text : "";
  for (const one of document.querySelectorAll(".courier")) one.classList.toggle("old", s > OLD_S);
}
/* The time in large, and how long that is from now. */
function showArrival(d) {
  const at = d.delivered_at || (d.ended_at ? null : d.estimated_arrival);
  const parts = [];
  if (at) {
    const minutes = Math.round((Date.parse(at) - Date.now()) / 60000);
    const time = document.createElement("b"), words = document.createElement("span");
    time.textContent = clock(at);
    words.textContent = d.delivered_at ? "" : minutes < 1 ? "any moment now" : "in about " + minutes + " min";
    parts.push(time, words);
  }
  page("arrival").replaceChildren(...parts);
}
function say(id, text) {
  /* Written only when it changes: a screen reader says it again each time. */
  if (page(id).textContent !== text) page(id).textContent = text;
}
function show(d) {
  shown = d;
  heardAt = performance.now();
  const name = d.courier && d.courier.name;
  say("heading", HEADINGS[d.status] || d.status);
  document.title = page("heading").textContent;
  showArrival(d);
  page("courier").textContent = name ? name + " brings it by " + d.courier.vehicle : "";
  const reached = STEPS.indexOf(d.status);
  STEPS.forEach((step, i) => {
    page(step).classList.toggle("done", i <= reached);
    if (i === reached) page(step).setAttribute("aria-current", "step");
    else page(step).removeAttribute("aria-current");
  });
  document.body.dataset.status = d.status;
  showAge();
  /* Last: the card leaves as much room as it does not need. */
  if (document.body.dataset.picture !== "map" || page("map").hidden) drawPlan(d);
  drawMap(d);
}
function end(text) {
  say("heading", text);
  for (const id of ["arrival", "courier", "age", "note"]) page(id).textContent = "";
  for (const id of ["picture", "steps"]) hide(id, true);
  document.querySelector("main").classList.add("alone");
  shown = null;
}
/*
 * Several gateways answer, and one may know less than the one before. Nothing older follows
 * anything newer: an older state is dropped, and an older position, or none, leaves the one that is
 * shown.
 */
function newest(d) {
  if (!shown) return d;
  if (d.version < shown.version) return null;
  const was = shown.courier_location, spot = d.courier_location;
  const isSame = shown.courier && d.courier && shown.courier.id === d.courier.id;
  if (!was || !isSame || d.ended_at) return d;
  if (spot && Date.parse(spot.updated_at) >= Date.parse(was.updated_at)) return d;
  const age = was.age_s + (performance.now() - heardAt) / 1000;
  return { ...d, courier_location: { ...was, age_s: age } };
}
async function poll() {
  clearTimeout(timer);
  let pause = shown && shown.ended_at ? LONG_PAUSE_MS : PAUSE_MS;
  try {
    const headers = { authorization: "Bearer " + secret };
    if (etag) headers["if-none-match"] = etag;
    const answer = await fetch(url, { headers, cache: "no-store" });
    if (answer.status === 401 || answer.status === 404) return end("This link has expired");
    if (answer.status === 200) {
      const d = newest(await answer.json());
      /* The tag of what was dropped must not keep its like from being told. */
      etag = d ? answer.headers.get("etag") : null;
      if (d) show(d);
    }
    failures = answer.status < 400 ? 0 : failures + 1;
    pause = Math.max(pause, 1000 * Number(answer.headers.get("retry-after") || 0));
  } catch {
    failures++;
  }
  say("note", failures ? "No connection. Trying again …" : "");
  /* Twice as long after each failure, and never all pages at one moment. */
  pause = Math.min(LONG_PAUSE_MS, pause * 2 ** Math.min(failures, 4)) * (0.8 + 0.4 * Math.random());
  timer = setTimeout(poll, document.hidden ? LONG_PAUSE_MS : pause);
}
document.addEventListener("visibilitychange", () => { if (!document.hidden && shown) void poll(); });
addEventListener("resize", () => { if (shown) { isPlaced = false; show(shown); } });
setInterval(showAge, 1000);
setInterval(() => { if (shown) showArrival(shown); }, 15000);
void poll();
loadMap();
`;

/**
 * Looks whether the link has opened, and then shows what is behind it. The address itself is all it
 * asks for.
 */
export const WAITING_SCRIPT = `
"use strict";
const again = () => setTimeout(look, (document.hidden ? 30000 : 4000) * (0.8 + 0.4 * Math.random()));
async function look() {
  try {
    const answer = await fetch(location.pathname, { cache: "no-store" });
    if (answer.status === 404 || (answer.ok && / data-delivery="/.test(await answer.text()))) return location.reload();
  } catch {
    /* No connection: asked again. */
  }
  again();
}
again();
`;
