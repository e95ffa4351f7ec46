import * as v from "valibot";
import { parseBody } from "./request-input.ts";
import { type Route, route } from "./router.ts";
import type { SigningKeys } from "./signing-key.ts";

const rotateRequest = v.looseObject({ drop_old: v.optional(v.boolean()) });

/** Ours alone, outside Fly's `/v1`: what one cannot ask Fly for, but must be able to try. */
export function issuerRoutes(keys: SigningKeys): Route[] {
  return [
    route("POST", "/local/v1/rotate-keys", "none", async (call) => {
      const { drop_old: dropOld = false } = parseBody(rotateRequest, call.body);
      return { status: 200, json: { kid: await keys.rotate({ dropOld }) } };
    }),
  ];
}
