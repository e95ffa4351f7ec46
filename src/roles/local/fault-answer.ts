import * as v from "valibot";
import type { FaultAction } from "./fault-script.ts";
import type { Answer } from "./router.ts";

/** What a fault may do to the fly-local it strikes, beside spoiling the answer. */
export interface FaultReach {
  /** Carries the call out, as known `agoMs` ago where that is said. */
  readonly carryOut: (agoMs?: number) => Promise<Answer>;
  readonly sleep: (ms: number) => Promise<void>;
  readonly loseLease: (stolen: boolean) => void;
  readonly vanish: () => Promise<void>;
  /** The cursor that leads on after this row of an answer; without a row, the one that was asked for. */
  readonly cursorAfter: (row: unknown) => string;
}

/** The call with this fault: carried out or not, and answered by this. */
export async function faultyAnswer(action: FaultAction, reach: FaultReach): Promise<Answer> {
  switch (action.kind) {
    case "answer":
    case "html":
    case "drop":
    case "hang":
    case "throttle":
    case "capacity":
      // An error of the call itself is replaced as well: the client never sees the real answer.
      if ("when" in action && action.when === "after")
        await reach.carryOut().catch(() => undefined);
      return replacement(action);
    case "delay":
      return delayed(action, reach);
    case "lose-lease":
      reach.loseLease(action.stolen);
      return reach.carryOut();
    case "vanish":
      await reach.vanish();
      return reach.carryOut();
    case "stale":
      return reach.carryOut(action.ms);
    default:
      return spoiled(await reach.carryOut(), action, reach);
  }
}

async function delayed(
  action: Extract<FaultAction, { kind: "delay" }>,
  reach: FaultReach,
): Promise<Answer> {
  if (action.when === "before") await reach.sleep(action.ms);
  const answer = await reach.carryOut();
  if (action.when === "after") await reach.sleep(action.ms);
  return answer;
}

type Spoiling = Extract<
  FaultAction,
  { kind: "cut" | "trickle" | "pad" | "patch" | "partial-list" }
>;

function spoiled(answer: Answer, action: Spoiling, reach: FaultReach): Answer {
  if (action.kind === "patch") return patched(answer, action.members);
  if (action.kind === "partial-list") return partial(answer, action, reach);
  return { ...answer, delivery: action };
}

type Replacing = Extract<
  FaultAction,
  { kind: "answer" | "html" | "drop" | "hang" | "throttle" | "capacity" }
>;

function replacement(action: Replacing): Answer {
  switch (action.kind) {
    case "answer": {
      const { status, body, headers = {} } = action;
      return typeof body === "string"
        ? { status, headers, text: { type: headers["content-type"] ?? "text/plain", body } }
        : { status, headers, json: body };
    }
    case "html":
      return { status: action.status, text: { type: "text/html", body: errorPage } };
    case "drop":
    case "hang":
      return { status: 500, delivery: action };
    case "throttle":
      return {
        status: 429,
        json: { error: "rate limit exceeded: slow down and try again" },
        headers: action.retryAfter === undefined ? {} : { "retry-after": `${action.retryAfter}` },
      };
    case "capacity":
      return { status: action.status, json: capacityWords[action.status] };
  }
}

const errorPage =
  "<html><head><title>502 Bad Gateway</title></head><body>Bad Gateway</body></html>";

const capacityWords = {
  409: { error: "insufficient resources available to fulfill request: could not reserve resource" },
  412: {
    error: "insufficient resources to create new machine with existing volume",
    status: "volume_placement_capacity",
  },
  422: { error: "not enough capacity in region", status: "insufficient_capacity" },
} as const;

function patched(answer: Answer, members: Readonly<Record<string, unknown>>): Answer {
  const patch = (value: unknown): unknown => ({ ...objectOf(value), ...members });
  const list = listOf(answer.json);
  if (list === undefined) return { ...answer, json: patch(answer.json) };
  return { ...answer, json: list.withRows(list.rows.map(patch)) };
}

function partial(
  answer: Answer,
  action: Extract<FaultAction, { kind: "partial-list" }>,
  reach: FaultReach,
): Answer {
  const list = listOf(answer.json);
  if (list === undefined) return answer;
  const kept = list.rows.slice(0, action.keep);
  const last = action.cursor === "repeat" ? undefined : kept.at(-1);
  const next = action.cursor === "lost" ? undefined : reach.cursorAfter(last);
  if (list.inBody) {
    const told = action.errorRegions === undefined ? {} : { error_regions: action.errorRegions };
    const body = { ...objectOf(list.withRows(kept)), next_cursor: next ?? "", ...told };
    return { ...answer, json: body };
  }
  const { "fly-next-cursor": _, ...headers } = answer.headers ?? {};
  return {
    ...answer,
    json: kept,
    headers: next === undefined ? headers : { ...headers, "fly-next-cursor": next },
  };
}

interface List {
  readonly rows: readonly unknown[];
  /** Lists of the organisation have their rows and their cursor in an object. */
  readonly inBody: boolean;
  readonly withRows: (rows: readonly unknown[]) => unknown;
}

function listOf(json: unknown): List | undefined {
  if (Array.isArray(json)) return { rows: json, inBody: false, withRows: (rows) => rows };
  const body = objectOf(json);
  const found = ["machines", "volumes", "apps"].find((name) => Array.isArray(body[name]));
  if (found === undefined) return undefined;
  const rows = body[found];
  return {
    rows: Array.isArray(rows) ? rows : [],
    inBody: true,
    withRows: (changed) => ({ ...body, [found]: changed }),
  };
}

function objectOf(value: unknown): Record<string, unknown> {
  return v.is(v.record(v.string(), v.unknown()), value) ? value : {};
}
