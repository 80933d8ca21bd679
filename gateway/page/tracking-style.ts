/**
 * The style of the tracking page, light and dark: on a phone a picture with a card below it, on a
 * wide screen the card at the left of the picture. A text and no file of its own, because its hash
 * stands in the page's policy.
 */
export const TRACKING_STYLE = `
:root { color-scheme: light dark; font: 17px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
  --paper: #eceae5; --ink: #1b2126; --soft: #59636b; --line: #dcd8d0; --card: #fff; --go: #0f7a4b; --from: #2b5fc2;
  --shade: 0 1px 3px rgb(0 0 0 / .16), 0 8px 28px rgb(0 0 0 / .1); }
@media (prefers-color-scheme: dark) {
  :root { --paper: #171b1f; --ink: #eef1f3; --soft: #a4afb7; --line: #333c43; --card: #20262b; --go: #4cc38a; --from: #8ab4ff;
    --shade: 0 1px 3px rgb(0 0 0 / .5), 0 8px 28px rgb(0 0 0 / .4); }
}
* { box-sizing: border-box; }
html, body { height: 100%; }
body { margin: 0; background: var(--paper); color: var(--ink); display: flex; flex-direction: column; }
[hidden] { display: none !important; }
#picture { position: relative; flex: 1 1 auto; min-height: 16rem; overflow: hidden; background: var(--paper); }
#plan, #map { position: absolute; inset: 0; width: 100%; height: 100%; display: block; }
main { position: relative; z-index: 2; flex: none; background: var(--card); border-radius: 1.25rem 1.25rem 0 0;
  margin-top: -1.25rem; box-shadow: var(--shade); padding: 1.25rem 1.25rem max(1.1rem, env(safe-area-inset-bottom)); }
main.alone { margin: auto; border-radius: 1.25rem; max-width: 26rem; width: calc(100% - 2rem); padding: 1.75rem; }
h1 { font-size: 1.3rem; line-height: 1.25; margin: 0; letter-spacing: -.01em; }
p { margin: .25rem 0 0; }
.soft { color: var(--soft); font-size: .9rem; }
#arrival { display: flex; align-items: baseline; flex-wrap: wrap; gap: 0 .55rem; margin-top: .35rem; }
#arrival:empty, #courier:empty, #note:empty, #age:empty { display: none; }
#arrival b { white-space: nowrap; font-size: 2rem; line-height: 1.15; font-weight: 700; letter-spacing: -.02em; font-variant-numeric: tabular-nums; }
#arrival span { color: var(--soft); }
#note { color: var(--ink); background: var(--paper); border-radius: .6rem; padding: .45rem .7rem; margin-top: .8rem; font-size: .9rem; }
ol { list-style: none; display: flex; gap: .35rem; padding: 0; margin: 1rem 0 .9rem; }
ol li { flex: 1; border-top: 4px solid var(--line); padding-top: .4rem; font-size: .78rem; line-height: 1.2; color: var(--soft); }
ol li.done { border-color: var(--go); color: var(--ink); }
ol li[aria-current] { font-weight: 650; }
#who { display: flex; justify-content: space-between; flex-wrap: wrap; gap: .1rem 1rem; }
#who p { margin: 0; }
#courier { font-weight: 600; }
.grid { stroke: var(--line); stroke-width: 1; }
.way { stroke: var(--soft); stroke-width: 3; stroke-dasharray: 1 8; stroke-linecap: round; fill: none; }
.from { fill: var(--from); } .to { fill: var(--go); }
svg text { font: 600 13px system-ui, sans-serif; fill: var(--ink); paint-order: stroke; stroke: var(--paper); stroke-width: 4px; }
.stop { stroke: #fff; stroke-width: 2.5; filter: drop-shadow(0 1px 2px rgb(0 0 0 / .35)); }
.courier circle { fill: #1b2126; stroke: #fff; stroke-width: 3; filter: drop-shadow(0 2px 4px rgb(0 0 0 / .4)); }
.courier .nose { fill: #fff; }
.courier { transition: opacity .3s; }
#dot { transition: transform 3s linear; }
.old { opacity: .45; }
.pin { display: block; overflow: visible; cursor: default; }
@media (prefers-reduced-motion: reduce) { #dot { transition: none; } }
#all { position: absolute; z-index: 3; right: .75rem; bottom: 2.1rem; font: inherit; font-size: .9rem; font-weight: 600; color: var(--ink);
  background: var(--card); border: 0; border-radius: 99px; padding: .55rem 1rem; min-height: 44px; box-shadow: var(--shade); }
#all:focus-visible, a:focus-visible, canvas:focus-visible { outline: 3px solid var(--from); outline-offset: 2px; }
#credit { position: absolute; z-index: 1; right: .4rem; bottom: 1.45rem; margin: 0; padding: .05rem .4rem; border-radius: .4rem;
  font-size: .7rem; background: color-mix(in srgb, var(--card) 78%, transparent); }
#credit a { color: var(--soft); text-decoration: none; }
/* What the map's library asks of a page. */
.maplibregl-map { overflow: hidden; -webkit-tap-highlight-color: transparent; }
.maplibregl-canvas { position: absolute; left: 0; top: 0; }
.maplibregl-canvas-container.maplibregl-interactive { cursor: grab; user-select: none; }
.maplibregl-canvas-container.maplibregl-touch-zoom-rotate.maplibregl-touch-drag-pan { touch-action: none; }
.maplibregl-marker { position: absolute; top: 0; left: 0; will-change: transform; }
.maplibregl-canary { background-color: salmon; }
@media (min-width: 60rem) {
  body { flex-direction: row-reverse; }
  main:not(.alone) { width: 25rem; margin: 0; border-radius: 0; padding: 2.5rem 2rem; overflow: auto; }
  h1 { font-size: 1.55rem; }
  #all { bottom: 2.2rem; } #credit { bottom: .4rem; }
}
`;
