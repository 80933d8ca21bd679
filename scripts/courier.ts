/**
 * `npm run courier`: one bot courier who goes on shift, takes the first offer, rides there ten
 * times as fast as people do, picks up, delivers, and ends. One line for each thing that happens.
 * For a first look at the system with a real phone's moves.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { WebSocket } from "ws";
import { distanceM } from "../actors/geo.ts";
import { DETOUR_FACTOR, PACES } from "../engine/geo/travel-time.ts";
import type { LngLat } from "../proto/geo.ts";
import type { AssignmentView } from "../proto/views.ts";
import { CourierClient } from "../sdk/courier-client.ts";
import type { WebSocketConstructor } from "../sdk/session.ts";
import { findSystem } from "./replay/system.ts";
import { towards } from "./replay/world.ts";

const USAGE = "npm run courier -- [--id cur_1] [--at LAT,LNG] [--url URL] [--forever]";
const PING_MS = 1_000;
const FASTER = 10;
const STOP_MS = 2_000;

const say = (text: string): void => {
  process.stdout.write(`${new Date().toTimeString().slice(0, 8)}  ${text}\n`);
};
const km = (metres: number): string => `${(metres / 1_000).toFixed(2)} km`;

/** Rides in a straight line, pinging each second. */
async function ride(client: CourierClient, from: LngLat, to: LngLat): Promise<void> {
  const speed = (PACES.bike.speedMps / DETOUR_FACTOR) * FASTER;
  let here = from;
  while (here !== to) {
    await sleep(PING_MS);
    here = towards(here, to, distanceM(here, to), (speed * PING_MS) / 1_000);
    client.ping(here);
  }
}

async function carry(client: CourierClient, job: AssignmentView, from: LngLat): Promise<LngLat> {
  const { origin, destination } = job;
  say(`assigned    ${job.id}: riding ${km(distanceM(from, origin))} to the pickup`);
  await ride(client, from, { lng: origin.lng, lat: origin.lat });
  await sleep(STOP_MS);
  await client.reportStatus(job.id, "picked_up");
  say(`picked up   ${job.id}: riding ${km(distanceM(origin, destination))} to the dropoff`);
  const door = { lng: destination.lng, lat: destination.lat };
  await ride(client, { lng: origin.lng, lat: origin.lat }, door);
  await sleep(STOP_MS);
  await client.reportStatus(job.id, "delivered");
  say(`delivered   ${job.id}`);
  return door;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      id: { type: "string", default: "cur_1" },
      at: { type: "string", default: "37.7890,-122.4060" },
      url: { type: "string" },
      forever: { type: "boolean", default: false },
    },
  });
  const [lat = Number.NaN, lng = Number.NaN] = values.at.split(",").map(Number);
  if (Number.isNaN(lat + lng)) throw new Error(USAGE);
  const system = findSystem(values.url ?? null);
  const token = await system.token("courier", values.id);
  const client = new CourierClient({
    url: system.publicUrl,
    getToken: () => token,
    webSocket: WebSocket as unknown as WebSocketConstructor,
  });
  let here: LngLat = { lng, lat };
  const jobs: AssignmentView[] = [];
  client.on("state", ({ at }) => say(at));
  client.on("assignment", (job) => jobs.push(job));
  client.on("assignmentOver", ({ delivery, reason }) => say(`over        ${delivery}: ${reason}`));
  client.on("withdrawn", ({ delivery, reason }) => say(`withdrawn   ${delivery}: ${reason}`));
  client.on("offer", (offer) => {
    say(`offer       ${offer.delivery}: pickup in ${km(offer.distanceM)}`);
    client.accept(offer.delivery).then(
      () => say(`accepted    ${offer.delivery}`),
      (error: Error) => say(`refused     ${offer.delivery}: ${error.message}`),
    );
  });
  process.once("SIGINT", () => void home(client));
  await client.start();
  client.ping(here);
  await client.goOnShift();
  say(`on shift    ${values.id} at ${lat}, ${lng}; waiting for an offer (Ctrl-C ends)`);
  for (;;) {
    const job = jobs.shift();
    if (job !== undefined) here = await carry(client, job, here);
    if (job !== undefined && !values.forever && jobs.length === 0) break;
    if (job === undefined) await sleep(PING_MS);
    client.ping(here);
  }
  await home(client);
}

async function home(client: CourierClient): Promise<void> {
  await client.goOffShift();
  client.stop();
  say("off shift");
  process.exit(0);
}

main().catch((error: unknown) => {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exit(1);
});
