/**
 * The REST door: from an HTTP exchange to a route of the table and back. For every route it owns, in this order: path and
 * method, credential, rate, role, body and query by their schemas, idempotency, the handler, the answer or problem. No
 * handler writes to the socket, and none can end the process.
 */
import type { z } from "zod";
import { isLoopback } from "../engine/client-address.ts";
import type { DoorLimits } from "../engine/config.ts";
import { errorFields } from "../engine/io/log.ts";
import { DispatchError, ERRORS } from "../proto/errors.ts";
import type { Role } from "../proto/ids.ts";
import { BODY_MAX_BYTES } from "../proto/limits.ts";
import { bearerOf } from "./auth.ts";
import type { Auth } from "./auth.ts";
import { nameOf } from "./principal.ts";
import type { Principal } from "./principal.ts";
import type { RequestKind } from "./admission.ts";
import type { Deps } from "./deps.ts";
import type { Doorkeeper } from "./doorkeeper.ts";
import { keyOf } from "./idempotency.ts";
import type { Idempotency, KeptAnswer } from "./idempotency.ts";
import { parseJsonBody, parseQuery } from "./json-body.ts";
import { PROBLEM_TYPE, asDispatchError, securityHeadersFor } from "./problem.ts";
import { problemHeaders, problemOf } from "./problem.ts";
import { validationError } from "./problem.ts";
import { REFUSALS_RATE, RateLimit, perSecond, rateHeaders } from "./rate-limit.ts";
import type { RateHeaders } from "./rate-limit.ts";
import type { Answer, Call, Route } from "./route.ts";
import type { HttpExchange } from "./listener.ts";

const REPLAY_HEADER = "idempotent-replayed";
const JSON_TYPE = "application/json";
const NO_BYTES = new Uint8Array(0);
const PREFIX = "/v1";

/** Stands for whoever calls a route that is open to all. */
const ANYONE: Principal = {
  role: "customer",
  subject: "anyone" as Extract<Principal, { role: "customer" }>["subject"],
  expiresAt: 0,
};

/** `OPTIONS *` asks about the server as such (RFC 9110, 9.3.7). */
const SERVER_ROUTE: Route = {
  method: "GET",
  path: "*",
  name: "options",
  roles: "anyone",
  body: null,
  query: null,
  idempotency: "none",
  doc: { summary: "What the server takes.", answers: { 204: null }, errors: [] },
  handle: () => Promise.resolve({ status: 204, headers: { allow: ALL_METHODS } }),
};
const ALL_METHODS = "GET, HEAD, POST, PUT, DELETE, OPTIONS";

type Found = { readonly row: Route; readonly id: string; readonly path: string };

/** What a body turned out to be; a rejected promise that nobody awaits would end the process. */
type BodyResult = { readonly bytes: Uint8Array } | { readonly error: unknown };

export type DoorParts = {
  readonly deps: Pick<Deps, "log" | "clock" | "metrics"> & {
    readonly config: Pick<Deps["config"], "publicUrl">;
  };
  readonly auth: Auth;
  readonly idempotency: Idempotency;
  readonly doorkeeper: Pick<Doorkeeper, "admit" | "during">;
  readonly limits: Pick<DoorLimits, "requestsPerPrincipalPerS" | "requestsPerAddressPerS">;
};

export class HttpDoor {
  readonly #deps: Pick<Deps, "log" | "clock" | "metrics">;
  readonly #auth: Auth;
  readonly #idempotency: Idempotency;
  readonly #doorkeeper: Pick<Doorkeeper, "admit" | "during">;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #routes = new Map<string, Map<string, Route>>();
  readonly #perPrincipal: RateLimit;
  readonly #perAddress: RateLimit;
  readonly #refusals = new RateLimit(REFUSALS_RATE);

  constructor(parts: DoorParts, routes: readonly Route[]) {
    const { deps, auth, idempotency, doorkeeper, limits } = parts;
    this.#perPrincipal = new RateLimit(perSecond(limits.requestsPerPrincipalPerS));
    this.#perAddress = new RateLimit(perSecond(limits.requestsPerAddressPerS));
    this.#doorkeeper = doorkeeper;
    this.#deps = deps;
    this.#headers = securityHeadersFor(deps.config.publicUrl);
    this.#auth = auth;
    this.#idempotency = idempotency;
    for (const row of routes) {
      const shape = shapeOf(row.path);
      const methods = this.#routes.get(shape) ?? new Map<string, Route>();
      if (methods.has(row.method)) throw new Error(`${row.method} ${row.path} stands twice`);
      methods.set(row.method, row);
      this.#routes.set(shape, methods);
    }
  }

  /** Answers one request. Never rejects. */
  async serve(exchange: HttpExchange): Promise<void> {
    const startedAt = performance.now();
    let name = "none";
    let answer: Answer;
    const limits: RateHeaders = {};
    try {
      const { row, id, path } = this.#find(exchange);
      name = row.name;
      answer = await this.#run(exchange, { row, id, path }, limits);
    } catch (error) {
      answer = this.#refusal(error, exchange, name);
    }
    this.#write(exchange, answer, limits);
    const seconds = (performance.now() - startedAt) / 1000;
    this.#deps.metrics.requests.observe({ route: name, status: String(answer.status) }, seconds);
  }

  #find(exchange: HttpExchange): Found {
    const { path: full, method } = exchange;
    if (full === "*") return { row: SERVER_ROUTE, id: "", path: full };
    const path = full.startsWith(`${PREFIX}/`) ? full.slice(PREFIX.length) : full;
    let methods = this.#routes.get(path);
    let id = "";
    if (methods === undefined) {
      const segments = path.split("/");
      id = segments[2] ?? "";
      segments[2] = "*";
      if (id !== "") methods = this.#routes.get(segments.join("/"));
    }
    if (methods === undefined) throw new DispatchError("not_found");
    const row = methods.get(method === "HEAD" ? "GET" : method);
    if (row !== undefined) return { row, id, path };
    throw new MethodError([...methods.keys()]);
  }

  async #run(exchange: HttpExchange, found: Found, limits: RateHeaders): Promise<Answer> {
    const { row, id, path } = found;
    this.#admitAddress(exchange, limits);
    this.#doorkeeper.admit(kindOf(row));
    // Before the first await: afterwards the library would have thrown the body away.
    const reading = row.method === "GET" ? null : readBody(exchange);
    if (row.roles === "anyone") this.#refuseGuessers(exchange, limits);
    const principal =
      row.roles === "anyone" ? ANYONE : await this.#enter(exchange, row.roles, limits);
    const bytes = reading === null ? NO_BYTES : bytesOf(await reading);
    const body =
      row.body === null ? null : parsed(row.body, parseJsonBody(exchange.headers, bytes));
    const query = row.query === null ? null : parsed(row.query, parseQuery(exchange.query));
    const route = `${row.method} ${path}`;
    const isPost = row.idempotency !== "none";
    const header = isPost ? exchange.headers["idempotency-key"] : undefined;
    const call: Call = {
      principal,
      id,
      body,
      bodyBytes: bytes,
      query,
      headers: exchange.headers,
      receivedAtUs: exchange.receivedAtUs,
      route,
      key: keyOf(header, principal, route, bytes),
    };
    const answer = await this.#doorkeeper.during(() =>
      row.idempotency === "kept" ? this.#kept(call, row, exchange.path) : row.handle(call),
    );
    // A link that opens nothing is a guess, like a token that is none.
    const isGuess = row.roles === "anyone" && answer.status === 404;
    if (isGuess) this.#refusals.charge(exchange.remoteAddress, this.#deps.clock.now());
    return answer;
  }

  #refuseGuessers({ remoteAddress }: HttpExchange, limits: RateHeaders): void {
    const now = this.#deps.clock.now();
    const waitS = this.#refusals.wait(remoteAddress, now);
    if (waitS === 0) return;
    Object.assign(limits, rateHeaders("refusals", this.#refusals, remoteAddress, now));
    this.#limit("refusals", waitS);
  }

  /** The caller's principal, within its rate and in one of the roles. */
  async #enter(
    exchange: HttpExchange,
    roles: readonly Role[],
    limits: RateHeaders,
  ): Promise<Principal> {
    const now = this.#deps.clock.now();
    const { remoteAddress } = exchange;
    this.#refuseGuessers(exchange, limits);
    let principal: Principal;
    try {
      principal = await this.#auth.verify(bearerOf(exchange.headers["authorization"]));
    } catch (error) {
      if (error instanceof DispatchError && ERRORS[error.code].status === 401) {
        this.#refusals.charge(remoteAddress, now);
        this.#deps.metrics.authFailures.inc({ code: error.code });
      }
      throw error;
    }
    const name = nameOf(principal);
    const waitS = this.#perPrincipal.take(name, now);
    Object.assign(limits, rateHeaders("principal", this.#perPrincipal, name, now));
    this.#limit("principal", waitS);
    if (!roles.includes(principal.role)) throw new DispatchError("forbidden");
    return principal;
  }

  /** Before anything else is done for it. Who sits on this machine is not counted. */
  #admitAddress({ remoteAddress }: HttpExchange, limits: RateHeaders): void {
    if (isLoopback(remoteAddress)) return;
    const now = this.#deps.clock.now();
    const waitS = this.#perAddress.take(remoteAddress, now);
    Object.assign(limits, rateHeaders("address", this.#perAddress, remoteAddress, now));
    this.#limit("address", waitS);
  }

  #limit(scope: string, waitS: number): void {
    if (waitS === 0) return;
    this.#deps.metrics.limited.inc({ scope });
    throw new DispatchError("rate_limited", undefined, { retryAfterS: Math.max(1, waitS) });
  }

  async #kept(call: Call, row: Route, instance: string): Promise<Answer> {
    const work = async (): Promise<KeptAnswer> => {
      try {
        const { status, json } = await row.handle(call);
        return { status, body: json ?? null };
      } catch (error) {
        // A refusal that the command decided is its answer, and a repetition gets the same one.
        if (!(error instanceof DispatchError) || call.key === null) throw error;
        const { status, retryable } = ERRORS[error.code];
        if (status !== 409 || retryable) throw error;
        return { status, body: problemOf(error, instance) };
      }
    };
    const { status, body, isReplay } = await this.#idempotency.once(call.key, () =>
      this.#idempotency.kept(call.key, work),
    );
    return replayable(status, body, isReplay);
  }

  #refusal(error: unknown, exchange: HttpExchange, name: string): Answer {
    const known = asDispatchError(error);
    // Postgres known to be away is in the log already, once and not for each request.
    const isNews = known.code === "unavailable" && known.cause !== undefined;
    if (known.code === "internal" || isNews) {
      const cause = known.cause ?? error;
      const stack = known.code === "internal" && cause instanceof Error ? cause.stack : undefined;
      this.#deps.log.error({ route: name, ...errorFields(cause), stack }, "a request failed");
    }
    const headers = problemHeaders(known);
    if (error instanceof MethodError) headers["allow"] = error.allow;
    const content = JSON.stringify(problemOf(known, exchange.path.slice(0, 200)));
    const status = ERRORS[known.code].status;
    return { status, headers, raw: { type: PROBLEM_TYPE, content } };
  }

  #write(exchange: HttpExchange, answer: Answer, limits: RateHeaders): void {
    const headers: Record<string, string> = { ...this.#headers, ...limits, ...answer.headers };
    if (answer.headers?.[REPLAY_HEADER] === "true") this.#deps.metrics.replayed.inc();
    if (answer.raw !== undefined) {
      headers["content-type"] = answer.raw.type;
      exchange.respond(answer.status, headers, answer.raw.content);
      return;
    }
    if (answer.json === undefined || answer.json === null) {
      exchange.respond(answer.status, headers, null);
      return;
    }
    headers["content-type"] ??= JSON_TYPE;
    exchange.respond(answer.status, headers, JSON.stringify(answer.json));
  }
}

/** A stored or fresh answer, marked when it is a replay. */
export const replayable = (status: number, body: unknown, isReplay: boolean): Answer => ({
  status,
  json: body,
  headers: {
    "content-type": status >= 400 ? PROBLEM_TYPE : JSON_TYPE,
    ...(isReplay ? { [REPLAY_HEADER]: "true" } : {}),
  },
});

/** The path is known, the method is not among its own. */
class MethodError extends DispatchError {
  readonly allow: string;

  constructor(methods: readonly string[]) {
    super("method_not_allowed");
    this.allow = [...methods, ...(methods.includes("GET") ? ["HEAD"] : [])].join(", ");
  }
}

/** By what it is worth: a create is the one POST that keeps its own answer. */
function kindOf({ method, idempotency }: Route): RequestKind {
  if (method === "GET") return "read";
  return idempotency === "own" ? "create" : "command";
}

const shapeOf = (path: string): string => path.replace(/\{[a-z]+\}/, "*");

const readBody = (exchange: HttpExchange): Promise<BodyResult> =>
  exchange.readBody(BODY_MAX_BYTES).then(
    (bytes) => ({ bytes }),
    (error: unknown) => ({ error }),
  );

function bytesOf(result: BodyResult): Uint8Array {
  if ("error" in result) throw result.error;
  return result.bytes;
}

function parsed(schema: z.ZodType, value: unknown): unknown {
  const result = schema.safeParse(value);
  if (!result.success) throw validationError(result.error.issues);
  return result.data;
}
