import * as v from "valibot";
import { ApiError } from "./api-error.ts";
import type { Fleet } from "./fleet.ts";
import { namedMachine } from "./lease-routes.ts";
import { localLimits } from "./limits.ts";
import type { Machine } from "./machine.ts";
import { stringMap } from "./machine-config.ts";
import { param, parseBody } from "./request-input.ts";
import { type Answer, type Route, route } from "./router.ts";

const metadata = "/v1/apps/{app}/machines/{id}/metadata";
const noContent: Answer = { status: 204 };

const mergeRequest = v.looseObject({
  metadata: v.record(v.string(), v.nullable(v.string())),
  machine_version: v.optional(v.string()),
});

/** Metadata may change without a new version and without touching what runs. */
export function metadataRoutes(fleet: Fleet): Route[] {
  return [
    route("GET", metadata, "action", (call) => ({
      status: 200,
      json: stringMap(namedMachine(fleet, call).record.config["metadata"]),
    })),
    ...["PATCH", "PUT"].map((method) =>
      route(method, metadata, "action", (call) => {
        const subject = namedMachine(fleet, call);
        const asked = parseBody(mergeRequest, call.body);
        const { version } = subject.record;
        if (asked.machine_version !== undefined && asked.machine_version !== version) {
          throw new ApiError(412, "failed_precondition: machine_version does not match");
        }
        merge(subject, asked.metadata);
        return noContent;
      }),
    ),
    route("GET", `${metadata}/{key}`, "action", (call) => {
      const map = stringMap(namedMachine(fleet, call).record.config["metadata"]);
      const key = param(call, "key");
      if (!Object.hasOwn(map, key)) throw new ApiError(404, `metadata key ${key} not found`);
      return { status: 200, json: { value: map[key] } };
    }),
    route("POST", `${metadata}/{key}`, "action", (call) => {
      const { value } = parseBody(v.looseObject({ value: v.string() }), call.body);
      merge(namedMachine(fleet, call), { [param(call, "key")]: value });
      return noContent;
    }),
    route("DELETE", `${metadata}/{key}`, "action", (call) => {
      merge(namedMachine(fleet, call), { [param(call, "key")]: null });
      return noContent;
    }),
  ];
}

/** Null and the empty string take a key away. */
function merge(subject: Machine, changes: Readonly<Record<string, string | null>>): void {
  const map = new Map(Object.entries(stringMap(subject.record.config["metadata"])));
  for (const [key, value] of Object.entries(changes)) {
    if (value === null || value === "") map.delete(key);
    else map.set(key, value);
  }
  if (map.size > localLimits.metadataKeysMax) {
    throw new ApiError(400, `invalid_argument: more than ${localLimits.metadataKeysMax} keys`);
  }
  subject.record.config = { ...subject.record.config, metadata: Object.fromEntries(map) };
  subject.touch();
}
