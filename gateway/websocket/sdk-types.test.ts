/**
 * The types of the SDK and the schemas that the doors check and describe with are the same, in both
 * directions: a field that is added, renamed or made optional in one of them alone does not compile
 * (`npm run typecheck`).
 */
import { expectTypeOf, test } from "vitest";
import type { z } from "zod";
import type { DeliveryEvent } from "../../proto/events.ts";
import type { AvailableView, CourierView, DeliveryView } from "../../proto/views.ts";
import type { CourierProfile, CreatedDelivery, DeliveryPage, NewDelivery } from "../../sdk/rest.ts";
import type { courierBody, createBody, locationBody, statusBody } from "../operations/schemas.ts";
import type { RestClient } from "../../sdk/rest.ts";
import type * as answers from "../operations/answers.ts";

/** Without `readonly` and without the question marks, at every depth. */
type Plain<T> = T extends readonly (infer E)[]
  ? Plain<E>[]
  : T extends object
    ? { -readonly [K in keyof T]-?: Plain<Exclude<T[K], undefined>> }
    : T;
type Of<S extends z.ZodType> = Plain<z.infer<S>>;
type OptionalKeys<T> = { [K in keyof T]-?: object extends Pick<T, K> ? K : never }[keyof T];

test("bodies: what the SDK sends is what the doors take", () => {
  expectTypeOf<Plain<NewDelivery>>().toEqualTypeOf<Of<typeof createBody>>();
  type Optional = OptionalKeys<z.infer<typeof createBody>>;
  expectTypeOf<OptionalKeys<NewDelivery>>().toEqualTypeOf<Optional>();
  expectTypeOf<Plain<CourierProfile>>().toEqualTypeOf<Of<typeof courierBody>>();
  type Report = Parameters<RestClient["reportStatus"]>[1];
  expectTypeOf<Plain<Report>>().toEqualTypeOf<Omit<Of<typeof statusBody>, "courier_id">>();
  type Location = Parameters<RestClient["location"]>[0];
  expectTypeOf<Plain<Location>>().toEqualTypeOf<Omit<Of<typeof locationBody>, "courier_id">>();
});

test("answers: what the doors give is what the SDK says it gives", () => {
  expectTypeOf<Plain<DeliveryView>>().toEqualTypeOf<Of<typeof answers.deliveryAnswer>>();
  expectTypeOf<Plain<CreatedDelivery>>().toEqualTypeOf<Of<typeof answers.createdAnswer>>();
  expectTypeOf<Plain<DeliveryPage>>().toEqualTypeOf<Of<typeof answers.listAnswer>>();
  expectTypeOf<Plain<CourierView>>().toEqualTypeOf<Of<typeof answers.courierAnswer>>();
  type Available = Of<typeof answers.availableAnswer>["deliveries"][number];
  expectTypeOf<Plain<AvailableView>>().toEqualTypeOf<Available>();
  expectTypeOf<keyof DeliveryEvent>().toEqualTypeOf<keyof z.infer<typeof answers.eventAnswer>>();
  expectTypeOf<z.infer<typeof answers.eventAnswer>>().toExtend<DeliveryEvent>();
});
