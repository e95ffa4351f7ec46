import * as v from "valibot";
import { parseAnswer } from "./api-answer.ts";
import { MachinesApiError } from "./api-error.ts";
import { apiLimits } from "./api-limits.ts";
import type { ApiAnswer, ApiRequest } from "./api-transport.ts";

/** A list of the Machines API, page by page. A page may be empty with more to come. */
export async function* readPages<S extends v.GenericSchema>(
  list: {
    readonly path: string;
    readonly action: string;
    readonly id: string;
    readonly filter: Readonly<Record<string, string>>;
  },
  rowShape: S,
  call: (request: ApiRequest) => Promise<ApiAnswer>,
): AsyncGenerator<v.InferOutput<S>[]> {
  const { filter, ...request } = list;
  const seen = new Set<string>();
  for (let cursor: string | undefined; ;) {
    const paging = cursor === undefined ? {} : { cursor };
    const query = { limit: String(apiLimits.pageSize), ...filter, ...paging };
    const answer = await call({ ...request, method: "GET", query, repeatable: true });
    yield parseAnswer(v.array(rowShape), answer, list.action);
    cursor = answer.headers.get("fly-next-cursor") ?? undefined;
    if (cursor === undefined || cursor === "") return;
    // A cursor that repeats would never end.
    if (seen.has(cursor) || seen.size >= apiLimits.pagesMax) {
      throw new MachinesApiError("malformed", "the list's pages do not end", {
        action: list.action,
      });
    }
    seen.add(cursor);
  }
}
