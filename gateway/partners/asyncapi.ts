/**
 * The AsyncAPI 3 description of what is not REST: the frames of the socket, the requests of
 * partners over NATS, the events that they follow. Generated from the tables that encode, check and
 * answer, so it cannot say anything else than what is done. It describes us: we receive requests
 * and client frames, we send answers, events and server frames.
 */
import { z } from "zod";
import type { Table } from "../../proto/codec.ts";
import { ERRORS } from "../../proto/errors.ts";
import type { ErrorCode } from "../../proto/errors.ts";
import { cloudEventType } from "../../proto/events.ts";
import { PROTOCOL_VERSION, SUBPROTOCOL, clientTable, serverTable } from "../../proto/frames.ts";
import { EVENT_TYPES } from "../../proto/status.ts";
import { PARTNER_ACTIONS, SUBJECTS } from "../../proto/subjects.ts";
import type { PartnerAction } from "../../proto/subjects.ts";
import { QUEUE_GROUP } from "./service-protocol.ts";
import type { Operation } from "../operations/operation.ts";
import { OPERATIONS } from "../operations/table.ts";
import { PARTNER_BINDINGS } from "./binding.ts";
import { eventAnswer, problemAnswer } from "../operations/answers.ts";

type Json = { readonly [key: string]: unknown };

const DESCRIPTION = `
The sockets of couriers and customers, and the door for partners on NATS. REST is described by OpenAPI.

Bodies over NATS are JSON, or MessagePack where the request's Content-Type says so. Errors have the codes of REST: in the
headers of the NATS service framework and as problem details in the body.
`.trim();

const ref = (path: string): Json => ({ $ref: `#/${path}` });
const schemaOf = (schema: z.ZodType, io: "input" | "output"): Json => {
  const { $schema: _dialect, ...rest } = z.toJSONSchema(schema, {
    target: "draft-7",
    io,
    unrepresentable: "any",
    reused: "inline",
  });
  return rest;
};
const mapped = <T>(names: readonly string[], make: (name: string) => T): Record<string, T> =>
  Object.fromEntries(names.map((name) => [name, make(name)]));

/** `prefix`: of the subjects; `{partner}` and `{delivery}` stay open. */
export function describeAsync(prefix: string, publicUrl: string, version: string): Json {
  const { host, protocol } = new URL(publicUrl);
  return hoisted({
    asyncapi: "3.1.0",
    info: { title: "hexdispatch", version, description: DESCRIPTION },
    defaultContentType: "application/json",
    servers: {
      gateway: {
        host,
        protocol: protocol === "https:" ? "wss" : "ws",
        description: `Subprotocol ${SUBPROTOCOL}, version ${PROTOCOL_VERSION}.`,
      },
      nats: {
        host: "localhost:4222",
        protocol: "nats",
        description: "The operator says where. Users are nkeys, made by `npm run partner`.",
      },
    },
    channels: {
      socket: socketChannel(),
      ...Object.fromEntries(PARTNER_ACTIONS.flatMap((action) => channelsOf(prefix, action))),
      events: eventsChannel(prefix),
    },
    operations: {
      ...socketOperations(),
      ...Object.fromEntries(PARTNER_ACTIONS.map((action) => [action, operationOf(action)])),
      publishEvents: {
        action: "send",
        channel: ref("channels/events"),
        summary: SUBJECTS.events.doc,
        messages: EVENT_TYPES.map((type) => ref(`channels/events/messages/${type}`)),
      },
    },
  });
}

/**
 * Named schemas come with each schema that uses them; here they stand once, where AsyncAPI looks
 * for them.
 */
function hoisted(document: Json): Json {
  const schemas: Record<string, unknown> = {};
  const text = JSON.stringify(document).replaceAll('"#/definitions/', '"#/components/schemas/');
  const rest = JSON.parse(text, (key: string, value: unknown) => {
    if (key !== "definitions") return value;
    Object.assign(schemas, value);
    return undefined;
  }) as Json;
  return { ...rest, components: { schemas } };
}

function frameMessage(name: string, row: Table[string]): Json {
  const fields = Object.entries(row.fields);
  return {
    name,
    title: name,
    summary: row.doc,
    contentType: "application/msgpack",
    payload: {
      type: "array",
      minItems: 1,
      items: [
        { const: row.code, description: `Code of \`${name}\`.` },
        ...fields.map(([field, type]) => ({ title: field, description: type.name })),
      ],
    },
  };
}

const framesOf = (side: string, table: Table): Record<string, Json> =>
  Object.fromEntries(
    Object.entries(table).map(([name, row]) => [`${side}_${name}`, frameMessage(name, row)]),
  );

const socketChannel = (): Json => ({
  address: "/v1/socket",
  servers: [ref("servers/gateway")],
  description: "One plain MessagePack array in each binary message.",
  messages: { ...framesOf("client", clientTable), ...framesOf("server", serverTable) },
});

function socketOperations(): Record<string, Json> {
  const side = (name: string, action: string, table: Table): Json => ({
    action,
    channel: ref("channels/socket"),
    messages: Object.keys(table).map((frame) => ref(`channels/socket/messages/${name}_${frame}`)),
  });
  return {
    receiveFrames: side("client", "receive", clientTable),
    sendFrames: side("server", "send", serverTable),
  };
}

const PARTNER = { partner: { description: "The partner's name; its NATS user may use no other." } };

function channelsOf(prefix: string, action: PartnerAction): [string, Json][] {
  const { operation, body } = PARTNER_BINDINGS[action];
  const { answers, errors } = OPERATIONS[operation];
  const subject = SUBJECTS.partnerRequest.pattern;
  return [
    [
      action,
      {
        address: subject.replace("{prefix}", prefix).replace("{action}", action),
        servers: [ref("servers/nats")],
        parameters: PARTNER,
        messages: {
          request: {
            name: `${action}Request`,
            headers: requestHeaders,
            payload: schemaOf(body, "input"),
          },
        },
        bindings: { nats: { queue: QUEUE_GROUP, bindingVersion: "0.1.0" } },
      },
    ],
    [
      `${action}Reply`,
      {
        address: null,
        servers: [ref("servers/nats")],
        messages: {
          answer: { name: `${action}Answer`, payload: schemaOf(answerSchema(answers), "output") },
          problem: {
            name: "problem",
            summary: codesOf(errors),
            headers: errorHeaders,
            contentType: "application/problem+json",
            payload: schemaOf(problemAnswer, "output"),
          },
        },
      },
    ],
  ];
}

/** The schema of a success; where there are several, they are the same. */
function answerSchema(answers: Operation["answers"]): z.ZodType {
  const found = Object.values(answers).find((schema) => schema !== null);
  if (found === undefined) throw new Error("an operation for partners has no answer");
  return found;
}

const ALWAYS: readonly ErrorCode[] = [
  "bad_request",
  "invalid_field",
  "unknown_field",
  "payload_too_large",
  "unsupported_media_type",
  "unauthorized",
  "rate_limited",
  "overloaded",
  "unavailable",
  "idempotency_mismatch",
  "idempotency_in_progress",
];
const codesOf = (codes: readonly ErrorCode[]): string =>
  [...new Set([...ALWAYS, ...codes])].map((code) => `\`${code}\`: ${ERRORS[code].text}`).join(" ");

const text = (description: string): Json => ({ type: "string", description });
const requestHeaders: Json = {
  type: "object",
  properties: {
    "Content-Type": { type: "string", enum: ["application/json", "application/msgpack"] },
    "Nats-Msg-Id": text("Idempotency key: the same key and body give the same answer."),
  },
};
const errorHeaders: Json = {
  type: "object",
  properties: {
    "Nats-Service-Error-Code": text("The HTTP status of the code."),
    "Nats-Service-Error": text("The code, a colon, a text for people."),
    "Retry-After": text("Seconds, where asking again makes sense."),
  },
};

function operationOf(action: PartnerAction): Json {
  const reply = `channels/${action}Reply`;
  return {
    action: "receive",
    channel: ref(`channels/${action}`),
    summary: OPERATIONS[PARTNER_BINDINGS[action].operation].summary,
    messages: [ref(`channels/${action}/messages/request`)],
    reply: {
      address: {
        description: "The request's reply subject: an inbox of the partner.",
        location: "$message.header#/reply",
      },
      channel: ref(reply),
      messages: [ref(`${reply}/messages/answer`), ref(`${reply}/messages/problem`)],
    },
  };
}

function eventsChannel(prefix: string): Json {
  return {
    address: SUBJECTS.events.pattern.replace("{prefix}", prefix).replace("{owner}", "{partner}"),
    servers: [ref("servers/nats")],
    description:
      "In the stream EVENTS for a week; a partner reads them by the durable consumer made for it. Numbered without a gap per delivery: drop repeats by number.",
    parameters: { ...PARTNER, delivery: { description: "The delivery's id." } },
    messages: mapped(EVENT_TYPES, (type) => ({
      name: type,
      headers: {
        type: "object",
        required: ["ce-id", "ce-source", "ce-specversion", "ce-type"],
        properties: {
          "ce-specversion": { const: "1.0" },
          "ce-type": { const: cloudEventType(type) },
          "ce-id": text("Delivery id and number."),
          "ce-source": text("The cluster."),
          "ce-subject": text("The delivery's id."),
          "ce-time": text("RFC 3339."),
          "ce-sequence": text("The event's number in its delivery."),
          "ce-test": text("Only on events of tests: `true`."),
        },
      },
      payload: schemaOf(eventAnswer, "output"),
    })),
  };
}
