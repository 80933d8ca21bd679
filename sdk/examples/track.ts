/**
 * A customer in twenty lines: asks for a delivery and follows it to the door. It is a test, so a
 * robot carries it.
 *
 *   TOKEN=$(npm run -s token -- --role customer --sub cus_1) \
 *     node --import tsx sdk/examples/track.ts
 */
import { WebSocket } from "ws";
import { CustomerClient } from "../index.ts";

const { GATEWAY: url = "http://127.0.0.1:8080", TOKEN: token = "" } = process.env;
const customer = new CustomerClient({ url, getToken: () => token, webSocket: WebSocket as never });
const say = (line: string): void => void process.stdout.write(`${line}\n`);
const { delivery_id: id } = await customer.createDelivery({
  origin: { lat: 37.7879, lng: -122.4075 },
  destination: { lat: 37.7599, lng: -122.4148 },
  package_size: "small",
  phone: "+1-415-555-0100",
  test: true,
});
for await (const event of customer.track(id)) {
  if (event.type === "delivery") say(event.delivery.status);
  if (event.type === "position") say(`  at ${event.position.lat}, ${event.position.lng}`);
}
customer.close();
