/**
 * The half of the tracking page's script that draws streets: it fetches MapLibre from us, makes a
 * style of its own for light and dark, and moves the courier smoothly. Without WebGL, without the
 * archive, or away from its streets the plan stays. Labels are drawn from the phone's own fonts. A
 * text for the same reason as `gateway/page/tracking-script.ts`.
 */
export const TRACKING_MAP_SCRIPT = `
const facts = document.body.dataset.map ? JSON.parse(document.body.dataset.map) : null;
const still = matchMedia("(prefers-reduced-motion: reduce)"), night = matchMedia("(prefers-color-scheme: dark)");
let map = null, markers = {}, isTouched = false, framed = "", wayData = lineOf([]);

function lineOf(points) {
  return { type: "Feature", properties: {}, geometry: { type: "LineString", coordinates: points } };
}
const covers = (p) => p.lng >= facts.bounds[0] && p.lng <= facts.bounds[2] && p.lat >= facts.bounds[1] && p.lat <= facts.bounds[3];

function colors() {
  return night.matches
    ? { land: "#1b2024", park: "#1c2a24", sand: "#25241f", water: "#12212e", house: "#22282d", path: "#2a3137", minor: "#2f373e",
        major: "#3b454d", highway: "#4a4f55", casing: "#161a1e", rail: "#333b42", text: "#96a2ab", halo: "#1b2024", way: "#b9c3ca" }
    : { land: "#f3f0ea", park: "#d9e8d0", sand: "#efe8d2", water: "#b8d6ea", house: "#e7e2d9", path: "#ffffff", minor: "#ffffff",
        major: "#fffdf7", highway: "#fbe3b0", casing: "#dcd6cb", rail: "#cfcabf", text: "#666f77", halo: "#fbf9f5", way: "#3b464f" };
}
/* Layers of the Protomaps basemap schema. */
function styleOf() {
  const c = colors();
  const width = (at12, at15, at18) => ["interpolate", ["exponential", 1.6], ["zoom"], 12, at12, 15, at15, 18, at18];
  const layer = (id, type, source, paint, more) => Object.assign({ id, type, source: "city", "source-layer": source, paint }, more);
  const kind = (...names) => ["in", ["get", "kind"], ["literal", names]];
  const round = { layout: { "line-cap": "round", "line-join": "round" } };
  const road = (id, names, color, w, minzoom) =>
    layer(id, "line", "roads", { "line-color": color, "line-width": w }, { filter: kind(...names), minzoom: minzoom || 0, ...round });
  const label = (id, source, filter, layout, minzoom) =>
    layer(id, "symbol", source, { "text-color": c.text, "text-halo-color": c.halo, "text-halo-width": 1.4 },
      { filter, minzoom, layout: { "text-field": ["get", "name"], "text-font": ["system-ui"], ...layout } });
  return {
    version: 8,
    sources: {
      city: { type: "vector", tiles: [location.origin + "/map/" + facts.tiles], minzoom: facts.minZoom, maxzoom: facts.maxZoom, bounds: facts.bounds },
      way: { type: "geojson", data: wayData },
    },
    layers: [
      { id: "ground", type: "background", paint: { "background-color": c.water } },
      layer("earth", "fill", "earth", { "fill-color": c.land }),
      layer("parks", "fill", "landuse", { "fill-color": c.park },
        { filter: kind("park", "garden", "grass", "meadow", "wood", "forest", "golf_course", "cemetery", "nature_reserve", "national_park", "protected_area", "recreation_ground", "pitch", "playground", "village_green", "dog_park", "zoo") }),
      layer("sand", "fill", "landuse", { "fill-color": c.sand }, { filter: kind("beach", "sand") }),
      layer("water", "fill", "water", { "fill-color": c.water }, { filter: ["==", ["geometry-type"], "Polygon"] }),
      layer("houses", "fill", "buildings", { "fill-color": c.house, "fill-opacity": ["interpolate", ["linear"], ["zoom"], 13.5, 0, 15, 1] }, { minzoom: 13.5 }),
      layer("rail", "line", "roads", { "line-color": c.rail, "line-width": width(0.5, 1.2, 3) }, { filter: kind("rail"), minzoom: 12 }),
      road("paths", ["path", "other"], c.path, width(0, 1, 5), 14),
      road("minor-casing", ["minor_road"], c.casing, width(0, 5, 24), 13.5),
      road("major-casing", ["major_road"], c.casing, width(2.2, 9, 34)),
      road("highway-casing", ["highway"], c.casing, width(3.4, 11, 40)),
      road("minor", ["minor_road"], c.minor, width(0.4, 3.6, 21), 12),
      road("major", ["major_road"], c.major, width(1.2, 7, 30)),
      road("highway", ["highway"], c.highway, width(2.2, 9, 36)),
      { id: "way", type: "line", source: "way", layout: { "line-cap": "round" },
        paint: { "line-color": c.way, "line-width": 3.5, "line-dasharray": [0.01, 2.2], "line-opacity": 0.9 } },
      label("streets", "roads", ["all", kind("major_road", "minor_road", "highway"), ["has", "name"]],
        { "symbol-placement": "line", "text-size": ["interpolate", ["linear"], ["zoom"], 12.5, 9.5, 17, 14] }, 12.6),
      label("quarters", "places", ["in", ["get", "kind"], ["literal", ["neighbourhood", "macrohood"]]],
        { "text-size": 12, "text-transform": "uppercase", "text-letter-spacing": 0.08, "text-max-width": 7 }, 11),
    ],
  };
}
const PINS = {
  pickup: '<circle class="from stop" cx="16" cy="16" r="9"></circle>',
  dropoff: '<path class="to stop" d="M16 40 C10 29 4 25 4 16 A12 12 0 1 1 28 16 C28 25 22 29 16 40 Z"></path><circle cx="16" cy="16" r="4.5" fill="#fff"></circle>',
  courier: '<g class="courier"><circle cx="20" cy="20" r="15"></circle><path class="nose" d="M13.5 25.5 L20 11.5 L26.5 25.5 L20 22 Z"></path></g>',
};
function pin(name, label, width, height, anchor) {
  const holder = document.createElement("div");
  holder.innerHTML = '<svg class="pin" width="' + width + '" height="' + height + '" aria-hidden="true">' + PINS[name] + "</svg>";
  holder.setAttribute("role", "img");
  holder.setAttribute("aria-label", label);
  holder.id = "on-map-" + name;
  const marker = new maplibregl.Marker({ element: holder, anchor });
  markers[name] = { marker, holder, at: null, frame: 0 };
}
function startMap() {
  maplibregl.setWorkerUrl(location.origin + "/map/" + facts.worker);
  const [west, south, east, north] = facts.bounds;
  map = new maplibregl.Map({
    container: "map", style: styleOf(), attributionControl: false, bounds: [[west, south], [east, north]],
    maxZoom: 18, dragRotate: false, pitchWithRotate: false, fadeDuration: still.matches ? 0 : 200,
    locale: { "Map.Title": "Map with pickup, dropoff and courier" },
  });
  map.touchZoomRotate.disableRotation();
  pin("pickup", "Pickup", 32, 32, "center");
  pin("dropoff", "Dropoff", 32, 40, "bottom");
  pin("courier", "Courier", 40, 40, "center");
  map.once("load", () => {
    hide("plan", true);
    hide("credit", false);
    document.body.dataset.picture = "map";
    if (shown) drawMap(shown);
  });
  map.on("movestart", (e) => { if (e.originalEvent) { isTouched = true; hide("all", false); } });
  page("all").addEventListener("click", () => { isTouched = false; hide("all", true); framed = ""; if (shown) frame(shown); });
  night.addEventListener("change", () => map.setStyle(styleOf()));
}
/* Glides to where it is now; as long as a poll takes, so that it never stands still between two. */
function move(name, to) {
  const m = markers[name];
  cancelAnimationFrame(m.frame);
  if (!to) { m.marker.remove(); m.at = null; return; }
  const from = m.at;
  const isNew = !from;
  m.at = m.at || to;
  const put = (p) => { m.at = p; m.marker.setLngLat([p.lng, p.lat]); if (name === "courier") drawWay(); };
  put(isNew || still.matches ? to : m.at);
  if (isNew) m.marker.addTo(map);
  if (isNew || still.matches || (from.lng === to.lng && from.lat === to.lat)) return;
  const east = (to.lng - from.lng) * Math.cos(to.lat * Math.PI / 180), up = to.lat - from.lat;
  if (Math.hypot(east, up) > 0.0001) {
    m.holder.firstChild.style.transform = "rotate(" + Math.atan2(east, up) * 180 / Math.PI + "deg)";
  }
  const began = performance.now();
  const step = (now) => {
    const part = Math.min(1, (now - began) / PAUSE_MS);
    put({ lng: from.lng + (to.lng - from.lng) * part, lat: from.lat + (to.lat - from.lat) * part });
    if (part < 1) m.frame = requestAnimationFrame(step);
  };
  m.frame = requestAnimationFrame(step);
}
function drawWay() {
  if (!shown || !map) return;
  const points = wayOf(shown, markers.courier.at).map((p) => [p.lng, p.lat]);
  wayData = lineOf(shown.ended_at ? [] : points);
  const source = map.getSource("way");
  if (source) source.setData(wayData);
}
function frame(d) {
  const points = d.ended_at ? [d.origin, d.destination] : wayOf(d, d.courier_location);
  const size = map.getContainer(), pad = { top: 56, bottom: 64, left: 48, right: 48 };
  const isOut = points.some((p) => {
    const at = map.project([p.lng, p.lat]);
    return at.x < 24 || at.y < 24 || at.x > size.clientWidth - 24 || at.y > size.clientHeight - 40;
  });
  if (isTouched || (framed === d.status && !isOut)) return;
  const bounds = new maplibregl.LngLatBounds();
  for (const p of points) bounds.extend([p.lng, p.lat]);
  map.fitBounds(bounds, { padding: pad, maxZoom: 16.2, duration: framed && !still.matches ? 900 : 0 });
  framed = d.status;
}
function drawMap(d) {
  if (document.body.dataset.picture !== "map") return;
  const isCovered = covers(d.origin) && covers(d.destination) && (!d.courier_location || covers(d.courier_location));
  hide("map", !isCovered); hide("credit", !isCovered); hide("plan", isCovered);
  if (!isCovered) return;
  map.resize();
  move("pickup", d.origin);
  move("dropoff", d.destination);
  move("courier", d.courier_location);
  drawWay();
  frame(d);
}
function loadMap() {
  const probe = document.createElement("canvas");
  if (!facts || !probe.getContext("webgl2") || (navigator.connection && navigator.connection.saveData)) return;
  const script = document.createElement("script");
  script.src = "/map/" + facts.script;
  script.onload = () => { hide("map", false); try { startMap(); } catch { hide("map", true); map = null; } };
  document.head.append(script);
}
`;
