import * as v from "valibot";
import type { FlyMachine, FlyVolume } from "../../fly/machine-shape.ts";
import type { Difference } from "./difference.ts";
import type { PlannedVolume } from "./mount-plan.ts";
import type { PlannedMachine } from "./plan.ts";

/** Name, region and volume: with these a machine is made, and no update changes them. */
export function placeDifferences(
  planned: PlannedMachine,
  machine: FlyMachine,
  volumes: readonly FlyVolume[],
): Difference[] {
  const { name, region } = planned.machine;
  const found: Difference[] = [];
  if (name !== undefined && name !== machine.name) found.push(fixed(["name"], machine.name, name));
  if (region !== undefined && !isWithin(machine.region ?? "", region))
    found.push(fixed(["region"], machine.region, region));
  return [...found, ...mountsDifferences(planned, machine, volumes)];
}

function mountsDifferences(
  planned: PlannedMachine,
  machine: FlyMachine,
  volumes: readonly FlyVolume[],
): Difference[] {
  const wanted = planned.machine.config["mounts"];
  const mounts = v.is(mountList, wanted) ? wanted : [];
  const actual = machine.config?.mounts ?? [];
  if (mounts.length !== actual.length)
    return [fixed(["mounts"], actual.map(mountWords), mounts.map(mountWords))];
  const found: Difference[] = [];
  for (const [at, mount] of mounts.entries()) {
    const id = actual[at]?.volume ?? undefined;
    found.push(...mountDifferences(["mounts", String(at)], mount, actual[at] ?? {}));
    const volume = volumes.find((each) => each.id === id);
    const made = planned.volumes.find((each) => each.mount === at);
    if (volume !== undefined && made !== undefined)
      found.push(...volumeDifferences(["mounts", String(at)], mount, { volume, made }));
  }
  return found;
}

function mountDifferences(
  keys: readonly string[],
  mount: v.InferOutput<typeof mountShape>,
  actual: {
    readonly path?: string | null | undefined;
    readonly volume?: string | null | undefined;
  },
): Difference[] {
  const found: Difference[] = [];
  if (mount.path !== actual.path)
    found.push({ keys: [...keys, "path"], from: actual.path, to: mount.path });
  if (mount.volume !== undefined && mount.volume !== actual.volume)
    found.push(fixed([...keys, "volume"], actual.volume, mount.volume));
  return found;
}

function volumeDifferences(
  keys: readonly string[],
  mount: v.InferOutput<typeof mountShape>,
  { volume, made }: { readonly volume: FlyVolume; readonly made: PlannedVolume },
): Difference[] {
  const sizes = sizeDifference(keys, mount, volume);
  if (made.name === volume.name) return sizes;
  return [fixed([...keys, "name"], volume.name, made.name), ...sizes];
}

function fixed(keys: readonly string[], from: unknown, to: unknown): Difference {
  return { keys, from, to, obstacle: "an update cannot change it" };
}

function sizeDifference(
  keys: readonly string[],
  mount: v.InferOutput<typeof mountShape>,
  volume: FlyVolume,
): Difference[] {
  const { size_gb: wanted } = mount;
  const { size_gb: from } = volume;
  if (wanted === undefined || from === null || from === undefined || wanted === from) return [];
  // It grows by itself.
  if (wanted < from && mount.extend_threshold_percent !== undefined) return [];
  const obstacle =
    wanted > from
      ? `an update cannot grow it; fly volume extend ${volume.id} --size ${wanted}`
      : "a volume never shrinks";
  return [{ keys: [...keys, "size_gb"], from, to: wanted, obstacle }];
}

/** Of a list of wishes any will do; what an alias stands for, Fly alone knows. */
function isWithin(region: string, wishes: string): boolean {
  const list = wishes.split(",");
  return list.includes(region) || list.some((wish) => !/^[a-z]{3}$/u.test(wish) || wish === "any");
}

function mountWords(mount: { readonly [member: string]: unknown }): string {
  return `${String(mount["name"] ?? mount["volume"])} at ${String(mount["path"])}`;
}

const mountShape = v.looseObject({
  path: v.string(),
  volume: v.optional(v.string()),
  size_gb: v.optional(v.number()),
  extend_threshold_percent: v.optional(v.unknown()),
});
const mountList = v.array(mountShape);
