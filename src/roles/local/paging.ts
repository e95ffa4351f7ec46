import * as v from "valibot";
import { ApiError } from "./api-error.ts";
import { localLimits } from "./limits.ts";
import { queryInteger } from "./request-input.ts";
import type { ApiCall } from "./router.ts";

export interface Page<T> {
  readonly rows: readonly T[];
  /** Where to go on; absent at the end. */
  readonly next: string | undefined;
}

/** A list's rows come in the order in which they were made. */
interface Listed {
  readonly id: string;
  readonly createdAtMs: number;
}

/**
 * A list is cut into pages only for those who ask for `limit`. A cursor knows the row before
 * it and when that was made, so that it outlives that row, and when the first page was read.
 */
export function pageOf<T extends Listed>(
  call: ApiCall,
  rows: readonly T[],
  nowMs: number,
  limitDefault?: number,
): Page<T> {
  const limit = queryInteger(call, "limit", { min: 1, max: localLimits.pageMax }) ?? limitDefault;
  const cursor = readCursor(call.query.get("cursor"), nowMs);
  const left = after(rows, cursor);
  if (limit === undefined || left.length <= limit) return { rows: left, next: undefined };
  const page = left.slice(0, limit);
  return { rows: page, next: cursorAfter(page.at(-1), cursor) };
}

export function cursorHeader(page: Page<unknown>): Record<string, string> {
  return page.next === undefined ? {} : { "fly-next-cursor": page.next };
}

/** A cursor to what follows the row; without one, to where the asked cursor led. */
export function nextCursor(
  asked: string | null,
  row: { readonly id: string; readonly createdAtMs: number } | undefined,
  nowMs: number,
): string {
  return cursorAfter(row, readCursor(asked, nowMs));
}

interface Cursor extends Listed {
  readonly firstPageMs: number;
}

const cursorText = v.tuple([v.string(), v.number(), v.number()]);

function cursorAfter(row: Listed | undefined, cursor: Cursor): string {
  const { id, createdAtMs } = row ?? cursor;
  return Buffer.from(JSON.stringify([id, createdAtMs, cursor.firstPageMs])).toString("base64url");
}

function readCursor(text: string | null, nowMs: number): Cursor {
  if (text === null || text === "") return { id: "", createdAtMs: -1, firstPageMs: nowMs };
  let found: unknown;
  try {
    found = JSON.parse(Buffer.from(text, "base64url").toString());
  } catch {
    found = undefined;
  }
  if (!v.is(cursorText, found)) throw new ApiError(400, "invalid_argument: cursor");
  const [id, createdAtMs, firstPageMs] = found;
  if (nowMs - firstPageMs > localLimits.cursorLifeMs)
    throw new ApiError(400, "invalid_argument: cursor has expired");
  return { id, createdAtMs, firstPageMs };
}

/** Where the row has gone meanwhile, those made with it come once more rather than not at all. */
function after<T extends Listed>(rows: readonly T[], cursor: Cursor): readonly T[] {
  const index = rows.findIndex((row) => row.id === cursor.id);
  if (index !== -1) return rows.slice(index + 1);
  return rows.filter((row) => row.createdAtMs >= cursor.createdAtMs);
}
