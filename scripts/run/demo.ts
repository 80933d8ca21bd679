// What makes a fresh start usable at once: the demo courier, ready-made tokens, and the lines that
// say where the doors are. Speaks to the system only through its public door.

import { signToken } from "../../gateway/token.ts";

const TOKEN_TTL_S = 8 * 3600;
const COURIER = "cur_1";
const REQUEST_DEADLINE_MS = 10_000;

export interface DemoTokens {
  readonly customer: string;
  readonly courier: string;
  readonly operator: string;
}

export async function demoTokens(authKey: string): Promise<DemoTokens> {
  const ttlS = TOKEN_TTL_S;
  const [customer, courier, operator] = await Promise.all([
    signToken({ role: "customer", sub: "cus_demo", ttlS }, authKey),
    signToken({ role: "courier", sub: COURIER, ttlS }, authKey),
    signToken({ role: "operator", sub: "ops_demo", ttlS }, authKey),
  ]);
  return { customer, courier, operator };
}

/** Makes the demo courier or renews it; throws when the gateway refuses. */
export async function ensureDemoCourier(publicUrl: string, operatorToken: string): Promise<void> {
  const answer = await fetch(`${publicUrl}/v1/couriers/${COURIER}`, {
    method: "PUT",
    headers: { authorization: `Bearer ${operatorToken}`, "content-type": "application/json" },
    body: JSON.stringify({
      name: "Alice Demo",
      phone: "+1-415-555-0101",
      vehicle: "bike",
      capacity: 2,
    }),
    signal: AbortSignal.timeout(REQUEST_DEADLINE_MS),
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`PUT /v1/couriers/${COURIER}: ${answer.status} ${text}`);
}

export interface Doors {
  readonly publicPort: number;
  readonly adminPort: number;
  readonly nats: { readonly url: string; readonly note: string };
  readonly postgres: { readonly url: string; readonly note: string };
  readonly logs: string;
}

/** The text that a start closes with. */
export function welcome(doors: Doors, tokens: DemoTokens, startedInS: number): string {
  const rest = `http://127.0.0.1:${doors.publicPort}`;
  const body = JSON.stringify({
    origin: { lat: 37.7879, lng: -122.4075 },
    destination: { lat: 37.7599, lng: -122.4148 },
    package_size: "small",
    phone: "+1-415-555-0100",
  });
  return `
hexdispatch is ready (${startedInS.toFixed(1)} s). Ctrl-C stops everything.

  REST, WebSocket  ${rest}/v1   ws://127.0.0.1:${doors.publicPort}/v1/socket
  admin            http://127.0.0.1:${doors.adminPort}   /livez /readyz /metrics /version
  NATS             ${doors.nats.url}   (${doors.nats.note})
  Postgres         ${doors.postgres.url}   (${doors.postgres.note})
  logs             ${doors.logs}

Tokens, good for ${TOKEN_TTL_S / 3600} h (more: npm run -s token -- --role courier --sub cur_2):

CUSTOMER=${tokens.customer}
COURIER=${tokens.courier}
OPERATOR=${tokens.operator}

A first delivery:

curl -s ${rest}/v1/deliveries -H "Authorization: Bearer ${tokens.customer}" -H "Content-Type: application/json" -d '${body}'

A courier to carry it: npm run courier      A busy city: npm run replay
`;
}
