/**
 * A partner on NATS in twenty lines: asks for one delivery and reads its events to the end.
 * `partner.ts` is the one that may be killed at any moment.
 *
 *   npm run -s partner -- add test_acme > test_acme.nk
 *   KEY=test_acme.nk node --import tsx sdk/examples/partner-small.ts
 */
import { readFileSync } from "node:fs";
import { jetstream } from "@nats-io/jetstream";
import { connect, nkeyAuthenticator } from "@nats-io/transport-node";
import { partnerConsumer, streamName, subjectsFor } from "../../proto/subjects.ts";

type Event = { readonly delivery_id: string; readonly number: number; readonly status: string };
const { SERVER: servers = "127.0.0.1:4222", KEY = "", NAME: name = "test_acme" } = process.env;
const { PREFIX: prefix = "hd" } = process.env;
const subjects = subjectsFor(prefix);
const authenticator = nkeyAuthenticator(readFileSync(KEY));
const nc = await connect({ servers, authenticator, inboxPrefix: subjects.partnerInbox(name) });
const stops = { origin_address: "123 Market St", destination_address: "456 Valencia St" };
const points = {
  origin: { lat: 37.7879, lng: -122.4075 },
  destination: { lat: 37.76, lng: -122.41 },
};
const order = { ...stops, ...points, package_size: "small", phone: "+1-415-555-0100" };
const answer = await nc.request(subjects.partnerRequest(name, "create"), JSON.stringify(order));
const { delivery_id: id } = answer.json<{ delivery_id: string }>();
const js = jetstream(nc, { apiPrefix: subjects.partnerStream(name) });
const consumer = await js.consumers.get(streamName(prefix, "EVENTS"), partnerConsumer(name));
for await (const message of await consumer.consume()) {
  const event = message.json<Event>();
  process.stdout.write(`${event.delivery_id} ${event.number} ${event.status}\n`);
  message.ack();
  if (event.delivery_id === id && event.status === "delivered") break;
}
await nc.close();
