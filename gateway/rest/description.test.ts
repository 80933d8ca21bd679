/**
 * The descriptions against the public parsers that other people's tools are built on: AsyncAPI's
 * own, and Redocly's for OpenAPI. Each is shown a broken document, too, so that its silence means
 * something.
 */
import { Parser } from "@asyncapi/parser";
import { createConfig, lintFromString } from "@redocly/openapi-core";
import { expect, test } from "vitest";
import { describeAsync } from "../partners/asyncapi.ts";
import { describe } from "./openapi.ts";
import { operationRoutes } from "./route.ts";
import type { Route } from "./route.ts";
import { openRoutes } from "./pages.ts";

const pages = { deps: {}, asyncDescription: "{}" } as never;
const routes: readonly Route[] = [...operationRoutes(true), ...openRoutes(pages)];
const openapi = JSON.parse(describe(routes, "https://example.com", "1.2.3")) as any;
const asyncapi = describeAsync("hd", "https://example.com", "1.2.3") as any;

const parser = new Parser();
/**
 * What the parser calls an error or a warning; its hints (tags, a licence) are matters of taste.
 */
async function asyncProblems(document: unknown): Promise<string[]> {
  const { diagnostics } = await parser.parse(JSON.stringify(document));
  return diagnostics
    .filter(({ severity }) => severity <= 1)
    .map(({ message, path }) => `${path.join("/")}: ${message}`);
}

const config = await createConfig({
  rules: {
    struct: "error",
    "no-unresolved-refs": "error",
    "path-parameters-defined": "error",
    "operation-operationId-unique": "error",
    "no-invalid-media-type-examples": "error",
    "no-ambiguous-paths": "error",
    "security-defined": "error",
  },
});
async function openProblems(document: unknown): Promise<string[]> {
  const source = JSON.stringify(document);
  const problems = await lintFromString({ source, config });
  return problems.map(({ message, location }) => `${location[0]?.pointer ?? ""}: ${message}`);
}

test("AsyncAPI's own parser takes the description, and refuses a broken one", async () => {
  expect(await asyncProblems(asyncapi)).toEqual([]);
  const action = structuredClone(asyncapi);
  action.operations.create.action = "answer";
  expect(await asyncProblems(action)).not.toEqual([]);
  const reference = structuredClone(asyncapi);
  reference.operations.create.channel.$ref = "#/channels/nowhere";
  expect(await asyncProblems(reference)).not.toEqual([]);
  const payload = structuredClone(asyncapi);
  payload.channels.create.messages.request.payload.type = "nothing";
  expect(await asyncProblems(payload)).not.toEqual([]);
});

test("Redocly's parser takes the OpenAPI description, and refuses a broken one", async () => {
  expect(await openProblems(openapi)).toEqual([]);
  const operation = structuredClone(openapi);
  operation.paths["/deliveries"].post.operationId = 7;
  expect(await openProblems(operation)).not.toEqual([]);
  const reference = structuredClone(openapi);
  delete reference.components.schemas.Delivery;
  expect(await openProblems(reference)).not.toEqual([]);
  const parameter = structuredClone(openapi);
  parameter.paths["/deliveries/{id}"].get.parameters = [];
  expect(await openProblems(parameter)).not.toEqual([]);
});

test("the mechanisms of the contract are described: keys, tags, limits, and what may be left out", () => {
  const headersOf = (operation: any, status: number) =>
    Object.keys(operation.responses[status].headers).toSorted();
  const required = (operation: any, status: number, name: string) =>
    operation.responses[status].headers[name].required;
  const read = openapi.paths["/deliveries/{id}"].get;
  expect(headersOf(read, 200)).toEqual(["ETag", "RateLimit", "RateLimit-Policy"]);
  expect(headersOf(read, 304)).toEqual(["ETag", "RateLimit", "RateLimit-Policy"]);
  for (const status of [429, 500, 503]) expect(required(read, status, "Retry-After")).toBe(true);
  const accept = openapi.paths["/deliveries/{id}/accept"].post;
  expect(headersOf(accept, 200)).toContain("Idempotent-Replayed");
  expect(headersOf(accept, 409)).toContain("Idempotent-Replayed");
  expect(required(accept, 409, "Retry-After")).toBe(false);

  const operations = Object.values(openapi.paths).flatMap((row: any) => Object.values<any>(row));
  const taking = (name: string) =>
    operations
      .filter(({ parameters = [] }) => parameters.some((one: any) => one.name === name))
      .map(({ operationId }) => operationId);
  expect(taking("If-None-Match")).toEqual(["getDelivery"]);
  expect(taking("Idempotency-Key")).toContain("acceptDelivery");
  for (const { operationId, responses } of operations) {
    expect(Object.keys(responses), operationId).toContain("500");
  }
  const optional = operations
    .filter(({ requestBody }) => requestBody !== undefined && requestBody.required !== true)
    .map(({ operationId }) => operationId);
  expect(optional).toEqual(
    expect.arrayContaining(["acceptDelivery", "declineDelivery", "cancelDelivery"]),
  );
  for (const name of ["createDelivery", "reportStatus", "putCourier"])
    expect(optional).not.toContain(name);
});
