/**
 * The REST door: from an HTTP exchange to an operation of the table, or to a page, and back. It
 * owns the path and method, the limits by address, the bytes of body and query, and how an answer
 * or a problem is written. Everything between is `operations/run.ts`, as at every other door.
 */
import { isLoopback } from "../../engine/client-address.ts";
import type { DoorLimits } from "../../engine/door-limits.ts";
import { DispatchError, ERRORS } from "../../proto/errors.ts";
import { BODY_MAX_BYTES } from "../../proto/limits.ts";
import { bearerOf } from "../access/auth.ts";
import type { Auth } from "../access/auth.ts";
import type { Deps } from "../base/deps.ts";
import { parseJsonBody, parseQuery } from "./json-body.ts";
import type { Outcome } from "../operations/operation.ts";
import type { OperationRunner } from "../operations/run.ts";
import type { OperationName } from "../operations/table.ts";
import type { Principal } from "../base/principal.ts";
import { PROBLEM_TYPE, asDispatchError, securityHeadersFor } from "../base/problem.ts";
import { problemHeaders, problemOf } from "../base/problem.ts";
import { REFUSALS_RATE, RateLimit, perSecond, rateHeaders } from "../access/rate-limit.ts";
import type { RateHeaders } from "../access/rate-limit.ts";
import { matchesEtag } from "../views/view-assembler.ts";
import type { Answer, Page, Route } from "./route.ts";
import { pageRoute } from "./route.ts";
import type { HttpExchange } from "../listener/listener.ts";

const REPLAY_HEADER = "idempotent-replayed";
const JSON_TYPE = "application/json";
const NO_BYTES = new Uint8Array(0);
const PREFIX = "/v1";

/** `OPTIONS *` asks about the server as such (RFC 9110, 9.3.7). */
const SERVER_ROUTE = pageRoute({
  path: "*",
  name: "options",
  summary: "What the server takes.",
  answers: { 204: null },
  errors: [],
  handle: () => Promise.resolve({ status: 204, headers: { allow: ALL_METHODS } }),
});
const ALL_METHODS = "GET, HEAD, POST, PUT, DELETE, OPTIONS";

type Found = { readonly row: Route; readonly id: string };

/** What a body turned out to be; a rejected promise that nobody awaits would end the process. */
type BodyResult = { readonly bytes: Uint8Array } | { readonly error: unknown };

export type DoorParts = {
  readonly deps: Pick<Deps, "clock" | "metrics"> & {
    readonly config: Pick<Deps["config"], "publicUrl">;
  };
  readonly auth: Auth;
  readonly runner: Pick<OperationRunner, "run" | "admit" | "refused">;
  readonly limits: Pick<DoorLimits, "requestsPerAddressPerS">;
};

export class HttpDoor {
  readonly #deps: Pick<Deps, "clock" | "metrics">;
  readonly #auth: Auth;
  readonly #runner: DoorParts["runner"];
  readonly #headers: Readonly<Record<string, string>>;
  readonly #routes = new Map<string, Map<string, Route>>();
  readonly #perAddress: RateLimit;
  readonly #refusals = new RateLimit(REFUSALS_RATE);

  constructor({ deps, auth, runner, limits }: DoorParts, routes: readonly Route[]) {
    this.#perAddress = new RateLimit(perSecond(limits.requestsPerAddressPerS));
    this.#deps = deps;
    this.#headers = securityHeadersFor(deps.config.publicUrl);
    this.#auth = auth;
    this.#runner = runner;
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
    const limits: RateHeaders = {};
    let answer: Answer;
    try {
      const { row, id } = this.#find(exchange);
      answer =
        row.kind === "page"
          ? await this.#page(row.page, id, exchange, limits)
          : await this.#operation(row.name, id, exchange, limits);
    } catch (error) {
      answer = this.#refusal(error, exchange);
    }
    this.#write(exchange, answer, limits);
  }

  #find(exchange: HttpExchange): Found {
    const { path: full, method } = exchange;
    if (full === "*") return { row: SERVER_ROUTE, id: "" };
    const path = full.startsWith(`${PREFIX}/`) ? full.slice(PREFIX.length) : full;
    let methods = this.#routes.get(path);
    let id = "";
    if (methods === undefined) {
      const segments = path.split("/");
      id = segments[2] ?? "";
      segments[2] = "*";
      if (id !== "") methods = this.#routes.get(segments.join("/"));
    }
    const row = methods?.get(method === "HEAD" ? "GET" : method);
    if (row !== undefined) return { row, id };
    const error = methods === undefined ? new DispatchError("not_found") : wrongMethod(methods);
    this.#count("none", error);
    throw error;
  }

  async #operation(
    name: OperationName,
    id: string,
    exchange: HttpExchange,
    limits: RateHeaders,
  ): Promise<Answer> {
    const { headers, method } = exchange;
    this.#admitAddress(name, exchange, limits);
    // Before the first await: afterwards a listener may have thrown the body away.
    const reading = method === "GET" || method === "HEAD" ? null : readBody(exchange);
    const outcome = await this.#runner.run(name, {
      label: name,
      instance: exchange.path,
      principal: () => this.#enter(exchange, limits),
      onRate: (shown) => void Object.assign(limits, shown),
      input: async (row) => {
        const bytes = reading === null ? NO_BYTES : bytesOf(await reading);
        const body = row.body === null ? null : parseJsonBody(headers, bytes);
        const query = row.query === null ? null : parseQuery(exchange.query);
        return { id, body, query, bytes };
      },
      key: headers["idempotency-key"],
      receivedAtUs: exchange.receivedAtUs,
    });
    return answerOf(outcome, headers["if-none-match"]);
  }

  async #page(
    page: Page,
    id: string,
    exchange: HttpExchange,
    limits: RateHeaders,
  ): Promise<Answer> {
    const startedAt = performance.now();
    let status = 500;
    try {
      this.#admitAddress(null, exchange, limits);
      this.#runner.admit("read");
      this.#refuseGuessers(exchange, limits);
      const answer = await page.handle(id, exchange.headers);
      status = answer.status;
      // A link that opens nothing is a guess, like a token that is none.
      if (status === 404) this.#refusals.charge(exchange.remoteAddress, this.#deps.clock.now());
      return answer;
    } catch (error) {
      const known = this.#runner.refused(page.name, error);
      status = ERRORS[known.code].status;
      throw known;
    } finally {
      const seconds = (performance.now() - startedAt) / 1000;
      this.#deps.metrics.requests.observe({ route: page.name, status: String(status) }, seconds);
    }
  }

  #refuseGuessers({ remoteAddress }: HttpExchange, limits: RateHeaders): void {
    const now = this.#deps.clock.now();
    const waitS = this.#refusals.wait(remoteAddress, now);
    if (waitS === 0) return;
    Object.assign(limits, rateHeaders("refusals", this.#refusals, remoteAddress, now));
    this.#limit("refusals", waitS);
  }

  /** The caller's principal. Who shows what is no credential pays for it by address. */
  async #enter(exchange: HttpExchange, limits: RateHeaders): Promise<Principal> {
    this.#refuseGuessers(exchange, limits);
    try {
      return await this.#auth.verify(bearerOf(exchange.headers["authorization"]));
    } catch (error) {
      if (error instanceof DispatchError && ERRORS[error.code].status === 401) {
        this.#refusals.charge(exchange.remoteAddress, this.#deps.clock.now());
        this.#deps.metrics.authFailures.inc({ code: error.code });
      }
      throw error;
    }
  }

  /** Before anything else is done for it. Who sits on this machine is not counted. */
  #admitAddress(name: string | null, { remoteAddress }: HttpExchange, limits: RateHeaders): void {
    if (isLoopback(remoteAddress)) return;
    const now = this.#deps.clock.now();
    const waitS = this.#perAddress.take(remoteAddress, now);
    Object.assign(limits, rateHeaders("address", this.#perAddress, remoteAddress, now));
    if (waitS === 0) return;
    if (name !== null) this.#count(name, new DispatchError("rate_limited"));
    this.#limit("address", waitS);
  }

  #limit(scope: string, waitS: number): void {
    this.#deps.metrics.limited.inc({ scope });
    throw new DispatchError("rate_limited", undefined, { retryAfterS: Math.max(1, waitS) });
  }

  /** A request that reached no operation. */
  #count(route: string, { code }: DispatchError): void {
    const labels = { route, status: String(ERRORS[code].status) };
    this.#deps.metrics.requests.observe(labels, 0);
  }

  #refusal(error: unknown, exchange: HttpExchange): Answer {
    const known = asDispatchError(error);
    const headers = problemHeaders(known);
    if (error instanceof MethodError) headers["allow"] = error.allow;
    const content = JSON.stringify(problemOf(known, exchange.path.slice(0, 200)));
    const status = ERRORS[known.code].status;
    return { status, headers, raw: { type: PROBLEM_TYPE, content } };
  }

  #write(exchange: HttpExchange, answer: Answer, limits: RateHeaders): void {
    const headers: Record<string, string> = { ...this.#headers, ...limits, ...answer.headers };
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

/** An outcome in the words of HTTP: 304 where the client knows it, the mark of a replay. */
function answerOf(outcome: Outcome, ifNoneMatch: string | undefined): Answer {
  const { status, body, etag, isReplay = false } = outcome;
  const headers: Record<string, string> = etag === undefined ? {} : { etag };
  if (etag !== undefined && matchesEtag(ifNoneMatch, etag)) return { status: 304, headers };
  if (isReplay) headers[REPLAY_HEADER] = "true";
  if (status >= 400) headers["content-type"] = PROBLEM_TYPE;
  return { status, json: body ?? null, headers };
}

/** The path is known, the method is not among its own. */
class MethodError extends DispatchError {
  readonly allow: string;

  constructor(methods: readonly string[]) {
    super("method_not_allowed");
    this.allow = [...methods, ...(methods.includes("GET") ? ["HEAD"] : [])].join(", ");
  }
}

const wrongMethod = (methods: ReadonlyMap<string, Route>): DispatchError =>
  new MethodError([...methods.keys()]);

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
