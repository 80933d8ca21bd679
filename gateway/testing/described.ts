/**
 * Holds real answers of a gateway against the OpenAPI description that it serves: each must have a
 * status that its operation names, the content type that stands there, a body of that schema, and
 * the headers that are named. By a validator of JSON Schema that knows nothing of ours.
 */
import { Ajv2020 } from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import { expect } from "vitest";
import { SECURITY_HEADERS } from "../base/problem.ts";
import type { Asked, Rest } from "./clients.ts";

type Response = {
  readonly content?: Readonly<Record<string, object>>;
  readonly headers?: Readonly<Record<string, { readonly required: boolean; schema: Schema }>>;
};
type Schema = { readonly type: string };
type Operation = { readonly responses: Readonly<Record<string, Response>> };

/**
 * Of HTTP itself and of browsers' security, on answers of any kind: nothing that a client of this
 * API reads.
 */
const GENERAL: ReadonlySet<string> = new Set([
  ...Object.keys(SECURITY_HEADERS),
  ...[
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "date",
    "keep-alive",
    "transfer-encoding",
    "vary",
  ],
]);

/**
 * Every answer that this client got so far. What is no operation of the description (a wrong path
 * or method) is passed over.
 */
export async function expectAsDescribed(rest: Rest): Promise<void> {
  const { body: document } = await rest.get("/v1/openapi.json");
  const ajv = new Ajv2020({ strict: false, allErrors: true });
  addFormats.default(ajv);
  ajv.addSchema(document, "api");
  const paths = Object.keys(document.paths as object).map((template) => ({
    template,
    pattern: new RegExp(`^(?:/v1)?${template.replaceAll(/\{[a-z]+\}/g, "[^/]+")}$`),
  }));
  const problems: string[] = [];
  let held = 0;
  for (const asked of rest.asked) {
    const path = asked.path.split("?")[0] ?? "";
    // `/deliveries/available` is no id: the exact path goes before the template.
    const found = paths.filter(({ pattern }) => pattern.test(path));
    const template = (found.find((one) => !one.template.includes("{")) ?? found[0])?.template;
    const method = asked.method.toLowerCase();
    const operation: Operation | undefined =
      template === undefined ? undefined : document.paths[template][method];
    if (template === undefined || operation === undefined) continue;
    held += 1;
    const problem = problemOf(ajv, `/paths/${escaped(template)}/${method}`, operation, asked);
    if (problem !== null) problems.push(`${asked.method} ${path}: ${problem}`);
  }
  expect(problems).toEqual([]);
  expect(held).toBeGreaterThan(20);
}

const escaped = (token: string): string =>
  encodeURIComponent(token.replaceAll("~", "~0").replaceAll("/", "~1"));

function problemOf(
  ajv: Ajv2020,
  pointer: string,
  { responses }: Operation,
  { answer }: Asked,
): string | null {
  const { status, body, text } = answer;
  const response = responses[String(status)];
  if (response === undefined) return `${status} ${text.slice(0, 200)} is not described`;
  const inHeaders = headerProblem(ajv, answer.headers, response);
  if (inHeaders !== null) return `${status}: ${inHeaders}`;
  if (response.content === undefined) {
    const isOpen = status < 300 && body !== null;
    return text === "" || isOpen ? null : `${status} has a body, and none is described`;
  }
  const type = (answer.headers.get("content-type") ?? "").split(";")[0] ?? "";
  if (!Object.hasOwn(response.content, type)) return `${status} is ${type}`;
  const at = `${pointer}/responses/${status}/content/${escaped(type)}/schema`;
  const validate = ajv.compile({ $ref: `api#${at}` });
  return validate(body) ? null : `${status}: ${ajv.errorsText(validate.errors)}`;
}

function headerProblem(
  ajv: Ajv2020,
  sent: Headers,
  { headers: described = {} }: Response,
): string | null {
  const names = new Set(Object.keys(described).map((name) => name.toLowerCase()));
  for (const name of sent.keys()) {
    if (!GENERAL.has(name) && !names.has(name)) return `the header ${name} is not described`;
  }
  for (const [name, { required, schema }] of Object.entries(described)) {
    const value = sent.get(name);
    if (value === null && required) return `the header ${name} is missing`;
    if (value === null) continue;
    const isFit = ajv.validate(schema, schema.type === "integer" ? Number(value) : value);
    if (!isFit) return `the header ${name} is ${value}: ${ajv.errorsText()}`;
  }
  return null;
}
