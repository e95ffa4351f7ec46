import * as v from "valibot";
import { ApiError } from "./api-error.ts";
import type { Fleet } from "./fleet.ts";
import { heldMachine, leaseSeconds, namedMachine, takeLease } from "./lease-routes.ts";
import { parseMachineConfig, stringMap } from "./machine-config.ts";
import { machineView } from "./machine-view.ts";
import { cursorHeader, pageOf } from "./paging.ts";
import { param, parseBody, queryFlag, queryList } from "./request-input.ts";
import { regionsNamed } from "./regions.ts";
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
    selfServiceRoute("GET", machine, "read", (call) => readMachine(fleet, call)),
    route("GET", `${machine}/versions`, "action", (call) => {
      const { version, config, versions = [] } = namedMachine(fleet, call).record;
      const all = [{ version, config }, ...versions];
      return ok(all.map((each) => ({ version: each.version, user_config: each.config })));
    }),
    route("POST", machine, "action", (call) => updateMachine(fleet, call)),
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
  const rows = fleet.seenMachines(app.name, call.reader).filter((record) => {
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
    leaseAtMs: queryFlag(call, "include_leases") ? fleet.nowMs : undefined,
  };
  return ok(
    page.rows.map((record) => machineView(record, { ...view, checks: fleet.checksOf(record) })),
    cursorHeader(page),
  );
}

/** The version that is asked for may also be one that has been replaced. */
function readMachine(fleet: Fleet, call: ApiCall): Answer {
  const record = fleet.seenMachine(namedMachine(fleet, call), call.reader);
  const asked = call.query.get("version") ?? record.version;
  const leaseAtMs = queryFlag(call, "include_leases") ? fleet.nowMs : undefined;
  if (asked === record.version)
    return ok(machineView(record, { leaseAtMs, checks: fleet.checksOf(record) }));
  const old = record.versions?.find(({ version }) => version === asked);
  if (old === undefined) throw new ApiError(404, `machine version ${asked} not found`);
  return ok(machineView({ ...record, ...old, state: "replaced" }, { leaseAtMs }));
}

async function createMachine(fleet: Fleet, call: ApiCall, ownRegion: string): Promise<Answer> {
  const app = fleet.app(param(call, "app"));
  const asked = parseBody(createRequest, call.body);
  const created = await fleet.createMachine({
    app: app.name,
    name: asked.name === null || asked.name === "" ? undefined : asked.name,
    regions: regionsNamed(asked.region, ownRegion),
    config: parseMachineConfig(asked.config),
    launch: asked.skip_launch !== true,
  });
  // Before it starts: on Fly the answer comes when nothing has started yet.
  const view = machineView(created.record);
  if (asked.skip_launch !== true) created.start();
  if (asked.lease_ttl === undefined) return ok(view);
  return ok({ ...view, nonce: takeLease(created, asked.lease_ttl) });
}

function updateMachine(fleet: Fleet, call: ApiCall): Answer {
  const subject = heldMachine(fleet, call);
  const asked = parseBody(updateRequest, call.body);
  if (asked.current_version !== undefined && asked.current_version !== subject.record.version) {
    throw new ApiError(409, "aborted: current_version does not match the machine's version");
  }
  const config = parseMachineConfig(asked.config);
  const mounted = subject.record.config["mounts"];
  if (!Bun.deepEquals(mountVolumes(config["mounts"]), mountVolumes(mounted))) {
    throw new ApiError(400, "invalid_argument: the volume of a machine cannot be changed");
  }
  if (asked.skip_launch !== true) fleet.checkRoomFor(subject);
  subject.update(config, asked.skip_launch === true);
  if (asked.lease_ttl === undefined) return ok(machineView(subject.record));
  const nonce = takeLease(subject, asked.lease_ttl);
  return ok({ ...machineView(subject.record), nonce });
}

function mountVolumes(mounts: unknown): unknown[] {
  const shape = v.array(v.looseObject({ volume: v.optional(v.string()), path: v.string() }));
  return v.is(shape, mounts) ? mounts.map(({ volume, path }) => [volume, path]) : [];
}
