/**
 * The descriptions against the public parsers that other people's tools are built on: AsyncAPI's own, and Redocly's for
 * OpenAPI. Each is shown a broken document, too, so that its silence means something.
 */
import { Parser } from "@asyncapi/parser";
import { createConfig, lintFromString } from "@redocly/openapi-core";
import { expect, test } from "vitest";
import { describeAsync } from "./asyncapi.ts";
import { describe } from "./openapi.ts";
import type { Route } from "./route.ts";
import { courierRoutes } from "./routes/couriers.ts";
import { deliveryRoutes } from "./routes/deliveries.ts";
import { openRoutes } from "./routes/open.ts";
import { operatorRoutes } from "./routes/operator.ts";
import { webhookRoutes } from "./routes/webhooks.ts";

/** A description needs the tables alone: no handler is called. */
const parts = { deps: {} } as never;
const routes: readonly Route[] = [
  ...deliveryRoutes(parts),
  ...courierRoutes(parts),
  ...operatorRoutes(parts),
  ...webhookRoutes(parts),
  ...openRoutes(parts),
];
const openapi = JSON.parse(describe(routes, "https://example.com", "1.2.3")) as any;
const asyncapi = describeAsync("hd", "https://example.com", "1.2.3") as any;

const parser = new Parser();
/** What the parser calls an error or a warning; its hints (tags, a licence) are matters of taste. */
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
