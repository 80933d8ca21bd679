/** What the SDK promises to keep. Everything else in this folder may change without notice. */
export { CourierClient } from "./courier-client.ts";
export type { CourierEvents, CourierOptions, Position, SeqStore } from "./courier-client.ts";
export type { Offer } from "./offer-book.ts";
export type { PositionSource } from "./reporter.ts";
export { CustomerClient } from "./customer-client.ts";
export type { CustomerEvents, CustomerOptions } from "./customer-client.ts";
export { positionAgeMs } from "./tracking.ts";
export type { TrackEvent, TrackedPosition, Tracking } from "./tracking.ts";
export { RestClient, newKey } from "./rest.ts";
export type { CourierProfile, CreatedDelivery, NewDelivery, Point } from "./rest.ts";
export { CLIENT_CODES } from "./connection.ts";
export type { Connection, Reason } from "./connection.ts";
export type { GetToken, SocketLike, WebSocketConstructor } from "./session.ts";
export type { Clock } from "./clock.ts";
export { CLOSE_CODES, DispatchError } from "../proto/errors.ts";
export type { ErrorCode, FieldError } from "../proto/errors.ts";
export type { AssignmentView, AvailableView, DeliveryView } from "../proto/views.ts";
