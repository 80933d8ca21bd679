/**
 * The SDK in a real browser: both clients, bundled for a page of our own origin whose policy allows
 * no `eval`, carry a delivery from the create to the door over the page's own WebSocket and
 * `fetch`. Skipped, visibly, where there is no Chromium.
 */
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { cacheFolder, stateFolder } from "../../scripts/run/state.ts";
import { findChromium } from "../../scripts/services/chromium.ts";
import { startBrowser } from "../testing/browser.ts";
import type { Browser } from "../testing/browser.ts";
import { until } from "../testing/clients.ts";
import { BODY } from "../testing/gateway.ts";
import { startWithPeople } from "../testing/people.ts";
import type { People } from "../testing/people.ts";

const chromium = await findChromium(cacheFolder(stateFolder()), (line) => {
  process.stderr.write(`${line}\n`);
});
const SDK = fileURLToPath(new URL("../../sdk/index.ts", import.meta.url));

/** The whole SDK as one script that leaves its exports in `sdk`. */
async function bundle(): Promise<string> {
  const { outputFiles } = await build({
    ...{ entryPoints: [SDK], bundle: true, write: false, format: "iife", globalName: "sdk" },
    ...{ platform: "browser", target: "es2022", logLevel: "silent" },
  });
  return (outputFiles[0] as { text: string }).text;
}

describe.skipIf(chromium === null)(
  `the SDK in a browser${chromium === null ? " (SKIPPED: no Chromium on this machine)" : ""}`,
  { timeout: 120_000 },
  () => {
    let people: People;
    let browser: Browser;
    beforeAll(async () => {
      people = await startWithPeople();
      browser = await startBrowser(chromium as string, 390, 844, { hasWebGl: false });
    });
    afterAll(async () => {
      await browser?.close();
      await people?.t.close();
    });

    it("creates, follows, accepts and delivers, over the page's own WebSocket", async () => {
      const { t, customer, alice, bob, create } = people;
      const { page } = browser;
      // A page of our origin: its policy forbids `eval` and every other address. Before the
      // assignment it loads itself anew.
      const { delivery_id: other, tracking_url: link } = await create();
      expect((await t.rest.post(`/v1/deliveries/${other}/accept`, bob)).status).toBe(200);
      await page.open(`${t.url}${new URL(link).pathname}`);
      // The old page goes away while it is asked.
      const isThere = "location.protocol === 'http:' && document.readyState === 'complete'";
      await until(() => page.read<boolean>(isThere).catch(() => false), "the page");
      await page.read(`${await bundle()}; globalThis.sdk = sdk; undefined`);
      await page.read(`(async () => {
        globalThis.told = [];
        const at = { url: location.origin };
        const customer = new sdk.CustomerClient({ ...at, getToken: () => ${JSON.stringify(customer)} });
        const courier = new sdk.CourierClient({ ...at, getToken: () => ${JSON.stringify(alice)} });
        globalThis.clients = { customer, courier };
        await courier.start();
        const { delivery_id } = await customer.createDelivery(${JSON.stringify(BODY)});
        globalThis.id = delivery_id;
        globalThis.followed = (async () => {
          for await (const event of customer.track(delivery_id)) {
            if (event.type === "delivery") told.push(event.delivery.status);
            if (event.type === "position") told.push("position");
          }
        })();
      })()`);
      const id = await page.read<string>("id");
      await until(() => page.read<boolean>("told.includes('pending')"), "its first state");
      await page.read("clients.courier.accept(id)");
      await until(async () => {
        t.nodes.move(t.deps.gateway, "cur_alice", Date.now(), -122.41, 37.78);
        return page.read<boolean>("told.includes('position')");
      }, "a position");
      await page.read("clients.courier.reportStatus(id, 'picked_up')");
      await until(() => page.read<boolean>("told.includes('picked_up')"), "the pickup");
      await page.read("clients.courier.reportStatus(id, 'delivered')");
      // The iteration ends by itself after the end.
      await page.read("followed");
      const told = await page.read<string[]>("told.filter((one) => one !== 'position')");
      expect([...new Set(told)]).toEqual(["pending", "assigned", "picked_up", "delivered"]);
      expect((await t.rest.get(`/v1/deliveries/${id}`, customer)).body.status).toBe("delivered");
      const sockets = await page.read<string>("clients.courier.state.at");
      expect(sockets).toBe("connected");
      expect(page.complaints).toEqual([]);
      await page.read("clients.customer.close(), clients.courier.stop(), undefined");
    });

    it("a wrong token is the end of it, said with its code", async () => {
      const { page } = browser;
      const code = await page.read<string>(`(async () => {
        const client = new sdk.CustomerClient({ url: location.origin, getToken: () => "nonsense" });
        const code = await client.get(id).then(() => "none", (error) => error.code);
        client.close();
        return code;
      })()`);
      expect(code).toBe("unauthorized");
    });
  },
);
