/**
 * The door for partners on NATS: a service whose endpoints are the rows of `binding.ts`. It owns who asks (the
 * subject's own token, which the server's accounts let nobody else use, and which must be a registered partner all the
 * same), the language and size of a body, and how an answer or problem is written; the rest is `operations/run.ts`.
 * No request can make it throw.
 */
import type { NatsConnection } from "@nats-io/transport-node";
import { serveRequests } from "../../engine/io/nats-service.ts";
import type { ServiceRequest } from "../../engine/io/nats-service.ts";
import { DispatchError } from "../../proto/errors.ts";
import { isPrincipalId } from "../../proto/ids.ts";
import { PARTNER_REQUESTS_BURST, PARTNER_REQUESTS_PER_S } from "../../proto/limits.ts";
import { PARTNER_ACTIONS } from "../../proto/subjects.ts";
import type { PartnerAction } from "../../proto/subjects.ts";
import { nowUs } from "../now-us.ts";
import type { Deps } from "../deps.ts";
import type { OperationRunner, Request } from "../operations/run.ts";
import { OPERATIONS } from "../operations/table.ts";
import type { Principal } from "../principal.ts";
import { asDispatchError, validationError } from "../problem.ts";
import { RateLimit } from "../rate-limit.ts";
import { SERVICE_NAME } from "./accounts.ts";
import { PARTNER_BINDINGS } from "./binding.ts";
import { QUEUE_GROUP, ServiceStats, VERBS, verbSubjects } from "./micro.ts";
import type { ServiceIdentity } from "./micro.ts";
import type { PartnerRegistry } from "./registry.ts";
import { CODECS, answerOf, codecOf, problemReply, readBody } from "./wire.ts";
import type { Codec, Reply } from "./wire.ts";

/** `prefix.v1.req.PARTNER.delivery.ACTION` */
const PARTNER_TOKEN = 3;

export type PartnerDoorParts = {
  readonly deps: Pick<Deps, "clock" | "gateway" | "metrics" | "subjects">;
  readonly runner: Pick<OperationRunner, "run">;
};

export class PartnerDoor {
  readonly #parts: PartnerDoorParts;
  readonly #registry: PartnerRegistry;
  readonly #identity: ServiceIdentity;
  readonly #stats: ServiceStats;
  readonly #rates = new RateLimit({
    ratePerS: PARTNER_REQUESTS_PER_S,
    burst: PARTNER_REQUESTS_BURST,
  });
  readonly #underWay = new Set<Promise<void>>();
  readonly #stops: (() => void)[] = [];

  constructor(parts: PartnerDoorParts, registry: PartnerRegistry, version: string) {
    const { deps } = parts;
    this.#parts = parts;
    this.#registry = registry;
    this.#identity = {
      name: SERVICE_NAME,
      id: deps.gateway,
      version,
      description: "Deliveries for partners.",
      startedAt: deps.clock.now(),
    };
    this.#stats = new ServiceStats(
      this.#identity,
      PARTNER_ACTIONS.map((action) => ({
        name: action,
        subject: deps.subjects.partnerRequest("*", action),
        metadata: {
          codecs: CODECS.join(","),
          summary: OPERATIONS[PARTNER_BINDINGS[action].operation].summary,
        },
      })),
    );
  }

  /** Begins to listen. */
  open(nc: NatsConnection): void {
    for (const action of PARTNER_ACTIONS) {
      const subject = this.#parts.deps.subjects.partnerRequest("*", action);
      const onRequest = (request: ServiceRequest): void => this.#take(action, request);
      this.#stops.push(serveRequests(nc, subject, QUEUE_GROUP, onRequest));
    }
    for (const verb of VERBS) {
      const onAsked = (request: ServiceRequest): void =>
        request.respond(Buffer.from(JSON.stringify(this.#stats.answer(verb))), {});
      for (const subject of verbSubjects(verb, this.#identity)) {
        this.#stops.push(serveRequests(nc, subject, null, onAsked));
      }
    }
  }

  /** Takes no more requests and waits for those under way. */
  async close(): Promise<void> {
    for (const stop of this.#stops.splice(0)) stop();
    await Promise.all(this.#underWay);
  }

  #take(action: PartnerAction, request: ServiceRequest): void {
    const work = this.serve(action, request).finally(() => this.#underWay.delete(work));
    this.#underWay.add(work);
  }

  /** Answers one request. Never rejects. */
  async serve(action: PartnerAction, request: ServiceRequest): Promise<void> {
    const startedAt = performance.now();
    const codec = codecOf(request);
    let code: string | null = null;
    let reply: Reply;
    try {
      const { operation } = PARTNER_BINDINGS[action];
      const outcome = await this.#parts.runner.run(operation, this.#asked(action, request, codec));
      reply = answerOf(codec, outcome.status, outcome.body ?? null, outcome.isReplay === true);
    } catch (error) {
      const known = asDispatchError(error);
      code = known.code;
      reply = problemReply(codec, known, instanceOf(request));
    }
    this.#stats.count(action, performance.now() - startedAt, code);
    request.respond(reply.data, reply.headers);
  }

  #asked(action: PartnerAction, request: ServiceRequest, codec: Codec): Request {
    return {
      label: `nats_${action}`,
      instance: instanceOf(request),
      principal: () => this.#principalOf(request.subject),
      input: () => {
        const binding = PARTNER_BINDINGS[action];
        const { value, bytes } = readBody(request, codec);
        const checked = binding.body.safeParse(value);
        if (!checked.success) throw validationError(checked.error.issues);
        const { isWhole, ...input } = binding.input(checked.data);
        return { ...input, bytes: isWhole ? bytes : Buffer.from(JSON.stringify(input.body)) };
      },
      key: request.header("nats-msg-id"),
      receivedAtUs: nowUs(),
    };
  }

  async #principalOf(subject: string): Promise<Principal> {
    const { clock, metrics } = this.#parts.deps;
    const name = subject.split(".")[PARTNER_TOKEN] ?? "";
    if (!isPrincipalId(name)) throw new DispatchError("unauthorized");
    const waitS = this.#rates.take(name, clock.now());
    if (waitS > 0) {
      metrics.limited.inc({ scope: "partner" });
      throw new DispatchError("rate_limited", undefined, { retryAfterS: Math.max(1, waitS) });
    }
    if (!(await this.#registry.has(name))) throw new DispatchError("unauthorized");
    return { role: "partner", subject: name, expiresAt: Number.MAX_SAFE_INTEGER };
  }
}

/** The subject that was asked, as far as a problem repeats it. */
const instanceOf = ({ subject }: ServiceRequest): string => subject.slice(0, 200);
