import * as v from "valibot";
import type { FlyMachine } from "../../fly/machine-shape.ts";
import { digestOf, type MachineView } from "./rollout-call.ts";

/** What a rollout sees of a machine. */
export function viewOf(machine: FlyMachine): MachineView {
  const image = (machine.config ?? machine.incomplete_config)?.image ?? "";
  const exits = exitsOf(machine);
  const newest = exits.toSorted((a, b) => b.timestamp - a.timestamp)[0];
  const own = exits.filter(({ request }) => request?.exit_event?.requested_stop !== true);
  return {
    state: machine.state,
    version: machine.version ?? machine.instance_id ?? "",
    image,
    pinned: pinnedImage(machine, image),
    cordoned: machine.cordoned === true,
    badChecks: badChecks(machine),
    exitedAtMs: Math.max(0, ...own.map(({ timestamp }) => timestamp)),
    crashed: newest !== undefined && own.includes(newest) && !endedWell(newest),
  };
}

/** The last events, newest first, a line each: what a person wants to see of a machine that failed. */
export function eventLines(machine: FlyMachine, count: number): string[] {
  const events = v.is(eventsShape, machine["events"]) ? machine["events"] : [];
  return events
    .toSorted((a, b) => b.timestamp - a.timestamp)
    .slice(0, count)
    .map(({ timestamp, type, status, request }) => {
      const exit = request?.exit_event;
      const code = exit?.exit_code == null ? "" : `, exit code ${exit.exit_code}`;
      const killed = exit?.oom_killed === true ? ", out of memory" : "";
      return `${new Date(timestamp).toISOString()} ${type} ${status ?? ""}${code}${killed}`;
    });
}

/** `registry/repository@sha256:…`, where the image does not say it itself and Fly does. */
function pinnedImage({ image_ref: reference }: FlyMachine, image: string): string {
  const { registry, repository, digest } = reference ?? {};
  if (digestOf(image) !== undefined || repository == null || digest == null) return image;
  const name = registry == null ? repository : `${registry}/${repository}`;
  const pinned = `${name}@${digest}`;
  return digestOf(pinned) === undefined ? image : pinned;
}

/** None at all is good: then init's handshake and the soak have to do. */
function badChecks(machine: FlyMachine): string[] {
  const checks = v.is(checksShape, machine["checks"]) ? (machine["checks"] ?? []) : [];
  return checks
    .filter(({ status }) => !goodStatuses.has((status ?? "").toLowerCase()))
    .map(({ name, status }) => `check ${name ?? "without a name"} is ${status ?? "not known"}`);
}

function exitsOf(machine: FlyMachine): v.InferOutput<typeof eventsShape> {
  const events = v.is(eventsShape, machine["events"]) ? machine["events"] : [];
  return events.filter(({ type }) => type === "exit");
}

function endedWell({ request }: v.InferOutput<typeof eventsShape>[number]): boolean {
  const exit = request?.exit_event;
  return exit?.exit_code === 0 && exit.oom_killed !== true;
}

const goodStatuses: ReadonlySet<string> = new Set(["passing", "passed", "healthy", "ok"]);

const checksShape = v.nullish(
  v.array(v.looseObject({ name: v.nullish(v.string()), status: v.nullish(v.string()) })),
);

const eventsShape = v.array(
  v.looseObject({
    type: v.string(),
    status: v.nullish(v.string()),
    timestamp: v.number(),
    request: v.nullish(
      v.looseObject({
        exit_event: v.nullish(
          v.looseObject({
            exit_code: v.nullish(v.number()),
            requested_stop: v.nullish(v.boolean()),
            oom_killed: v.nullish(v.boolean()),
          }),
        ),
      }),
    ),
  }),
);
