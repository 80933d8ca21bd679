/**
 * The tracking page in a real browser at the size of a phone: what it shows while a delivery lives, that it asks nobody but
 * us, and that it ends. Skipped, visibly, where no Chromium is found. HEXDISPATCH_PICTURES names a folder for screenshots.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { findChromium, startBrowser } from "./testing/browser.ts";
import type { Browser } from "./testing/browser.ts";
import { until } from "./testing/clients.ts";
import { startWithPeople } from "./testing/people.ts";
import type { People } from "./testing/people.ts";

const chromium = findChromium();
const [WIDTH, HEIGHT] = [390, 760];

describe.skipIf(chromium === null)(
  `the tracking page${chromium === null ? " (SKIPPED: no Chromium on this machine)" : ""}`,
  () => {
    let people: People;
    let browser: Browser;
    beforeAll(async () => {
      people = await startWithPeople();
      browser = await startBrowser(chromium as string, WIDTH, HEIGHT);
    });
    afterAll(async () => {
      await browser?.close();
      await people?.t.close();
    });

    const text = (id: string): Promise<string> =>
      browser.page.read(`document.getElementById("${id}")?.textContent ?? ""`);
    const shows = (id: string, what: RegExp): Promise<unknown> =>
      until(async () => what.test(await text(id)), `${what} in ${id}`);
    async function keepPicture(name: string): Promise<void> {
      const folder = process.env["HEXDISPATCH_PICTURES"];
      if (folder === undefined) return;
      writeFileSync(join(folder, `${name}.png`), await browser.page.picture());
    }

    it("shows a delivery from the search to the door, and asks nobody but us", async () => {
      const { t, create, alice } = people;
      const { page } = browser;
      const { delivery_id: id, tracking_url: link } = await create();
      const secret = (link as string).split("/").pop() as string;
      await page.open(`${t.url}/t/${secret}`);
      await shows("heading", /Looking for a courier/);
      expect(await page.read(`document.getElementById("dot").hasAttribute("hidden")`)).toBe(true);
      await keepPicture("1-pending");

      const record = { courier: "cur_alice", no: 1, at: Date.now(), lng: -122.4175, lat: 37.785 };
      const rest = { vehicle: "bike", slots: 1, online: true, active: 1, doubt: 0 } as const;
      t.nodes.records.set("cur_alice", { ...record, ...rest } as never);
      expect((await t.rest.post(`/v1/deliveries/${id}/accept`, alice)).status).toBe(200);
      await shows("heading", /on the way to the pickup/);
      expect(await text("courier")).toBe("Alice brings it by bike");
      expect(await text("arrival")).toMatch(/^Expected at \d/);
      await shows("age", /Position updated/);
      await keepPicture("2-assigned");

      await t.rest.post(`/v1/deliveries/${id}/status`, alice, { status: "picked_up" });
      await shows("heading", /on its way/);
      const inside = `(() => {
        const box = document.getElementById("plan").getBoundingClientRect();
        return ["pickup", "dropoff", "dot"].every((id) => {
          const at = document.getElementById(id).getBoundingClientRect();
          return at.width > 0 && at.left >= box.left && at.right <= box.right && at.top >= box.top && at.bottom <= box.bottom;
        });
      })()`;
      await until(() => page.read<boolean>(inside), "everything on the plan");
      expect(await page.read("document.documentElement.scrollWidth")).toBe(WIDTH);
      await keepPicture("3-picked-up");
      await page.dark(true);
      await keepPicture("4-dark");
      await page.dark(false);

      await t.rest.post(`/v1/deliveries/${id}/status`, alice, { status: "delivered" });
      await shows("heading", /^Delivered$/);
      expect(await text("courier")).toBe("");
      expect(await page.read(`document.getElementById("dot").hasAttribute("hidden")`)).toBe(true);
      await keepPicture("5-delivered");

      expect(page.complaints).toEqual([]);
      const foreign = page.requests.filter((url) => !url.startsWith(t.url) && url !== "data:,");
      expect(foreign).toEqual([]);
      const source = await (await fetch(`${t.url}/t/${secret}`)).text();
      expect(source).not.toContain(secret);
      expect(source).not.toContain("555");
    });

    it("says that a link is over or was never one", async () => {
      await browser.page.open(`${people.t.url}/t/${"A".repeat(22)}`);
      await until(() =>
        browser.page.read<boolean>(`/has expired/.test(document.body?.textContent ?? '')`),
      );
      await keepPicture("6-expired");
    });
  },
);
