/**
 * The door for partners on NATS: a service whose endpoints are the rows of `binding.ts`. It owns
 * who asks (the subject's own token, which the server's accounts let nobody else use), the bounds
 * of a flood, whether that is a registered partner, the language and size of a body, and how an
 * answer or problem is written; the rest is `operations/run.ts`. No request can make it throw, and
 * a flood costs no more than looking at its subject.
 */
import type { NatsConnection } from "@nats-io/transport-node";
import { serveRequests } from "../../engine/io/nats/service.ts";
import type { ServiceRequest } from "../../engine/io/nats/service.ts";
import { DispatchError } from "../../proto/errors.ts";
import { isPrincipalId } from "../../proto/ids.ts";
import {
  OWN_DISCOVERY_BURST,
  OWN_DISCOVERY_PER_S,
  PARTNER_DISCOVERY_BURST,
  PARTNER_DISCOVERY_PER_S,
  PARTNER_REFUSALS_BURST,
  PARTNER_REFUSALS_PER_S,
  PARTNER_REQUESTS_BURST,
  PARTNER_REQUESTS_PER_S,
  PARTNER_UNDER_WAY_MAX_REQUESTS,
} from "../../proto/limits.ts";
import { PARTNER_ACTIONS } from "../../proto/subjects.ts";
import type { PartnerAction } from "../../proto/subjects.ts";
import type { Deps } from "../base/deps.ts";
import { nowUs } from "../base/now-us.ts";
import type { OperationRunner, Request } from "../operations/run.ts";
import { OPERATIONS } from "../operations/table.ts";
import type { Principal } from "../base/principal.ts";
import { asDispatchError, validationError } from "../base/problem.ts";
import { RateLimit } from "../access/rate-limit.ts";
import type { Revocations } from "../access/revocations.ts";
import { SERVICE_NAME } from "./accounts.ts";
import { PARTNER_BINDINGS } from "./binding.ts";
import { QUEUE_GROUP, ServiceStats, VERBS, verbSubjects } from "./service-protocol.ts";
import type { ServiceIdentity, Verb } from "./service-protocol.ts";
import type { PartnerRegistry } from "./registry.ts";
import { CODECS, answerOf, codecOf, problemReply, readBody } from "./wire.ts";
import type { Codec, Reply } from "./wire.ts";

/** `prefix.v1.req.PARTNER.delivery.ACTION`, `prefix.v1.srv.PARTNER.VERB` */
const PARTNER_TOKEN = 3;
/** No partner's name: who asks in our own account. */
const OURSELVES = "$";

export type PartnerDoorParts = {
  readonly deps: Pick<Deps, "clock" | "gateway" | "metrics" | "subjects">;
  readonly runner: Pick<OperationRunner, "run">;
  readonly revocations: Pick<Revocations, "revokes">;
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
  readonly #refusals = new RateLimit({
    ratePerS: PARTNER_REFUSALS_PER_S,
    burst: PARTNER_REFUSALS_BURST,
  });
  readonly #discovery = new RateLimit({
    ratePerS: PARTNER_DISCOVERY_PER_S,
    burst: PARTNER_DISCOVERY_BURST,
  });
  readonly #ownDiscovery = new RateLimit({
    ratePerS: OWN_DISCOVERY_PER_S,
    burst: OWN_DISCOVERY_BURST,
  });
  readonly #working = new Set<Promise<void>>();
  /** By partner. */
  readonly #underWay = new Map<string, number>();
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
    this.#openDiscovery(nc);
  }

  /** `$SRV` of our own account, and what partners ask there, which arrives under their names. */
  #openDiscovery(nc: NatsConnection): void {
    const { subjects } = this.#parts.deps;
    for (const verb of VERBS) {
      const onAsked = (request: ServiceRequest): void => this.#discover(verb, OURSELVES, request);
      for (const subject of verbSubjects(verb, this.#identity)) {
        this.#stops.push(serveRequests(nc, subject, null, onAsked));
      }
    }
    const onAsked = (request: ServiceRequest): void => {
      const [, , , partner = "", asked] = request.subject.split(".", PARTNER_TOKEN + 2);
      const verb = VERBS.find((one) => one === asked);
      if (verb !== undefined) this.#discover(verb, partner, request);
    };
    this.#stops.push(serveRequests(nc, subjects.partnerServiceAll, null, onAsked));
  }

  /**
   * What is too much is dropped: whoever floods discovery gets no work done for it, not even a
   * refusal.
   */
  #discover(verb: Verb, who: string, request: ServiceRequest): void {
    const { clock, metrics } = this.#parts.deps;
    const rates = who === OURSELVES ? this.#ownDiscovery : this.#discovery;
    const now = clock.now();
    if (rates.take(who, now) > 0) return metrics.limited.inc({ scope: "discovery" });
    request.respond(this.#stats.answerBytes(verb, now), {});
  }

  /** Takes no more requests and waits for those under way. */
  async close(): Promise<void> {
    for (const stop of this.#stops.splice(0)) stop();
    await Promise.all(this.#working);
  }

  /**
   * The rate is asked before anything of a request is read; what is beyond the refusals as well is
   * dropped.
   */
  #take(action: PartnerAction, request: ServiceRequest): void {
    const name = request.subject.split(".", PARTNER_TOKEN + 1)[PARTNER_TOKEN] ?? "";
    const now = this.#parts.deps.clock.now();
    const underWay = this.#underWay.get(name) ?? 0;
    const isFull = underWay >= PARTNER_UNDER_WAY_MAX_REQUESTS;
    const waitS = isFull ? 1 : this.#rates.take(name, now);
    if (waitS > 0) return this.#refuse(action, name, request, waitS);
    this.#underWay.set(name, underWay + 1);
    const work = this.serve(action, name, request).finally(() => {
      this.#working.delete(work);
      const left = (this.#underWay.get(name) ?? 1) - 1;
      if (left > 0) this.#underWay.set(name, left);
      else this.#underWay.delete(name);
    });
    this.#working.add(work);
  }

  #refuse(action: PartnerAction, name: string, request: ServiceRequest, waitS: number): void {
    const { clock, metrics } = this.#parts.deps;
    if (this.#refusals.take(name, clock.now()) > 0) {
      return metrics.limited.inc({ scope: "partner_dropped" });
    }
    metrics.limited.inc({ scope: "partner" });
    const error = new DispatchError("rate_limited", undefined, { retryAfterS: Math.max(1, waitS) });
    this.#answerProblem(action, request, error);
  }

  #answerProblem(action: PartnerAction, request: ServiceRequest, error: DispatchError): void {
    const reply = problemReply(codecOf(request), error, instanceOf(request));
    this.#stats.count(action, 0, error.code);
    request.respond(reply.data, reply.headers);
  }

  /** Answers one request. Never rejects. */
  async serve(action: PartnerAction, name: string, request: ServiceRequest): Promise<void> {
    const startedAt = performance.now();
    const codec = codecOf(request);
    let code: string | null = null;
    let reply: Reply;
    try {
      const { operation } = PARTNER_BINDINGS[action];
      const asked = this.#asked(action, name, request, codec);
      const outcome = await this.#parts.runner.run(operation, asked);
      reply = answerOf(codec, outcome.status, outcome.body ?? null, outcome.isReplay === true);
    } catch (error) {
      const known = asDispatchError(error);
      code = known.code;
      reply = problemReply(codec, known, instanceOf(request));
    }
    this.#stats.count(action, performance.now() - startedAt, code);
    request.respond(reply.data, reply.headers);
  }

  #asked(action: PartnerAction, name: string, request: ServiceRequest, codec: Codec): Request {
    return {
      label: `nats_${action}`,
      instance: instanceOf(request),
      principal: () => this.#principalOf(name),
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

  async #principalOf(name: string): Promise<Principal> {
    if (!isPrincipalId(name)) throw new DispatchError("unauthorized");
    const issuedAt = await this.#registry.keyedAt(name);
    if (issuedAt === null) throw new DispatchError("unauthorized");
    const expiresAt = Number.MAX_SAFE_INTEGER;
    const principal = { role: "partner", subject: name, expiresAt, issuedAt } as const;
    // Its server lets it in until the keys are exchanged there, too; nothing is done for it
    // meanwhile.
    if (this.#parts.revocations.revokes(principal)) throw new DispatchError("unauthorized");
    return principal;
  }
}

/** The subject that was asked, as far as a problem repeats it. */
const instanceOf = ({ subject }: ServiceRequest): string => subject.slice(0, 200);
