import * as v from "valibot";
import { ApiError } from "./api-error.ts";
import type { Fleet } from "./fleet.ts";
import { heldMachine, namedMachine } from "./lease-routes.ts";
import { localLimits } from "./limits.ts";
import type { Machine } from "./machine.ts";
import { eventView } from "./machine-view.ts";
import { parseBody, queryInteger, queryList } from "./request-input.ts";
import { type Answer, type ApiCall, ok, type Route, route, selfServiceRoute } from "./router.ts";

const machine = "/v1/apps/{app}/machines/{id}";

const stopRequest = v.looseObject({
  signal: v.optional(v.string()),
  timeout: v.optional(v.union([v.string(), v.number()])),
});

const execRequest = v.looseObject({
  command: v.optional(v.array(v.string())),
  /** An older spelling: one text, taken apart at blanks. */
  cmd: v.optional(v.string()),
  stdin: v.optional(v.string()),
  timeout: v.optional(
    v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(localLimits.execSecondsMax)),
  ),
});

/** What runs, and what is known about it. */
export function machineRunRoutes(fleet: Fleet): Route[] {
  const held = (call: ApiCall): Machine => heldMachine(fleet, call);
  return [
    route("POST", `${machine}/start`, "action", (call) => {
      const subject = held(call);
      fleet.checkRoomFor(subject);
      return ok({ previous_state: subject.start(), migrated: false, new_host: "" });
    }),
    selfServiceRoute("POST", `${machine}/stop`, "action", (call) => {
      held(call).stop(parseBody(stopRequest, call.body));
      return ok({ ok: true });
    }),
    selfServiceRoute("POST", `${machine}/suspend`, "action", (call) => {
      held(call).suspend();
      return ok({ ok: true });
    }),
    route("POST", `${machine}/restart`, "action", async (call) => restartMachine(held(call), call)),
    route("POST", `${machine}/signal`, "action", (call) => {
      held(call).signal(parseBody(v.looseObject({ signal: signalName }), call.body).signal);
      return ok({ ok: true });
    }),
    route("POST", `${machine}/exec`, "action", async (call) => {
      const { command, cmd, stdin = "", timeout } = parseBody(execRequest, call.body);
      const words = command ?? cmd?.split(/\s+/u).filter((word) => word !== "") ?? [];
      if (words.length === 0) throw new ApiError(400, "invalid_argument: command is missing");
      const timeoutMs = (timeout ?? localLimits.execSecondsDefault) * 1_000;
      const asked = { command: words, stdin, timeoutMs };
      return ok(await namedMachine(fleet, call).execute(asked));
    }),
    route("GET", `${machine}/wait`, "action", async (call) =>
      waitForState(namedMachine(fleet, call), call),
    ),
    route("GET", `${machine}/events`, "action", (call) => {
      const range = { min: 1, max: localLimits.eventsMax };
      const limit = queryInteger(call, "limit", range) ?? localLimits.eventsDefault;
      return ok(
        namedMachine(fleet, call)
          .record.events.slice(0, limit)
          .map((event) => eventView(event)),
      );
    }),
    ...["cordon", "uncordon"].map((verb) =>
      route("POST", `${machine}/${verb}`, "action", (call) => {
        const subject = held(call);
        subject.record.cordoned = verb === "cordon";
        subject.touch();
        return ok({ ok: true });
      }),
    ),
  ];
}

const signalName = v.picklist([
  ...(["SIGABRT", "SIGALRM", "SIGFPE", "SIGHUP", "SIGILL", "SIGINT", "SIGKILL"] as const),
  ...(["SIGPIPE", "SIGQUIT", "SIGSEGV", "SIGTERM", "SIGTRAP", "SIGUSR1", "SIGUSR2"] as const),
]);

async function restartMachine(subject: Machine, call: ApiCall): Promise<Answer> {
  subject.stop({
    signal: call.query.get("signal") ?? undefined,
    timeout: call.query.get("timeout") ?? undefined,
  });
  await subject.stopped();
  subject.start();
  return ok({ ok: true });
}

const waitableStates: ReadonlySet<string> = new Set([
  "started",
  "stopped",
  "suspended",
  "destroyed",
  "failed",
  "settled",
]);

async function waitForState(subject: Machine, call: ApiCall): Promise<Answer> {
  const range = { min: 1, max: localLimits.waitSecondsMax };
  const seconds = queryInteger(call, "timeout", range) ?? localLimits.waitSecondsMax;
  const states = queryList(call, "state");
  const unknown = states.find((state) => !waitableStates.has(state));
  if (unknown !== undefined) throw new ApiError(400, `invalid_argument: state ${unknown}`);
  const wanted = {
    states: states.length === 0 ? ["started"] : states,
    version: call.query.get("version") ?? call.query.get("instance_id") ?? undefined,
    fromEvent: call.query.get("from_event_id") ?? undefined,
  };
  const outcome = await subject.waitFor(wanted, seconds * 1_000, call.signal);
  if (outcome !== "reached") {
    const isOld = wanted.version !== undefined && wanted.version !== subject.record.version;
    const current = isOld ? "replaced" : subject.record.state;
    throw new ApiError(
      408,
      `deadline_exceeded: machine failed to reach desired state, ${wanted.states.join(",")}, currently ${current}`,
    );
  }
  const { state, version, events } = subject.record;
  return ok({ ok: true, state, version, event_id: events[0]?.id ?? "" });
}
