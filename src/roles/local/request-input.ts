import * as v from "valibot";
import { ApiError } from "./api-error.ts";
import type { ApiCall } from "./router.ts";

/** The body in the shape the call needs; 400 names the member that is wrong. */
export function parseBody<S extends v.GenericSchema>(schema: S, body: unknown): v.InferOutput<S> {
  const result = v.safeParse(schema, body ?? {});
  if (result.success) return result.output;
  const [issue] = result.issues;
  throw new ApiError(400, `invalid_argument: ${v.getDotPath(issue) ?? "body"}: ${issue.message}`);
}

export function param(call: ApiCall, name: string): string {
  const value = call.params[name];
  if (value === undefined) throw new ApiError(404, "404 page not found");
  return value;
}

export function queryFlag(call: ApiCall, name: string): boolean {
  const value = call.query.get(name);
  return value === "true" || value === "1";
}

export function queryInteger(
  call: ApiCall,
  name: string,
  range: { readonly min: number; readonly max: number },
): number | undefined {
  const text = call.query.get(name);
  if (text === null) return undefined;
  const value = Number(text);
  if (/^\d{1,9}$/u.test(text) && value >= range.min && value <= range.max) return value;
  throw new ApiError(400, `invalid_argument: ${name} must be ${range.min} to ${range.max}`);
}

/** Comma lists may also be said as several parameters of one name. */
export function queryList(call: ApiCall, name: string): string[] {
  return call.query
    .getAll(name)
    .flatMap((value) => value.split(","))
    .map((value) => value.trim())
    .filter((value) => value !== "");
}
