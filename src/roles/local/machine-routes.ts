import * as v from "valibot";
import { ApiError } from "./api-error.ts";
import type { Fleet } from "./fleet.ts";
import { heldMachine, leaseSeconds, namedMachine, takeLease } from "./lease-routes.ts";
import type { Machine } from "./machine.ts";
import { parseMachineConfig, stringMap } from "./machine-config.ts";
import { machineView } from "./machine-view.ts";
import { cursorHeader, pageOf } from "./paging.ts";
import { param, parseBody, queryFlag, queryList } from "./request-input.ts";
import { type Answer, type ApiCall, ok, type Route, route, selfServiceRoute } from "./router.ts";

const machines = "/v1/apps/{app}/machines";
const machine = `${machines}/{id}`;

const createRequest = v.looseObject({
  name: v.optional(v.nullable(v.string())),
  region: v.optional(v.nullable(v.string())),
  config: v.record(v.string(), v.unknown()),
  skip_launch: v.optional(v.boolean()),
  lease_ttl: v.optional(leaseSeconds),
});

const updateRequest = v.looseObject({
  ...createRequest.entries,
  current_version: v.optional(v.string()),
});

/** Creating, reading and running machines. */
export function machineRoutes(fleet: Fleet, options: { readonly region: string }): Route[] {
  return [
    route("GET", machines, "action", (call) => listMachines(fleet, call)),
    route("POST", machines, "action", async (call) => createMachine(fleet, call, options.region)),
    selfServiceRoute("GET", machine, "read", (call) =>
      ok(
        machineView(namedMachine(fleet, call).record, {
          leases: queryFlag(call, "include_leases"),
        }),
      ),
    ),
    route("POST", machine, "action", async (call) => updateMachine(heldMachine(fleet, call), call)),
    route("DELETE", machine, "action", async (call) => {
      await fleet.destroyMachine(
        heldMachine(fleet, call),
        queryFlag(call, "force") || queryFlag(call, "kill"),
      );
      return ok({ ok: true });
    }),
  ];
}

function listMachines(fleet: Fleet, call: ApiCall): Answer {
  const app = fleet.app(param(call, "app"));
  const states = queryList(call, "state");
  const regions = queryList(call, "region");
  const wanted = [...call.query.entries()]
    .filter(([name]) => name.startsWith("metadata."))
    .map(([name, value]) => [name.slice("metadata.".length), value] as const);
  const rows = fleet
    .machinesOf(app.name)
    .map((each) => each.record)
    .filter((record) => {
      const metadata = stringMap(record.config["metadata"]);
      return (
        (record.state !== "destroyed" || queryFlag(call, "include_deleted")) &&
        (states.length === 0 || states.includes(record.state)) &&
        (regions.length === 0 || regions.includes(record.region)) &&
        wanted.every(([key, value]) => Object.hasOwn(metadata, key) && metadata[key] === value)
      );
    });
  const page = pageOf(call, rows, fleet.nowMs);
  const view = {
    summary: queryFlag(call, "summary"),
    leases: queryFlag(call, "include_leases"),
  };
  return ok(
    page.rows.map((record) => machineView(record, view)),
    cursorHeader(page),
  );
}

async function createMachine(fleet: Fleet, call: ApiCall, ownRegion: string): Promise<Answer> {
  const app = fleet.app(param(call, "app"));
  const asked = parseBody(createRequest, call.body);
  const created = await fleet.createMachine({
    app: app.name,
    name: asked.name === null || asked.name === "" ? undefined : asked.name,
    region: firstRegion(asked.region) ?? ownRegion,
    config: parseMachineConfig(asked.config),
  });
  if (asked.skip_launch !== true) created.start();
  const view = machineView(created.record);
  if (asked.lease_ttl === undefined) return ok(view);
  return ok({ ...view, nonce: takeLease(created, asked.lease_ttl) });
}

async function updateMachine(subject: Machine, call: ApiCall): Promise<Answer> {
  const asked = parseBody(updateRequest, call.body);
  if (asked.current_version !== undefined && asked.current_version !== subject.record.version) {
    throw new ApiError(409, "aborted: current_version does not match the machine's version");
  }
  const config = parseMachineConfig(asked.config);
  const mounted = subject.record.config["mounts"];
  if (!Bun.deepEquals(mountVolumes(config["mounts"]), mountVolumes(mounted))) {
    throw new ApiError(400, "invalid_argument: the volume of a machine cannot be changed");
  }
  await subject.update(config, asked.skip_launch === true);
  return ok(machineView(subject.record));
}

function mountVolumes(mounts: unknown): unknown[] {
  const shape = v.array(v.looseObject({ volume: v.optional(v.string()), path: v.string() }));
  return v.is(shape, mounts) ? mounts.map(({ volume, path }) => [volume, path]) : [];
}

/** An ordered list of wishes; here every region is the same computer. Aliases fall to the own region. */
function firstRegion(region: string | null | undefined): string | undefined {
  const [first = ""] = (region ?? "").split(",");
  if (["", "any", "apac", "eu", "na", "sa", "us"].includes(first)) return undefined;
  if (/^[a-z]{3}$/u.test(first)) return first;
  throw new ApiError(400, `invalid_argument: region ${JSON.stringify(first)} not found`);
}
