/**
 * What the gateways' fan-out is measured against: a bare loop that sends the same bytes to the same
 * number of sockets in the same slices, on uWebSockets.js, on `ws` or on Socket.IO. No session, no
 * policy, nothing but the loop.
 *
 * Run by bench/fanout.ts with the name of the library and the port.
 */
import { createServer } from "node:http";
// The bare loop is what our own socket adapter is measured against.
// oxlint-disable-next-line no-restricted-imports
import * as uws from "uWebSockets.js";
import { Server as SocketIoServer } from "socket.io";
import { WebSocketServer } from "ws";
import type { DeliveryId } from "../proto/ids.ts";
import { SLICE_MS, positionBytes } from "./fanout-wire.ts";
import type { PeerOrder } from "./fanout-wire.ts";

const QUIET_MS = 3_600_000;
const BEHIND_MAX_MS = 1_000;

type Send = (bytes: Uint8Array) => void;
const sends: Send[] = [];
const [library, portText] = process.argv.slice(2);
const port = Number(portText);
let order: PeerOrder = { isOn: false, couriers: 1, everySlices: 50 };
let slice = 0;

const ready = (): void => void process.send?.({ is: "connected" });

if (library === "uws") {
  const app = uws.App();
  const options = {
    idleTimeout: 0,
    sendPingsAutomatically: false,
    maxBackpressure: 262_144,
    open: (ws: uws.WebSocket<unknown>) => void sends.push((bytes) => void ws.send(bytes, true)),
  };
  app.ws("/*", options as uws.WebSocketBehavior<unknown>);
  app.listen("127.0.0.1", port, ready);
} else if (library === "socket.io") {
  const http = createServer();
  const server = new SocketIoServer(http, {
    transports: ["websocket"],
    serveClient: false,
    perMessageDeflate: false,
    pingInterval: QUIET_MS, // Our followers answer no pings of its own kind.
  });
  server.on("connection", (socket) => void sends.push((bytes) => socket.emit("position", bytes)));
  http.listen(port, "127.0.0.1", 4_096, ready);
} else {
  const http = createServer();
  const server = new WebSocketServer({ server: http, perMessageDeflate: false });
  server.on("connection", (socket) => void sends.push((bytes) => socket.send(bytes)));
  http.listen(port, "127.0.0.1", 4_096, ready);
}

/** The followers of one courier are spread over the list, as they are over a gateway. */
function sendSlice(): void {
  slice++;
  const { couriers, everySlices } = order;
  const at = Date.now();
  for (let n = slice % everySlices; n < couriers; n += everySlices) {
    const delivery = `del_000${String(n).padStart(20, "0")}` as DeliveryId;
    const bytes = positionBytes(delivery, at, 0);
    for (let i = n; i < sends.length; i += couriers) (sends[i] as Send)(bytes);
  }
}

let next = Date.now();
/**
 * One slice, then whatever else there is to do: who cannot keep up leaves slices out, but never
 * stops reading.
 */
const tick = (): void => {
  const now = Date.now();
  if (next <= now) {
    if (order.isOn) sendSlice();
    next = Math.max(next + SLICE_MS, now - BEHIND_MAX_MS);
  }
  if (next <= Date.now()) setImmediate(tick);
  else setTimeout(tick, next - Date.now());
};
tick();
process.on("message", (word: PeerOrder) => {
  order = word;
});
process.on("disconnect", () => process.exit(0));
