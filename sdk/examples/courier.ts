/**
 * A courier in twenty lines: goes on shift, takes the first offer, and is very fast.
 *
 *   TOKEN=$(npm run -s token -- --role courier --sub cur_1) \
 *     node --import tsx sdk/examples/courier.ts
 */
import { WebSocket } from "ws";
import { CourierClient } from "../index.ts";

const { GATEWAY: url = "http://127.0.0.1:8080", TOKEN: token = "" } = process.env;
const courier = new CourierClient({ url, getToken: () => token, webSocket: WebSocket as never });
const say = (line: string): void => void process.stdout.write(`${line}\n`);
courier.on("offer", ({ delivery }) => {
  courier.accept(delivery).catch((error: Error) => say(`refused: ${error.message}`));
});
courier.on("assignment", ({ id }) => void carry(id));
async function carry(id: string): Promise<void> {
  say(`assigned ${id}`);
  await courier.reportStatus(id, "picked_up");
  await courier.reportStatus(id, "delivered");
  say(`delivered ${id}`);
}
await courier.start();
courier.ping({ lng: -122.4075, lat: 37.7879 });
await courier.goOnShift();
say("on shift");
