/**
 * A gateway's public door in memory, speaking the real frames and the REST contract's words: for
 * tests of the SDK and of applications built on it. It decides nothing: a test says what it answers
 * and when it breaks.
 */
import { clientFrames, serverFrames } from "../../proto/frames.ts";
import type { ClientFrame, ServerFrame } from "../../proto/frames.ts";
import type { DeliveryId, SessionId } from "../../proto/ids.ts";
import type { AssignmentView, DeliveryView } from "../../proto/views.ts";
import type { SocketLike } from "../session.ts";

export const DELIVERY = "del_00000000000000000000001" as DeliveryId;

type RestRequest = {
  readonly method: string;
  readonly path: string;
  readonly key: string | null;
  readonly etag: string | null;
  readonly body: unknown;
};
export type RestAnswer = { status: number; body?: unknown; etag?: string };

class FakeSocket implements SocketLike {
  binaryType = "blob";
  onopen: ((event: never) => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: ((event: { code: number; reason: string }) => void) | null = null;
  onerror: ((event: never) => void) | null = null;
  readonly #receive: (socket: FakeSocket, bytes: Uint8Array) => void;

  constructor(receive: (socket: FakeSocket, bytes: Uint8Array) => void) {
    this.#receive = receive;
  }
  send(data: Uint8Array): void {
    this.#receive(this, data);
  }
  close(): void {
    this.onclose?.({ code: 1000, reason: "" });
  }
}

export class FakeGateway {
  /** False: connections fail as they do when nothing listens. */
  reachable = true;
  /** False: the greeting is left without an answer. */
  welcomes = true;
  online: boolean | null = null;
  /** The server's clock. */
  now: () => number = () => 0;
  idleMs = 60_000;
  comeBackWithinMs: number | null = null;
  assignments: AssignmentView[] = [];
  readonly received: ClientFrame[] = [];
  readonly requests: RestRequest[] = [];
  dials = 0;
  /** What a request over the socket is answered; null leaves it unanswered. */
  answer: (frame: ClientFrame & { ref: number }) => ServerFrame | null = (frame) => ({
    type: "ok",
    ref: frame.ref,
    result: null,
  });
  /** What a REST call is answered; null is a broken network. */
  rest: (request: RestRequest) => RestAnswer | null = () => null;
  #socket: FakeSocket | null = null;

  /** To be passed as `webSocket`. */
  readonly webSocket = this.#constructorOf();
  /** To be passed as `fetch`. */
  readonly fetch = ((url: string, init: RequestInit) => this.#fetch(url, init)) as typeof fetch;

  /** The frames of one type that clients sent, in order. */
  sent<K extends ClientFrame["type"]>(type: K): Extract<ClientFrame, { type: K }>[] {
    return this.received.filter((frame) => frame.type === type) as never;
  }
  send(frame: ServerFrame): void {
    this.#socket?.onmessage?.({ data: bufferOf(serverFrames.encode(frame)) });
  }
  /** Ends the connection with a close code. */
  drop(code = 1006, reason = ""): void {
    const socket = this.#socket;
    this.#socket = null;
    socket?.onclose?.({ code, reason });
  }

  #constructorOf(): new () => SocketLike {
    const connect = (): FakeSocket => this.#connect();
    return function FakeWebSocket() {
      return connect();
    } as unknown as new () => SocketLike;
  }

  #connect(): FakeSocket {
    this.dials++;
    const socket = new FakeSocket((from, bytes) => {
      if (from === this.#socket) this.#take(bytes);
    });
    queueMicrotask(() => {
      if (!this.reachable) return socket.onclose?.({ code: 1006, reason: "" });
      this.#socket = socket;
      socket.onopen?.(undefined as never);
    });
    return socket;
  }

  #take(bytes: Uint8Array): void {
    const frame = clientFrames.decode(bytes);
    if (frame === null) return this.drop(4501, "bad frame");
    this.received.push(frame);
    if (frame.type === "hello") {
      if (this.welcomes) this.send(this.#welcome());
    } else if ("ref" in frame) {
      const answer = this.answer(frame);
      if (answer !== null) this.send(answer);
    }
  }

  #welcome(): ServerFrame {
    return {
      type: "welcome",
      version: 1,
      session: "ses_1" as SessionId,
      role: "courier",
      subject: "cur_1",
      now: this.now(),
      pingIntervalMs: 10_000,
      idleMs: this.idleMs,
      pingSpeedMaxMps: 278,
      online: this.online,
      assignments: this.assignments,
      seenEvery: 8,
      comeBackWithinMs: this.comeBackWithinMs,
    };
  }

  async #fetch(url: string, init: RequestInit): Promise<Response> {
    const headers = new Headers(init.headers);
    const request: RestRequest = {
      method: init.method ?? "GET",
      path: new URL(url).pathname,
      key: headers.get("idempotency-key"),
      etag: headers.get("if-none-match"),
      body: typeof init.body === "string" ? (JSON.parse(init.body) as unknown) : null,
    };
    this.requests.push(request);
    const answer = this.rest(request);
    if (answer === null) throw new TypeError("fetch failed");
    const body = answer.body === undefined ? null : JSON.stringify(answer.body);
    const etag = answer.etag === undefined ? {} : { etag: answer.etag };
    return new Response(body, { status: answer.status, headers: { ...etag } });
  }
}

const bufferOf = (bytes: Uint8Array): ArrayBuffer => {
  const copy = new Uint8Array(bytes.length);
  copy.set(bytes);
  return copy.buffer;
};

/** A delivery as the server shows it. */
export function deliveryView(more: Partial<DeliveryView> = {}): DeliveryView {
  return {
    id: DELIVERY,
    version: 1,
    status: "pending",
    status_reason: "searching",
    origin: { address: null, lat: 37.78, lng: -122.41 },
    destination: { address: null, lat: 37.76, lng: -122.42 },
    package_size: "small",
    external_id: null,
    courier: null,
    courier_location: null,
    estimated_pickup_time: null,
    estimated_arrival: null,
    created_at: "2026-05-03T14:00:00Z",
    assigned_at: null,
    picked_up_at: null,
    delivered_at: null,
    ended_at: null,
    test: false,
    ...more,
  };
}

export function assignmentView(id: string, version = 2): AssignmentView {
  return {
    id,
    version,
    status: "assigned",
    origin: { address: null, lat: 37.78, lng: -122.41 },
    destination: { address: null, lat: 37.76, lng: -122.42 },
    package_size: "small",
    phone: "+1-415-555-0100",
    recipient_phone: null,
    notes: null,
    assigned_at: "2026-05-03T14:00:05Z",
  };
}
