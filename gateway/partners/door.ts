/**
 * The door for partners on NATS: a service whose endpoints are the rows of `calls.ts`. For each request it owns, in this
 * order: who asks (the subject's own token, which the server's accounts let nobody else use, and which must be a
 * registered partner all the same), its rate, size and language, the schema, the idempotency key, the answer or
 * problem. No request can make it throw.
 */
import type { NatsConnection } from "@nats-io/transport-node";
import { errorFields } from "../../engine/io/log.ts";
import { serveRequests } from "../../engine/io/nats-service.ts";
import type { ServiceRequest } from "../../engine/io/nats-service.ts";
import { OutageLog } from "../../engine/io/outage-log.ts";
import { DispatchError } from "../../proto/errors.ts";
import { isPrincipalId } from "../../proto/ids.ts";
import { PARTNER_REQUESTS_BURST, PARTNER_REQUESTS_PER_S } from "../../proto/limits.ts";
import { PARTNER_ACTIONS } from "../../proto/subjects.ts";
import type { PartnerAction } from "../../proto/subjects.ts";
import { keyOf } from "../idempotency.ts";
import { nowUs } from "../now-us.ts";
import { asDispatchError, validationError } from "../problem.ts";
import { RateLimit } from "../rate-limit.ts";
import { SERVICE_NAME } from "./accounts.ts";
import { PARTNER_CALLS } from "./calls.ts";
import type { PartnerParts, PartnerPrincipal } from "./calls.ts";
import { QUEUE_GROUP, ServiceStats, VERBS, verbSubjects } from "./micro.ts";
import type { ServiceIdentity } from "./micro.ts";
import type { PartnerRegistry } from "./registry.ts";
import { CODECS, answerOf, codecOf, problemReply, readBody } from "./wire.ts";
import type { Codec, Reply } from "./wire.ts";

/** `prefix.v1.req.PARTNER.delivery.ACTION` */
const PARTNER_TOKEN = 3;

export class PartnerDoor {
  readonly #parts: PartnerParts;
  readonly #registry: PartnerRegistry;
  readonly #identity: ServiceIdentity;
  readonly #outages: OutageLog;
  readonly #stats: ServiceStats;
  readonly #rates = new RateLimit({
    ratePerS: PARTNER_REQUESTS_PER_S,
    burst: PARTNER_REQUESTS_BURST,
  });
  readonly #underWay = new Set<Promise<void>>();
  readonly #stops: (() => void)[] = [];

  constructor(parts: PartnerParts, registry: PartnerRegistry, version: string) {
    const { deps } = parts;
    this.#parts = parts;
    this.#registry = registry;
    this.#outages = new OutageLog(deps.log, deps.clock);
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
        metadata: { codecs: CODECS.join(","), summary: PARTNER_CALLS[action].summary },
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
      reply = await this.#run(action, request, codec);
    } catch (error) {
      const known = asDispatchError(error);
      code = known.code;
      this.#logFailure(action, known, error);
      reply = problemReply(codec, known, request.subject.slice(0, 200));
    }
    const ms = performance.now() - startedAt;
    const { metrics } = this.#parts.deps;
    this.#stats.count(action, ms, code);
    const status = reply.headers["hexdispatch-status"] ?? "500";
    metrics.requests.observe({ route: `nats_${action}`, status }, ms / 1000);
    request.respond(reply.data, reply.headers);
  }

  async #run(action: PartnerAction, request: ServiceRequest, codec: Codec): Promise<Reply> {
    const principal = await this.#principalOf(request.subject);
    const row = PARTNER_CALLS[action];
    const { value, bytes } = readBody(request, codec);
    const checked = row.body.safeParse(value);
    if (!checked.success) throw validationError(checked.error.issues);
    const key = keyOf(request.header("nats-msg-id"), principal, row.route, bytes);
    const call = { principal, body: checked.data, bytes, key, receivedAtUs: nowUs() };
    const { status, body, isReplay } = await row.run(this.#parts, call);
    if (isReplay) this.#parts.deps.metrics.replayed.inc();
    return answerOf(codec, status, body, isReplay);
  }

  async #principalOf(subject: string): Promise<PartnerPrincipal> {
    const { clock, metrics } = this.#parts.deps;
    const name = subject.split(".")[PARTNER_TOKEN] ?? "";
    if (!isPrincipalId(name)) throw new DispatchError("unauthorized");
    const waitS = this.#rates.take(name, clock.now());
    if (waitS > 0) {
      metrics.limited.inc({ scope: "partner" });
      throw new DispatchError("rate_limited", undefined, { retryAfterS: Math.max(1, waitS) });
    }
    const issuedAt = await this.#registry.keyedAt(name);
    if (issuedAt === null) throw new DispatchError("unauthorized");
    const expiresAt = Number.MAX_SAFE_INTEGER;
    const principal = { role: "partner", subject: name, expiresAt, issuedAt } as const;
    // Its server lets it in until the keys are exchanged there, too; nothing is done for it meanwhile.
    if (this.#parts.revocations.revokes(principal)) throw new DispatchError("unauthorized");
    return principal;
  }

  #logFailure(action: PartnerAction, known: DispatchError, error: unknown): void {
    if (known.code === "unavailable" && known.cause !== undefined) {
      this.#outages.tell(known, { action }, "a partner's request was refused");
    }
    if (known.code !== "internal") return;
    const cause = known.cause ?? error;
    const stack = cause instanceof Error ? cause.stack : undefined;
    const fields = { action, ...errorFields(cause), stack };
    this.#parts.deps.log.error(fields, "a partner's request failed");
  }
}
