/**
 * Asks one operation at each door that offers it, and says the answer in one form, so that a test
 * can hold the doors against each other.
 */
import { headers as natsHeaders } from "@nats-io/transport-node";
import { ERRORS } from "../../proto/errors.ts";
import type { ErrorCode } from "../../proto/errors.ts";
import type { ClientFrame } from "../../proto/frames.ts";
import type { PartnerAction } from "../../proto/subjects.ts";
import type { OperationName } from "../operations/table.ts";
import { REST } from "../rest/binding.ts";
import { until } from "./clients.ts";
import type { Client } from "./clients.ts";
import { BODY } from "./gateway.ts";
import type { TestGateway } from "./gateway.ts";

export type Door = "rest" | "socket" | "nats";
export const DOORS: readonly Door[] = ["rest", "socket", "nats"];

/** Which action of a partner stands for an operation. */
export const ACTIONS: Readonly<Partial<Record<OperationName, PartnerAction>>> = {
  quoteDelivery: "quote",
  createDelivery: "create",
  changeDelivery: "update",
  cancelDelivery: "cancel",
  getDelivery: "get",
  listDeliveries: "list",
};
type FrameOf = (ref: number, id: string) => ClientFrame;
/** Which frame stands for an operation. */
export const FRAMES: Readonly<Partial<Record<OperationName, FrameOf>>> = {
  setShift: (ref) => ({ type: "shift", ref, online: true }),
  acceptDelivery: (ref, id) => ({ type: "accept", ref, delivery: id as never }),
  declineDelivery: (ref, id) => ({ type: "decline", ref, delivery: id as never, reason: null }),
  reportStatus: (ref, id) => {
    const report = { status: "picked_up", at: null, reason: null } as const;
    return { type: "status", ref, delivery: id as never, ...report };
  },
};

/** What to send so that an operation's own logic is reached. */
export type Sample = { readonly body?: object; readonly query?: string };
export const SAMPLES: Readonly<Record<OperationName, Sample>> = {
  quoteDelivery: { body: BODY },
  createDelivery: { body: BODY },
  getDelivery: {},
  listDeliveries: {},
  changeDelivery: { body: { notes: "n" } },
  cancelDelivery: { body: {} },
  availableDeliveries: { query: "?lat=37.78&lng=-122.4" },
  acceptDelivery: { body: {} },
  declineDelivery: { body: {} },
  reportStatus: { body: { status: "picked_up" } },
  setShift: { body: { online: true } },
  reportLocation: { body: { lat: 37.78, lng: -122.4 } },
  putCourier: {
    body: { name: "A B", phone: "+1-555-0101", vehicle: "bike", capacity: 2 },
  },
  listCouriers: {},
  getLedger: {},
  revoke: { body: { role: "customer", subject: "cus_gone" } },
  listWebhooks: {},
  addWebhook: { body: { url: "https://example.com/hook", owner: "par_1" } },
  removeWebhook: {},
  rotateWebhook: { body: {} },
  listWebhookMessages: {},
  resendWebhookMessages: { body: {} },
};

/** An answer of any door. */
export type Said = {
  /** An HTTP status; of the socket that of its error's code, or 200. */
  readonly status: number;
  readonly code: string | null;
  readonly pointer: string | null;
  readonly retryAfterS: number | null;
  readonly isReplay: boolean;
};

export type Asking = {
  readonly operation: OperationName;
  readonly id: string;
  /** The token's holder; over NATS it is the partner of this name. */
  readonly token: string;
  readonly partner?: string;
  readonly key?: string;
  /** Over the sample's body. */
  readonly more?: object;
};

const offers: Readonly<Record<Door, (operation: OperationName) => boolean>> = {
  rest: () => true,
  socket: (operation) => FRAMES[operation] !== undefined,
  nats: (operation) => ACTIONS[operation] !== undefined,
};
export const isOffered = (door: Door, operation: OperationName): boolean => offers[door](operation);

export class ParityClient {
  readonly #t: TestGateway;
  readonly #sockets = new Map<string, Promise<Client>>();
  #ref = 0;

  constructor(t: TestGateway) {
    this.#t = t;
  }

  ask(door: Door, asking: Asking): Promise<Said> {
    if (door === "rest") return this.#rest(asking);
    return door === "socket" ? this.#socket(asking) : this.#nats(asking);
  }

  async #rest({ operation, id, token, key, more }: Asking): Promise<Said> {
    const { method, path } = REST[operation];
    const { body, query = "" } = SAMPLES[operation];
    const url = `/v1${path.replace("{id}", id)}${query}`;
    const sent = body === undefined ? undefined : { ...body, ...more };
    const extra: Record<string, string> = key === undefined ? {} : { "idempotency-key": key };
    const answer = await this.#t.rest.ask(method, url, token, sent, extra);
    const after = answer.headers.get("retry-after");
    return {
      status: answer.status,
      ...problemOf(answer.body),
      retryAfterS: after === null ? null : Number(after),
      isReplay: answer.headers.get("idempotent-replayed") === "true",
    };
  }

  async #nats({ operation, id, partner = "par_1", key, more }: Asking): Promise<Said> {
    const action = ACTIONS[operation] as PartnerAction;
    const about = ["update", "cancel", "get"].includes(action) ? { delivery_id: id } : {};
    const headers = natsHeaders();
    if (key !== undefined) headers.set("nats-msg-id", key);
    const body = JSON.stringify({ ...SAMPLES[operation].body, ...about, ...more });
    const subject = this.#t.subjects.partnerRequest(partner, action);
    const reply = await this.#t.nats.request(subject, body, { timeout: 10_000, headers });
    const after = reply.headers?.get("retry-after") ?? "";
    return {
      status: Number(reply.headers?.get("hexdispatch-status")),
      ...problemOf(reply.json()),
      retryAfterS: after === "" ? null : Number(after),
      isReplay: reply.headers?.get("idempotent-replayed") === "true",
    };
  }

  async #socket({ operation, id, token }: Asking): Promise<Said> {
    const client = await this.#connected(token);
    const ref = ++this.#ref;
    client.send((FRAMES[operation] as FrameOf)(ref, id));
    const answer = await until(
      () =>
        client.frames.find(
          (frame) => (frame.type === "ok" || frame.type === "error") && frame.ref === ref,
        ),
      `an answer to ${operation}`,
    );
    if (answer.type !== "error") {
      return { status: 200, code: null, pointer: null, retryAfterS: null, isReplay: false };
    }
    const { code, pointer, retryAfterS } = answer;
    const { status } = ERRORS[code as ErrorCode];
    return { status, code, pointer, retryAfterS, isReplay: false };
  }

  #connected(token: string): Promise<Client> {
    const known = this.#sockets.get(token);
    if (known !== undefined) return known;
    const opening = this.#t.connect(token).then(async (client) => {
      await client.next("welcome");
      return client;
    });
    this.#sockets.set(token, opening);
    return opening;
  }
}

function problemOf(body: any): Pick<Said, "code" | "pointer"> {
  return { code: body?.code ?? null, pointer: body?.errors?.[0]?.pointer ?? null };
}
