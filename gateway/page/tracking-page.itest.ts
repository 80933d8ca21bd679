/**
 * The tracking page in a real browser at the size of a phone: what it shows while a delivery lives,
 * on streets and on the plan, that it asks nobody but us, and that it ends. Chromium is fetched
 * where there is none; skipped, visibly, where that cannot be. HEXDISPATCH_PICTURES names a folder
 * for screenshots; HEXDISPATCH_CITY_DIR a folder with a real map for them.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { cacheFolder, stateFolder } from "../../scripts/run/state.ts";
import { findChromium } from "../../scripts/services/chromium.ts";
import { openCityMap } from "./city-map.ts";
import type { CityMap } from "./city-map.ts";
import { startBrowser } from "../testing/browser.ts";
import type { Browser } from "../testing/browser.ts";
import { until } from "../testing/clients.ts";
import { HERE } from "../testing/gateway.ts";
import { startWithPeople } from "../testing/people.ts";
import type { People } from "../testing/people.ts";
import { writeTinyMap } from "../testing/tiny-map.ts";

const chromium = await findChromium(cacheFolder(stateFolder()), (line) => {
  process.stderr.write(`${line}\n`);
});
const [WIDTH, HEIGHT] = [390, 844];
/** Pictures take their time. */
const TEST_MS = 150_000;
const SPOTS = [
  { lng: -122.4175, lat: 37.785 },
  { lng: -122.415, lat: 37.7835 },
];

async function keepPicture({ page }: Browser, name: string): Promise<void> {
  const folder = process.env["HEXDISPATCH_PICTURES"];
  if (folder === undefined) return;
  // What glides and what is still being drawn ends up in the picture.
  await new Promise((resolve) => setTimeout(resolve, 4_500));
  writeFileSync(join(folder, `${name}.png`), await page.picture());
}

/** What a test does with the page of one delivery. */
function pageOf({ page }: Browser) {
  const text = (id: string): Promise<string> =>
    page.read(`document.getElementById("${id}")?.textContent ?? ""`);
  const shows = (id: string, what: RegExp): Promise<unknown> =>
    until(async () => what.test(await text(id)), `${what} in ${id}`);
  const isHidden = (id: string): Promise<boolean> =>
    page.read(`document.getElementById("${id}").hasAttribute("hidden")`);
  return { text, shows, isHidden };
}

function stand(t: People["t"], { lng, lat }: (typeof SPOTS)[number], no: number): void {
  const facts = { vehicle: "bike", slots: 1, online: true, active: 1, doubt: 0 } as const;
  const courier = "cur_alice";
  t.nodes.records.set(courier, { courier, no, at: Date.now(), lng, lat, ...facts } as never);
}

/**
 * Nothing left for anybody but us, nothing said where it came from, and the browser has no
 * complaint.
 */
function expectQuiet({ page }: Browser, url: string): void {
  expect(page.complaints).toEqual([]);
  expect(page.requests.filter((one) => !one.startsWith(`${url}/`) && one !== "data:,")).toEqual([]);
  expect(page.referers.filter((from) => from !== "")).toEqual([]);
}

describe.skipIf(chromium === null)(
  `the tracking page${chromium === null ? " (SKIPPED: no Chromium on this machine)" : ""}`,
  { timeout: TEST_MS },
  () => {
    const folder = mkdtempSync(join(tmpdir(), "hexdispatch-map-"));
    let map: CityMap;
    let onStreets: People;
    let onPlan: People;
    beforeAll(async () => {
      writeTinyMap(join(folder, "tiny.pmtiles"), HERE);
      map = (await openCityMap(process.env["HEXDISPATCH_CITY_DIR"] ?? folder)) as CityMap;
      onStreets = await startWithPeople({ map });
      onPlan = await startWithPeople();
    });
    afterAll(async () => {
      await onStreets?.t.close();
      await onPlan?.t.close();
      await map?.close();
      rmSync(folder, { recursive: true, force: true });
    });

    /** Opens a browser for one test. */
    const withBrowser = async (
      hasWebGl: boolean,
      use: (browser: Browser) => Promise<void>,
    ): Promise<void> => {
      const browser = await startBrowser(chromium as string, WIDTH, HEIGHT, { hasWebGl });
      try {
        await use(browser);
      } finally {
        await browser.close();
      }
    };

    it("waits for a courier, then shows the way to the door on a plan", () =>
      withBrowser(false, async (browser) => {
        const { t, create, alice } = onPlan;
        const { page } = browser;
        const { text, shows, isHidden } = pageOf(browser);
        const { delivery_id: id, tracking_url: link } = await create();
        const secret = (link as string).split("/").pop() as string;
        const path = `${t.url}/t/${secret}`;
        await page.open(path);
        await until(() =>
          page.read<boolean>(`/Looking for a courier/.test(document.body?.innerText ?? '')`),
        );
        expect(await page.read("document.documentElement.outerHTML")).not.toContain(id);
        await keepPicture(browser, "1-waiting");

        stand(t, SPOTS[0] as never, 1);
        expect((await t.rest.post(`/v1/deliveries/${id}/accept`, alice)).status).toBe(200);
        await shows("heading", /on the way to the pickup/);
        expect(await text("courier")).toBe("Alice brings it by bike");
        expect(await text("arrival")).toMatch(/^\d+:\d\d.*in about \d+ min$/);
        await shows("age", /Position updated/);
        await keepPicture(browser, "2-plan-assigned");

        await t.rest.post(`/v1/deliveries/${id}/status`, alice, { status: "picked_up" });
        await shows("heading", /on its way/);
        const inside = `(() => {
          const box = document.getElementById("picture").getBoundingClientRect();
          return ["pickup", "dropoff", "dot"].every((id) => {
            const at = document.getElementById(id).getBoundingClientRect();
            return at.width > 0 && at.left >= box.left && at.right <= box.right && at.top >= box.top && at.bottom <= box.bottom;
          });
        })()`;
        await until(() => page.read<boolean>(inside), "everything on the plan");
        expect(await page.read("document.documentElement.scrollWidth")).toBe(WIDTH);
        expect(await page.read("document.documentElement.scrollHeight")).toBe(HEIGHT);

        await t.rest.post(`/v1/deliveries/${id}/status`, alice, { status: "delivered" });
        await shows("heading", /^Delivered$/);
        expect([await text("courier"), await text("age"), await isHidden("dot")]).toEqual([
          ...["", "", true],
        ]);
        await keepPicture(browser, "3-plan-delivered");
        expectQuiet(browser, t.url);
        const source = await (await fetch(path)).text();
        expect(source).not.toContain(secret);
        expect(source).not.toContain("555");

        await page.open(`${t.url}/t/${"A".repeat(22)}`);
        await until(() => page.read<boolean>(`/has expired/.test(document.body?.innerText ?? '')`));
        await keepPicture(browser, "4-expired");
      }));

    it("shows streets of our own and a courier who moves on them", () =>
      withBrowser(true, async (browser) => {
        const { t, create, alice } = onStreets;
        const { page } = browser;
        const { shows } = pageOf(browser);
        const { delivery_id: id, tracking_url: link } = await create();
        stand(t, SPOTS[0] as never, 1);
        expect((await t.rest.post(`/v1/deliveries/${id}/accept`, alice)).status).toBe(200);
        const answer = await fetch(`${t.url}${new URL(link).pathname}`);
        expect(answer.headers.get("content-security-policy")).toContain("worker-src 'self'");
        expect(answer.headers.get("x-robots-tag")).toContain("noindex");
        await page.open(`${t.url}${new URL(link).pathname}`);
        await shows("heading", /on the way to the pickup/);
        await until(() => page.read(`document.body.dataset.picture === "map"`), "the map");
        const place = `(() => { const { x, y } = document.getElementById("on-map-courier").getBoundingClientRect(); return [x, y]; })()`;
        const [x, y] = await until(() => page.read<[number, number]>(place));
        expect([x > 0 && x < WIDTH, y > 0 && y < HEIGHT]).toEqual([true, true]);
        expect(page.requests.some((url) => /\/map\/[\w-]{10}-\d+-\d+-\d+\.mvt$/.test(url))).toBe(
          true,
        );
        await keepPicture(browser, "5-map-assigned");

        await t.rest.post(`/v1/deliveries/${id}/status`, alice, { status: "picked_up" });
        await shows("heading", /on its way/);
        stand(t, SPOTS[1] as never, 2);
        const seen = new Set<string>();
        // Many places between two positions, not a jump from the one to the other.
        await until(async () => {
          seen.add(String(await page.read(`markers.courier.at.lng.toFixed(5)`)));
          return seen.size > 8;
        }, "a courier who glides");
        await keepPicture(browser, "6-map-picked-up");
        await page.dark(true);
        await keepPicture(browser, "7-map-dark");
        await page.resize(1_280, 800, false);
        await keepPicture(browser, "8-desktop-dark");
        await page.dark(false);
        await keepPicture(browser, "9-desktop-light");
        await page.resize(WIDTH, HEIGHT, true);

        await t.rest.post(`/v1/deliveries/${id}/status`, alice, { status: "delivered" });
        await shows("heading", /^Delivered$/);
        await until(
          () => page.read(`document.getElementById("on-map-courier") === null`),
          "no courier",
        );
        await keepPicture(browser, "10-map-delivered");
        expectQuiet(browser, t.url);
      }));

    it("stays with the plan where there is no WebGL", () =>
      withBrowser(false, async (browser) => {
        const { t, create, alice } = onStreets;
        const { page } = browser;
        const { delivery_id: id, tracking_url: link } = await create();
        await t.rest.post(`/v1/deliveries/${id}/accept`, alice);
        await page.open(`${t.url}${new URL(link).pathname}`);
        const { shows, isHidden } = pageOf(browser);
        await shows("heading", /on the way to the pickup/);
        expect([await isHidden("map"), await isHidden("plan")]).toEqual([true, false]);
        expect(page.requests.filter((url) => url.includes("/map/"))).toEqual([]);
        expectQuiet(browser, t.url);
      }));

    it("has its scripts and tiles kept by the browser, and says nothing of what is not there", async () => {
      const { t } = onStreets;
      const { tag, version } = map.facts;
      for (const name of [`map-${version}.js`, `worker-${version}.js`]) {
        const answer = await fetch(`${t.url}/map/${name}`);
        expect([answer.status, answer.headers.get("content-encoding")]).toEqual([200, "gzip"]);
        expect(answer.headers.get("cache-control")).toBe("public, max-age=31536000, immutable");
        expect(answer.headers.get("content-security-policy")).toContain("default-src 'none'");
        expect(answer.headers.get("referrer-policy")).toBe("no-referrer");
        expect((await answer.text()).length).toBeGreaterThan(100_000);
      }
      const odd = [
        `${tag}-14-0-0.mvt`,
        `${tag}-99-1-1.mvt`,
        `${tag}-3-9-9.mvt`,
        "x",
        "package.json",
      ];
      for (const name of [...odd, "..%2f..%2fpackage.json", "AAAAAAAAAA-14-2620-6332.mvt"]) {
        expect((await fetch(`${t.url}/map/${name}`)).status, name).toBe(204);
      }
      expect((await fetch(`${onPlan.t.url}/map/map-${version}.js`)).status).toBe(404);
    });
  },
);
